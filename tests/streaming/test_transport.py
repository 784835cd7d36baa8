"""What every transport must do: records written and read, topics, limits."""

from __future__ import annotations

import gc
import time
from collections import defaultdict
from typing import TYPE_CHECKING
from weakref import ref

import pytest

from streaming.transport.api import TopicPartition, TopicSpec, TransportError
from tests.streaming.transports import PATIENCE, read, write

if TYPE_CHECKING:
    from streaming.transport.api import Consumer, Producer, Record, Transport


def test_order_is_kept_within_every_partition(transport: Transport, prefix: str) -> None:
    transport.ensure_topics([TopicSpec(f"{prefix}many", 3)])
    producer = transport.producer()
    for number in range(300):
        producer.send(f"{prefix}many", b"%d" % number, key=b"user-%d" % (number % 17))
    producer.flush()
    seen: dict[int, list[int]] = defaultdict(list)
    homes: dict[bytes | None, set[int]] = defaultdict(set)
    for record in read(transport.consumer([f"{prefix}many"]), 300):
        assert record.topic == f"{prefix}many"
        assert record.offset == len(seen[record.partition])
        seen[record.partition].append(int(record.value or b""))
        homes[record.key].add(record.partition)
    assert sorted(number for numbers in seen.values() for number in numbers) == list(range(300))
    assert all(numbers == sorted(numbers) for numbers in seen.values())
    assert len(homes) == 17
    assert all(len(partitions) == 1 for partitions in homes.values())


def test_keys_live_where_kafka_puts_them(transport: Transport, prefix: str) -> None:
    # From Kafka's own test of its murmur2 (UtilsTest.testMurmur2), signed 32-bit there.
    known = {
        b"21": -973932308,
        b"foobar": -790332482,
        b"a-little-bit-long-string": -985981536,
        b"a-little-bit-longer-string": -1486304829,
        b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
        b"abc": 479470107,
    }
    transport.ensure_topics([TopicSpec(f"{prefix}hashed", 7)])
    producer = transport.producer()
    for key in known:
        producer.send(f"{prefix}hashed", b"", key=key)
    producer.flush()
    records = read(transport.consumer([f"{prefix}hashed"]), len(known))
    assert {record.key: record.partition for record in records} == {
        key: (value & 0x7FFFFFFF) % 7 for key, value in known.items()
    }


def test_records_without_a_key_take_turns(transport: Transport, prefix: str) -> None:
    transport.ensure_topics([TopicSpec(f"{prefix}turns", 3)])
    producer = transport.producer()
    for number in range(9):
        producer.send(f"{prefix}turns", b"%d" % number)
    producer.flush()
    partitions = [record.partition for record in read(transport.consumer([f"{prefix}turns"]), 9)]
    assert sorted(partitions) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_seeking_goes_back_and_forth(transport: Transport, topic: str) -> None:
    write(transport, topic, *(b"%d" % number for number in range(10)))
    consumer = transport.consumer([topic])
    assert consumer.positions() == {TopicPartition(topic, 0): 0}
    read(consumer, 10)
    assert consumer.positions() == {TopicPartition(topic, 0): 10} == consumer.end_offsets()
    consumer.seek({TopicPartition(topic, 0): 4})
    assert consumer.positions() == {TopicPartition(topic, 0): 4}
    assert [record.value for record in read(consumer, 6)] == [b"4", b"5", b"6", b"7", b"8", b"9"]
    with pytest.raises(TransportError, match="not read by this consumer"):
        consumer.seek({TopicPartition("another", 0): 4})


def test_what_came_while_nobody_polled_is_there_at_once(transport: Transport, topic: str) -> None:
    consumer, producer = transport.consumer([topic]), transport.producer()
    assert consumer.poll(10, 0.05) == []
    waits = []
    for number in range(10):
        time.sleep(0.02)  # the client has nothing to fetch meanwhile
        producer.send(topic, b"%d" % number)
        producer.flush()
        began = time.monotonic()
        assert [record.value for record in read(consumer, 1)] == [b"%d" % number]
        waits.append(time.monotonic() - began)
    assert sorted(waits)[5] < 0.2


def test_who_does_not_wait_gets_what_has_come(transport: Transport, topic: str) -> None:
    consumer = transport.consumer([topic])
    assert consumer.poll(10, 0.0) == []
    write(transport, topic, b"0", b"1")
    records: list[Record] = []
    deadline = time.monotonic() + PATIENCE
    while len(records) < 2:
        assert time.monotonic() < deadline
        records += consumer.poll(10, 0.0)
    assert [record.value for record in records] == [b"0", b"1"]


def test_consumers_that_nobody_polls_cost_nothing(transport: Transport, topic: str) -> None:
    write(transport, topic, b"0")
    consumers = [transport.consumer([topic]) for _ in range(4)]
    for consumer in consumers:
        assert len(read(consumer, 1)) == 1
        assert consumer.poll(10, 0.05) == []
    began, busy = time.monotonic(), time.process_time()
    time.sleep(0.5)  # what is measured: half a second in which nobody asks for anything
    assert time.process_time() - busy < 0.1 * (time.monotonic() - began)


