"""How often the intervals of every estimator hold the truth: the tables of docs/coverage.md.

    .venv/bin/python -m benchmarks.coverage [logs per cell, 2000] [--jobs 2]

Logs are drawn from worlds whose truth is computed by enumeration, each from its own seed; at
n = 30,000 half as many. Two questions are asked of a bootstrap interval of 95 %: whether it holds
the value that the estimator has on an endless log (is the interval right?), and whether it holds
the policy's value (is the estimator, too?). They differ for estimators that are biased by design:
their bias in these worlds is computed exactly, and stands beside.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from benchmarks.clicks import SLOTS, World
from evaluation import (
    SLATE_ESTIMATORS,
    Accumulator,
    ConfidenceSequence,
    Pair,
    Promise,
    Rounds,
    Trust,
    named,
    watch,
    watch_apart,
)
from evaluation.estimators.algebra import Estimator
from evaluation.intervals.bootstrap import percentile
from evaluation.intervals.guaranteed import bernstein_of

SIZES = (300, 3_000, 30_000)
SINGLE = (
    *("IPS", "SNIPS", "DM", "DR", "SNDR", "MRDR", "MIPS", "OffCEM"),
    *("Clipped-IPS:3", "Switch-DR:3", "DRos:10", "SG-IPS:0.1", "SG-DR:0.1"),
    *("Clipped-IPS", "Switch-DR", "DRos", "SG-IPS", "SG-DR"),
)
SLATED = tuple(SLATE_ESTIMATORS)
REPLICATES = 200
LOOKS = 40
OUT = Path(__file__).parent.parent / "docs" / "coverage.md"

FREQUENT, RARE = World(0.2), World(0.01)
MILD, HEAVY = World(0.2, 0.5), World(0.2)
"""Of slates: weights are products over slots, so a target that is as far off the logging policy as
in the worlds of single slots makes heavy ones."""


def limit(estimator: Estimator[Rounds], world: World) -> float:
    """Return an estimator's value on an endless log."""
    cells, likely = world.everything()
    total = 0.0
    for part in estimator.parts:
        over = float(likely @ part.over(cells))
        total += over / float(likely @ part.under(cells)) if part.under else over
    return total


def single(world: World, n: int, logs: int, jobs: int = 1) -> list[list[Any]]:
    """Return name, bias, coverage of limit, of truth, by percentiles, and width of estimators."""
    limits = [limit(e.honest, world) for e in named(SINGLE)]

    def one(seed: int) -> np.ndarray:
        accumulator = Accumulator(named(SINGLE), seed=seed, replicates=REPLICATES)
        accumulator.add(world.draw(n, seed))
        found = []
        for estimate, value in zip(accumulator.results(), limits, strict=True):
            low, high = percentile(estimate.replicates, 0.95)
            found.append(
                (
                    estimate.low <= value <= estimate.high,
                    estimate.low <= world.truth <= estimate.high,
                    low <= value <= high,
                    (estimate.high - estimate.low) / world.truth,
                )
            )
        return np.array(found, dtype=np.float64)

    found = np.stack(many(one, logs, jobs))
    shares, widths = found.mean(axis=0), np.median(found[..., 3], axis=0)
    return [
        [name, limits[i] / world.truth - 1.0, *shares[i, :3], widths[i]]
        for i, name in enumerate(SINGLE)
    ]


def slated(world: World, n: int, logs: int, jobs: int = 1) -> list[list[Any]]:
    """Return name, coverage, width, effective size and share not trusted of slate estimators."""
    estimators = [SLATE_ESTIMATORS[name](SLOTS) for name in SLATED]

    def one(seed: int) -> np.ndarray:
        accumulator = Accumulator(estimators, seed=seed, replicates=REPLICATES)
        accumulator.add(world.draw_slates(n, seed))
        return np.array(
            [
                (
                    estimate.low <= world.slate_truth <= estimate.high,
                    (estimate.high - estimate.low) / world.slate_truth,
                    estimate.diagnostics.effective_size,
                    estimate.verdict.trust is Trust.NO,
                )
                for estimate in accumulator.results()
            ],
            dtype=np.float64,
        )

    found = np.stack(many(one, logs, jobs))
    mean, median = found.mean(axis=0), np.median(found, axis=0)
    return [[name, mean[i, 0], *median[i, 1:3], mean[i, 3]] for i, name in enumerate(SLATED)]


