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
from collections import Counter, deque
from threading import Condition
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from agents.api import key_of
from streaming.transport.api import (
    AbortableError,
    Consumer,
    FencedError,
    Record,
    TopicPartition,
    TopicSpec,
    TransportError,
)
from streaming.transport.partitioner import partition_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

DEFAULT_MAX_BYTES = 1_048_588
"""Kafka's default of max.message.bytes."""


class LogicalClock:
    """A clock that moves by `step` milliseconds each time it is read, so that runs repeat exactly.

    Parameters
    ----------
    start, step : int
        Milliseconds.
    """

    def __init__(self, start: int = 0, step: int = 1) -> None:
        self.now = start
        self.step = step

    def __call__(self) -> int:
        """Return the time in milliseconds, and move on."""
        self.now += self.step
        return self.now


def wall_clock() -> int:
    """Return the machine's time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class _Transaction:
    """Where a transaction wrote, and how it ended: None while it is open."""

    def __init__(self) -> None:
        self.committed: bool | None = None
        self.logs: dict[TopicPartition, _Log] = {}


class _Entry(NamedTuple):
    """What takes up an offset: a record, or a transaction's end (None)."""

    record: Record | None
    transaction: _Transaction | None


class _Log:
    """One partition."""

    def __init__(self, address: TopicPartition) -> None:
        self.address = address
        self.entries: list[_Entry] = []
        self.open: dict[_Transaction, int] = {}

    def append(
        self,
        key: bytes | None,
        value: bytes | None,
        timestamp: int,
        transaction: _Transaction | None,
    ) -> None:
        offset = len(self.entries)
        if transaction is not None:
            self.open.setdefault(transaction, offset)
            transaction.logs[self.address] = self
        record = Record(*self.address, offset, key, value, timestamp)
        self.entries.append(_Entry(record, transaction))

    def finish(self, transaction: _Transaction) -> None:
        """Write a transaction's marker, which lets readers past its records."""
        del self.open[transaction]
        self.entries.append(_Entry(None, None))

    def stable(self) -> int:
        """Return the offset of the first record that an open transaction may still take back."""
        return min(self.open.values(), default=len(self.entries))

    def committed(self, start: int, limit: int) -> tuple[list[Record], int]:
        """Return up to `limit` committed records from an offset on, and where to go on."""
        found: list[Record] = []
        offset, end = start, self.stable()
        while offset < end and len(found) < limit:
            record, transaction = self.entries[offset]
            offset += 1
            if record is not None and (transaction is None or transaction.committed):
                found.append(record)
        return found, offset

    def end(self) -> int:
        """Return the offset at which a reader has read everything."""
        return self.stable()

    def read(self, start: int, limit: int) -> tuple[list[Record], int]:
        """Return up to `limit` records that a reader sees from an offset on, and where to go on."""
        return self.committed(start, limit)


