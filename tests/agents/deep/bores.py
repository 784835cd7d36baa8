"""A world small enough to be solved, where what two clicks do together is not what each does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.streams import uniforms
from simulators import BatchedWorld, Signal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulators import Feedback

VISITS = 12
CHANCE = 0.9
PAUSE = 3
"""For how many visits a user who clicked two items of a kind clicks nothing."""
KINDS = np.array([0, 0, 1, 1])


class Bores(BatchedWorld):
    """Two items of either kind are on offer, two are shown; both of a kind bore for a while."""

    name = "Bores"
    signals = (Signal("clicked", 0.0, 1.0),)
    context_bounds = (0.0, 1.0)
    item_bounds = (0.0, 1.0)
    context_width = 1
    item_width = 2

    def __init__(self) -> None:
        super().__init__(num_candidates=4, slate_size=2, horizon=VISITS)

    def _allocate(self, lanes: int) -> None:
        self.pause = np.zeros(lanes, dtype=np.int64)

    def _begin(self, mask: NDArray[np.bool_]) -> None:
        self.pause[mask] = 0

    def _offer(self) -> None:
        """Offer the same four items, always."""

    def _look(self, context: NDArray[np.float32]) -> None:
        context[:, 0] = self.pause / PAUSE

    def _show(self, documents: NDArray[np.float32]) -> None:
        documents[:] = np.eye(2)[KINDS]

    def appeal(self) -> NDArray[np.float64]:
        self.prepare()
        return np.where(self.pause[:, None] > 0, 0.0, CHANCE) * np.ones(4)

    def _answer(self, choices: NDArray[np.int64], feedback: Feedback) -> None:
        shown = ~self.lanes["ended"][:, None] & (choices >= 0)
        chances = np.where(shown & (self.pause[:, None] == 0), CHANCE, 0.0)
        keys = self.lanes["user"] * np.uint64(1000) + self.lanes["visit"]
        clicks = uniforms(0, keys, choices.shape[1], purpose=92) < chances
        feedback.seen[:], feedback.expected[:] = shown, chances
        feedback.told[0], feedback.told[1] = clicks, clicks
        kinds = KINDS[choices.clip(0)]
        both = clicks.all(axis=1) & (kinds[:, 0] == kinds[:, 1])
        self.pause = np.where(both, PAUSE, np.maximum(self.pause - 1, 0))


def best_return() -> float:
    """The return of one of each kind, always: nobody is ever bored."""
    return VISITS * 2 * CHANCE


def dull_return() -> float:
    """The return of two of a kind, always, by the chance of being awake at every visit."""
    awake = [1.0]
    for visit in range(1, VISITS):
        back = awake[visit - 1 - PAUSE] * CHANCE**2 if visit > PAUSE else 0.0
        awake.append(awake[visit - 1] * (1 - CHANCE**2) + back)
    return 2 * CHANCE * sum(awake)
