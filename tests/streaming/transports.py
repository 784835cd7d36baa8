"""What the tests of all transports share: which there are, and short ways to read and write."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from streaming.transport.confluent import ConfluentTransport
from streaming.transport.kafka_python import KafkaPythonTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streaming.transport.api import Consumer, Record, Transport

PATIENCE = 20.0

KAFKA: dict[str, Callable[[str], Transport]] = {
    "kafka_python": KafkaPythonTransport,
    "confluent": ConfluentTransport,
}


def read(consumer: Consumer, number: int) -> list[Record]:
    """Return the next so many records; fail if they do not come."""
    records: list[Record] = []
    deadline = time.monotonic() + PATIENCE
    while len(records) < number:
        assert time.monotonic() < deadline, f"only {len(records)} of {number} records came"
        records += consumer.poll(number - len(records), 0.2)
    return records


def read_to_end(consumer: Consumer) -> list[Record]:
    """Return every record up to where the partitions now end."""
    records: list[Record] = []
    ends = consumer.end_offsets()
    deadline = time.monotonic() + PATIENCE
    while any(consumer.positions()[address] < end for address, end in ends.items()):
        assert time.monotonic() < deadline, f"{consumer.positions()} never reached {ends}"
        records += consumer.poll(1000, 0.2)
    return records


def write(transport: Transport, topic: str, *values: bytes) -> None:
    """Write values to partition 0, outside transactions."""
    producer = transport.producer()
    for value in values:
        producer.send(topic, value, partition=0)
    producer.flush()
    producer.close()


@contextmanager
def passing(transport: Transport, name: str, source: str) -> Iterator[Consumer]:
    """A consumer in a group of its own."""
    consumer = transport.consumer([source], group=f"{name}-group")
    yield consumer
    consumer.close()
