"""What all producers have in common: their order of calls, and where a record goes.

The rules of a transaction (begun once, ended once, nothing outside it) and the choice of a
partition are the same whichever client does the work, so they are written once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from typing import TYPE_CHECKING

from streaming.transport.api import AbortableError, TransportError
from streaming.transport.partitioner import partition_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streaming.transport.api import Consumer, TopicPartition


class BaseProducer(ABC):
    """A producer but for the client: subclasses begin, write, commit and abort.

    Parameters
    ----------
    partitions : callable
        Returns how many partitions a topic has, or raises that it does not exist.
    transactional_id : str or None
        With one, everything is written inside transactions.
    """

    def __init__(self, partitions: Callable[[str], int], transactional_id: str | None) -> None:
        self.transactional_id = transactional_id
        self.open = self.closed = False
        self._partitions = partitions
        self._turns: Counter[str] = Counter()

    def begin(self) -> None:
        """Begin a transaction."""
        self._check_transactional()
        if self.open:
            raise TransportError("a transaction is open: commit or abort it first")
        self._begin()
        self.open = True

    def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        timestamp: int | None = None,
    ) -> None:
        """Write one record; what went wrong is told at the latest by `flush` or `commit`."""
        if self.transactional_id is not None and not self.open:
            self._check_open()
        if key is None and value is None:
            raise TransportError("a record needs a key or a value")
        partitions = self._partitions(topic)
        if partition is None:
            partition = self._choose(topic, key, partitions)
        if not 0 <= partition < partitions:
            raise TransportError(f"topic {topic!r} has no partition {partition}")
        self._write(topic, partition, key, value, timestamp)

    def _choose(self, topic: str, key: bytes | None, partitions: int) -> int:
        if key is not None:
            return partition_of(key, partitions)
        self._turns[topic] += 1
        return (self._turns[topic] - 1) % partitions

    def commit(self, offsets: Mapping[TopicPartition, int], consumer: Consumer) -> None:
        """Commit the transaction together with the offsets of `consumer`'s group."""
        self._check_open()
        self._commit(offsets, consumer)
        self.open = False

    def abort(self) -> None:
        """Abort the transaction: no reader will see what it wrote."""
        self._check_open()
        self._abort()
        self.open = False

    def close(self) -> None:
        """Let go of connections; an open transaction is never committed."""
        if not self.closed:
            self.closed = True
            self._close()

    @property
    def _kind(self) -> type[TransportError]:
        """What an error is that may be of any kind: inside a transaction it can be worked again."""
        return TransportError if self.transactional_id is None else AbortableError

    def _check_open(self) -> None:
        self._check_transactional()
        if not self.open:
            raise TransportError("no transaction is open: begin one first")

    def _check_transactional(self) -> None:
        if self.transactional_id is None:
            raise TransportError("this producer has no transactional id, so no transactions")

    @abstractmethod
    def _begin(self) -> None:
        """Begin a transaction."""

    @abstractmethod
    def _write(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        timestamp: int | None,
    ) -> None:
        """Write one record to a partition that exists."""

    @abstractmethod
    def _commit(self, offsets: Mapping[TopicPartition, int], consumer: Consumer) -> None:
        """Commit the open transaction with a group's offsets, if there are any."""

    @abstractmethod
    def _abort(self) -> None:
        """Abort the open transaction."""

    @abstractmethod
    def flush(self) -> None:
        """Wait until everything sent is written, and raise if anything was not."""

    @abstractmethod
    def _close(self) -> None:
        """Let go of connections, once."""
