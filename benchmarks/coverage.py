"""How often the intervals of every estimator hold the truth: the tables of docs/coverage.md.

    .venv/bin/python -m benchmarks.coverage [logs per cell, 500]

Logs are drawn from worlds whose truth is computed by enumeration, with other seeds each; at
n = 30,000 half as many. Two questions are asked of a bootstrap interval of 95 %: whether it holds
the value that the estimator has on an endless log (is the interval right?), and whether it holds
the policy's value (is the estimator, too?). They differ for estimators that are biased.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path

import numpy as np

from agents.streams import derive
from evaluation import (
    SLATE_ESTIMATORS,
    Accumulator,
    Promise,
    Rounds,
    Slates,
    bernstein,
    named,
    watch,
)
from evaluation.chunks.slates import Chances
from evaluation.estimators.algebra import Estimator

SEGMENTS, ITEMS, SLOTS = 5, 10, 3
SIZES = (300, 3_000, 30_000)
SINGLE = (
    *("IPS", "SNIPS", "DM", "DR", "SNDR", "MRDR", "MIPS", "OffCEM"),
    *("Clipped-IPS:3", "Switch-DR:3", "DRos:10", "SG-IPS:0.1", "SG-DR:0.1"),
    *("Clipped-IPS", "Switch-DR"),
)
SLATED = (
    "SIPS",
    "RIPS",
    "IIPS",
    "Cascade-DR",
    "PI",
    "Position-based",
    "SNSIPS",
    "SNRIPS",
    "SNIIPS",
)
EXAMINED = np.array([0.9, 0.6, 0.3])
LABELS = np.arange(ITEMS) // 4
OUT = Path(__file__).parent.parent / "docs" / "coverage.md"


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return chances, row by row."""
    chances = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return chances / chances.sum(axis=-1, keepdims=True)


@dataclass(frozen=True)
class World:
    """Segments of users, items, and three positions that are filled independently."""

    base: float
    spread: float = 1.0

    def table(self, purpose: int, scale: float) -> np.ndarray:
        """Return normal numbers [S, N] of this world."""
        return scale * np.random.default_rng([1, purpose]).normal(size=(SEGMENTS, ITEMS))

    @property
    def clicks(self) -> np.ndarray:
        """The chance of a click [S, N]."""
        return np.clip(self.base * np.exp(self.table(0, 0.5)), 0.0, 1.0)

    @property
    def logging(self) -> np.ndarray:
        """The logging policy [S, N]."""
        return softmax(self.table(1, 0.5))

    @property
    def target(self) -> np.ndarray:
        """The evaluated policy [S, N]."""
        return softmax(self.table(2, self.spread))

    @property
    def guess(self) -> np.ndarray:
        """A reward model that is wrong by a third [S, N]."""
        return np.minimum(self.clicks * np.exp(self.table(3, 0.3)), 1.0)

    def rounds(self, segment: np.ndarray, item: np.ndarray, reward: np.ndarray) -> Rounds:
        """Return rounds with all views."""
        logging, target, guess = self.logging, self.target, self.guess
        plain = Rounds(
            reward=reward,
            logged=logging[segment, item],
            target=target[segment, item],
            keys=np.arange(len(item), dtype=np.uint64),
            q=guess[segment, item],
            v=(target * guess).sum(axis=1)[segment],
        )
        mates = (LABELS[:, None] == LABELS[None]).astype(float)
        clusters = replace(
            plain,
            logged=(logging @ mates)[segment, item],
            target=(target @ mates)[segment, item],
        )
        other = 0.5 * guess + 0.5 * guess.mean()
        robust = replace(plain, q=other[segment, item], v=(target * other).sum(axis=1)[segment])
        return replace(plain, views={"clusters": clusters, "robust": robust})

    def draw(self, n: int, seed: int) -> Rounds:
        """Return a log."""
        rng = np.random.default_rng([2, seed])
        segment = rng.integers(SEGMENTS, size=n)
        item = choose(self.logging[segment], rng)
        reward = (rng.random(n) < self.clicks[segment, item]).astype(np.float64)
        return replace_keys(self.rounds(segment, item, reward), seed)

    def everything(self) -> tuple[Rounds, np.ndarray]:
        """Return every cell of the world as a round of expected reward, and how likely it is."""
        segment, item = (index.ravel() for index in np.indices((SEGMENTS, ITEMS)))
        likely = self.logging[segment, item] / SEGMENTS
        return self.rounds(segment, item, self.clicks[segment, item]), likely

    @property
    def truth(self) -> float:
        """The value of the evaluated policy."""
        return float((self.target * self.clicks).sum(axis=1).mean())

    def slates(self, segment: np.ndarray, items: np.ndarray, reward: np.ndarray) -> Slates:
        """Return slates; slot by slot, what stands before an item does not matter to its chance."""
        logged, target = (table[segment[:, None], items] for table in (self.logging, self.target))
        seen = EXAMINED.sum()
        guess = self.guess[segment[:, None], items] * EXAMINED
        v = (self.target * self.guess).sum(axis=1)[segment][:, None] * EXAMINED
        return Slates(
            reward,
            logged,
            target,
            np.arange(len(items), dtype=np.uint64),
            q=guess,
            v=v,
            chances={
                "slot": Chances(logged, target),
                "exposure": Chances(seen * logged, seen * target),
            },
        )

    def draw_slates(self, n: int, seed: int) -> Slates:
        """Return a log of slates."""
        rng = np.random.default_rng([3, seed])
        segment = rng.integers(SEGMENTS, size=n)
        items = np.stack([choose(self.logging[segment], rng) for _ in range(SLOTS)], axis=1)
        chance = self.clicks[segment[:, None], items] * EXAMINED
        reward = (rng.random(chance.shape) < chance).astype(np.float64)
        slates = self.slates(segment, items, reward)
        return replace(slates, keys=derive(slates.keys, np.full(n, seed, dtype=np.uint64)))

    @property
    def slate_truth(self) -> float:
        """The value of the evaluated policy's slates."""
        return self.truth * float(EXAMINED.sum())


