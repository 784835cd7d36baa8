"""A world small enough to be solved: items that lure now, and items that leave something over."""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.streams import uniforms
from simulators import BatchedWorld, Signal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulators import Feedback

PATIENCE = 12
CHANCES = np.array([0.8, 0.4])
"""How likely a lure, or a modest item, shown alone is taken."""
COSTS = np.array([6, 1])
"""How much patience it takes; nothing taken takes 1."""
OFFER, ANSWER = 91, 92


class Lures(BatchedWorld):
    """Four items are on offer, each of either kind as likely; of those shown each may be taken.

    Every item that is taken is worth 1. The user leaves when the patience is used up, which nobody
    sees.
    """

    name = "Lures"
    signals = (Signal("clicked", 0.0, 1.0), Signal("cost", 0.0, 6.0))
    context_bounds = (1.0, 1.0)
    item_bounds = (0.0, 1.0)
    context_width = 1
    item_width = 2

    def __init__(self, num_candidates: int = 4, slate_size: int = 1) -> None:
        super().__init__(num_candidates=num_candidates, slate_size=slate_size)

    def _allocate(self, lanes: int) -> None:
        self.patience = np.zeros(lanes, dtype=np.int64)
        self.kinds = np.zeros((lanes, self.num_candidates), dtype=np.int64)

    def _begin(self, mask: NDArray[np.bool_]) -> None:
        self.patience[mask] = PATIENCE

    def _draw(self, purpose: int, count: int) -> NDArray[np.float64]:
        keys = self.lanes["user"] + self.lanes["visit"]
        return uniforms(0, keys, count, purpose=purpose)

    def _offer(self) -> None:
        self.kinds[:] = self._draw(OFFER, self.num_candidates) < 0.5

    def _look(self, context: NDArray[np.float32]) -> None:
        context[:] = 1.0

    def _show(self, documents: NDArray[np.float32]) -> None:
        documents[:] = np.eye(2)[self.kinds]

    def appeal(self) -> NDArray[np.float64]:
        self.prepare()
        chances: NDArray[np.float64] = CHANCES[self.kinds]
        return chances

    def _answer(self, choices: NDArray[np.int64], feedback: Feedback) -> None:
        asked = ~self.lanes["ended"]
        shown = (choices >= 0) & asked[:, None]
        kinds = np.take_along_axis(self.kinds, choices.clip(0), axis=1)
        chances = np.where(shown, CHANCES[kinds], 0.0)
        taken = self._draw(ANSWER, choices.shape[1]) < chances
        costs = taken * COSTS[kinds]
        feedback.seen[:], feedback.expected[:] = shown, chances
        feedback.told[0], feedback.told[1], feedback.told[2] = taken, taken, costs
        self.patience -= np.where(asked, np.maximum(costs.sum(axis=1), 1), 0)
        feedback.terminated[asked] = self.patience[asked] <= 0


def best_return(slots: int = 1) -> float:
    """The return of the best policy, by dynamic programming over the patience that is left."""
    return _solve(max, slots)


def myopic_return(slots: int = 1) -> float:
    """The return of showing all the lures that there are."""
    return _solve(lambda worths: worths[-1], slots)


def _solve(choose: Any, slots: int) -> float:
    """Return the value of all patience, where slates are chosen by worth, fewest lures first."""
    values = np.zeros(PATIENCE + 1)
    for left in range(1, PATIENCE + 1):
        for lures in range(5):
            least, most = max(0, slots - (4 - lures)), min(slots, lures)
            worths = [_worth(values, left, n, slots - n) for n in range(least, most + 1)]
            values[left] += comb(4, lures) * 0.5**4 * choose(worths)
    return float(values[PATIENCE])


def _worth(values: Any, left: int, lures: int, modest: int) -> float:
    """Return what it is worth to show so many of either kind."""
    total = 0.0
    for i in range(lures + 1):
        for j in range(modest + 1):
            chance = _chance(i, lures, CHANCES[0]) * _chance(j, modest, CHANCES[1])
            cost = max(1, i * COSTS[0] + j * COSTS[1])
            total += chance * (i + j + values[max(left - cost, 0)])
    return total


def _chance(taken: int, shown: int, chance: float) -> float:
    return float(comb(shown, taken) * chance**taken * (1.0 - chance) ** (shown - taken))
