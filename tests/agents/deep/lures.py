"""A world small enough to be solved: items that lure now, and items that leave something over."""

from __future__ import annotations

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
    """Four items are on offer, each of either kind as likely; one is shown; taking it is worth 1.

    The user leaves when the patience, which nobody sees, is used up.
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
        kind = np.take_along_axis(self.kinds, choices[:, :1].clip(0), axis=1)[:, 0]
        asked = ~self.lanes["ended"]
        chance = np.where((choices[:, 0] >= 0) & asked, CHANCES[kind], 0.0)
        taken = self._draw(ANSWER, 1)[:, 0] < chance
        feedback.seen[:, 0] = (choices[:, 0] >= 0) & asked
        feedback.expected[:, 0] = chance
        feedback.told[:2, :, 0] = taken
        feedback.told[2, :, 0] = taken * COSTS[kind]
        self.patience -= np.where(asked, np.where(taken, COSTS[kind], 1), 0)
        feedback.terminated[asked] = self.patience[asked] <= 0


def best_return() -> float:
    """The return of the best policy, by dynamic programming over the patience that is left."""
    return _solve(lambda worths: max(worths))


def myopic_return() -> float:
    """The return of showing a lure whenever there is one."""
    return _solve(lambda worths: worths[0])


def _solve(choose: Any) -> float:
    values = np.zeros(PATIENCE + 1)
    mixed = 1.0 - 2 * 0.5**4  # the chance that both kinds are on offer
    for left in range(1, PATIENCE + 1):
        nothing = values[left - 1]
        worths = [
            chance * (1.0 + values[max(left - cost, 0)]) + (1.0 - chance) * nothing
            for chance, cost in zip(CHANCES, COSTS, strict=True)
        ]
        values[left] = mixed * choose(worths) + 0.5**4 * sum(worths)
    return float(values[PATIENCE])
