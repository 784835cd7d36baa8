"""How many events a second each policy decides and learns, on one core, beside other libraries.

    .venv/bin/python -m benchmarks.policies [seconds per line]

An event is one request decided and its outcome learned. Times are CPU times, so that other work on
the machine weighs less; the median and the quiet end (the fastest twentieth) of many batches are
given. Other libraries (`benchmarks.rivals`) get an environment of their own, made once in the
user's cache, because some of them need older packages. Writes docs/agents/speed.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from platformdirs import user_cache_path

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
    ("hybrid-linucb:interactions=false", 100, 20, 20, 1),
    ("logistic-ts:shared=false", 100, 20, 0, 1),
    ("neural-linear", 100, 20, 20, 1),
    ("bootstrap:interactions=false", 20, 5, 5, 1),
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


PAGE = Path(__file__).resolve().parent.parent / "docs" / "agents" / "speed.md"

PEERS = ("vowpalwabbit==9.11.9", "sb-obp==0.5.10", "river==0.23.0", "mabwiser==2.7.4")
"""What is installed beside us; `numpy` is plain NumPy in our own environment."""

Line = tuple[str, int, float, float, float]
"""Name, batch, microseconds to decide and to learn an event (medians), and both on quiet turns."""


def measure(spec: str, batch: int, asked: Requests, seconds: float) -> Line:
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
    return spec, batch, float(middle[0]), float(middle[1]), float(quiet.sum())


def peers_python() -> str:
    """Return the Python of the peers' environment, made and filled when it is not there."""
    home = user_cache_path("recloop") / "peers" / "bandits"
    python, done = home / "bin" / "python", home / "installed"
    if not done.is_file() or done.read_text() != " ".join(PEERS):
        print(f"installing {', '.join(PEERS)} into {home}", file=sys.stderr)
        for command in (
            [sys.executable, "-m", "venv", str(home)],
            [str(python), "-m", "pip", "install", "--quiet", *PEERS],
        ):
            subprocess.run(command, check=True)  # noqa: S603 - fixed programs
        done.write_text(" ".join(PEERS))
    return str(python)


def measure_peers(python: str, names: list[str], seconds: float) -> list[Line]:
    """Return the lines of other libraries, each measured in a process of one thread."""
    script = str(Path(__file__).with_name("rivals.py"))
    run = subprocess.run(  # noqa: S603 - our own script
        [python, script, str(seconds), *names],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
    )
    return [tuple(json.loads(line)) for line in run.stdout.splitlines()]


def page(ours: list[Line], others: list[Line], seconds: float) -> str:
    """Return docs/agents/speed.md."""
    numpy = {batch: decide + learn for name, batch, decide, learn, _ in others if name == "numpy"}
    text = f"""# How fast the policies are

    .venv/bin/python -m benchmarks.policies {seconds:g}

This page was written by the command. An event is one request decided and its outcome learned. \
Times are CPU times of one core, medians,
on a shared virtual machine that others were busy on: compare within the run, with plain NumPy.

## LinUCB beside others: 100 arms, 20 context features

| | events/s at batch 1 | times plain NumPy | events/s at batch 256 | times plain NumPy |
|---|---|---|---|---|
"""
    kinds = ("linucb:shared=false", "lints:shared=false")
    rows = [line for line in ours if line[0] in kinds] + others
    for name in dict.fromkeys(line[0] for line in rows):
        cells = {line[1]: line[2] + line[3] for line in rows if line[0] == name}
        parts = [
            f"{1e6 / cells[b]:,.0f} | {numpy[b] / cells[b]:.2f}" if b in cells else " | "
            for b in (1, 256)
        ]
        text += f"| {NAMES.get(name, name)} | {' | '.join(parts)} |\n"
    text += """
## All that learn

| policy | candidates | context | item features | slots | batch | events/s | on quiet turns | \
decide, µs | learn, µs |
|---|---|---|---|---|---|---|---|---|---|
"""
    shapes = {line[0]: line[1:] for line in LINES}
    for spec, batch, decide, learn, quiet in ours:
        shape = " | ".join(str(n) for n in shapes[spec])
        speed = f"{1e6 / (decide + learn):,.0f} | {1e6 / quiet:,.0f}"
        text += f"| `{spec}` | {shape} | {batch} | {speed} | {decide:.1f} | {learn:.1f} |\n"
    return text


NAMES = {
    "linucb:shared=false": "**`linucb:shared=false`**",
    "lints:shared=false": "**`lints:shared=false`** (64 draws a decision)",
    "numpy": "plain NumPy (`benchmarks/rivals.py`)",
    "vowpalwabbit": "vowpalwabbit 9.11 (`--cb_explore`, gradient steps, from Python)",
    "sb-obp": "sb-obp 0.5.10 (`LinUCB`)",
    "river": "river 0.23 (`bandit.LinUCBDisjoint`)",
    "mabwiser": "mabwiser 2.7 (`LearningPolicy.LinUCB`)",
}


def main() -> None:
    """Measure, print, and write the page."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    python, ours = peers_python(), []
    others = measure_peers(sys.executable, ["numpy"], seconds)
    for batch in (1, 256):
        for spec, candidates, context, features, slots in LINES:
            asked = requests(batch, candidates, context, features, slots)
            ours.append(measure(spec, batch, asked, seconds))
            print(spec, batch, f"{1e6 / sum(ours[-1][2:4]):,.0f} events/s", flush=True)
    others += measure_peers(python, ["vowpalwabbit", "sb-obp", "river", "mabwiser"], seconds)
    PAGE.write_text(page(ours, others, seconds))
    print(PAGE.read_text())


if __name__ == "__main__":
    main()
