"""How fast and how large an evaluation with intervals is, beside sb-obp: docs/evaluation-speed.md.

    .venv/bin/python -m benchmarks.evaluation [--rounds 100000000]

sb-obp runs in an environment of its own, made at the first run (see benchmarks/peers.py). Each
figure is measured in a process of its own: wall time of the work alone, the median of three where
it is short, and the peak of resident memory over that of the process before the work.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from benchmarks.peers import OBP, python_with

OUT = Path(__file__).parent.parent / "docs" / "evaluation-speed.md"

HEAD = """
import json, resource, sys, time
import numpy as np
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
rng = np.random.default_rng(0)
def tell(seconds, idle): print(json.dumps([seconds, peak() - idle]), flush=True)
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
    v = np.einsum("ba,ba->b", chances, q)
    return Rounds(clicks(n), np.full(n, 1 / actions), chances[rows, a], keys(n), q[rows, a], v)
def quick(n):
    q = rng.random(n) * 0.2
    return Rounds(clicks(n), np.full(n, 0.1), rng.random(n) * 0.2, keys(n), q, q)
def clicks(n): return (rng.random(n) < 0.1).astype(float)
def keys(n): return rng.integers(0, 1 << 63, n).astype(np.uint64)
def slates(n):
    reward = (rng.random((n, 5)) < 0.1).astype(float)
    return Slates(reward, np.full((n, 5), 0.2), rng.uniform(0.1, 0.3, (n, 5)), keys(n))
