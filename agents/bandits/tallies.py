"""Sums of numbers, kept for every item by its key: what a bandit without context knows.

Every per-item policy learns here, so that forgetting, growing and being written down are told once.
An item that leaves the catalogue keeps what was learned of it; one that was never learned of has no
row. Observations are added one by one and in their order, so that batches do not matter to the bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.arms import Arms
from agents.jit import compiled
from agents.lessons import Lessons, lessons_of
from agents.options import StateError, entry
from agents.slots import SlotPolicy, View

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Outcomes, Rows, State
    from agents.forgetting import Forgetting

NEGLIGIBLE = 1e-200
"""Faded sums below this are 0: numbers too small to be normal floats would slow the fading."""


class Tallies:
    """Sums of a few numbers for each of a growing number of items, which may fade.

    Parameters
    ----------
    names : tuple of str
        What is summed up; the names of the columns in the state.
    forgetting : Forgetting

    Attributes
    ----------
    arms : Arms
        Which row is whose.
    table : float64 [at least n, C]
        The sums; rows beyond the n items learned of are 0.
    rounds : float
        How many outcomes the sums are made of, faded as they are.
    """

    def __init__(self, names: tuple[str, ...], forgetting: Forgetting) -> None:
        self.names, self.forgetting = names, forgetting
        self.arms, self.table, self.rounds = Arms(), np.zeros((0, len(names))), 0.0
        self._recent = Recent(0, np.zeros(0, np.int64), np.zeros(0, np.int64), self.table)

    def learn(self, taught: Lessons, values: Floats) -> Rows:
        """Add observations in their order, and return whose they were: int64 [T].

        Parameters
        ----------
        taught : Lessons
            Lessons of the same request are of one outcome, and one tick of the clock.
        values : float64 [T, C]
            What each lesson adds to its item's sums.
        """
        arms = self.arms.admit(taught.key)
        if len(self.arms) > len(self.table):
            more = max(len(self.arms), 2 * len(self.table)) - len(self.table)
            self.table = np.concatenate([self.table, np.zeros((more, self.table.shape[1]))])
        if self.forgetting.window:
            window = self.forgetting.window
            self._recent.learn(arms, taught.request, values, window, self.table)
            self.rounds = float(min(self._recent.clock, window))
        else:
            self.rounds = _learn(
                arms, taught.request, values, self.forgetting.discount, self.table, self.rounds
            )
        return arms

    def state(self) -> State:
        """Return keys uint64 [n], sums float64 [n] each, and rounds: they add up over logs.

        With a window, also the observations remembered, which do not.
        """
        n = len(self.arms)
        state: State = {"arms": self.arms.keys, "rounds": np.array(self.rounds)}
        state |= {name: self.table[:n, c].copy() for c, name in enumerate(self.names)}
        return state | self._recent.state() if self.forgetting.window else state

    def load(self, state: State) -> None:
        """Take over a state that `state` returned under the same options."""
        keys, rounds = (
            entry(state, "arms", np.uint64, (None,)),
            entry(state, "rounds", np.float64, ()),
        )
        columns = [entry(state, name, np.float64, (len(keys),)) for name in self.names]
        arms = arms_from(keys)
        if self.forgetting.window:
            self._recent = Recent.of(state, len(keys), len(self.names))
        self.arms, self.table, self.rounds = arms, np.stack(columns, axis=1), float(rounds)


class Recent:
    """The observations of the latest outcomes, as a queue in arrays.

    Parameters
    ----------
    clock : int
        How many outcomes taught something so far.
    arms, ticks : int64 [R]
        Whose each observation is, and the clock when it came.
    values : float64 [R, C]
    """

    def __init__(self, clock: int, arms: Rows, ticks: Rows, values: Floats) -> None:
        self.clock, self._arms, self._ticks, self._values = clock, arms, ticks, values
        self._head, self._tail = 0, len(arms)

    def learn(self, arms: Rows, requests: Rows, values: Floats, window: int, table: Floats) -> None:
        """Add observations to the table and take away what has become too old."""
        if self._tail + len(arms) > len(self._arms):
            self._make_room(len(arms))
        self.clock, self._head, self._tail = _slide(
            arms,
            requests,
            values,
            window,
            table,
            self.clock,
            self._arms,
            self._ticks,
            self._values,
            self._head,
            self._tail,
        )

    def _make_room(self, count: int) -> None:
        """Move what is remembered to the front of arrays twice as large as it needs."""
        kept = slice(self._head, self._tail)
        held = self._tail - self._head
        room = 2 * (held + count)
        for name in ("_arms", "_ticks", "_values"):
            old = getattr(self, name)
            new = np.zeros((room, *old.shape[1:]), dtype=old.dtype)
            new[:held] = old[kept]
            setattr(self, name, new)
        self._head, self._tail = 0, held

    def state(self) -> State:
        """Return the clock and the observations, oldest first."""
        kept = slice(self._head, self._tail)
        return {
            "clock": np.array(self.clock, dtype=np.int64),
            "recent_arms": self._arms[kept].copy(),
            "recent_ticks": self._ticks[kept].copy(),
            "recent_values": self._values[kept].copy(),
        }

    @classmethod
    def of(cls, state: State, arms: int, columns: int) -> Recent:
        """Return what a state remembers of `arms` items."""
        clock = int(entry(state, "clock", np.int64, ()))
        of_arm = entry(state, "recent_arms", np.int64, (None,))
        ticks = entry(state, "recent_ticks", np.int64, of_arm.shape)
        values = entry(state, "recent_values", np.float64, (len(of_arm), columns))
        if len(of_arm) and not (of_arm.min() >= 0 and of_arm.max() < arms):
            raise StateError(f"'recent_arms' names arms that are not there: there are {arms}")
        return cls(clock, of_arm, ticks, values)


def arms_from(keys: NDArray[np.uint64]) -> Arms:
    """Return the arms of a state, or raise `StateError` if an item has two."""
    arms = Arms(keys)
    if len(arms) != len(keys):
        raise StateError("an item has two arms in the state: it was not written by a policy")
    return arms


class ItemPolicy(SlotPolicy[View]):
    """A policy that knows of every item how much it was rewarded, and how often it was seen.

    A subclass may read outcomes otherwise (`read`), or sum up other numbers (`columns`).

    Parameters
    ----------
    forgetting : Forgetting
    seed : int
        The root of the policy's randomness.
    """

    columns: tuple[str, ...] = ("sums", "counts")

    def __init__(self, forgetting: Forgetting, seed: int) -> None:
        super().__init__(seed=seed)
        self.tallies = Tallies(self.columns, forgetting)

    def read(self, outcomes: Outcomes) -> tuple[Lessons, Floats]:
        """Return what outcomes teach, and what each lesson adds to the sums: float64 [T, C]."""
        taught = lessons_of(outcomes)
        values = np.ones((len(taught), 2))
        values[:, 0] = taught.reward
        return taught, values

    def update(self, outcomes: Outcomes) -> None:
        """Add up what was seen, slot by slot."""
        self.tallies.learn(*self.read(outcomes))
        super().update(outcomes)

    def state_dict(self) -> State:
        """Return the sums of the items learned of so far."""
        return super().state_dict() | self.tallies.state()

    def load_state_dict(self, state: State) -> None:
        """Take over a state; see `Tallies.load`."""
        self.tallies.load(state)
        super().load_state_dict(state)


@compiled
def _learn(
    arms: Rows, requests: Rows, values: Floats, discount: float, table: Floats, rounds: float
) -> float:
    for t in range(len(arms)):
        if t == 0 or requests[t] != requests[t - 1]:
            rounds = rounds * discount + 1.0
            if discount < 1.0:
                _fade(table, discount)
        for c in range(table.shape[1]):
            table[arms[t], c] += values[t, c]
    return rounds


@compiled
def _fade(table: Floats, discount: float) -> None:
    for arm in range(table.shape[0]):
        for c in range(table.shape[1]):
            faded = table[arm, c] * discount
            table[arm, c] = faded if abs(faded) > NEGLIGIBLE else 0.0


@compiled
def _slide(
    arms: Rows,
    requests: Rows,
    values: Floats,
    window: int,
    table: Floats,
    clock: int,
    queue_arms: Rows,
    queue_ticks: Rows,
    queue_values: Floats,
    head: int,
    tail: int,
) -> tuple[int, int, int]:
    """Add observations, subtract those that are too old; return clock, head and tail.

    Once a window the sums are made afresh: what additions and subtractions round away stays small.
    """
    for t in range(len(arms)):
        if t == 0 or requests[t] != requests[t - 1]:
            clock += 1
            while head < tail and queue_ticks[head] <= clock - window:
                for c in range(table.shape[1]):
                    table[queue_arms[head], c] -= queue_values[head, c]
                head += 1
            if clock % window == 0:
                table[:] = 0.0
                for q in range(head, tail):
                    for c in range(table.shape[1]):
                        table[queue_arms[q], c] += queue_values[q, c]
        queue_arms[tail], queue_ticks[tail] = arms[t], clock
        for c in range(table.shape[1]):
            queue_values[tail, c] = values[t, c]
            table[arms[t], c] += values[t, c]
        tail += 1
    return clock, head, tail
