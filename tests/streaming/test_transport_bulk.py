"""Records laid into the client's batches at once are the records that were given."""

from __future__ import annotations

from collections import deque
from threading import Lock
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from kafka.producer.producer_batch import ProducerBatch
from kafka.record import MemoryRecords
from kafka.record.memory_records import MemoryRecordsBuilder

from streaming.transport.api import TopicPartition
from streaming.transport.kafka_python.bulk import Entry, send_all, varint

WHERE = TopicPartition("topic", 0)


class Client:
    """The part of kafka-python's producer that fills batches, without a network."""

    def __init__(self, batch_bytes: int) -> None:
        self._lock, self._bytes = Lock(), batch_bytes
        self.filled: list[ProducerBatch] = []
        batches: dict[TopicPartition, deque[ProducerBatch]] = {WHERE: deque()}
        self._accumulator = SimpleNamespace(_batches=batches, _tp_lock=lambda _: self._lock)

    def send(
        self, topic: str, *, value: Any, key: Any, partition: int, timestamp_ms: int | None
    ) -> Any:
        """Append one record as the client does, to the last batch or a new one."""
        assert TopicPartition(topic, partition) == WHERE
        if not self.filled or not (future := self._append(timestamp_ms, key, value)):
            records = MemoryRecordsBuilder(2, 0, self._bytes)
            self.filled.append(ProducerBatch(WHERE, records))
            self._accumulator._batches[WHERE].append(self.filled[-1])
            future = self._append(timestamp_ms, key, value)
        return future

    def _append(self, timestamp: int | None, key: Any, value: Any) -> Any:
        return self.filled[-1].try_append(timestamp or 0, key, value, [])

    def read(self) -> list[Any]:
        """Return what the client's own reader finds in the batches, each closed as for sending."""
        found = []
        for batch in self.filled:
            batch.records.close()
            for records in MemoryRecords(bytes(batch.records.buffer())):
                assert records.validate_crc()
                found += list(records)
                assert records.last_offset_delta + 1 == batch.record_count
        return found


data = st.none() | st.binary(max_size=300)
times = st.integers(0, 2**42)
entries = st.lists(st.builds(Entry, data, data, times), min_size=1, max_size=60)


@given(entries, st.integers(400, 5000))
def test_what_is_laid_in_is_read_back(given: list[Entry], batch_bytes: int) -> None:
    client = Client(batch_bytes)
    futures = list(send_all(client, WHERE, given))
    found = client.read()
    assert [(r.key, r.value, r.timestamp) for r in found] == [tuple(entry) for entry in given]
    assert len(futures) == len(client.filled)
    assert sum(batch.record_count for batch in client.filled) == len(given)
    for batch in client.filled:
        assert batch.record_count == 1 or len(batch.records.buffer()) <= batch_bytes


@given(st.integers(-(2**40), 2**40))
def test_numbers_are_written_as_the_protocol_has_them(number: int) -> None:
    value = shift = 0
    for byte in varint(number):
        value |= (byte & 0x7F) << shift
        shift += 7
    assert (value >> 1) ^ -(value & 1) == number
