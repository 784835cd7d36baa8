"""Bootstrapped ensembles: Thompson sampling for models that know nothing of their own doubt."""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.contextual.river import RiverPolicy
from agents.forgetting import Memory
from agents.options import OptionError, share
from agents.registry import register
from agents.slots import greedy
from agents.streams import uniforms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Keys, Requests, Rows

RESAMPLE = 4
"""The stream purpose that an example's weights are drawn from."""

POISSON = np.cumsum([exp(-1.0) / np.prod(np.arange(1.0, n + 1)) for n in range(20)])
"""The chance that a Poisson number of mean 1 is at most 0, 1, 2, ..."""


@register("bootstrap")
class Bootstrap(RiverPolicy):
    """Shows what some copy of a River model thinks best (Eckles & Kaptein 2014).

    Every copy learns an example as often as a Poisson number of mean 1 says, drawn from the
    example's own stream (the online bootstrap of Oza & Russell 2001), so that the copies differ
    where little is known. A slot goes to each open candidate with the share of copies that predict
    the most of it, ties sharing, mixed with a floor. See `RiverPolicy` for what the state holds.

    Parameters
    ----------
    model : str or river estimator
        `logistic` (clicks: rewards 0 and 1), `linear`, `tree`, or any River classifier or
        regressor; it is cloned, and never learns itself. Give it a seed if it takes one.
    copies : int
        How many models there are.
    floor : float
        The share of a slot that is spread evenly over all open candidates.
    interactions : bool
        Whether the model also sees all products of context and item features.
    half_life, window : float
        Seconds of event time after which an example counts half, or not at all; see `RiverPolicy`.
    seed : int
        The root of its randomness.
    """

    name = "bootstrap"

    def __init__(
        self,
        *,
        model: Any = "logistic",
        copies: int = 10,
        floor: float = 0.05,
        interactions: bool = True,
        half_life: float = 0.0,
        window: float = 0.0,
        seed: int = 0,
    ) -> None:
        if copies < 1:
            raise OptionError(f"copies must be at least 1, not {copies}")
        super().__init__(model, interactions, Memory(half_life, window), seed, copies)
        self.floor = share("floor", floor)

    def times(self, keys: Keys) -> Rows:
        """Return how often each copy learns each example: Poisson numbers, int64 [T, copies]."""
        draws = uniforms(self.seed, keys, self.copies, purpose=RESAMPLE)
        return np.searchsorted(POISSON, draws, side="right")

    def prepare(self, requests: Requests) -> Floats:
        """Return what every copy predicts for every candidate: float64 [copies, B, M]."""
        return self.predictions(requests)

    def slot(self, view: Floats, open_: NDArray[np.bool_]) -> Floats:
        """Return the share of copies each open candidate is the best of, mixed with the floor."""
        shares = np.zeros(open_.shape)
        for predicted in view:
            shares += greedy(predicted, open_, self.floor)
        return shares / self.copies
