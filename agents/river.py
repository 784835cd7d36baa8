"""Any online classifier or regressor of River's as a greedy policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agents.contextual.river import RiverPolicy
from agents.forgetting import Memory
from agents.registry import register
from agents.slots import greedy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agents.api import Floats, Requests


@register("river")
class RiverRanker(RiverPolicy):
    """Shows what a River model predicts the most reward of, and learns from all that was seen.

    Propensity 1, ties apart; `Explore` wraps it. See `RiverPolicy` for what the state holds.

    Parameters
    ----------
    model, interactions, half_life, window, seed
        See `SquareCB`.
    """

    name = "river"

    def __init__(
        self,
        *,
        model: Any = "logistic",
        interactions: bool = True,
        half_life: float = 0.0,
        window: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(model, interactions, Memory(half_life, window), seed)

    def scores(self, requests: Requests) -> Floats:
        """Return what the model predicts of every candidate."""
        predicted: Floats = self.predictions(requests)[0]
        return predicted

    def prepare(self, requests: Requests) -> Floats:
        """Score the batch."""
        return self.scores(requests)

    def slot(self, view: Floats, open_: NDArray[np.bool_]) -> Floats:
        """Return the best open candidate, ties sharing."""
        return greedy(view, open_)


def from_river(model: Any, *, interactions: bool = True, seed: int = 0) -> RiverRanker:
    """Return a policy that shows what a River model predicts the most reward of.

    Parameters
    ----------
    model : river estimator
        A binary classifier of whether a slot is rewarded, or a regressor; see `SquareCB`.
    interactions : bool
        Whether the model also sees all products of context and item features.
    seed : int

    Raises
    ------
    ModelError
        If it is neither.
    """
    return RiverRanker(model=model, interactions=interactions, seed=seed)
