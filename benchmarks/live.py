"""How fast the live loop is, beside bare client loops that do nothing but move the same messages.

    .venv/bin/python -m benchmarks.live [--sessions N] [--rounds N] [--client NAME]
        [--interactions N] [--policy SPEC]

A backlog of sessions (see `benchmarks.feed`) lies in two partitions of a fresh embedded broker. A
worker works it off: decode, join, learn (a linear bandit and a River classifier), decide, publish.
Then a bare loop of the same client consumes the same feedback in transactions of the same batch
size, and in each produces its share of the very records that the worker wrote, to topics of the
same shape: what no worker can be faster than, if it uses the client in the plain way. The two take
turns, and medians are printed; beside the wall clock stands the processor time of this process,
which other work on the machine stretches less. The first round of each is not counted: it compiles
the kernels, and fills the caches.
"""

from __future__ import annotations

import argparse
import time
from contextlib import closing
from dataclasses import dataclass
from itertools import count, islice
from statistics import median
from typing import TYPE_CHECKING, Any

import confluent_kafka as confluent
import kafka
from kafka.structs import OffsetAndMetadata, TopicPartition

from agents import from_spec
from benchmarks.bare import confluent_consumer
from benchmarks.feed import Feed, announce, config_of, send
from streaming import Worker
from streaming.collector import settled
from streaming.restore import read_topic
from streaming.transport import EmbeddedBroker, connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streaming import Transport, WorkerConfig
    from streaming.transport.api import Record

CLIENTS = ("kafka-python", "confluent-kafka")
POLICY = "linucb:interactions=false+epsilon=0.1"
_names = count()


@dataclass(frozen=True, slots=True)
class Run:
    """How long something took: seconds of the wall clock, and of this process's processor time."""

    wall: float
    busy: float


class _Clock:
    """Measures a `Run`."""

    def __init__(self) -> None:
        self._wall, self._busy = time.perf_counter(), time.process_time()

    def read(self) -> Run:
        """Return how long it has been."""
        return Run(time.perf_counter() - self._wall, time.process_time() - self._busy)


def work(servers: str, client: str, config: WorkerConfig, policy: str, events: int) -> Run:
    """Work a backlog off."""
    with (
        closing(connect(servers, client=client)) as transport,
        closing(Worker(transport, lambda: from_spec(policy), config)) as worker,
        settled(),  # as in Worker.run
    ):
        clock, left = _Clock(), events
        while left > 0:
            left -= worker.step(1.0)
        run = clock.read()
        steps = worker.stopwatch.seconds
    print("    ", ", ".join(f"{step} {spent:.2f}" for step, spent in steps.items()), flush=True)
    return run


def written(transport: Transport, config: WorkerConfig) -> list[Record]:
    """Return all that a worker wrote, topic by topic in turns, as a batch has them."""
    topics = config.topics
    names = (topics.outcomes, topics.recommendations, topics.decisions, topics.state, topics.model)
    by_topic = [[r for rs in read_topic(transport, name) for r in rs] for name in names]
    total = sum(map(len, by_topic))
    places = sorted((i / len(rs), n, i) for n, rs in enumerate(by_topic) for i in range(len(rs)))
    assert len(places) == total
    return [by_topic[n][i] for _, n, i in places]


def shares(records: list[Record], events: int, batch: int) -> Iterator[list[Record]]:
    """Return the records that belong to each batch of events, by their share."""
    it, done = iter(records), 0
    for end in range(batch, events + batch, batch):
        due = round(len(records) * min(end, events) / events)
        yield list(islice(it, due - done))
        done = due


def bare_kafka_python(
    servers: str, config: WorkerConfig, out: str, records: list[Record], events: int
) -> Run:
    """Consume the feedback and produce the records, as the client's documentation shows it."""
    name = f"bare-{next(_names)}"
    producer = kafka.KafkaProducer(
        bootstrap_servers=servers,
        transactional_id=name,
        max_request_size=2**30,
        metrics_enabled=False,
    )
    producer.init_transactions()
    consumer = kafka.KafkaConsumer(
        bootstrap_servers=servers,
        group_id=name,
        isolation_level="read_committed",
        enable_auto_commit=False,
        receive_message_max_bytes=2**31 - 1,
        metrics_enabled=False,
    )
    feedback = [TopicPartition(config.topics.feedback, p) for p in range(config.partitions)]
    consumer.assign(feedback)
    consumer.seek_to_beginning(*feedback)
    batch, seen, done = config.batch_size, 0, 0
    clock = _Clock()
    while seen < events:
        polled = consumer.poll(timeout_ms=200, max_records=batch)
        if not polled:
            continue
        seen += sum(map(len, polled.values()))
        due = round(len(records) * seen / events)
        producer.begin_transaction()
        futures = [
            producer.send(out, r.value, key=r.key, partition=r.partition) for r in records[done:due]
        ]
        offsets = {at: OffsetAndMetadata(rs[-1].offset + 1, "", -1) for at, rs in polled.items()}
        producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
        producer.flush()
        for future in futures:
            future.get()
        producer.commit_transaction()
        done = due
    run = clock.read()
    producer.close()
    consumer.close()
    return run


