"""What our transports cost on top of the bare clients: the same work through both, in one run.

    .venv/bin/python -m benchmarks.transport [messages]

Three loops against a fresh embedded broker, for each client alone and through its transport,
alternating: produce, consume, and consume-process-produce in transactions of 500. Times are taken
after the clients are connected and have sent a first message.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from itertools import count
from statistics import median
from typing import TYPE_CHECKING, Any

import confluent_kafka as confluent
import kafka
from kafka.structs import OffsetAndMetadata, TopicPartition

from benchmarks.bare import confluent_consumer
from streaming.transport import EmbeddedBroker, TopicSpec, connect

if TYPE_CHECKING:
    from collections.abc import Callable

    Loop = Callable[[str, str, int], float]

BATCH = 500
VALUE = b"x" * 300
ROUNDS = 3
_names = count()


def _key(i: int) -> bytes:
    return b"user-%d" % (i % 1000)


def kafka_python_produce(servers: str, topic: str, messages: int) -> float:
    """Send without waiting, then wait for all."""
    producer = kafka.KafkaProducer(bootstrap_servers=servers)
    producer.send(topic, VALUE, partition=0).get()
    began = time.perf_counter()
    futures = [producer.send(topic, VALUE, key=_key(i), partition=0) for i in range(messages)]
    producer.flush()
    for future in futures:
        future.get()
    taken = time.perf_counter() - began
    producer.close()
    return taken


def _kafka_python_consumer(servers: str, topic: str, group: str | None) -> Any:
    consumer = kafka.KafkaConsumer(
        bootstrap_servers=servers,
        group_id=group,
        isolation_level="read_committed",
        enable_auto_commit=False,
        receive_message_max_bytes=2**31 - 1,
    )
    consumer.assign([TopicPartition(topic, 0)])
    consumer.seek(TopicPartition(topic, 0), 0)
    return consumer


def kafka_python_consume(servers: str, topic: str, messages: int) -> float:
    """Read everything in batches."""
    consumer, seen = _kafka_python_consumer(servers, topic, None), 0
    began = time.perf_counter()
    while seen < messages:
        seen += sum(map(len, consumer.poll(timeout_ms=200, max_records=BATCH).values()))
    taken = time.perf_counter() - began
    consumer.close()
    return taken


def kafka_python_transact(servers: str, topic: str, messages: int) -> float:
    """Copy everything to another topic, a transaction a batch."""
    name = f"bare-{next(_names)}"
    producer = kafka.KafkaProducer(bootstrap_servers=servers, transactional_id=name)
    producer.init_transactions()
    consumer, seen, address = _kafka_python_consumer(servers, topic, name), 0, (topic, 0)
    began = time.perf_counter()
    while seen < messages:
        records = consumer.poll(timeout_ms=200, max_records=BATCH).get(address, [])
        if not records:
            continue
        producer.begin_transaction()
        futures = [producer.send("out", r.value, key=r.key, partition=0) for r in records]
        offsets = {TopicPartition(*address): OffsetAndMetadata(records[-1].offset + 1, "", -1)}
        producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
        producer.flush()
        for future in futures:
            future.get()
        producer.commit_transaction()
        seen += len(records)
    taken = time.perf_counter() - began
    producer.close()
    consumer.close()
    return taken


def _confluent_producer(servers: str, name: str | None) -> Any:
    options = {"bootstrap.servers": servers, "enable.idempotence": True, "log_level": 0}
    if name is not None:
        options |= {"transactional.id": name}
    return confluent.Producer(options)


def _confluent_produce(producer: Any, topic: str, key: bytes | None, value: bytes | None) -> None:
    while True:
        try:
            return producer.produce(topic, value, key, 0)  # type: ignore[no-any-return]
        except BufferError:
            producer.poll(0.05)


def confluent_kafka_produce(servers: str, topic: str, messages: int) -> float:
    """Send without waiting, then wait for all."""
    producer = _confluent_producer(servers, None)
    _confluent_produce(producer, topic, None, VALUE)
    producer.flush()
    began = time.perf_counter()
    for i in range(messages):
        _confluent_produce(producer, topic, _key(i), VALUE)
    producer.flush()
    return time.perf_counter() - began


def confluent_kafka_consume(servers: str, topic: str, messages: int) -> float:
    """Read everything in batches."""
    consumer, seen = confluent_consumer(servers, topic, f"bare-{next(_names)}"), 0
    began = time.perf_counter()
    while seen < messages:
        seen += len(consumer.consume(min(BATCH, messages - seen), 0.2))
    taken = time.perf_counter() - began
    consumer.close()
    return taken


def confluent_kafka_transact(servers: str, topic: str, messages: int) -> float:
    """Copy everything to another topic, a transaction a batch."""
    name = f"bare-{next(_names)}"
    producer = _confluent_producer(servers, name)
    producer.init_transactions()
    consumer, seen = confluent_consumer(servers, topic, name), 0
    began = time.perf_counter()
    while seen < messages:
        records: list[Any] = consumer.consume(min(BATCH, messages - seen), 0.2)
        if not records:
            continue
        producer.begin_transaction()
        for record in records:
            _confluent_produce(producer, "out", record.key(), record.value())
        offsets = [confluent.TopicPartition(topic, 0, records[-1].offset() + 1)]
        producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata())
        producer.commit_transaction()
        seen += len(records)
    taken = time.perf_counter() - began
    consumer.close()
    return taken


def produce(client: str, servers: str, topic: str, messages: int) -> float:
    """Do the same through the transport, which also chooses partitions and caps what waits."""
    transport = connect(servers, client=client)
    producer = transport.producer()
    producer.send(topic, VALUE)
    producer.flush()
    began = time.perf_counter()
    for i in range(messages):
        producer.send(topic, VALUE, key=_key(i))
    producer.flush()
    taken = time.perf_counter() - began
    transport.close()
    return taken


def consume(client: str, servers: str, topic: str, messages: int) -> float:
    """Do the same through the transport."""
    transport = connect(servers, client=client)
    consumer, seen = transport.consumer([topic]), 0
    began = time.perf_counter()
    while seen < messages:
        seen += len(consumer.poll(BATCH, 0.2))
    taken = time.perf_counter() - began
    transport.close()
    return taken


def transact(client: str, servers: str, topic: str, messages: int) -> float:
    """Do the same through the transport."""
    name = f"ours-{next(_names)}"
    transport = connect(servers, client=client)
    producer = transport.producer(transactional_id=name)
    consumer, seen = transport.consumer([topic], group=name), 0
    began = time.perf_counter()
    while seen < messages:
        records = consumer.poll(BATCH, 0.2)
        if not records:
            continue
        producer.begin()
        for record in records:
            producer.send("out", record.value, key=record.key)
        producer.commit(consumer.positions(), consumer)
        seen += len(records)
    taken = time.perf_counter() - began
    transport.close()
    return taken


BARE: dict[str, tuple[Loop, Loop, Loop]] = {
    "kafka-python": (kafka_python_produce, kafka_python_consume, kafka_python_transact),
    "confluent-kafka": (confluent_kafka_produce, confluent_kafka_consume, confluent_kafka_transact),
}
OURS = (produce, consume, transact)


def main(messages: int) -> None:
    """Print the median rates and their ratio."""
    config = {"max.message.bytes": "10000000", "retention.bytes": "200000000"}
    rates: dict[tuple[str, str, str], list[float]] = {}
    with EmbeddedBroker() as broker:
        servers = broker.bootstrap_servers
        transport = connect(servers)
        transport.ensure_topics([TopicSpec("full", 1, config), TopicSpec("out", 1, config)])
        produce("kafka-python", servers, "full", messages)
        for _ in range(ROUNDS):
            for client, loops in BARE.items():
                for bare, ours in zip(loops, OURS, strict=True):
                    for kind, work in (("bare", bare), ("ours", partial(ours, client))):
                        topic = "full"
                        if ours is produce:
                            topic = f"fresh-{next(_names)}"
                            transport.ensure_topics([TopicSpec(topic, 1, config)])
                        rate = messages / work(servers, topic, messages)
                        rates.setdefault((client, ours.__name__, kind), []).append(rate)
        transport.close()
    for client in BARE:
        for loop in OURS:
            bare_rate, our_rate = (
                median(rates[client, loop.__name__, kind]) for kind in ("bare", "ours")
            )
            print(
                f"{client:16} {loop.__name__:9} bare {bare_rate:9,.0f}/s   ours {our_rate:9,.0f}/s"
                f"   {our_rate / bare_rate:.0%}"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
