"""What every transport must do: transactions, and who may end them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streaming.transport.api import (
    AbortableError,
    FencedError,
    TopicPartition,
    TopicSpec,
    TransportError,
)
from tests.streaming.transports import passing, read, read_to_end, write

if TYPE_CHECKING:
    from streaming.transport.api import Transport


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


def test_an_abortable_error_is_a_transport_error() -> None:
    assert issubclass(AbortableError, TransportError)
    assert not issubclass(FencedError, AbortableError)