def bounded(world: World, n: int, logs: int, jobs: int = 1) -> list[list[Any]]:
    """Return interval, estimator, coverage and width of Bernstein intervals and sequences."""
    promises = {
        "no bound on weights": Promise(),
        "largest weight known": Promise(largest_weight=world.largest_weight),
    }
    rows: list[list[Any]] = []
    for method in ("IPS", "SNIPS", "DR"):
        (estimator,) = named([method])

        def once(seed: int, estimator: Any = estimator) -> tuple[bool, float]:
            accumulator = Accumulator([estimator], seed=seed, replicates=5)
            accumulator.add(world.draw(n, seed))
            promise = promises["largest weight known"]
            ends = lambda at, settled, log: bernstein_of(settled, log, promise, 0.95)  # noqa: E731
            (found,) = accumulator.results(None, ends)
            width = (found.high - found.low) / world.truth
            return found.low <= world.truth <= found.high, width

        rows.append(["Bernstein", method, *held(once, logs, jobs)])
        for words, promise in promises.items():

            def alone(seed: int, method: Any = method, promise: Promise = promise) -> Any:
                log = world.draw(n, seed)
                return always(watch(method, promise), log, part, world.truth, world)

            def apart(seed: int, method: Any = method, promise: Promise = promise) -> Any:
                log = world.draw_pair(n, seed)
                return always(watch_apart(method, promise), log, part_of_pair, world.lead, world)

            rows.append([f"sequence, {words}", method, *held(alone, logs, jobs)])
            name = f"{method} difference"
            rows.append([f"sequence, {words}", name, *held(apart, logs, jobs)])
    return rows


def always(
    sequence: ConfidenceSequence[Any], log: Any, cut: Callable[..., Any], value: float, world: World
) -> tuple[bool, float]:
    """Return whether a sequence holds a value at all looks, and its width at the end."""
    looks = np.unique(np.geomspace(10, len(log.keys), LOOKS).astype(int))
    start, holds = 0, True
    for end in looks:
        sequence.add(cut(log, np.arange(start, end)))
        start = int(end)
        holds = holds and not sequence.rules_out(value)
    low, high = sequence.interval()
    return holds, (high - low) / world.truth


def held(one: Callable[[int], tuple[bool, float]], logs: int, jobs: int) -> tuple[float, float]:
    """Return the share of logs whose interval holds, and the median width."""
    found = np.array(many(one, logs, jobs), dtype=np.float64)
    return float(found[:, 0].mean()), float(np.median(found[:, 1]))


def many(one: Callable[[int], Any], logs: int, jobs: int) -> list[Any]:
    """Return what comes of every log."""
    found = Parallel(n_jobs=jobs, batch_size=20)(delayed(one)(seed) for seed in range(logs))
    return list(found)


def part(log: Rounds, index: np.ndarray) -> Rounds:
    """Return some of the rounds, without views."""
    fields = ("reward", "logged", "target", "keys", "q", "v")
    return Rounds(**{name: getattr(log, name)[index] for name in fields})


def part_of_pair(log: Pair[Rounds], index: np.ndarray) -> Pair[Rounds]:
    """Return some of the rounds of a pair."""
    return Pair(part(log.candidate, index), part(log.incumbent, index))


