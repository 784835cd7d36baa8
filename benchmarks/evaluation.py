"""How fast and how large an evaluation with intervals is, beside sb-obp where it is installed.

    .venv/bin/python -m benchmarks.evaluation [python of an environment with sb-obp]

See benchmarks/parity.py for that environment. Each side is measured in a process of its own: wall
time of the work alone, and the peak of resident memory over that of the idle process.
"""

from __future__ import annotations

import subprocess
import sys

HEAD = """
import resource, sys, time
import numpy as np
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def told(what, start, idle):
    print(f"{what:60} {time.perf_counter() - start:8.2f} s {peak() - idle:8.0f} MB", flush=True)
rng = np.random.default_rng(0)
"""

OURS = (
    HEAD
    + """
from evaluation import SLATE_ESTIMATORS, Accumulator, Rounds, Slates, named
def rounds(n, actions):
    chances = rng.dirichlet(np.ones(actions), size=n)
    q = rng.random((n, actions)) * 0.2
    a = rng.integers(actions, size=n)
    rows = np.arange(n)
    reward = (rng.random(n) < 0.1).astype(float)
    keys = rng.integers(0, 1 << 63, n).astype(np.uint64)
    v = np.einsum("ba,ba->b", chances, q)
    return Rounds(reward, np.full(n, 1 / actions), chances[rows, a], keys, q[rows, a], v)
def slates(n):
    reward = (rng.random((n, 5)) < 0.1).astype(float)
    keys = rng.integers(0, 1 << 63, n).astype(np.uint64)
    return Slates(reward, np.full((n, 5), 0.2), rng.uniform(0.1, 0.3, (n, 5)), keys)
warm = Accumulator(named(["DR"]), replicates=100)
warm.add(rounds(10, 10)); warm.results()
idle = peak()
for n in (100_000, 1_000_000, 4_000_000):
    start, ours = 0.0, Accumulator(named(["DR"]), replicates=100)
    spent = 0.0
    for _ in range(n // 50_000):
        chunk = rounds(50_000, 10)
        start = time.perf_counter()
        ours.add(chunk)
        spent += time.perf_counter() - start
    start = time.perf_counter() - spent
    ours.results()
    told(f"ours: {n:,} rounds x 10 actions, DR + 100 resamples", start, idle)
ours, start = Accumulator(named(["DR"]), replicates=100), time.perf_counter()
for _ in range(100):
    ours.add(rounds(1_000, 1_000))
ours.results()
told("ours: 100,000 rounds x 1,000 actions in chunks, DR + 100", start, idle)
made = slates(16_000)
start, ours = time.perf_counter(), Accumulator([SLATE_ESTIMATORS["RIPS"](5)], replicates=100)
ours.add(made); ours.results()
told("ours: 16,000 slates of 5, RIPS + 100 resamples", start, idle)
"""
)

THEIRS = (
    HEAD
    + """
from obp.ope import DoublyRobust, SlateRewardInteractionIPS
n, actions = 1_000_000, 10
dist = rng.dirichlet(np.ones(actions), size=n)[:, :, None]
q = rng.random((n, actions, 1)) * 0.2
given = dict(
    reward=(rng.random(n) < 0.1).astype(float), action=rng.integers(actions, size=n),
    pscore=np.full(n, 1 / actions), action_dist=dist, estimated_rewards_by_reg_model=q,
)
idle, start = peak(), time.perf_counter()
DoublyRobust().estimate_interval(**given, n_bootstrap_samples=100, random_state=0)
told("sb-obp: 1,000,000 rounds x 10 actions, DR + 100 resamples", start, idle)
n, slots = 16_000, 5
pscore = np.cumprod(np.full((n, slots), 0.2), axis=1).ravel()
given = dict(
    slate_id=np.repeat(np.arange(n), slots), reward=(rng.random(n * slots) < 0.1).astype(float),
    position=np.tile(np.arange(slots), n), pscore_cascade=pscore,
    evaluation_policy_pscore_cascade=np.cumprod(
        rng.uniform(0.1, 0.3, (n, slots)), axis=1).ravel(),
)
idle, start = peak(), time.perf_counter()
SlateRewardInteractionIPS(len_list=slots).estimate_interval(
    **given, n_bootstrap_samples=100, random_state=0)
told("sb-obp: 16,000 slates of 5, RIPS + 100 resamples", start, idle)
"""
)


def main() -> None:
    """Measure both sides."""
    subprocess.run([sys.executable, "-c", OURS], check=True)  # noqa: S603 - our own
    for python in sys.argv[1:]:
        command = [python, "-W", "ignore", "-c", THEIRS]
        subprocess.run(command, check=True)  # noqa: S603 - whom the caller named


if __name__ == "__main__":
    main()
