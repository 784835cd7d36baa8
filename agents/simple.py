"""Policies that know no context: chance, the most rewarded, and the most rewarded with chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.bandits.items import ItemPolicy
from agents.forgetting import Memory
from agents.options import above, finite, share
from agents.registry import register
from agents.slots import ScorePolicy, SlotPolicy, greedy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Requests


@register("uniform")
class Uniform(SlotPolicy[None]):
    """Every open candidate is as likely as any other: the policy whose logs teach the most."""

    name = "uniform"
    additive = ()

    def prepare(self, requests: Requests) -> None:
        """There is nothing to know of a batch."""

    def slot(self, view: None, open_: NDArray[np.bool_]) -> Floats:
        """Return one over the number of open candidates."""
        count = np.maximum(open_.sum(axis=1, keepdims=True), 1)
        chances: Floats = open_ / count
        return chances


@register("popular")
class Popular(ItemPolicy["Floats"], ScorePolicy):
    """The items with the highest mean reward so far, whoever asks.

    mean(item) = (prior * weight + sum of rewards) / (weight + number of rewards)

    Parameters
    ----------
    prior : float
        The mean reward of an item that nothing is known of.
    weight : float
        How many observations the prior counts for.
    half_life, window : float
        Seconds of event time after which an observation counts half, or not at all; see `Memory`.
    seed : int
        Ties are broken by it.
    """

    name = "popular"

    def __init__(
        self,
        *,
        prior: float = 0.0,
        weight: float = 1.0,
        half_life: float = 0.0,
        window: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(Memory(half_life, window), seed)
        self.prior = finite("prior", prior)
        self.weight = above("weight", weight, 0.0)

    def scores(self, requests: Requests) -> Floats:
        """Return the mean reward of every candidate: float64 [B, M]."""
        known = self.sums.of(requests)
        found: Floats = (self.prior * self.weight + known[:, :, 0]) / (self.weight + known[:, :, 1])
        return found


@register("epsilon-greedy")
class EpsilonGreedy(Popular):
    """The most rewarded item, but with probability epsilon any item, slot by slot.

    Parameters
    ----------
    epsilon : float
        The share of slots that is spread evenly over all open candidates.
    prior, weight, half_life, window
        See `Popular`.
    seed : int
        The root of its randomness.
    """

    name = "epsilon-greedy"

    def __init__(
        self,
        *,
        epsilon: float = 0.1,
        prior: float = 0.0,
        weight: float = 1.0,
        half_life: float = 0.0,
        window: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(prior=prior, weight=weight, half_life=half_life, window=window, seed=seed)
        self.epsilon = share("epsilon", epsilon)

    def slot(self, view: Floats, open_: NDArray[np.bool_]) -> Floats:
        """Return epsilon-greedy over the mean rewards."""
        return greedy(view, open_, self.epsilon)