def line(n: int, row: list[Any], percents: set[int]) -> str:
    """Return a row of a table: n after the name, shares as percents."""
    cells = [str(row[0]), f"{n:,}"]
    for at, cell in enumerate(row[1:], start=1):
        if isinstance(cell, str):
            cells.append(cell)
        elif at in percents:
            cells.append(f"{cell:.1%}".replace("-0.0%", "0.0%"))
        else:
            cells.append(f"{cell:,.0f}" if cell >= 100 else f"{cell:.2f}")
    return f"| {' | '.join(cells)} |"


def table(
    title: str,
    words: str,
    head: str,
    rows: Callable[[int, int], list[list[Any]]],
    counts: dict[int, int],
    percents: set[int],
) -> list[str]:
    """Return a section with a table over all sizes of logs."""
    lines = ["", f"## {title}", "", words, "", head, "|" + "---|" * (head.count("|") - 1)]
    for n in SIZES:
        lines += [line(n, row, percents) for row in rows(n, counts[n])]
        print(f"{title}: n = {n:,} done", file=sys.stderr)
    return lines


def main() -> None:
    """Write the tables."""
    given = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    given.add_argument("logs", nargs="?", type=int, default=2000, help="logs per cell (2000)")
    given.add_argument("--jobs", type=int, default=1, help="processes (1)")
    given.add_argument("--out", type=Path, default=OUT, help="where to write the tables")
    asked = given.parse_args()
    logs, jobs = asked.logs, asked.jobs
    counts = {n: logs if n < 30_000 else max(1, logs // 2) for n in SIZES}
    fewer = {n: max(1, count // 4) for n, count in counts.items()}
    error = sqrt(0.95 * 0.05 / logs)
    lines = [
        "# Coverage: how often the intervals hold what they should",
        "",
        f"Made by `.venv/bin/python -m benchmarks.coverage {logs}`: {logs:,} logs per cell "
        f"({counts[30_000]:,} at n = 30,000), intervals of 95 %, {REPLICATES} resamples. A "
        f"coverage of 95 % is known to ± {error:.1%} (one standard error; ± {error * sqrt(2):.1%} "
        "at n = 30,000). Widths are medians, in units of the true value. "
        "[evaluation.md](evaluation.md) says what to make of it.",
    ]
    for world, name in ((FREQUENT, "frequent rewards (20 %)"), (RARE, "rare rewards (1 %)")):
        lines += table(
            f"Bootstrap intervals, {name}",
            "Bias: of the estimator on an endless log of this world, relative to the truth; with "
            "a bias that is not 0 an interval can hold the estimator's own limit, and not the "
            "truth, once the log is long enough. Tuned estimators (without a parameter) have the "
            "interval, and the limit, of their untamed candidate.",
            "| estimator | n | bias | holds its own limit | holds the truth "
            "| percentiles would hold the limit | width / truth |",
            partial(single, world, jobs=jobs),
            counts,
            {1, 2, 3, 4},
        )
    for world, name, words in (
        (MILD, "slates of three", "All assumptions hold: no estimator is biased."),
        (
            HEAVY,
            "slates of three, heavy weights",
            "The evaluated policy is further from the logging one. Where the effective size is "
            "small no resample can show what is not in the log; the verdict tells.",
        ),
    ):
        lines += table(
            f"Bootstrap intervals, {name}",
            words,
            '| estimator | n | holds the truth | width / truth | effective size | "do not trust" |',
            partial(slated, world, jobs=jobs),
            counts,
            {1, 4},
        )
    lines += table(
        "Intervals with a guarantee",
        f"Bernstein intervals are looked at once, at n; confidence sequences {LOOKS} times on the "
        f"way there, and have to hold the truth every time ({fewer[3_000]:,} logs per cell, "
        f"{fewer[30_000]:,} at n = 30,000). Differences are the evaluated policy's value minus "
        "the logging policy's.",
        "| interval | n | of | holds the truth | width / truth |",
        partial(bounded, FREQUENT, jobs=jobs),
        fewer,
        {2},
    )
    asked.out.write_text("\n".join(lines) + "\n")
    print(f"wrote {asked.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
