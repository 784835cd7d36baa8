"""A message log in memory that behaves as Kafka does, and misbehaves when told to.

It is broker and client in one, for tests, for trying things out without a broker, and for what no
broker does on demand. Faithful where the live loop leans on Kafka: partitions chosen by Kafka's
hash, transactions under read_committed (aborted and open ones are invisible, and records behind an
open transaction wait for it), markers that take up an offset at the end of a transaction, fencing
by transactional id, committed offsets per group, a size limit per topic.

Its faults are those of careless producers. A topic named in `unruly` reads as if its producers had
sent some records twice and others out of order: what is read is itself an ordered log with offsets
of its own, so consumers seek and commit in it as always and a second reader sees the same.
"""

from __future__ import annotations

import time
from collections import deque
from threading import Condition
from typing import TYPE_CHECKING

from streaming.transport.api import (
    AbortableError,
    Consumer,
    FencedError,
    Record,
    TopicPartition,
    TopicSpec,
    TransportError,
    check_shape,
    no_topic,
    policy_of,
)
from streaming.transport.base import BaseProducer
from streaming.transport.memory_group import Group
from streaming.transport.memory_log import Log, Topic, Transaction, UnrulyLog, wall_clock
from streaming.transport.terms import no_group

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from streaming.transport.memory_group import Seat


class MemoryBus:
    """A broker and its transport: whoever shares the object shares the log.

    Parameters
    ----------
    clock : callable, optional
        Returns the time in milliseconds that a record without a timestamp gets; the machine's
        clock if not given, a `LogicalClock` for runs that repeat.
    unruly : collection of str
        Topics whose producers are careless.
    seed : int
        Of the carelessness.
    duplicate : float
        How likely a record of an unruly topic comes twice, in [0, 1].
    reorder : int
        Records of an unruly topic come in shuffled windows of this many; 1 keeps their order.

    Raises
    ------
    TransportError
        If faults are asked for without unruly topics, or are out of range.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], int] = wall_clock,
        unruly: Collection[str] = (),
        seed: int = 0,
        duplicate: float = 0.0,
        reorder: int = 1,
    ) -> None:
        if not 0.0 <= duplicate <= 1.0 or reorder < 1:
            raise TransportError(
                f"duplicate must be in [0, 1] and reorder 1 or more, not {duplicate} and {reorder}"
            )
        if (duplicate or reorder > 1) and not unruly:
            raise TransportError("duplicate and reorder need the names of the unruly topics")
        self.changed = Condition()
        self.clock = clock
        self._unruly = frozenset(unruly)
        self._faults = (seed, duplicate, reorder)
        self._topics: dict[str, Topic] = {}
        self._committed: dict[str, dict[TopicPartition, int]] = {}
        self._holders: dict[str, MemoryProducer] = {}
        self._failures: deque[TransportError] = deque()
        self._groups: dict[str, Group] = {}

    def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        """Create the topics that do not exist; refuse those that exist in another shape."""
        with self.changed:
            for spec in specs:
                if spec.name in self._topics:
                    there = self._topics[spec.name].spec
                    check_shape(spec, there.partitions, policy_of(there))
                else:
                    self._topics[spec.name] = self._made(spec)

    def _made(self, spec: TopicSpec) -> Topic:
        addresses = [TopicPartition(spec.name, number) for number in range(spec.partitions)]
        if spec.name in self._unruly:
            return Topic(spec, [UnrulyLog(address, *self._faults) for address in addresses])
        return Topic(spec, [Log(address) for address in addresses])

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has."""
        return len(self.topic(topic).logs)

    def consumer(
        self,
        topics: Sequence[str],
        *,
        group: str | None = None,
        member: str | None = None,
        partitions: Collection[int] | None = None,
    ) -> MemoryConsumer:
        """Return a consumer of these topics; see `Transport.consumer`."""
        with self.changed:
            logs = [
                log
                for topic in topics
                for log in self.topic(topic).logs
                if partitions is None or log.address.partition in partitions
            ]
            if group is None or member is None:
                return MemoryConsumer(self, logs, group)
            shared = self._groups.setdefault(group, Group([log.address for log in logs]))
            return MemoryConsumer(self, logs, group, shared, shared.join(member))

    def expire(self, group: str, member: str) -> None:
        """Let a group give up on a member, as Kafka does when nothing is heard of it for long."""
        with self.changed:
            if group in self._groups:
                self._groups[group].leave(member)

    def producer(self, *, transactional_id: str | None = None) -> MemoryProducer:
        """Return a producer; a transactional one takes its id over from the earlier holder."""
        with self.changed:
            producer = MemoryProducer(self, transactional_id)
            if transactional_id is not None:
                earlier = self._holders.get(transactional_id)
                if earlier is not None:
                    earlier.finish(committed=False)
                self._holders[transactional_id] = producer
            return producer

    def close(self) -> None:
        """Do nothing: the log stays for those who share it."""

    def fail_commits(self, *errors: AbortableError | FencedError) -> None:
        """Let the next commits fail with these errors, one each.

        An `AbortableError` leaves the transaction open to be aborted; with a `FencedError` it is
        aborted and its producer fenced, as if another had taken its id.
        """
        with self.changed:
            self._failures.extend(errors)

    # What follows is for this module's clients and expects `changed` to be held.

    def topic(self, name: str) -> Topic:
        """Return a topic."""
        if name not in self._topics:
            raise no_topic(name)
        return self._topics[name]

    def holds(self, producer: MemoryProducer, transactional_id: str) -> bool:
        """Return whether a producer is still the holder of its id."""
        return self._holders.get(transactional_id) is producer

    def fence(self, transactional_id: str) -> None:
        """Take an id away from its holder."""
        self._holders.pop(transactional_id, None)

    def offsets(self, group: str) -> dict[TopicPartition, int]:
        """Return the committed offsets of a group, to read and to change."""
        return self._committed.setdefault(group, {})

    def next_failure(self) -> TransportError | None:
        """Return the error that a commit is to fail with, if any."""
        return self._failures.popleft() if self._failures else None


