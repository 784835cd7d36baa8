"""A writer over kafka-python: records gathered, everything in flight capped and looked at."""

from __future__ import annotations

from collections import defaultdict, deque
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from kafka import errors as kafka_errors
from kafka.structs import OffsetAndMetadata
from kafka.structs import TopicPartition as KafkaTopicPartition

from streaming.transport.api import TransportError
from streaming.transport.base import BaseProducer
from streaming.transport.kafka_python.bulk import BATCH_BYTES, Entry, send_all
from streaming.transport.kafka_python.consumer import KafkaPythonConsumer
from streaming.transport.kafka_python.errors import ours, translated
from streaming.transport.kafka_python.pipeline import Pipeline
from streaming.transport.terms import HANGING, no_group

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streaming.transport.api import Consumer, TopicPartition
    from streaming.transport.watchdog import Watchdog

MAX_IN_FLIGHT = 10_000
"""Sends that may wait for their acknowledgement."""

MAX_IN_FLIGHT_BYTES = 64 * 1024 * 1024
"""Bytes of records that may wait; one record may be larger."""


class KafkaPythonProducer(BaseProducer):
    """Writes records; made by `KafkaPythonTransport.producer`.

    Parameters
    ----------
    client : KafkaProducer
        With its transactions initialised, if it has any.
    partitions : callable
        Returns how many partitions a topic has.
    transactional_id : str or None
    watchdog : Watchdog
        Watches over the calls that wait without end.
    """

    def __init__(
        self,
        client: Any,
        partitions: Callable[[str], int],
        transactional_id: str | None,
        watchdog: Watchdog,
    ) -> None:
        super().__init__(partitions, transactional_id)
        self._client = client
        self._held = nullcontext if transactional_id is None else Pipeline(client).held
        self._watchdog = watchdog
        self._futures: deque[tuple[Any, int, int]] = deque()
        self._in_flight, self._records = 0, 0
        self._gathered: dict[Any, list[Entry]] = defaultdict(list)
        self._sizes: dict[Any, int] = defaultdict(int)

    def _begin(self) -> None:
        with translated("beginning a transaction"):
            self._client.begin_transaction()

    def _write(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        timestamp: int | None,
    ) -> None:
        """Gather what belongs to a transaction, which nobody sees before it commits; else send."""
        address, size = KafkaTopicPartition(topic, partition), len(key or b"") + len(value or b"")
        self._gathered[address].append(Entry(key, value, timestamp))
        self._sizes[address] += size
        if self.transactional_id is None or self._sizes[address] >= BATCH_BYTES:
            self._hand_over(address)
            if self._records > MAX_IN_FLIGHT or self._in_flight > MAX_IN_FLIGHT_BYTES:
                self._settle()

    def _hand_over(self, address: Any) -> None:
        """Give the client what was gathered for a partition."""
        entries, size = self._gathered.pop(address), self._sizes.pop(address)
        try:
            futures = list(send_all(self._client, address, entries))
        except kafka_errors.KafkaError as error:
            raise ours(error, f"writing to {address.topic!r}", self._kind) from None
        self._futures += [(future, 0, 0) for future in futures[:-1]]
        self._futures.append((futures[-1], size, len(entries)))
        self._in_flight += size
        self._records += len(entries)

    def _settle(self) -> None:
        """Wait for the older half of what is in flight, and raise what any of it failed with."""
        with translated("writing", self._kind), self._watchdog.over("a send"):
            while self._records > MAX_IN_FLIGHT // 2 or self._in_flight > MAX_IN_FLIGHT_BYTES // 2:
                future, size, records = self._futures.popleft()
                self._in_flight -= size
                self._records -= records
                future.get()

    def _commit(self, offsets: Mapping[TopicPartition, int], consumer: Consumer) -> None:
        with translated("committing", self._kind), self._watchdog.over("a commit"):
            reader, told = _reader(consumer), None
            with self._held():
                self._hand_all_over()
                if offsets:
                    told = self._client._transaction_manager.send_offsets_to_transaction(
                        {
                            KafkaTopicPartition(*address): OffsetAndMetadata(offset, "", -1)
                            for address, offset in offsets.items()
                        },
                        reader.client.group_metadata(),
                    )
            self._await_sends(told)
            reader.ask()
            self._client.commit_transaction()

    def _abort(self) -> None:
        self._forget()
        with translated("aborting"), self._watchdog.over("an abort"):
            self._client.abort_transaction()

    def flush(self) -> None:
        """Wait until everything sent is written, and raise if anything was not."""
        with translated("writing", self._kind), self._watchdog.over("a flush"):
            self._await_sends()

    def _hand_all_over(self) -> None:
        """Give the client what is gathered still; without a wait, for the sender may be held."""
        for address in list(self._gathered):
            self._hand_over(address)

    def _await_sends(self, told: Any = None) -> None:
        """Wait until all is written, and the offsets of a group are told, if they are."""
        self._hand_all_over()
        self._client.flush()
        futures = [future for future, _, _ in self._futures]
        self._forget()
        for future in futures:  # first: where one failed, nobody may answer for the offsets
            future.get()
        if told is not None:
            told.wait()

    def _forget(self) -> None:
        self._futures.clear()
        self._gathered.clear()
        self._sizes.clear()
        self._in_flight, self._records = 0, 0

    def _close(self) -> None:
        """Close the connections; an open transaction is aborted, or left to the next holder.

        What a transaction that was aborted, or never committed, has left behind is not waited for:
        the client would try to write it for as long as it may.
        """
        if self.transactional_id is None:
            self._client.close(timeout=HANGING)
            return
        try:
            if self.open:
                self.abort()
        except TransportError:
            self.open = False
        self._client._accumulator.abort_incomplete_batches()
        self._client.close(timeout=1.0)


def _reader(consumer: Consumer) -> KafkaPythonConsumer:
    if not isinstance(consumer, KafkaPythonConsumer) or consumer.group is None:
        raise no_group()
    return consumer
