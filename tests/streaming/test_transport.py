"""What every transport must do: one suite that all of them pass."""

from __future__ import annotations

import time
from collections import defaultdict
from contextlib import contextmanager
from itertools import count
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from streaming.transport.api import (
    AbortableError,
    Consumer,
    FencedError,
    Record,
    TopicPartition,
    TopicSpec,
    Transport,
    TransportError,
)
from streaming.transport.confluent import ConfluentTransport
from streaming.transport.kafka_python import KafkaPythonTransport
from streaming.transport.memory import MemoryBus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 20.0
_numbers = count()


KAFKA: dict[str, Callable[[str], Transport]] = {
    "kafka_python": KafkaPythonTransport,
    "confluent": ConfluentTransport,
}


@pytest.fixture(params=["memory", *KAFKA])
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    made: Transport
    if request.param == "memory":
        made = MemoryBus()
    else:
        made = KAFKA[request.param](request.getfixturevalue("broker"))
    yield made
    made.close()


@pytest.fixture
def prefix() -> str:
    return f"contract-{next(_numbers)}."


@pytest.fixture
def topic(transport: Transport, prefix: str) -> str:
    """A topic of one partition, so that offsets are known, that keeps even old records."""
    config = {"max.message.bytes": "2000000", "retention.ms": "-1"}
    transport.ensure_topics([TopicSpec(f"{prefix}one", 1, config)])
    return f"{prefix}one"


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


def test_a_commit_shows_records_and_offsets_at_once(transport: Transport, prefix: str) -> None:
    transport.ensure_topics([TopicSpec(f"{prefix}in", 2), TopicSpec(f"{prefix}out", 2)])
    write(transport, f"{prefix}in", b"0", b"1", b"2")
    producer = transport.producer(transactional_id=f"{prefix}t")
    with passing(transport, prefix, f"{prefix}in") as consumer:
        assert [record.value for record in read(consumer, 3)] == [b"0", b"1", b"2"]
        reader = transport.consumer([f"{prefix}out"])
        producer.begin()
        producer.send(f"{prefix}out", b"a", key=b"x")
        producer.send(f"{prefix}out", b"b", key=b"y", partition=1)
        assert consumer.committed() == {
            TopicPartition(f"{prefix}in", 0): 0,
            TopicPartition(f"{prefix}in", 1): 0,
        }
        producer.commit({TopicPartition(f"{prefix}in", 0): 3}, consumer)
        assert consumer.committed()[TopicPartition(f"{prefix}in", 0)] == 3
        assert {record.value for record in read_to_end(reader)} == {b"a", b"b"}
    with passing(transport, prefix, f"{prefix}in") as successor:
        assert successor.positions()[TopicPartition(f"{prefix}in", 0)] == 3
        write(transport, f"{prefix}in", b"3")
        assert [record.value for record in read(successor, 1)] == [b"3"]


def test_an_aborted_transaction_leaves_nothing(transport: Transport, topic: str) -> None:
    producer = transport.producer(transactional_id=f"{topic}-t")
    with passing(transport, topic, topic) as consumer:
        producer.begin()
        producer.send(topic, b"aborted")
        producer.abort()
        producer.begin()
        producer.send(topic, b"kept")
        producer.commit({}, consumer)
        assert consumer.committed() == {TopicPartition(topic, 0): 0}
    assert [record.value for record in read_to_end(transport.consumer([topic]))] == [b"kept"]


def test_records_behind_an_open_transaction_wait(transport: Transport, topic: str) -> None:
    producer = transport.producer(transactional_id=f"{topic}-t")
    with passing(transport, topic, topic) as consumer:
        producer.begin()
        producer.send(topic, b"open", partition=0)
        producer.flush()
        write(transport, topic, b"behind")
        assert consumer.end_offsets() == {TopicPartition(topic, 0): 0}
        assert consumer.poll(10, 0.3) == []
        producer.commit({}, consumer)
        assert [record.value for record in read_to_end(consumer)] == [b"open", b"behind"]


def test_a_batch_can_be_worked_again_after_an_abort(transport: Transport, prefix: str) -> None:
    transport.ensure_topics([TopicSpec(f"{prefix}in", 1), TopicSpec(f"{prefix}out", 1)])
    write(transport, f"{prefix}in", b"0", b"1")
    producer = transport.producer(transactional_id=f"{prefix}t")
    with passing(transport, prefix, f"{prefix}in") as consumer:
        for finish in (False, True):
            for record in read(consumer, 2):
                if record.offset == 0:
                    producer.begin()
                producer.send(f"{prefix}out", record.value)
            if finish:
                producer.commit({TopicPartition(f"{prefix}in", 0): 2}, consumer)
            else:
                producer.abort()
                consumer.seek(consumer.committed())
    assert [r.value for r in read_to_end(transport.consumer([f"{prefix}out"]))] == [b"0", b"1"]


def test_a_new_holder_fences_the_old_one_and_aborts_its_work(
    transport: Transport, topic: str
) -> None:
    zombie = transport.producer(transactional_id=f"{topic}-t")
    with passing(transport, topic, topic) as consumer:
        zombie.begin()
        zombie.send(topic, b"of the zombie")
        zombie.flush()
        holder = transport.producer(transactional_id=f"{topic}-t")
        with pytest.raises(FencedError, match="taken over"):
            zombie.commit({TopicPartition(topic, 0): 1}, consumer)
        zombie.close()
        holder.begin()
        holder.send(topic, b"of the holder")
        holder.commit({}, consumer)
        assert consumer.committed() == {TopicPartition(topic, 0): 0}
    reader = transport.consumer([topic])
    assert [record.value for record in read_to_end(reader)] == [b"of the holder"]