class MemoryConsumer:
    """Reads partitions of some topics; made by `MemoryBus.consumer`.

    Parameters
    ----------
    bus : MemoryBus
    logs : list
        The partitions.
    group : str or None
        Whose committed offsets to start from.
    members : Group, optional
        Who shares the partitions out; without it, all are this consumer's.
    seat : Seat, optional
        This consumer's place among the members.
    """

    def __init__(
        self,
        bus: MemoryBus,
        logs: list[Log],
        group: str | None,
        members: Group | None = None,
        seat: Seat | None = None,
    ) -> None:
        self.group = group
        self._bus, self._members, self._seat = bus, members, seat
        self._logs = {log.address: log for log in logs}
        self._positions = self.committed()
        self._tenures = self._given()
        self._turn = deque(self._logs)

    def assigned(self) -> set[TopicPartition]:
        """Return the partitions that are this consumer's now."""
        with self._bus.changed:
            self._catch_up()
            return set(self._tenures)

    def _given(self) -> dict[TopicPartition, int]:
        if self._members is None or self._seat is None:
            return dict.fromkeys(self._logs, 0)
        return self._members.given(self._seat)

    def _catch_up(self) -> None:
        """Take notice of what was given and taken; what is given is read from its committed end."""
        tenures = self._given()
        fresh = [address for address, n in tenures.items() if self._tenures.get(address) != n]
        if fresh and self.group is not None:
            known = self._bus.offsets(self.group)
            self._positions |= {address: known.get(address, 0) for address in fresh}
        self._tenures = tenures

    def poll(self, max_records: int, timeout: float) -> list[Record]:
        """Return up to `max_records` records, waiting at most `timeout` seconds for the first."""
        deadline = time.monotonic() + timeout
        with self._bus.changed:
            while not (found := self._read(max_records)):
                remaining = deadline - time.monotonic()
                if remaining <= 0 or not self._bus.changed.wait(remaining):
                    break
            return found

    def _read(self, max_records: int) -> list[Record]:
        """Read from every partition in turn, beginning with another one each time."""
        found: list[Record] = []
        self._catch_up()
        for address in self._turn:
            if address not in self._tenures:
                continue
            log, position = self._logs[address], self._positions[address]
            records, self._positions[address] = log.read(position, max_records - len(found))
            found += records
        self._turn.rotate(-1)
        return found

    def positions(self) -> dict[TopicPartition, int]:
        """Return the offset of the next record of every assigned partition."""
        return {address: self._positions[address] for address in self.assigned()}

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """Go on from these offsets."""
        for address in positions:
            if address not in self._logs:
                raise TransportError(f"{address} is not read by this consumer")
        self._positions |= positions

    def committed(self) -> dict[TopicPartition, int]:
        """Return the group's committed offsets, 0 where there are none."""
        with self._bus.changed:
            known = self._bus.offsets(self.group) if self.group is not None else {}
            return {address: known.get(address, 0) for address in self._logs}

    def end_offsets(self) -> dict[TopicPartition, int]:
        """Return the offset after the last stable record of every partition."""
        with self._bus.changed:
            return {address: self._logs[address].end() for address in self.assigned()}

    def close(self) -> None:
        """Leave the group, if this is a member without a name; there is no connection."""
        with self._bus.changed:
            if self._members is not None and self._seat is not None and not self._seat.static:
                self._members.leave(self._seat.name)


