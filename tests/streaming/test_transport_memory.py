"""What the memory bus does on demand and no broker does: faults, failing commits, logical time."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.transport.api import (
    AbortableError,
    FencedError,
    Record,
    TopicPartition,
    TopicSpec,
    TransportError,
)
from streaming.transport.memory import MemoryBus
from streaming.transport.memory_log import LogicalClock

IN = TopicPartition("in", 0)


def unruly(seed: int, duplicate: float, reorder: int) -> MemoryBus:
    bus = MemoryBus(unruly=["in"], seed=seed, duplicate=duplicate, reorder=reorder)
    bus.ensure_topics([TopicSpec("in"), TopicSpec("out")])
    return bus


def write(bus: MemoryBus, topic: str, numbers: range) -> None:
    producer = bus.producer()
    for number in numbers:
        producer.send(topic, b"%d" % number, key=b"k")


def numbers(records: list[Record]) -> list[int]:
    return [int(record.value or b"") for record in records]


@given(
    seed=st.integers(0, 2**32),
    duplicate=st.floats(0, 1),
    reorder=st.integers(1, 20),
    sizes=st.lists(st.integers(0, 40), max_size=5),
)
def test_careless_producers_lose_nothing_and_stray_within_bounds(
    seed: int, duplicate: float, reorder: int, sizes: list[int]
) -> None:
    bus, sent, seen = unruly(seed, duplicate, reorder), 0, []
    consumer = bus.consumer(["in"], group="g")
    for size in sizes:
        write(bus, "in", range(sent, sent + size))
        sent += size
        seen += consumer.poll(1000, 0)
    delivered = numbers(seen)
    assert [record.offset for record in seen] == list(range(len(seen)))
    assert set(delivered) == set(range(sent))
    assert max(Counter(delivered).values(), default=1) <= 2
    firsts = list(dict.fromkeys(delivered))
    assert all(abs(place - number) < reorder for place, number in enumerate(firsts))
    if duplicate == 0.0:
        assert len(delivered) == sent
    if reorder == 1:
        assert firsts == sorted(firsts)
    again = bus.consumer(["in"])
    assert again.poll(1000, 0) == seen
    assert again.positions() == again.end_offsets()


def test_faults_are_there_and_seeded() -> None:
    def deliver(seed: int) -> list[int]:
        bus = unruly(seed, 0.2, 8)
        write(bus, "in", range(500))
        return numbers(bus.consumer(["in"]).poll(1000, 0))

    delivered = deliver(1)
    assert delivered == deliver(1) != deliver(2)
    # 500 records, each twice with probability 0.2: 100 echoes, standard deviation 8.9.
    assert 100 - 5 * 8.9 < len(delivered) - 500 < 100 + 5 * 8.9
    assert delivered != sorted(delivered)


def test_offsets_of_an_unruly_topic_are_sane_for_committing() -> None:
    bus = unruly(3, 0.3, 6)
    write(bus, "in", range(100))
    whole = bus.consumer(["in"]).poll(1000, 0)
    worked: list[Record] = []
    while len(worked) < len(whole):
        producer = bus.producer(transactional_id="t")
        consumer = bus.consumer(["in"], group="g")
        batch = consumer.poll(7, 0)
        producer.begin()
        producer.commit({IN: batch[-1].offset + 1}, consumer)
        worked += batch
    assert worked == whole


def test_other_topics_keep_their_order() -> None:
    bus = unruly(4, 1.0, 50)
    write(bus, "out", range(100))
    assert numbers(bus.consumer(["out"]).poll(1000, 0)) == list(range(100))


def test_transactions_on_an_unruly_topic_stay_atomic() -> None:
    bus = unruly(5, 0.0, 4)
    consumer = bus.consumer(["in"], group="g")
    producer = bus.producer(transactional_id="t")
    producer.begin()
    producer.send("in", b"1")
    write(bus, "in", range(2, 4))
    assert consumer.poll(10, 0) == []
    producer.abort()
    assert sorted(numbers(consumer.poll(10, 0))) == [2, 3]


def test_commits_fail_on_demand() -> None:
    bus = MemoryBus()
    bus.ensure_topics([TopicSpec("in"), TopicSpec("out")])
    write(bus, "in", range(3))
    consumer = bus.consumer(["in"], group="g")
    producer = bus.producer(transactional_id="t")
    bus.fail_commits(AbortableError("try again"), FencedError("taken over"))

    producer.begin()
    producer.send("out", b"1")
    with pytest.raises(AbortableError, match="try again"):
        producer.commit({IN: 3}, consumer)
    producer.abort()

    producer.begin()
    producer.send("out", b"2")
    with pytest.raises(FencedError):
        producer.commit({IN: 3}, consumer)
    with pytest.raises(FencedError):
        producer.abort()
    producer.close()
    assert consumer.committed() == {IN: 0}

    successor = bus.producer(transactional_id="t")
    successor.begin()
    successor.send("out", b"3")
    successor.commit({IN: 3}, consumer)
    assert consumer.committed() == {IN: 3}
    assert numbers(bus.consumer(["out"]).poll(10, 0)) == [3]


def test_a_logical_clock_stamps_records_alike_in_every_run() -> None:
    def stamps() -> list[int]:
        bus = MemoryBus(clock=LogicalClock(start=1000, step=10))
        bus.ensure_topics([TopicSpec("in")])
        write(bus, "in", range(3))
        return [record.timestamp for record in bus.consumer(["in"]).poll(10, 0)]

    assert stamps() == stamps() == [1010, 1020, 1030]


@pytest.mark.parametrize(
    "options",
    [{"duplicate": 0.1}, {"reorder": 2}, {"unruly": ["in"], "duplicate": 1.1}, {"reorder": 0}],
)
def test_faults_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(TransportError):
        MemoryBus(**options)  # type: ignore[arg-type]  # what a user could write
