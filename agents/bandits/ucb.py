"""Optimism in the face of uncertainty, item by item: UCB1."""

from __future__ import annotations

from math import log, sqrt
from typing import TYPE_CHECKING

import numpy as np

from agents.bandits.tallies import ItemPolicy
from agents.forgetting import Forgetting
from agents.jit import compiled
from agents.options import at_least
from agents.registry import register
from agents.slots import ScorePolicy

if TYPE_CHECKING:
    from agents.api import Floats, Requests, Rows


@register("ucb1")
class UCB1(ItemPolicy["Floats"], ScorePolicy):
    """Shows what could be best: mean reward plus a bound on its error (Auer et al. 2002).

    With t outcomes learned from, an item that was seen n times scores
    mean + scale sqrt(2 ln t / n), and one that never was, infinity. A discount makes it discounted
    UCB, a window sliding-window UCB (Garivier & Moulines 2011): t, n and the mean are then those of
    what is remembered. It does not choose at random: wrap it in `Explore` before learning from its
    logs offline.

    Parameters
    ----------
    scale : float
        The range of the rewards; less is less cautious than the theorem asks for.
    discount, window
        How it forgets; see `Forgetting`.
    seed : int
        Ties are broken by it.
    """

    name = "ucb1"

    def __init__(
        self, *, scale: float = 1.0, discount: float = 1.0, window: int = 0, seed: int = 0
    ) -> None:
        super().__init__(Forgetting(discount, window), seed)
        self.scale = at_least("scale", scale, 0.0)

    def scores(self, requests: Requests) -> Floats:
        """Return the upper confidence bound of every candidate: float64 [B, M]."""
        arms = self.tallies.arms.of(requests)
        out = np.empty(arms.shape)
        width = self.scale * sqrt(2.0 * log(max(self.tallies.rounds, 1.0)))
        _bounds(arms, self.tallies.table, width, out)
        return out


@compiled
def _bounds(arms: Rows, table: Floats, width: float, out: Floats) -> None:
    for b in range(arms.shape[0]):
        for m in range(arms.shape[1]):
            arm = arms[b, m]
            if arm < 0 or table[arm, 1] <= 0.0:
                out[b, m] = np.inf
            else:
                out[b, m] = table[arm, 0] / table[arm, 1] + width / sqrt(table[arm, 1])