class _UnrulyLog(_Log):
    """A partition as careless producers fill it.

    Whenever a reader asks, the committed records not yet shown are laid out for good: in shuffled
    windows of `reorder` records, some of them twice (in the same window or in the next one), under
    new offsets.

    Parameters
    ----------
    address : TopicPartition
    seed : int
    duplicate : float
        The probability that a record occurs twice.
    reorder : int
        The width of the windows, in records.
    """

    def __init__(self, address: TopicPartition, seed: int, duplicate: float, reorder: int) -> None:
        super().__init__(address)
        self.shown: list[Record] = []
        self.source = 0
        self.echoes: list[Record] = []
        self.duplicate, self.reorder = duplicate, reorder
        self.random = np.random.default_rng([seed, key_of(address.topic), address.partition])

    def end(self) -> int:
        """Return the offset at which a reader has read everything: lay out all there is."""
        while True:
            window, self.source = self.committed(self.source, self.reorder)
            if not window:
                return len(self.shown)
            self._lay_out(window)

    def read(self, start: int, limit: int) -> tuple[list[Record], int]:
        """Return up to `limit` records that a reader sees from an offset on, and where to go on."""
        found = self.shown[start : min(start + limit, self.end())]
        return found, start + len(found)

    def _lay_out(self, window: list[Record]) -> None:
        twice = [record for record in window if self.random.random() < self.duplicate]
        late = self.random.random(len(twice)) < 0.5
        window = window + self.echoes
        window += [record for record, wait in zip(twice, late, strict=True) if not wait]
        self.echoes = [record for record, wait in zip(twice, late, strict=True) if wait]
        for index in self.random.permutation(len(window)):
            record = window[int(index)]
            self.shown.append(
                Record(*self.address, len(self.shown), record.key, record.value, record.timestamp)
            )


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
        self._topics: dict[str, list[_Log]] = {}
        self._limits: dict[str, int] = {}
        self._committed: dict[str, dict[TopicPartition, int]] = {}
        self._holders: dict[str, MemoryProducer] = {}
        self._failures: deque[TransportError] = deque()

    def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        """Create the topics that do not exist; refuse those that have other partitions."""
        with self.changed:
            for spec in specs:
                if spec.name not in self._topics:
                    self._create(spec)
                elif len(self._topics[spec.name]) != spec.partitions:
                    raise TransportError(
                        f"topic {spec.name!r} has {len(self._topics[spec.name])} partitions, "
                        f"not {spec.partitions}: ask for as many, or take another prefix"
                    )

    def _create(self, spec: TopicSpec) -> None:
        addresses = [TopicPartition(spec.name, number) for number in range(spec.partitions)]
        unruly = spec.name in self._unruly
        self._topics[spec.name] = [
            _UnrulyLog(address, *self._faults) if unruly else _Log(address) for address in addresses
        ]
        self._limits[spec.name] = int(spec.config.get("max.message.bytes", DEFAULT_MAX_BYTES))

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has."""
        return len(self.logs(topic))

    def consumer(self, topics: Sequence[str], *, group: str | None = None) -> MemoryConsumer:
        """Return a consumer of all partitions of these topics."""
        with self.changed:
            return MemoryConsumer(
                self, [log for topic in topics for log in self.logs(topic)], group
            )

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

    def logs(self, topic: str) -> list[_Log]:
        """Return the partitions of a topic."""
        if topic not in self._topics:
            raise TransportError(f"topic {topic!r} does not exist: create it with ensure_topics")
        return self._topics[topic]

    def limit(self, topic: str) -> int:
        """Return how many bytes a record of a topic may have."""
        return self._limits[topic]

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
    """Reads all partitions of some topics; made by `MemoryBus.consumer`.

    Parameters
    ----------
    bus : MemoryBus
    logs : list
        The partitions.
    group : str or None
        Whose committed offsets to start from.
    """

    def __init__(self, bus: MemoryBus, logs: list[_Log], group: str | None) -> None:
        self.group = group
        self._bus = bus
        self._logs = {log.address: log for log in logs}
        self._positions = self.committed()
        self._turn = deque(self._logs)

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
        for address in self._turn:
            log, position = self._logs[address], self._positions[address]
            records, self._positions[address] = log.read(position, max_records - len(found))
            found += records
        self._turn.rotate(-1)
        return found

    def positions(self) -> dict[TopicPartition, int]:
        """Return the offset of the next record of every partition."""
        return dict(self._positions)

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
            return {address: log.end() for address, log in self._logs.items()}

    def close(self) -> None:
        """Do nothing: there is no connection."""


class MemoryProducer:
    """Writes records; made by `MemoryBus.producer`.

    Parameters
    ----------
    bus : MemoryBus
    transactional_id : str or None
        With one, everything is written inside transactions.
    """

    def __init__(self, bus: MemoryBus, transactional_id: str | None) -> None:
        self._bus = bus
        self._id = transactional_id
        self._transaction: _Transaction | None = None
        self._turns: Counter[str] = Counter()

    def begin(self) -> None:
        """Begin a transaction."""
        with self._bus.changed:
            self._check_holder()
            if self._transaction is not None:
                raise TransportError("a transaction is open: commit or abort it first")
            self._transaction = _Transaction()

    def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        timestamp: int | None = None,
    ) -> None:
        """Write one record."""
        with self._bus.changed:
            if self._id is not None:
                self._check_open()
            logs = self._bus.logs(topic)
            size = len(value or b"") + len(key or b"")
            if size > self._bus.limit(topic):
                raise TransportError(
                    f"a record of {size} bytes is too large for topic {topic!r}, "
                    f"whose max.message.bytes is {self._bus.limit(topic)}"
                )
            if partition is None:
                partition = self._choose(topic, key, len(logs))
            if not 0 <= partition < len(logs):
                raise TransportError(f"topic {topic!r} has no partition {partition}")
            when = self._bus.clock() if timestamp is None else timestamp
            logs[partition].append(key, value, when, self._transaction)
            self._bus.changed.notify_all()

    def _choose(self, topic: str, key: bytes | None, partitions: int) -> int:
        if key is not None:
            return partition_of(key, partitions)
        self._turns[topic] += 1
        return (self._turns[topic] - 1) % partitions

    def commit(self, offsets: Mapping[TopicPartition, int], consumer: Consumer) -> None:
        """Commit the transaction together with the offsets of `consumer`'s group."""
        with self._bus.changed:
            self._check_open()
            failure = self._bus.next_failure()
            if isinstance(failure, FencedError) and self._id is not None:
                self.finish(committed=False)
                self._bus.fence(self._id)
            if failure is not None:
                raise failure
            if offsets:
                self._bus.offsets(_group_of(consumer)).update(offsets)
            self.finish(committed=True)

    def abort(self) -> None:
        """Abort the transaction: no reader will see what it wrote."""
        with self._bus.changed:
            self._check_open()
            self.finish(committed=False)

    def finish(self, *, committed: bool) -> None:
        """End the open transaction, if there is one."""
        if self._transaction is None:
            return
        self._transaction.committed = committed
        for log in self._transaction.logs.values():
            log.finish(self._transaction)
        self._transaction = None
        self._bus.changed.notify_all()

    def flush(self) -> None:
        """Do nothing: what is sent is written."""

    def close(self) -> None:
        """Abort the transaction if one is open."""
        with self._bus.changed:
            self.finish(committed=False)

    def _check_open(self) -> None:
        self._check_holder()
        if self._transaction is None:
            raise TransportError("no transaction is open: begin one first")

    def _check_holder(self) -> None:
        if self._id is None:
            raise TransportError("this producer has no transactional id, so no transactions")
        if not self._bus.holds(self, self._id):
            raise FencedError(f"another worker has taken over the transactional id {self._id!r}")


def _group_of(consumer: Consumer) -> str:
    group = consumer.group if isinstance(consumer, MemoryConsumer) else None
    if group is None:
        raise TransportError("offsets can only be committed for a consumer that has a group")
    return group
