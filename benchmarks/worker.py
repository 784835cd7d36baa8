"""How many events a second one worker works off, and where its time goes.

    .venv/bin/python -m benchmarks.worker [rankings] [policy]

A synthetic log (80 items with 5 features, contexts of 20 numbers, slates of 3, a click on every
tenth slot, 1,000 users) is replayed into two partitions and then worked off: over the memory bus,
and over each Kafka client against a fresh embedded broker. The policy regresses on 26 features by
default. Beside the wall clock stands the worker's own processor time, which a busy machine does not
stretch. At the end the worker is restored from its topics.
"""

from __future__ import annotations

import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from agents import Catalogue, Decisions, Outcomes, Requests, from_spec
from agents.streams import derive
from streaming import CONTEXT, FEATURES, Rules, Worker, WorkerConfig, replay_log, schema_of
from streaming.transport import EmbeddedBroker, MemoryBus, connect

if TYPE_CHECKING:
    from streaming import Transport

ITEMS, USERS, K, D, F = 80, 1000, 3, 20, 5
CONFIG = WorkerConfig(
    users=schema_of(CONTEXT, D), items=schema_of(FEATURES, F), partitions=2, rules=Rules()
)


def synthetic(rows: int) -> Outcomes:
    """Return a log of random slates, 100 ms apart."""
    rng = np.random.default_rng(0)
    contexts = rng.normal(size=(USERS, D)).astype(np.float32)
    user = rng.integers(0, USERS, size=rows)
    slates = np.argsort(rng.random((rows, ITEMS)), axis=1)[:, :K]
    names = [f"item{n}" for n in range(ITEMS)]
    origin = np.full(rows, 1, dtype=np.uint64)
    time_ = 10**12 + 100 * np.arange(rows)
    requests = Requests(
        keys=derive(origin, np.arange(rows, dtype=np.uint64)),
        users=derive(origin, user.astype(np.uint64) + np.uint64(2**32)),
        context=contexts[user],
        candidates=np.tile(np.arange(ITEMS), (rows, 1)),
        items=Catalogue.of(names, rng.normal(size=(ITEMS, F))),
        positions=np.tile(np.arange(K), (rows, 1)),
        time=time_,
    )
    decisions = Decisions(
        slates, np.full((rows, K), 1.0 / ITEMS), np.zeros(rows, dtype=np.int64), "random"
    )
    rewards = (rng.random((rows, K)) < 0.1).astype(np.float32)
    return Outcomes(requests, decisions, rewards, np.ones((rows, K), dtype=np.bool_), time_ + 50)


def measure(transport: Transport, log: Outcomes, policy: str) -> str:
    """Replay a log, work it off, and return what it took."""
    told = replay_log(transport, log, CONFIG)
    events = sum(count for kind, count in told.sent.items() if kind != "items")
    with closing(Worker(transport, lambda: from_spec(policy), CONFIG)) as worker:
        began, busy, left = time.perf_counter(), time.process_time(), events
        while left:
            left -= worker.step(1.0)
        taken, busy = time.perf_counter() - began, time.process_time() - busy
        steps = ", ".join(f"{step} {spent:.1f}" for step, spent in worker.stopwatch.seconds.items())
    began = time.perf_counter()
    Worker(transport, lambda: from_spec(policy), CONFIG).close()
    restored = time.perf_counter() - began
    return (
        f"{events / taken:7,.0f} events/s, {events / busy:7,.0f} by processor time; "
        f"seconds: {steps}; restored in {restored:.1f} s"
    )


def main(rows: int, policy: str) -> None:
    """Measure every transport."""
    log = synthetic(rows)
    measure(MemoryBus(), log.take(np.arange(min(rows, 200))), policy)  # compiles the kernels
    print(f"{'memory bus':16}", measure(MemoryBus(), log, policy))
    for client in ("kafka-python", "confluent-kafka"):
        with (
            EmbeddedBroker() as broker,
            closing(connect(broker.bootstrap_servers, client=client)) as transport,
        ):
            print(f"{client:16}", measure(transport, log, policy))


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 10_000,
        sys.argv[2] if len(sys.argv) > 2 else "linucb:interactions=false+epsilon=0.1",
    )
