"""How soon feedback leads to a fresh recommendation, beside a bare transactional echo.

    .venv/bin/python -m benchmarks.echo [--seconds 15] [--rounds 3] [--client NAME] [--rate 500]

Rankings of users who are all new come at 500 a second, and each leads to a recommendation. A worker
in a process of its own works them; in turns with it a bare loop of the same client, in a process of
its own, writes every message back in a transaction with its offset. A third, the full echo, writes
as many records as the worker has to, of the same size and to the same topics: beside it stands what
deciding costs, without what writing down costs. One and the same reader sees all, and what is
measured is the time from before the send until the reader has the answer. The first second of every
turn is not counted. Medians over the rounds of each round's p50 and p99.
"""

from __future__ import annotations

import argparse
import select
import subprocess
import sys
import time
from contextlib import closing
from statistics import median
from threading import Event, Thread
from typing import TYPE_CHECKING, TypeAlias

import confluent_kafka as confluent
import kafka
import msgspec
import numpy as np
from kafka.structs import OffsetAndMetadata, TopicPartition

from agents import from_spec
from benchmarks.bare import confluent_consumer
from benchmarks.feed import ITEMS, START, Feed, announce, config_of
from benchmarks.live import CLIENTS, POLICY
from streaming import Worker
from streaming.transport import EmbeddedBroker, connect
from streaming.transport.partitioner import partition_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from streaming import WorkerConfig

AT_ONCE = 500


def told_to_stop() -> bool:
    """Return whether standard input was closed."""
    return bool(select.select([sys.stdin], [], [], 0.0)[0])


def _until_told(stop: Event) -> None:
    sys.stdin.read()
    stop.set()


def _written(config: WorkerConfig, full: bool) -> list[tuple[str, int]]:
    """Return where an echo writes every message, and how many bytes it makes of it at least."""
    topics = config.topics
    if not full:
        return [(topics.recommendations, 0)]
    return [(topics.recommendations, 550), (topics.decisions, 550), (topics.state, 600)]


def worker(servers: str, client: str, config: WorkerConfig, _full: bool) -> None:
    """Work until told to stop."""
    with (
        closing(connect(servers, client=client)) as transport,
        closing(Worker(transport, lambda: from_spec(POLICY), config)) as made,
    ):
        stop = Event()
        Thread(target=_until_told, args=(stop,), daemon=True).start()
        print("ready", flush=True)
        made.run(stop)


def bare_kafka_python(servers: str, _client: str, config: WorkerConfig, full: bool) -> None:
    """Write back what comes, until told to stop."""
    producer = kafka.KafkaProducer(bootstrap_servers=servers, transactional_id="echo")
    producer.init_transactions()
    consumer = kafka.KafkaConsumer(
        bootstrap_servers=servers,
        group_id="echo",
        isolation_level="read_committed",
        enable_auto_commit=False,
    )
    consumer.assign([TopicPartition(config.topics.feedback, p) for p in range(config.partitions)])
    written = _written(config, full)
    print("ready", flush=True)
    while not told_to_stop():
        polled = consumer.poll(timeout_ms=200, max_records=AT_ONCE)
        if not polled:
            continue
        producer.begin_transaction()
        sent = [
            producer.send(out, r.value.ljust(size), key=r.key, partition=r.partition)
            for out, size in written
            for records in polled.values()
            for r in records
        ]
        offsets = {at: OffsetAndMetadata(rs[-1].offset + 1, "", -1) for at, rs in polled.items()}
        producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
        producer.flush()
        for future in sent:
            future.get()
        producer.commit_transaction()


def bare_confluent_kafka(servers: str, _client: str, config: WorkerConfig, full: bool) -> None:
    """Do the same with the other client, which waits for nothing."""
    producer = confluent.Producer(
        {"bootstrap.servers": servers, "transactional.id": "echo", "linger.ms": 0, "log_level": 0}
    )
    producer.init_transactions()
    consumer = confluent_consumer(servers, config.topics.feedback, "echo", config.partitions)
    written = _written(config, full)
    print("ready", flush=True)
    while not told_to_stop():
        first = consumer.poll(0.2)
        if first is None:
            continue
        polled = [first, *consumer.consume(AT_ONCE - 1, 0.0)]
        producer.begin_transaction()
        for out, size in written:
            for r in polled:
                producer.produce(out, (r.value() or b"").ljust(size), r.key(), r.partition() or 0)
        ends = {r.partition() or 0: (r.offset() or 0) + 1 for r in polled}
        offsets = [
            confluent.TopicPartition(config.topics.feedback, p, at) for p, at in ends.items()
        ]
        producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata())
        producer.commit_transaction()