def new(): return Accumulator(named(["DR"]), replicates=100)
warm = new(); warm.add(rounds(10, 10)); warm.results()
def timed(total, size, draw):
    ours, spent = new(), 0.0
    for _ in range(total // size):
        chunk = draw(size)
        start = time.perf_counter(); ours.add(chunk); spent += time.perf_counter() - start
    start = time.perf_counter(); ours.results()
    return spent + time.perf_counter() - start
"""
)

THEIRS = (
    HEAD
    + """
from obp.ope import DoublyRobust, InverseProbabilityWeighting, SlateRewardInteractionIPS
def rounds(n, actions):
    return dict(
        reward=(rng.random(n) < 0.1).astype(float), action=rng.integers(actions, size=n),
        pscore=np.full(n, 1 / actions),
        action_dist=rng.dirichlet(np.ones(actions), size=n)[:, :, None],
        estimated_rewards_by_reg_model=rng.random((n, actions, 1)) * 0.2)
"""
)

CASES = {
    "rounds": "1,000,000 rounds × 10 actions, DR + 100 resamples",
    "actions": "100,000 rounds × 1,000 actions, DR + 100 resamples, memory with what is evaluated",
    "ips": "100,000 rounds × 1,000 actions, IPS + 100 resamples, memory with what is evaluated",
    "slates": "16,000 slates of 5, RIPS + 100 resamples",
}

OUR_WORK = {
    "rounds": """
idle = peak()
for _ in range(3): tell(timed(1_000_000, 50_000, lambda n: rounds(n, 10)), idle)""",
    "actions": "idle = peak()\ntell(timed(100_000, 1_000, lambda n: rounds(n, 1_000)), idle)",
    "ips": """
new = lambda: Accumulator(named(["IPS"]), replicates=100)
idle = peak()
tell(timed(100_000, 1_000, lambda n: rounds(n, 1_000)), idle)""",
    "slates": """
made, warmed = slates(16_000), Accumulator([SLATE_ESTIMATORS["RIPS"](5)], replicates=100)
warmed.add(made); warmed.results()
idle = peak()
for _ in range(3):
    start, ours = time.perf_counter(), Accumulator([SLATE_ESTIMATORS["RIPS"](5)], replicates=100)
    ours.add(made); ours.results()
    tell(time.perf_counter() - start, idle)""",
}

THEIR_WORK = {
    "rounds": """
given = rounds(1_000_000, 10)
idle = peak()
for _ in range(3):
    start = time.perf_counter()
    DoublyRobust().estimate_interval(**given, n_bootstrap_samples=100, random_state=0)
    tell(time.perf_counter() - start, idle)""",
    "actions": """
idle = peak()
given = rounds(100_000, 1_000)
start = time.perf_counter()
DoublyRobust().estimate_interval(**given, n_bootstrap_samples=100, random_state=0)
tell(time.perf_counter() - start, idle)""",
    "ips": """
idle = peak()
given = rounds(100_000, 1_000)
del given["estimated_rewards_by_reg_model"]
start = time.perf_counter()
InverseProbabilityWeighting().estimate_interval(**given, n_bootstrap_samples=100, random_state=0)
tell(time.perf_counter() - start, idle)""",
    "slates": """
n, slots = 16_000, 5
given = dict(
    slate_id=np.repeat(np.arange(n), slots), reward=(rng.random(n * slots) < 0.1).astype(float),
    position=np.tile(np.arange(slots), n),
    pscore_cascade=np.cumprod(np.full((n, slots), 0.2), axis=1).ravel(),
    evaluation_policy_pscore_cascade=np.cumprod(
        rng.uniform(0.1, 0.3, (n, slots)), axis=1).ravel())
idle = peak()
for _ in range(3):
    start = time.perf_counter()
    SlateRewardInteractionIPS(len_list=slots).estimate_interval(
        **given, n_bootstrap_samples=100, random_state=0)
    tell(time.perf_counter() - start, idle)""",
}

LONG = "idle = peak()\ntell(timed({rounds}, 100_000, quick), idle)"


def measured(python: str, head: str, work: str) -> tuple[float, float]:
    """Return the median of seconds, and megabytes, of some work in a process of its own."""
    command = [python, "-W", "ignore", "-c", head + work]
    said = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - ours
    found = [json.loads(line) for line in said.stdout.splitlines()]
    seconds, memory = zip(*found, strict=True)
    return sorted(seconds)[len(seconds) // 2], memory[0]


def main() -> None:
    """Measure both sides, and write the page."""
    given = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    given.add_argument("--rounds", type=int, default=100_000_000, help="of the longest log")
    given.add_argument("--out", type=Path, default=OUT, help="where to write the page")
    asked = given.parse_args()
    peer = str(python_with(OBP))
    lines = [
        "# How fast and how large an evaluation is",
        "",
        "Made by `.venv/bin/python -m benchmarks.evaluation`: both sides in one run, each in a "
        "process of its own. Seconds are wall time of estimates with their intervals (not of "
        "drawing the log); memory is the peak over the process before the work. The machine had "
        "other work to do: compare, don't quote.",
        "",
        "| | ours | sb-obp 0.5.10 | faster | memory |",
        "|---|---|---|---|---|",
    ]
    for case, words in CASES.items():
        ours = measured(sys.executable, OURS, OUR_WORK[case])
        theirs = measured(peer, THEIRS, THEIR_WORK[case])
        cells = [f"{seconds:.3g} s, {memory:,.0f} MB" for seconds, memory in (ours, theirs)]
        ratio = f"{theirs[0] / ours[0]:.3g} × | 1/{theirs[1] / max(ours[1], 1.0):.3g}"
        lines.append(f"| {words} | {cells[0]} | {cells[1]} | {ratio} |")
        print(lines[-1], file=sys.stderr)
    lines += [
        "",
        "| rounds, DR + 100 resamples | time | per million | memory |",
        "|---|---|---|---|",
    ]
    for rounds in (asked.rounds // 100, asked.rounds // 10, asked.rounds):
        seconds, memory = measured(sys.executable, OURS, LONG.format(rounds=rounds))
        per = seconds / rounds * 1e6
        lines.append(f"| {rounds:,} | {seconds:.3g} s | {per:.3g} s | {memory:,.0f} MB |")
        print(lines[-1], file=sys.stderr)
    asked.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
