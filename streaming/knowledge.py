"""What a policy has learned of each partition's outcomes, and how workers of a group share it.

`Sums` is for policies whose state adds up (`agents.additive_parts`): every partition has a state of
its own, which only its worker changes, and every worker's model is the sum of all of them. That is
exact, whoever works which partition. A correction takes the old contribution back and adds the new.

`Weights` is for all others. One worker of the group learns, the one that works partition 0, from
the outcomes of all partitions; the others take over what it publishes. Such a policy cannot take
back what it has learned, so corrections pass it by.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Protocol

import msgspec
import numpy as np

from agents import added_up, additive_parts, nothing, taken_back
from agents.api import RecloopError
from streaming import snapshot
from streaming.records import outcomes_of, runs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from agents.api import Policy, State
    from streaming.records import OutcomeRecord

LARGEST = 48 * 1024 * 1024
"""A snapshot of more bytes is not published."""


class GapError(RecloopError):
    """Outcomes that do not follow each other."""


class Knowledge(Protocol):
    """What a worker's policy has learned, partition by partition.

    Attributes
    ----------
    policy : Policy
        What decides.
    numbers : dict of int to int
        By partition, the number of the first outcome that has not been learned from.
    """

    policy: Policy
    numbers: dict[int, int]

    @property
    def learned(self) -> int:
        """How many outcomes were taken in, over all partitions."""

    @property
    def follows(self) -> bool:
        """Whether the outcomes of partitions that others work must be learned from as well."""

    @property
    def tells(self) -> bool:
        """Whether this worker has something to tell others."""

    def hold(self, partitions: Collection[int]) -> None:
        """Take note that these partitions, and no others, are worked by this worker."""

    def learn(self, records: Sequence[OutcomeRecord]) -> None:
        """Learn from outcomes, in this order; those learned from already are passed over.

        What is quarantined is taken note of, and teaches nothing.

        Raises
        ------
        GapError
            If a partition's do not follow each other; nothing was learned then.
        """

    def messages(self, partitions: Collection[int]) -> Iterator[tuple[bytes, bytes]]:
        """Return what others need to know of partitions, as records of `model`: key and value."""

    def hear(self, message: bytes) -> bool:
        """Take over what is newer in a message; return whether it is of a policy like this one."""

    def settle(self) -> None:
        """Make the policy what all that was heard makes of it: called between batches."""


def knowledge_of(make_policy: Callable[[], Policy]) -> Knowledge:
    """Return how what a policy learns is shared."""
    policy = make_policy()
    parts = additive_parts(policy)
    return Weights(policy) if parts is None else Sums(policy, make_policy, parts)


def _trusted(records: list[OutcomeRecord]) -> list[OutcomeRecord]:
    """Return the records that something may be learned from."""
    return [record for record in records if record.quarantined is None]


def _rows_by_partition(records: Sequence[OutcomeRecord]) -> dict[int, list[int]]:
    """Return by partition which of the records are its."""
    rows: dict[int, list[int]] = {}
    for row, record in enumerate(records):
        rows.setdefault(record.partition, []).append(row)
    return rows


class _Numbered:
    """The numbers of outcomes, kept in order."""

    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}
        self.counts: dict[int, int] = {}

    @property
    def learned(self) -> int:
        """How many outcomes were learned from, over all partitions."""
        return sum(self.counts.values())

    def _new(self, records: Sequence[OutcomeRecord]) -> list[OutcomeRecord]:
        """Return the records not learned from yet; raise `GapError` if any is missing."""
        fresh, numbers = [], dict(self.numbers)
        for record in records:
            due = numbers.get(record.partition, 0)
            if record.number > due:
                raise GapError(
                    f"outcome {due} is missing in partition {record.partition}: the model is the "
                    "fold of all outcomes and cannot be had without it"
                )
            if record.number == due:
                fresh.append(record)
                numbers[record.partition] = due + 1
        return fresh

    def _note(self, records: Sequence[OutcomeRecord]) -> None:
        for record in records:
            self.numbers[record.partition] = record.number + 1
            plain = record.corrects is None
            self.counts[record.partition] = self.counts.get(record.partition, 0) + plain


class Sums(_Numbered):
    """What was learned of each partition, and the policy that has learned all of it.

    Parameters
    ----------
    policy : Policy
        As it is before it learns anything here.
    make_policy : callable
        Returns another one like it.
    parts : tuple of str
        The entries of its state that add up.
    """

    follows, tells = False, True

    def __init__(
        self, policy: Policy, make_policy: Callable[[], Policy], parts: tuple[str, ...]
    ) -> None:
        super().__init__()
        self.policy, self._make, self._parts = policy, make_policy, parts
        self._before = policy.state_dict()
        self._nothing = nothing(self._before, parts)
        self._origin = f"sums of {snapshot.origin_of(policy)}"
        self._alone: dict[int, Policy] = {}  # has learned the one partition and nothing else
        self._stale = False

    def hold(self, partitions: Collection[int]) -> None:
        """There is no difference between partitions: each has its own state."""

    def learn(self, records: Sequence[OutcomeRecord]) -> None:
        """Learn from outcomes and corrections; see `Knowledge.learn`."""
        fresh = self._new(records)
        for corrects, some in groupby(_trusted(fresh), key=lambda one: one.corrects is not None):
            taught = list(some)
            if corrects:
                for partition, rows in _rows_by_partition(taught).items():
                    self._correct(partition, [taught[row] for row in rows])
            else:
                for run in runs(taught):
                    self._teach(run)
        self._note(fresh)

    def _teach(self, run: Sequence[OutcomeRecord]) -> None:
        """Teach the policy a stretch of outcomes, and each partition's the outcomes that are its.

        The policy is left alone if it is to be summed anew anyway.
        """
        outcomes = outcomes_of(run)
        if not self._stale:
            self.policy.update(outcomes)
        for partition, rows in _rows_by_partition(run).items():
            alone = self._of(partition)
            alone.update(outcomes if len(rows) == len(run) else outcomes.take(np.array(rows)))

    def _of(self, partition: int) -> Policy:
        if partition not in self._alone:
            self._alone[partition] = self._make()
            self._alone[partition].load_state_dict(self._nothing)
        return self._alone[partition]

    def _correct(self, partition: int, corrections: list[OutcomeRecord]) -> None:
        """Take back what corrected outcomes taught, and add what they teach now."""
        alone = self._of(partition)
        states = [alone.state_dict()]
        for record in corrections:
            old = msgspec.structs.replace(record, rewards=record.replaced)
            states.append(taken_back(self._contribution(old), self._parts))
            states.append(self._contribution(record))
        alone.load_state_dict(added_up(states, self._parts))
        self._stale = True

    def _contribution(self, record: OutcomeRecord) -> State:
        scratch = self._make()
        scratch.load_state_dict(self._nothing)
        scratch.update(outcomes_of([record]))
        return scratch.state_dict()

    def messages(self, partitions: Collection[int]) -> Iterator[tuple[bytes, bytes]]:
        """Return the state of each of these partitions, as far as it fits a message."""
        for partition in partitions:
            count, number = self.counts.get(partition, 0), self.numbers.get(partition, 0)
            state = self._of(partition).state_dict()
            told = {name: state[name] for name in ("version", *self._nothing)}
            message = snapshot.take(told, self._origin, {partition: count}, {partition: number})
            if len(message) <= LARGEST:
                yield b"%d" % partition, message

    def hear(self, message: bytes) -> bool:
        """Take over what another worker has learned of its partition."""
        heard = snapshot.read_snapshot(message)
        if heard.origin != self._origin:
            return False
        for partition, number in heard.numbers.items():
            if number > self.numbers.get(partition, 0):
                self._of(partition).load_state_dict(snapshot.state_in(heard))
                self.numbers[partition] = number
                self.counts[partition] = heard.counts[partition]
                self._stale = True
        return True

    def settle(self) -> None:
        """Sum what is known of all partitions, if that has changed otherwise than by learning."""
        if self._stale:
            states = [self._before, *(alone.state_dict() for alone in self._alone.values())]
            self.policy.load_state_dict(added_up(states, self._parts))
            self._stale = False


class Weights(_Numbered):
    """What one worker has learned of all partitions, and the others have from it.

    Parameters
    ----------
    policy : Policy
        As it is before it learns anything here.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy
        self._origin = snapshot.origin_of(policy)
        self.follows = True
        self._latest: bytes | None = None

    @property
    def tells(self) -> bool:
        """Whether this is the worker that learns."""
        return self.follows

    def hold(self, partitions: Collection[int]) -> None:
        """Learn from now on if partition 0 is held, and only then."""
        self.follows = 0 in partitions

    def learn(self, records: Sequence[OutcomeRecord]) -> None:
        """Learn from outcomes, if this is the worker that does; see `Knowledge.learn`."""
        if not self.follows:
            return
        self.settle()  # what was heard comes before what follows it
        fresh = self._new(records)
        taught = [record for record in _trusted(fresh) if record.corrects is None]
        for run in runs(taught):
            self.policy.update(outcomes_of(run))
        self._note(fresh)

    def messages(self, partitions: Collection[int]) -> Iterator[tuple[bytes, bytes]]:
        """Return the policy's state, if this is the worker that learns and it fits a message."""
        if self.follows:
            state = self.policy.state_dict()
            message = snapshot.take(state, self._origin, self.counts, self.numbers)
            if len(message) <= LARGEST:
                yield b"*", message

    def hear(self, message: bytes) -> bool:
        """Take note of weights, to be taken over between batches."""
        heard = snapshot.read_snapshot(message)
        if heard.origin != self._origin:
            return False
        if sum(heard.numbers.values()) > sum(self.numbers.values()):
            self._latest = message
            self.numbers, self.counts = dict(heard.numbers), dict(heard.counts)
        return True

    def settle(self) -> None:
        """Take the latest weights over."""
        if self._latest is not None:
            heard, self._latest = snapshot.read_snapshot(self._latest), None
            self.policy.load_state_dict(snapshot.state_in(heard))
