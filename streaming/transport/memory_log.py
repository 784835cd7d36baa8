"""What a partition of the in-memory bus is: a log, or the log of careless producers."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from agents.api import key_of
from streaming.transport.api import Record, TopicPartition, TopicSpec, TransportError, policy_of

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


class Transaction:
    """Where a transaction wrote, and how it ended: None while it is open."""

    def __init__(self) -> None:
        self.committed: bool | None = None
        self.logs: dict[TopicPartition, Log] = {}


class Entry(NamedTuple):
    """What takes up an offset: a record, or a transaction's end (None)."""

    record: Record | None
    transaction: Transaction | None


class Log:
    """One partition."""

    def __init__(self, address: TopicPartition) -> None:
        self.address = address
        self.entries: list[Entry] = []
        self.open: dict[Transaction, int] = {}

    def append(
        self,
        key: bytes | None,
        value: bytes | None,
        timestamp: int,
        transaction: Transaction | None,
    ) -> None:
        """Write a record, of a transaction if one is given."""
        offset = len(self.entries)
        if transaction is not None:
            self.open.setdefault(transaction, offset)
            transaction.logs[self.address] = self
        record = Record(*self.address, offset, key, value, timestamp)
        self.entries.append(Entry(record, transaction))

    def finish(self, transaction: Transaction) -> None:
        """Write a transaction's marker, which lets readers past its records."""
        del self.open[transaction]
        self.entries.append(Entry(None, None))

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


class UnrulyLog(Log):
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


class Topic:
    """A topic: what it was made as, and its partitions."""

    def __init__(self, spec: TopicSpec, logs: list[Log]) -> None:
        self.spec = spec
        self.logs = logs

    def refuse(self, key: bytes | None, value: bytes | None) -> None:
        """Raise what Kafka would if the topic does not take such a record."""
        if key is None and policy_of(self.spec) == "compact":
            raise TransportError(f"topic {self.spec.name!r} is compacted: its records need a key")
        size = len(value or b"") + len(key or b"")
        limit = int(self.spec.config.get("max.message.bytes", DEFAULT_MAX_BYTES))
        if size > limit:
            raise TransportError(
                f"a record of {size} bytes is too large for topic {self.spec.name!r}, "
                f"whose max.message.bytes is {limit}"
            )
