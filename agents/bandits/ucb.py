"""Optimism in the face of uncertainty, item by item: UCB1."""

from __future__ import annotations

from math import log, sqrt
from typing import TYPE_CHECKING

import numpy as np

from agents.bandits.items import ItemPolicy
from agents.forgetting import Memory
from agents.jit import compiled
from agents.options import at_least
from agents.registry import register
from agents.slots import ScorePolicy

if TYPE_CHECKING:
    from agents.api import Floats, Requests


@register("ucb1")
class UCB1(ItemPolicy["Floats"], ScorePolicy):
    """Shows what could be best: mean reward plus a bound on its error (Auer et al. 2002).

    An item that was seen n times of t scores mean + scale sqrt(2 ln t / n), and one that never was,
    infinity. With a half-life it is discounted UCB, with a window sliding-window UCB (Garivier &
    Moulines 2011): t, n and the mean are those of what still counts. It does not choose at random:
    wrap it in `Explore` before learning from its logs offline.

    Parameters
    ----------
    scale : float
        The range of the rewards; less is less cautious than the theorem asks for.
    half_life, window : float
        Seconds of event time after which an observation counts half, or not at all; see `Memory`.
    seed : int
        Ties are broken by it.
    """

    name = "ucb1"

    def __init__(
        self, *, scale: float = 1.0, half_life: float = 0.0, window: float = 0.0, seed: int = 0
    ) -> None:
        super().__init__(Memory(half_life, window), seed)
        self.scale = at_least("scale", scale, 0.0)

    def scores(self, requests: Requests) -> Floats:
        """Return the upper confidence bound of every candidate: float64 [B, M]."""
        return self.bounds(requests, sqrt(2.0 * log(max(total(self.sums.now()), 1.0))))

    def bounds(self, requests: Requests, width: float) -> Floats:
        """Return mean + scale width / sqrt(n) of every candidate, infinity where n is 0."""
        known = self.sums.of(requests)
        out = np.empty(known.shape[:2])
        _bounds(known, self.scale * width, out)
        return out


@compiled
def total(known: Floats) -> float:
    """Return how often all items together were seen, from the sums of each: float64 [n, 2]."""
    seen = 0.0
    for arm in range(len(known)):
        seen += known[arm, 1]
    return seen


@compiled
def _bounds(known: Floats, width: float, out: Floats) -> None:
    for b in range(out.shape[0]):
        for m in range(out.shape[1]):
            won, count = known[b, m]
            out[b, m] = won / count + width / sqrt(count) if count > 0.0 else np.inf