def test_what_is_closed_is_let_go_of(transport: Transport, topic: str) -> None:
    def opened_and_closed() -> list[ref[Consumer | Producer]]:
        clients: list[Consumer | Producer] = [transport.consumer([topic]), transport.producer()]
        for client in clients:
            client.close()
            client.close()
        return [ref(client) for client in clients]

    before = opened_and_closed()
    opened_and_closed()
    gc.collect()
    assert [client() for client in before] == [None, None]


def test_a_poll_keeps_to_its_limits(transport: Transport, topic: str) -> None:
    write(transport, topic, *(b"%d" % number for number in range(10)))
    consumer = transport.consumer([topic])
    assert len(read(consumer, 3)) == 3
    assert consumer.positions() == {TopicPartition(topic, 0): 3}
    read(consumer, 7)
    began = time.monotonic()
    assert consumer.poll(10, 0.3) == []
    assert 0.2 < time.monotonic() - began < 5.0


def test_without_a_group_reading_starts_at_the_beginning(transport: Transport, topic: str) -> None:
    write(transport, topic, b"0")
    for _ in range(2):
        consumer = transport.consumer([topic])
        assert consumer.committed() == {TopicPartition(topic, 0): 0}
        assert [record.value for record in read(consumer, 1)] == [b"0"]


def test_tombstones_and_empty_values_differ(transport: Transport, topic: str) -> None:
    producer = transport.producer()
    producer.send(topic, None, key=b"gone")
    producer.send(topic, b"", key=b"empty")
    producer.flush()
    assert [(r.key, r.value) for r in read(transport.consumer([topic]), 2)] == [
        (b"gone", None),
        (b"empty", b""),
    ]
    with pytest.raises(TransportError, match="a key or a value"):
        producer.send(topic, None)


def test_large_values_pass_whole(transport: Transport, topic: str) -> None:
    values = [bytes([number]) * 900_000 for number in range(3)]
    write(transport, topic, *values)
    assert [record.value for record in read(transport.consumer([topic]), 3)] == values


def test_timestamps_are_the_producers(transport: Transport, topic: str) -> None:
    producer = transport.producer()
    before = time.time_ns() // 1_000_000
    producer.send(topic, b"given", timestamp=1_599_391_467_000)
    producer.send(topic, b"now")
    producer.flush()
    given, now = read(transport.consumer([topic]), 2)
    assert given.timestamp == 1_599_391_467_000
    assert before <= now.timestamp <= before + 60_000


def test_topics_are_made_once(transport: Transport, prefix: str) -> None:
    specs = [TopicSpec(f"{prefix}a", 2, {"cleanup.policy": "compact"}), TopicSpec(f"{prefix}b", 1)]
    transport.ensure_topics(specs[:1])
    producer = transport.producer()
    producer.send(f"{prefix}a", b"stays", key=b"k")
    producer.flush()
    transport.ensure_topics(specs)
    transport.ensure_topics(specs)
    assert [transport.partitions(spec.name) for spec in specs] == [2, 1]
    assert [r.value for r in read(transport.consumer([f"{prefix}a"]), 1)] == [b"stays"]
    with pytest.raises(TransportError, match="has 2 partitions, not 3"):
        transport.ensure_topics([TopicSpec(f"{prefix}a", 3, specs[0].config)])
    with pytest.raises(TransportError, match=r"has cleanup\.policy compact, not delete"):
        transport.ensure_topics([TopicSpec(f"{prefix}a", 2)])


def test_records_that_a_topic_does_not_take_are_refused(transport: Transport, prefix: str) -> None:
    transport.ensure_topics(
        [
            TopicSpec(f"{prefix}compacted", 1, {"cleanup.policy": "compact"}),
            TopicSpec(f"{prefix}small", 1, {"max.message.bytes": "1000"}),
        ]
    )
    producer = transport.producer()
    for topic, value in ((f"{prefix}compacted", b"without a key"), (f"{prefix}small", bytes(5000))):
        with pytest.raises(TransportError):
            write(transport, topic, value)
    producer.send(f"{prefix}small", b"fits")
    producer.flush()


def test_unknown_topics_and_partitions_are_named(transport: Transport, topic: str) -> None:
    with pytest.raises(TransportError, match="'nowhere' does not exist"):
        transport.partitions("nowhere")
    with pytest.raises(TransportError, match="'nowhere' does not exist"):
        transport.consumer(["nowhere"])
    producer = transport.producer()
    with pytest.raises(TransportError, match="'nowhere' does not exist"):
        producer.send("nowhere", b"")
    with pytest.raises(TransportError, match="no partition 5"):
        producer.send(topic, b"", partition=5)