class MemoryProducer(BaseProducer):
    """Writes records; made by `MemoryBus.producer`.

    Parameters
    ----------
    bus : MemoryBus
    transactional_id : str or None
        With one, everything is written inside transactions.
    """

    def __init__(self, bus: MemoryBus, transactional_id: str | None) -> None:
        super().__init__(bus.partitions, transactional_id)
        self._bus = bus
        self._transaction: Transaction | None = None

    def _begin(self) -> None:
        with self._bus.changed:
            self._check_holder()
            self._transaction = Transaction()

    def _write(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        timestamp: int | None,
    ) -> None:
        with self._bus.changed:
            self._check_holder()
            to = self._bus.topic(topic)
            to.refuse(key, value)
            when = self._bus.clock() if timestamp is None else timestamp
            to.logs[partition].append(key, value, when, self._transaction)
            self._bus.changed.notify_all()

    def _commit(self, offsets: Mapping[TopicPartition, int], consumer: Consumer) -> None:
        with self._bus.changed:
            self._check_holder()
            failure = self._bus.next_failure()
            if isinstance(failure, FencedError) and self.transactional_id is not None:
                self.finish(committed=False)
                self._bus.fence(self.transactional_id)
            if failure is not None:
                raise failure
            if offsets:
                self._bus.offsets(_group_of(consumer)).update(offsets)
            self.finish(committed=True)

    def _abort(self) -> None:
        with self._bus.changed:
            self._check_holder()
            self.finish(committed=False)

    def finish(self, *, committed: bool) -> None:
        """End the transaction in the logs, if there is one; expects `changed` to be held."""
        if self._transaction is None:
            return
        self._transaction.committed = committed
        for log in self._transaction.logs.values():
            log.finish(self._transaction)
        self._transaction = None
        self._bus.changed.notify_all()

    def flush(self) -> None:
        """Do nothing: what is sent is written."""

    def _close(self) -> None:
        """Abort the transaction if one is open."""
        with self._bus.changed:
            self.finish(committed=False)
        self.open = False

    def _check_holder(self) -> None:
        name = self.transactional_id
        if name is not None and not self._bus.holds(self, name):
            raise FencedError(f"another worker has taken over the transactional id {name!r}")


def _group_of(consumer: Consumer) -> str:
    group = consumer.group if isinstance(consumer, MemoryConsumer) else None
    if group is None:
        raise no_group()
    return group
