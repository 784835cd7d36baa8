"""What our transport costs on top of the bare client: the same work through both, in one run.

    .venv/bin/python -m benchmarks.transport [messages]

Three loops against a fresh embedded broker, each through the client alone and through the
transport, alternating: produce, consume, and consume-process-produce in transactions of 500.
"""

from __future__ import annotations

import sys
import time
from itertools import count
from statistics import median
from typing import TYPE_CHECKING

from kafka import KafkaConsumer, KafkaProducer
from kafka.structs import OffsetAndMetadata
from kafka.structs import TopicPartition as KafkaTopicPartition

from streaming.transport import EmbeddedBroker, KafkaPythonTransport, TopicSpec

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH = 500
VALUE = b"x" * 300
ROUNDS = 3
_names = count()


def bare_produce(servers: str, topic: str, messages: int) -> float:
    """Send without waiting, then wait for all."""
    producer = KafkaProducer(bootstrap_servers=servers)
    began = time.perf_counter()
    futures = [
        producer.send(topic, VALUE, key=b"user-%d" % (i % 1000), partition=0)
        for i in range(messages)
    ]
    producer.flush()
    for future in futures:
        future.get()
    taken = time.perf_counter() - began
    producer.close()
    return taken


def produce(servers: str, topic: str, messages: int) -> float:
    """Do the same through the transport, which also chooses partitions and caps what waits."""
    transport = KafkaPythonTransport(servers)
    producer = transport.producer()
    began = time.perf_counter()
    for i in range(messages):
        producer.send(topic, VALUE, key=b"user-%d" % (i % 1000))
    producer.flush()
    taken = time.perf_counter() - began
    transport.close()
    return taken


def _bare_consumer(servers: str, topic: str, group: str | None) -> KafkaConsumer:
    consumer = KafkaConsumer(
        bootstrap_servers=servers,
        group_id=group,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    consumer.assign([KafkaTopicPartition(topic, 0)])
    consumer.seek(KafkaTopicPartition(topic, 0), 0)
    return consumer


def bare_consume(servers: str, topic: str, messages: int) -> float:
    """Read everything in batches."""
    consumer, seen = _bare_consumer(servers, topic, None), 0
    began = time.perf_counter()
    while seen < messages:
        seen += sum(map(len, consumer.poll(timeout_ms=200, max_records=BATCH).values()))
    taken = time.perf_counter() - began
    consumer.close()
    return taken


def consume(servers: str, topic: str, messages: int) -> float:
    """Do the same through the transport."""
    transport = KafkaPythonTransport(servers)
    consumer, seen = transport.consumer([topic]), 0
    began = time.perf_counter()
    while seen < messages:
        seen += len(consumer.poll(BATCH, 0.2))
    taken = time.perf_counter() - began
    transport.close()
    return taken


def bare_transact(servers: str, topic: str, messages: int) -> float:
    """Copy everything to another topic, a transaction a batch."""
    name = f"bare-{next(_names)}"
    producer = KafkaProducer(bootstrap_servers=servers, transactional_id=name)
    producer.init_transactions()
    consumer, seen, address = _bare_consumer(servers, topic, name), 0, KafkaTopicPartition(topic, 0)
    began = time.perf_counter()
    while seen < messages:
        records = consumer.poll(timeout_ms=200, max_records=BATCH).get(address, [])
        if not records:
            continue
        producer.begin_transaction()
        futures = [
            producer.send("out", record.value, key=record.key, partition=0) for record in records
        ]
        offsets = {address: OffsetAndMetadata(records[-1].offset + 1, "", -1)}
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


def transact(servers: str, topic: str, messages: int) -> float:
    """Do the same through the transport."""
    name = f"ours-{next(_names)}"
    transport = KafkaPythonTransport(servers)
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


LOOPS: dict[str, tuple[Callable[[str, str, int], float], Callable[[str, str, int], float]]] = {
    "produce": (bare_produce, produce),
    "consume": (bare_consume, consume),
    "transact": (bare_transact, transact),
}


def main(messages: int) -> None:
    """Print the median rates and their ratio."""
    small = {"max.message.bytes": "10000000", "retention.bytes": "200000000"}
    rates: dict[str, list[float]] = {}
    with EmbeddedBroker() as broker:
        servers = broker.bootstrap_servers
        transport = KafkaPythonTransport(servers)
        transport.ensure_topics([TopicSpec("full", 1, small), TopicSpec("out", 1, small)])
        produce(servers, "full", messages)
        for _ in range(ROUNDS):
            for loop, pair in LOOPS.items():
                for kind, work in zip(("bare", "ours"), pair, strict=True):
                    topic = "full"
                    if loop == "produce":
                        topic = f"fresh-{next(_names)}"
                        transport.ensure_topics([TopicSpec(topic, 1, small)])
                    rate = messages / work(servers, topic, messages)
                    rates.setdefault(f"{loop} {kind}", []).append(rate)
        transport.close()
    for loop in LOOPS:
        bare, ours = median(rates[f"{loop} bare"]), median(rates[f"{loop} ours"])
        print(f"{loop:9} bare {bare:8,.0f}/s   ours {ours:8,.0f}/s   {ours / bare:.0%}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