def test_a_fenced_producer_stays_fenced(transport: Transport, topic: str) -> None:
    zombie = transport.producer(transactional_id=f"{topic}-t")
    holder = transport.producer(transactional_id=f"{topic}-t")

    def work() -> None:
        zombie.begin()
        zombie.send(topic, b"of the zombie")
        zombie.commit({}, consumer)

    with passing(transport, topic, topic) as consumer:
        with pytest.raises(FencedError):
            work()
        zombie.close()
        for value in (b"1", b"2"):
            holder.begin()
            holder.send(topic, value)
            holder.commit({}, consumer)
    assert [record.value for record in read_to_end(transport.consumer([topic]))] == [b"1", b"2"]


def test_an_orphaned_transaction_is_aborted_by_the_next_holder(
    transport: Transport, topic: str
) -> None:
    orphan = transport.producer(transactional_id=f"{topic}-t")
    orphan.begin()
    orphan.send(topic, b"orphaned")
    orphan.flush()
    transport.producer(transactional_id=f"{topic}-t")
    write(transport, topic, b"after")
    assert [record.value for record in read_to_end(transport.consumer([topic]))] == [b"after"]


def test_transactions_are_begun_once_and_ended_once(transport: Transport, topic: str) -> None:
    plain = transport.producer()
    with pytest.raises(TransportError, match="transactional id"):
        plain.begin()
    producer = transport.producer(transactional_id=f"{topic}-t")
    with pytest.raises(TransportError, match="begin one first"):
        producer.send(topic, b"outside")
    with pytest.raises(TransportError, match="begin one first"):
        producer.abort()
    producer.begin()
    with pytest.raises(TransportError, match="is open"):
        producer.begin()
    with pytest.raises(TransportError, match="has a group"):
        producer.commit({TopicPartition(topic, 0): 0}, transport.consumer([topic]))


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


def test_an_abortable_error_is_a_transport_error() -> None:
    assert issubclass(AbortableError, TransportError)
    assert not issubclass(FencedError, AbortableError)


def members(transport: Transport, prefix: str, *names: str) -> list[Consumer]:
    """Return members of a group that share four partitions, each once it has been let in."""
    transport.ensure_topics([TopicSpec(f"{prefix}shared", 4)])
    made: list[Consumer] = []
    for name in names:
        joining = Thread(target=lambda: made.append(joined(transport, prefix, name)))  # noqa: B023
        joining.start()
        while joining.is_alive():  # those already there must take part in the rebalance
            for member in made:
                member.poll(1, 0.01)
            joining.join(0.01)
    return made


def joined(transport: Transport, prefix: str, name: str) -> Consumer:
    return transport.consumer([f"{prefix}shared"], group=f"{prefix}group", member=name)


def shares(group: list[Consumer]) -> list[set[int]]:
    """Return who has what, once all four partitions are somebody's."""
    deadline = time.monotonic() + PATIENCE
    while True:
        for member in group:
            member.poll(1, 0.02)
        found = [{where.partition for where in member.assigned()} for member in group]
        if sum(map(len, found)) == len(set().union(*found)) == 4 and all(found):
            return found
        assert time.monotonic() < deadline, f"the group did not share out: {found}"


@pytest.mark.parametrize("names", [("a",), ("",)])
def test_a_member_alone_has_all_partitions(
    transport: Transport, prefix: str, names: tuple[str]
) -> None:
    group = members(transport, prefix, *names)
    assert shares(group) == [{0, 1, 2, 3}]
    where = [TopicPartition(f"{prefix}shared", n) for n in range(4)]
    write(transport, f"{prefix}shared", b"0", b"1", b"2")
    (alone,) = group
    assert [record.value for record in read(alone, 3)] == [b"0", b"1", b"2"]
    assert alone.positions()[where[0]] == 3
    alone.seek({where[0]: 1})
    assert [record.value for record in read(alone, 2)] == [b"1", b"2"]
    assert alone.end_offsets() == {where[0]: 3, where[1]: 0, where[2]: 0, where[3]: 0}
    alone.close()


def test_members_share_partitions_out_and_take_over_from_those_who_leave(
    transport: Transport, prefix: str
) -> None:
    group = members(transport, prefix, "", "")
    before = shares(group)
    assert [len(share) for share in before] == [2, 2]
    group.pop().close()
    assert shares(group) == [{0, 1, 2, 3}]
    group[0].close()


def test_a_named_member_that_comes_again_has_what_it_had(transport: Transport, prefix: str) -> None:
    first = members(transport, prefix, "a")[0]
    assert shares([first]) == [{0, 1, 2, 3}]
    write(transport, f"{prefix}shared", b"0", b"1")
    read(first, 2)
    producer = transport.producer(transactional_id=f"{prefix}t")
    producer.begin()
    producer.commit({TopicPartition(f"{prefix}shared", 0): 1}, first)
    again = joined(transport, prefix, "a")
    assert shares([again]) == [{0, 1, 2, 3}]
    again.seek(again.committed())
    assert [record.value for record in read(again, 1)] == [b"1"]
    again.close()