def choose(chances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an item per row."""
    above = rng.random((len(chances), 1)) > chances.cumsum(axis=1)
    return np.minimum(above.sum(axis=1), chances.shape[1] - 1)


def replace_keys(rounds: Rounds, seed: int) -> Rounds:
    """Return rounds whose keys belong to a log of their own."""
    return replace(rounds, keys=derive(rounds.keys, np.full(len(rounds.keys), seed, np.uint64)))


def limit(estimator: Estimator[Rounds], world: World) -> float:
    """Return an estimator's value on an endless log."""
    cells, likely = world.everything()
    total = 0.0
    for part in estimator.parts:
        over = float(likely @ part.over(cells))
        total += over / float(likely @ part.under(cells)) if part.under else over
    return total


def single(world: World, n: int, logs: int) -> list[str]:
    """Return the table rows of the estimators of single rounds."""
    estimators = named(SINGLE)
    own, true, plain = np.zeros((3, len(estimators)))
    widths = np.zeros((logs, len(estimators)))
    effective = 0.0
    limits = [limit(e.honest, world) for e in estimators]
    for seed in range(logs):
        accumulator = Accumulator(estimators, seed=seed, replicates=400)
        accumulator.add(world.draw(n, seed))
        results = accumulator.results()
        effective += results[0].diagnostics.effective_rewarded / logs
        for i, (estimate, bound) in enumerate(zip(results, limits, strict=True)):
            widths[seed, i] = estimate.high - estimate.low
            true[i] += estimate.low <= world.truth <= estimate.high
            own[i] += estimate.low <= bound <= estimate.high
            low, high = np.quantile(estimate.replicates, [0.025, 0.975])
            plain[i] += low <= bound <= high
    print(f"n = {n}: {effective:.0f} effective rewards", file=sys.stderr)
    return [
        f"| {name} | {n:,} | {own[i] / logs:.1%} | {true[i] / logs:.1%} "
        f"| {plain[i] / logs:.1%} | {np.median(widths[:, i]) / world.truth:.2f} |"
        for i, name in enumerate(SINGLE)
    ]


def slated(world: World, n: int, logs: int) -> list[str]:
    """Return the table rows of the slate estimators, all of them right in this world."""
    estimators = [SLATE_ESTIMATORS[name](SLOTS) for name in SLATED]
    hits, widths = np.zeros(len(estimators)), np.zeros((logs, len(estimators)))
    for seed in range(logs):
        accumulator = Accumulator(estimators, seed=seed, replicates=400)
        accumulator.add(world.draw_slates(n, seed))
        for i, estimate in enumerate(accumulator.results()):
            hits[i] += estimate.low <= world.slate_truth <= estimate.high
            widths[seed, i] = estimate.high - estimate.low
    return [
        f"| {name} | {n:,} | {hits[i] / logs:.1%} "
        f"| {np.median(widths[:, i]) / world.slate_truth:.2f} |"
        for i, name in enumerate(SLATED)
    ]


def bounded(world: World, n: int, logs: int) -> list[str]:
    """Return the table rows of Bernstein intervals and confidence sequences."""
    bound = float((world.target / world.logging).max())
    looks = np.unique(np.geomspace(10, n, 40).astype(int))
    rows = []
    width = np.zeros(logs)
    hits = 0
    for seed in range(logs):
        log = world.draw(n, seed)
        terms = log.target / log.logged * log.reward
        low, high = bernstein(float(terms.mean()), float(terms.var(ddof=1)), n, bound)
        hits += low <= world.truth <= high
        width[seed] = high - low
    rows.append(f"| Bernstein | IPS | {n:,} | {hits / logs:.1%} | {ratio(width, world)} |")
    for method in ("IPS", "DR"):
        for promise, words in (
            (Promise(), "no bound on weights"),
            (Promise(largest_weight=bound), "largest weight known"),
        ):
            hits = 0
            for seed in range(logs):
                log, start, held = world.draw(n, seed), 0, True
                sequence = watch(method, promise)
                for end in looks:
                    sequence.add(part(log, np.arange(start, end)))
                    start = int(end)
                    held = held and not sequence.rules_out(world.truth)
                hits += held
                low, high = sequence.interval()
                width[seed] = high - low
            rows.append(
                f"| sequence, {words} | {method} | {n:,} | {hits / logs:.1%} "
                f"| {ratio(width, world)} |"
            )
    return rows


def ratio(width: np.ndarray, world: World) -> str:
    """Return a typical width, in units of the truth."""
    return f"{np.median(width) / world.truth:.2f}"


def part(log: Rounds, index: np.ndarray) -> Rounds:
    """Return some of the rounds, without views."""
    fields = ("reward", "logged", "target", "keys", "q", "v")
    return Rounds(**{name: getattr(log, name)[index] for name in fields})


def main() -> None:
    """Write the tables."""
    logs = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    frequent, rare = World(0.2), World(0.01)
    counts = {n: logs if n < 30_000 else max(1, logs // 2) for n in SIZES}
    error = sqrt(0.95 * 0.05 / logs)
    single_head = [
        "| estimator | n | holds its own limit | holds the truth "
        "| percentiles would hold the limit | width / truth |",
        "|---|---|---|---|---|---|",
    ]
    lines = [
        "# Coverage: how often the intervals hold what they should",
        "",
        f"Made by `.venv/bin/python -m benchmarks.coverage {logs}`: {logs:,} logs per cell "
        f"({counts[30_000]:,} at n = 30,000), intervals of 95 %. A coverage of 95 % is known to "
        f"± {error:.1%} (one standard error; ± {error * sqrt(2):.1%} at n = 30,000). Widths are "
        "medians, in units of the true value. [evaluation.md](evaluation.md) says what to make "
        "of it.",
    ]
    for world, words in ((frequent, "frequent rewards (20 %)"), (rare, "rare rewards (1 %)")):
        lines += ["", f"## Bootstrap intervals, {words}", "", *single_head]
        for n in SIZES:
            lines += single(world, n, counts[n])
    lines += [
        "",
        "## Bootstrap intervals, slates of three",
        "",
        "| estimator | n | holds the truth | width / truth |",
        "|---|---|---|---|",
    ]
    for n in SIZES:
        lines += slated(frequent, n, counts[n])
    lines += [
        "",
        "## Intervals with a guarantee",
        "",
        "Bernstein intervals are looked at once, at n; confidence sequences 40 times on the way "
        "there, and have to hold the truth every time.",
        "",
        "| interval | of | n | holds the truth | width / truth |",
        "|---|---|---|---|---|",
    ]
    for n in SIZES:
        lines += bounded(frequent, n, max(1, counts[n] // 3))
    OUT.write_text("\n".join(lines) + "\n")
    print(f"wrote {OUT}", file=sys.stderr)


if __name__ == "__main__":
    main()