Serve: TypeAlias = "Callable[[str, str, WorkerConfig, bool], None]"
BARE: dict[str, Serve] = {
    "kafka-python": bare_kafka_python,
    "confluent-kafka": bare_confluent_kafka,
}
ROLES: dict[str, dict[str, Serve]] = {
    "worker": dict.fromkeys(CLIENTS, worker),
    "bare": BARE,
    "full echo": BARE,
}


def delays(role: str, client: str, seconds: float, rate: int) -> list[float]:
    """Return the seconds from every send to its answer."""
    config = config_of("echo.")
    came: dict[str, float] = {}
    went: dict[str, float] = {}
    with (
        EmbeddedBroker() as broker,
        closing(connect(broker.bootstrap_servers, client="confluent-kafka")) as transport,
    ):
        servers = broker.bootstrap_servers
        announce(transport, config, Feed())
        command = [sys.executable, "-m", "benchmarks.echo", "--serve", role, servers, client]
        process = subprocess.Popen(  # noqa: S603  (this module)
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        reader = confluent_consumer(
            servers, config.topics.recommendations, "reader", config.partitions
        )
        total, over = int(rate * seconds), time.perf_counter() + 3 * seconds + 10

        def read() -> None:
            while len(came) < total and time.perf_counter() < over:
                for message in reader.consume(1000, 0.002):
                    came[(message.key() or b"").decode()] = time.perf_counter()

        thread = Thread(target=read)
        thread.start()
        producer = confluent.Producer(
            {"bootstrap.servers": servers, "linger.ms": 0, "log_level": 0}
        )
        began, sent = time.perf_counter(), 0
        while sent < total:
            due = min(total, int((time.perf_counter() - began) * rate) + 1)
            for n in range(sent, due):
                name = f"user{n}"
                value = msgspec.json.encode(
                    {
                        "event": "ranking",
                        "id": f"r{n}",
                        "timestamp": START + n,
                        "user": name,
                        "items": [{"id": f"item{n % ITEMS}"}],
                    }
                )
                key = name.encode()
                went[name] = time.perf_counter()
                producer.produce(
                    config.topics.feedback, value, key, partition_of(key, config.partitions)
                )
            producer.poll(0)
            sent = due
            time.sleep(0.0005)
        producer.flush()
        thread.join()
        reader.close()
        process.stdin.close()
        process.wait(60)
    return [
        came[name] - at for n, (name, at) in enumerate(went.items()) if n > rate and name in came
    ]


def main() -> None:
    """Let worker and bare echo take turns."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--client", choices=CLIENTS, action="append")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        role, servers, client = options.serve
        return ROLES[role][client](servers, client, config_of("echo."), role == "full echo")
    for client in options.client or CLIENTS:
        found: dict[str, list[tuple[float, float]]] = {role: [] for role in ROLES}
        for _ in range(options.rounds):
            for role in ROLES:
                some = delays(role, client, options.seconds, options.rate)
                p50, p99 = 1000.0 * np.percentile(some, [50, 99])
                found[role].append((float(p50), float(p99)))
                print(f"    {client} {role}: p50 {p50:.1f} ms, p99 {p99:.1f} ms", flush=True)
        middle = {
            role: [median(turn[i] for turn in turns) for i in (0, 1)]
            for role, turns in found.items()
        }
        for role in ("bare", "full echo"):
            ratios = [w / b for w, b in zip(middle["worker"], middle[role], strict=True)]
            print(
                f"{client}: worker {middle['worker'][0]:.1f} / {middle['worker'][1]:.1f} ms, "
                f"{role} {middle[role][0]:.1f} / {middle[role][1]:.1f} ms: "
                f"{ratios[0]:.2f} and {ratios[1]:.2f} times"
            )
    return None


if __name__ == "__main__":
    main()
