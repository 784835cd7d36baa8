"""What the contextual policies regret, in worlds that are made for some of them and not for others.

    .venv/bin/python -m benchmarks.regret [seeds, 3]

Writes docs/agents/regret.md: cumulative expected regret in hundredths of what showing anything at
random regrets. All rewards are clicks, drawn from the chance that the world's formula gives.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agents import Catalogue, Outcomes, Requests, from_spec

Array = NDArray[np.float64]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "agents" / "regret.md"

T, BATCH, OFFERED, D, F = 2000, 10, 10, 4, 4
"""Requests (one a second), how many are decided before any is learned, candidates, and widths."""

POLICIES = (
    "linucb",
    "linucb:alpha=0.3",
    "linucb:shared=false",
    "linucb:shared=false,alpha=0.3",
    "lints",
    "lints:shared=false",
    "hybrid-linucb",
    "hybrid-linucb:alpha=0.3",
    "logistic-ts",
    "logistic-ts:shared=false",
    "neural-linear",
    "squarecb",
    "bootstrap:copies=5",
)


@dataclass(frozen=True)
class World:
    """A made-up world.

    Parameters
    ----------
    says : str
        What it is, in a line.
    items : int
        How many items there are, of which each request is offered ten.
    score : callable
        From (generator, context [T, D], item features [N, F]) to the log odds of a click [T, N].
    """

    says: str
    items: int
    score: Callable[[np.random.Generator, Array, Array], Array]


def own(rng: np.random.Generator, context: Array, items: Array) -> Array:
    """Return odds by every item's own weights of the context."""
    return 1.5 * context @ rng.normal(size=(D, len(items))) - 1.0


def featured(rng: np.random.Generator, context: Array, items: Array) -> Array:
    """Return odds by what the context makes of an item's features."""
    return context @ rng.normal(size=(D, F)) @ items.T - 1.0


def both(rng: np.random.Generator, context: Array, items: Array) -> Array:
    """Return odds by features, and a quality of every item that they do not show."""
    return featured(rng, context, items) + 2.0 * rng.normal(size=len(items))


def rare(rng: np.random.Generator, context: Array, items: Array) -> Array:
    """Return odds by features where few click at all."""
    return 0.7 * featured(rng, context, items) - 3.0


def parity(rng: np.random.Generator, context: Array, items: Array) -> Array:
    """Return odds by a product of two signs of the context, which turns one feature's sign."""
    turn = np.sign(context[:, 0] * context[:, 1])
    return 3.0 * turn[:, None] * np.sign(items[:, 0]) - 1.0


def drift(rng: np.random.Generator, context: Array, items: Array) -> Array:
    """Return odds by items' own weights, which are others after every 500 requests."""
    parts = [own(rng, part, items) for part in np.split(context, T // 500)]
    return np.concatenate(parts)


WORLDS = {
    "own": World("each of 10 items has its own weights of the context", 10, own),
    "features": World("200 items, which their features describe", 200, featured),
    "both": World("50 items, of features and a quality that these do not show", 50, both),
    "rare": World("200 items described by features; few clicks", 200, rare),
    "parity": World("the sign of a product of two context features decides", 50, parity),
    "drift": World("as own, but all weights are others every 500 requests", 10, drift),
}


def regret(world: World, spec: str, seed: int) -> float:
    """Return cumulative expected regret, over that of a uniform choice."""
    rng = np.random.default_rng([seed, 1])
    items = rng.normal(size=(world.items, F)).astype(np.float32)
    context = rng.normal(size=(T, D)).astype(np.float32)
    chance = 1.0 / (1.0 + np.exp(-world.score(rng, context.astype(float), items.astype(float))))
    offered = rng.permuted(np.tile(np.arange(world.items), (T, 1)), axis=1)[:, :OFFERED]
    table = Catalogue.of([str(i) for i in range(world.items)], items)
    asked = Requests(
        keys=rng.integers(0, 1 << 63, T).astype(np.uint64),
        users=np.arange(T, dtype=np.uint64),
        context=context,
        candidates=offered,
        items=table,
        positions=np.zeros((T, 1), dtype=np.int64),
        time=np.arange(T) * 1000,
    )
    luck, policy, lost = rng.random(T), from_spec(spec, seed), 0.0
    theirs = np.take_along_axis(chance, offered, axis=1)
    for start in range(0, T, BATCH):
        rows = np.arange(start, start + BATCH)
        now = asked.take(rows)
        decided = policy.decide(now)
        shown = decided.slates[:, 0]
        lost += (theirs[rows].max(axis=1) - chance[rows, shown]).sum()
        clicked = (luck[rows] < chance[rows, shown]).astype(np.float32)[:, None]
        policy.update(Outcomes(now, decided, clicked, np.ones_like(clicked, np.bool_), now.time))
    return float(lost / (theirs.max(axis=1) - theirs.mean(axis=1)).sum())


def mean(name: str, spec: str, seeds: int) -> str:
    """Return the mean over seeds in hundredths, and print it."""
    found = 100 * np.mean([regret(WORLDS[name], spec, seed) for seed in range(seeds)])
    print(f"{name:10s}{spec:40s}{found:6.1f}", flush=True)
    return f"{found:.0f}"


def main() -> None:
    """Measure, print, and write the page."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    text = f"""# What the contextual agents regret

    .venv/bin/python -m benchmarks.regret {seeds}

This page was written by the command. Cumulative expected regret in hundredths of what a uniform \
choice regrets: means over {seeds} seeds of
{T:,} requests, each for one of {OFFERED} candidates, {BATCH} decided before any is learned. \
Other options than those named are the defaults.

"""
    text += "".join(f"- **{name}**: {world.says}\n" for name, world in WORLDS.items())
    text += f"\n| | {' | '.join(WORLDS)} |\n|---|{'---|' * len(WORLDS)}\n"
    for spec in POLICIES:
        cells = " | ".join(mean(name, spec, seeds) for name in WORLDS)
        text += f"| `{spec}` | {cells} |\n"
    text += """
## Forgetting, in drift

| | remembers all | `half_life=200` | `window=500` |
|---|---|---|---|
"""
    for spec in (s for s in POLICIES if "alpha" not in s):
        more = spec + ("," if ":" in spec else ":")
        kinds = (spec, more + "half_life=200", more + "window=500")
        text += f"| `{spec}` | {' | '.join(mean('drift', s, seeds) for s in kinds)} |\n"
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