def bare_confluent_kafka(
    servers: str, config: WorkerConfig, out: str, records: list[Record], events: int
) -> Run:
    """Do the same with the other client."""
    name = f"bare-{next(_names)}"
    producer = confluent.Producer(
        {"bootstrap.servers": servers, "transactional.id": name, "log_level": 0}
    )
    producer.init_transactions()
    feedback = config.topics.feedback
    consumer = confluent_consumer(servers, feedback, name, config.partitions)
    batch, seen, done = config.batch_size, 0, 0
    clock = _Clock()
    while seen < events:
        polled: list[Any] = consumer.consume(batch, 0.2)
        if not polled:
            continue
        seen += len(polled)
        due = round(len(records) * seen / events)
        producer.begin_transaction()
        for r in records[done:due]:
            _produce(producer, out, r)
        ends = {message.partition(): message.offset() + 1 for message in polled}
        offsets = [confluent.TopicPartition(feedback, p, at) for p, at in ends.items()]
        producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata())
        producer.commit_transaction()
        done = due
    run = clock.read()
    consumer.close()
    return run


def _produce(producer: Any, topic: str, record: Record) -> None:
    while True:
        try:
            return producer.produce(  # type: ignore[no-any-return]
                topic, record.value, record.key, record.partition
            )
        except BufferError:
            producer.poll(0.05)


BARE = {"kafka-python": bare_kafka_python, "confluent-kafka": bare_confluent_kafka}


def measure(client: str, feed: Feed, sessions: int, rounds: int, policy: str) -> None:
    """Let a worker and the bare loop take turns, and print their medians."""
    runs: dict[str, list[Run]] = {"worker": [], "bare": []}
    for turn in range(rounds + 1):
        with (
            EmbeddedBroker() as broker,
            closing(connect(broker.bootstrap_servers, client="confluent-kafka")) as transport,
        ):
            servers = broker.bootstrap_servers
            config = config_of("loop.")
            announce(transport, config, feed)
            events = send(transport, config, feed.events(sessions if turn else 1500))
            worker = work(servers, client, config, policy, events)
            records = written(transport, config)
            out = config_of("bare.")
            transport.ensure_topics([out.topics.specs(out.partitions)[3]])
            bare = BARE[client](servers, config, out.topics.decisions, records, events)
            if turn:
                runs["worker"].append(worker)
                runs["bare"].append(bare)
                size = sum(len(r.value or b"") + len(r.key or b"") for r in records)
    interactions = sessions * feed.interactions
    print(
        f"{client}: {events:,} events, {interactions:,} of them interactions; "
        f"{len(records):,} records of {size / len(records):.0f} bytes written"
    )
    for kind, some in runs.items():
        wall, busy = median(r.wall for r in some), median(r.busy for r in some)
        print(
            f"  {kind:7} {events / wall:9,.0f} events/s  {interactions / wall:9,.0f} interactions/s"
            f"  by processor time {events / busy:9,.0f}  {interactions / busy:9,.0f}"
        )
    pairs = list(zip(runs["worker"], runs["bare"], strict=True))
    print(
        f"  worker / bare: {median(b.wall / w.wall for w, b in pairs):.0%} by the clock, "
        f"{median(b.busy / w.busy for w, b in pairs):.0%} by processor time"
    )


def main() -> None:
    """Measure each client."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--interactions", type=int, default=5, help="how many a session has")
    parser.add_argument("--client", choices=CLIENTS, action="append")
    parser.add_argument("--policy", default=POLICY)
    options = parser.parse_args()
    for client in options.client or CLIENTS:
        feed = Feed(interactions=options.interactions)
        measure(client, feed, options.sessions, options.rounds, options.policy)


if __name__ == "__main__":
    main()
