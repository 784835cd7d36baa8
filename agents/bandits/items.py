"""What the policies share that keep sums for every item and know nothing of who asks.

The sums are kept, and fade, as `agents.forgetting` says: by the item's key, so that an item that
leaves the catalogue keeps what was learned of it. Observations are added one by one and in their
order, so that batches do not matter to the bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.forgetting import Memory, Sums
from agents.lessons import Lessons, lessons_of
from agents.slots import SlotPolicy, View

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agents.api import Floats, Outcomes, State

REWARDS: Mapping[str, int] = {"sums": 1, "counts": 1}
"""The sums of most: of an item's rewards, and of how often it was seen."""


class ItemPolicy(SlotPolicy[View]):
    """A policy that learns by adding up, item by item.

    A subclass may read outcomes otherwise, by `read`.

    Parameters
    ----------
    memory : Memory
        How long observations count.
    seed : int
        The root of the policy's randomness.
    parts : mapping of str to int
        What is summed up of every item; see `Sums`.
    """

    def __init__(self, memory: Memory, seed: int, parts: Mapping[str, int] = REWARDS) -> None:
        super().__init__(seed=seed)
        self.sums = Sums(parts, memory)

    @property
    def additive(self) -> tuple[str, ...]:
        """The entries of the state that add up over the parts of a log."""
        return tuple(self.sums.parts)

    def read(self, outcomes: Outcomes) -> tuple[Lessons, Floats]:
        """Return what outcomes teach, and what each lesson adds to its item: float64 [T, S]."""
        taught = lessons_of(outcomes)
        rows = np.ones((len(taught), 2))
        rows[:, 0] = taught.reward
        return taught, rows

    def update(self, outcomes: Outcomes) -> None:
        """Add up what was seen, slot by slot."""
        taught, rows = self.read(outcomes)
        self.sums.add(taught.key, rows, outcomes.requests.time[taught.request])
        super().update(outcomes)

    def state_dict(self) -> State:
        """Return the sums of all items learned of; see `Sums.state`."""
        return super().state_dict() | self.sums.state()

    def load_state_dict(self, state: State) -> None:
        """Take over a state that a policy of the same options returned."""
        self.sums.load(state)
        super().load_state_dict(state)
