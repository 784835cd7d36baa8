"""What a worker takes by itself, over the memory bus: no client, no broker.

    .venv/bin/python -m benchmarks.core [--sessions N] [--rounds N] [--interactions N]

The backlog of `benchmarks.live` lies in a memory bus. It is worked off in large batches, for the
processor time an event costs, step by step; then one event at a time, for what a batch costs
however small it is. Medians over the rounds; a first one, which compiles the kernels, is not
counted. The bus's own work, about a sixth, is in the figures.
"""

from __future__ import annotations

import argparse
import time
from contextlib import closing
from statistics import median

from agents import from_spec
from benchmarks.feed import Feed, announce, config_of, send
from benchmarks.live import POLICY
from streaming import Worker
from streaming.transport import MemoryBus

_ALONE = 500
"""How many batches of one event are timed."""


def backlog(feed: Feed, sessions: int, batch: int) -> tuple[Worker, int]:
    """Return a worker before a backlog, and how many events that has."""
    bus, config = MemoryBus(), config_of("core.", batch_size=batch)
    announce(bus, config, feed)
    events = send(bus, config, feed.events(sessions))
    return Worker(bus, lambda: from_spec(POLICY), config), events


def throughput(feed: Feed, sessions: int) -> dict[str, float]:
    """Return the microseconds that an event takes: of processor time, and by the clock by step."""
    worker, events = backlog(feed, sessions, 5000)
    with closing(worker):
        began, left = time.process_time(), events
        while left > 0:
            left -= worker.step(1.0)
        busy = time.process_time() - began
        return {
            "in all": 1e6 * busy / events,
            "interactions/s": sessions * feed.interactions / busy,
            **{step: 1e6 * spent / events for step, spent in worker.stopwatch.seconds.items()},
        }


def latency(feed: Feed) -> float:
    """Return the microseconds by the clock that a batch of one event takes."""
    worker, _ = backlog(feed, _ALONE, 1)
    times = []
    with closing(worker):
        for _ in range(2 * _ALONE):
            began = time.perf_counter()
            worker.step()
            times.append(time.perf_counter() - began)
    return 1e6 * median(times[_ALONE:])


def main() -> None:
    """Measure, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--interactions", type=int, default=5, help="how many a session has")
    options = parser.parse_args()
    feed = Feed(interactions=options.interactions)
    throughput(feed, 1500)
    rounds = [throughput(feed, options.sessions) for _ in range(options.rounds)]
    for name in rounds[0]:
        print(f"{name:16}{median(one[name] for one in rounds):10,.1f}")
    print(f"{'a batch of one':16}{median(latency(feed) for _ in range(options.rounds)):10,.1f}")


if __name__ == "__main__":
    main()
