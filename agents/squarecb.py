"""SquareCB: any online regressor or classifier of River's, made into a policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from agents.contextual.river import RiverPolicy
from agents.forgetting import Memory
from agents.jit import compiled
from agents.options import above, at_least
from agents.registry import register
from agents.slots import checked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Requests


@register("squarecb")
class SquareCB(RiverPolicy):
    """Prefers items the more a River model predicts of them (Foster & Rakhlin 2020).

    Inverse gap weighting: with n open candidates, predictions y and the best one b, a candidate
    a other than b has probability 1 / (n + g (y[b] - y[a])), and b the rest. After t examples
    learned that still count, g = gamma max(t, 1)^exponent; slot by slot over the candidates that
    are open. See `RiverPolicy` for what the state holds.

    Parameters
    ----------
    model : str or river estimator
        `logistic` (clicks: rewards 0 and 1), `linear`, `tree`, or any River classifier or
        regressor; it is cloned, and never learns itself. Give it a seed if it takes one.
    gamma : float
        How fast probability falls with predicted regret.
    exponent : float
        How gamma grows with the number of examples; 0 keeps it constant, 0.5 is the paper's rate.
    interactions : bool
        Whether the model also sees all products of context and item features.
    half_life, window : float
        Seconds of event time after which an example counts half, or not at all; see `RiverPolicy`.
    seed : int
        The root of the choices' randomness.
    """

    name = "squarecb"

    def __init__(
        self,
        *,
        model: Any = "logistic",
        gamma: float = 10.0,
        exponent: float = 0.5,
        interactions: bool = True,
        half_life: float = 0.0,
        window: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(model, interactions, Memory(half_life, window), seed)
        self.gamma = above("gamma", gamma, 0.0)
        self.exponent = at_least("exponent", exponent, 0.0)

    def prepare(self, requests: Requests) -> Floats:
        """Return what the model predicts for every candidate: float64 [B, M]."""
        predicted: Floats = self.predictions(requests)[0]
        return predicted

    def slot(self, view: Floats, open_: NDArray[np.bool_]) -> Floats:
        """Return inverse gap weighting over the open candidates."""
        gamma = self.gamma * max(self.learned, 1) ** self.exponent
        return inverse_gap(view, open_, gamma)


def inverse_gap(predictions: Floats, open_: NDArray[np.bool_], gamma: float) -> Floats:
    """Return inverse gap weighting of the open candidates; see `SquareCB`.

    Parameters
    ----------
    predictions : float64 [B, M]
    open_ : bool [B, M]
    gamma : float
        Not negative; 0 is the uniform distribution.

    Returns
    -------
    float64 [B, M]
    """
    out = np.zeros(open_.shape)
    _inverse_gap(checked(predictions, open_), open_, gamma, out)
    return out


@compiled
def _inverse_gap(predictions: Floats, open_: NDArray[np.bool_], gamma: float, out: Floats) -> None:
    for b in range(out.shape[0]):
        best, count = -1, 0
        for m in range(out.shape[1]):
            if open_[b, m]:
                count += 1
                if best < 0 or predictions[b, m] > predictions[b, best]:
                    best = m
        rest = 1.0
        for m in range(out.shape[1]):
            if open_[b, m] and m != best:
                # A model that diverged may predict inf: inf - inf and 0 * inf are no numbers.
                tied = gamma == 0.0 or predictions[b, m] == predictions[b, best]
                gap = 0.0 if tied else predictions[b, best] - predictions[b, m]
                out[b, m] = 1.0 / (count + gamma * gap)
                rest -= out[b, m]
        if best >= 0:
            out[b, best] = rest
