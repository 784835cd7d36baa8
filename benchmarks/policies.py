"""How many events a second each policy decides and learns, on one core.

    .venv/bin/python -m benchmarks.policies [seconds per line]

An event is one request decided and its outcome learned. Times are this process's CPU times, so that
other work on the machine weighs less; the median and the quiet end (the fastest twentieth) of many
batches are given.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import numpy as np

from agents import Catalogue, Outcomes, Requests, from_spec

LINES = [  # spec, candidates, context width, item features, slots
    ("uniform", 100, 20, 0, 1),
    ("popular", 100, 20, 0, 1),
    ("ucb1", 100, 20, 0, 1),
    ("bernoulli-ts", 100, 20, 0, 1),
    ("bernoulli-ts:half_life=3600", 100, 20, 0, 1),
    ("gaussian-ts", 100, 20, 0, 1),
    ("exp3", 100, 20, 0, 1),
    ("cascade-ucb", 100, 20, 0, 3),
    ("cascade-ts", 100, 20, 0, 3),
    ("pbm-ucb", 100, 20, 0, 3),
    ("pbm-ts", 100, 20, 0, 3),
    ("linucb:shared=false", 100, 20, 0, 1),
    ("linucb:interactions=false", 100, 20, 20, 1),
    ("linucb", 10, 20, 20, 3),
    ("lints:shared=false", 100, 20, 0, 1),
    ("lints:interactions=false", 100, 20, 20, 1),
    ("lints", 10, 20, 20, 3),
    ("squarecb:interactions=false", 20, 5, 5, 1),
]


def requests(count: int, candidates: int, context: int, features: int, slots: int) -> Requests:
    """Return requests that may be shown every item of one catalogue."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(candidates, features))
    return Requests(
        keys=rng.integers(0, 1 << 63, count).astype(np.uint64),
        users=np.arange(count, dtype=np.uint64),
        context=rng.normal(size=(count, context)).astype(np.float32),
        candidates=np.tile(np.arange(candidates), (count, 1)),
        items=Catalogue.of([str(i) for i in range(candidates)], table),
        positions=np.tile(np.arange(slots), (count, 1)),
        time=np.zeros(count, dtype=np.int64),
    )


def measure(spec: str, batch: int, asked: Requests, seconds: float) -> str:
    """Return one line of the table."""
    policy, rng = from_spec(spec), np.random.default_rng(1)
    won = (rng.random((batch, asked.slate_size)) < 0.3).astype(np.float32)
    deciding: list[float] = []
    learning: list[float] = []
    end = time.perf_counter() + seconds
    while len(deciding) < 5 or time.perf_counter() < end:
        keys = rng.integers(0, 1 << 63, batch).astype(np.uint64)
        now = replace(asked, keys=keys)
        start = time.thread_time()
        decided = policy.decide(now)
        between = time.thread_time()
        policy.update(Outcomes(now, decided, won, np.ones_like(won, np.bool_), now.time))
        deciding.append(between - start)
        learning.append(time.thread_time() - between)
    parts = np.array([deciding, learning])[:, 2:] / batch * 1e6  # the first two compile
    middle, quiet = np.quantile(parts, 0.5, axis=1), np.quantile(parts, 0.05, axis=1)
    return (
        f"{spec:28s}{batch:6d}{1e6 / middle.sum():12,.0f}{1e6 / quiet.sum():12,.0f}"
        f"{middle[0]:12.2f}{middle[1]:12.2f}"
    )


def main() -> None:
    """Print the table."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    print(f"{'policy':28s}{'batch':>6s}{'events/s':>12s}{'quiet':>12s}", end="")
    print(f"{'decide us':>12s}{'learn us':>12s}")
    for batch in (1, 256):
        for spec, candidates, context, features, slots in LINES:
            asked = requests(batch, candidates, context, features, slots)
            print(measure(spec, batch, asked, seconds), flush=True)


if __name__ == "__main__":
    main()
