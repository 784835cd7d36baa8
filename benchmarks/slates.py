"""How wrong each slate estimator is under each kind of user: the table of docs/slate-bias.md.

    .venv/bin/python -m benchmarks.slates

Two policies fill slates of three from five items without repetition. All 60 slates are enumerated,
so the value and the chances of items for slots are exact; estimates are of logs that are drawn.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from itertools import permutations
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from agents.streams import derive
from evaluation import SLATE_ESTIMATORS, Accumulator, Chances, Slates

if TYPE_CHECKING:
    from agents.api import Floats

ITEMS, SLOTS = 5, 3
ALL = np.array(list(permutations(range(ITEMS), SLOTS)))
EXAMINED: Floats = np.array([0.9, 0.6, 0.3])
APPEAL: Floats = np.array([0.1, 0.2, 0.35, 0.5, 0.15])
LIKE = np.array([0, 0, 1, 1, 0])
"""The kind of every item."""
LOGGING = np.array([0.25, 0.25, 0.2, 0.15, 0.15])
TARGET = np.array([0.1, 0.15, 0.25, 0.35, 0.15])
OUT = Path(__file__).parent.parent / "docs" / "slate-bias.md"


def examined() -> Floats:
    """Return clicks by the item's appeal, times how much its slot is looked at: [60, K]."""
    return np.take(APPEAL, ALL) * EXAMINED


def independent() -> Floats:
    """Return clicks by item and slot alone: each slot has its own favourites."""
    return np.stack([np.roll(APPEAL, k)[ALL[:, k]] for k in range(SLOTS)], axis=1)


def cascading() -> Floats:
    """Return clicks that fade with every item of the same kind before."""
    before = np.array([[(LIKE[x[:k]] == LIKE[x[k]]).sum() for k in range(SLOTS)] for x in ALL])
    return np.take(APPEAL, ALL) * 0.5**before


def whole() -> Floats:
    """Return clicks that fade with every item of the same kind, wherever it stands."""
    others = np.array([[(LIKE[x] == LIKE[item]).sum() - 1 for item in x] for x in ALL])
    return np.take(APPEAL, ALL) * 0.5**others


USERS: dict[str, tuple[Callable[[], np.ndarray], set[str]]] = {
    "item × position": (
        examined,
        {"SIPS", "RIPS", "Cascade-DR", "IIPS", "Position-based", "SNSIPS", "SNRIPS", "SNIIPS"},
    ),
    "item in its slot": (
        independent,
        {"SIPS", "RIPS", "Cascade-DR", "IIPS", "SNSIPS", "SNRIPS", "SNIIPS"},
    ),
    "slots before": (cascading, {"SIPS", "RIPS", "Cascade-DR", "SNSIPS", "SNRIPS"}),
    "whole slate": (whole, {"SIPS", "SNSIPS"}),
}
"""What a click hangs on, and the estimators whose assumption that is."""


def stepwise(scores: np.ndarray) -> Floats:
    """Return the chance of every slot's item given those before it: [60, K]."""
    taken = np.array([[scores[x[:k]].sum() for k in range(SLOTS)] for x in ALL])
    return np.asarray(scores[ALL] / (1.0 - taken))


def in_slots(scores: np.ndarray) -> Floats:
    """Return how likely every item is for every slot, whatever stands before: [items, K]."""
    chances = stepwise(scores).prod(axis=1)
    return np.array(
        [[chances[ALL[:, k] == item].sum() for k in range(SLOTS)] for item in range(ITEMS)]
    )


def log(clicks: np.ndarray, n: int, seed: int) -> Slates:
    """Return a log that the logging policy made."""
    rng = np.random.default_rng([4, seed])
    drawn = rng.choice(len(ALL), size=n, p=stepwise(LOGGING).prod(axis=1))
    items, slots = ALL[drawn], np.arange(SLOTS)
    here, there = in_slots(LOGGING), in_slots(TARGET)
    guess = 0.8 * APPEAL
    v = np.zeros((len(ALL), SLOTS))
    for at, slate in enumerate(ALL):
        for k in range(SLOTS):
            left = np.setdiff1d(np.arange(ITEMS), slate[:k])
            v[at, k] = (TARGET[left] / TARGET[left].sum() * guess[left]).sum()
    return Slates(
        reward=(rng.random((n, SLOTS)) < clicks[drawn]).astype(np.float64),
        logged=stepwise(LOGGING)[drawn],
        target=stepwise(TARGET)[drawn],
        keys=derive(np.arange(n, dtype=np.uint64), np.full(n, seed, dtype=np.uint64)),
        q=guess[items],
        v=v[drawn],
        chances={
            "slot": Chances(here[items, slots], there[items, slots]),
            "exposure": Chances((here @ EXAMINED)[items], (there @ EXAMINED)[items]),
        },
    )


def biases(user: str, logs: int, n: int) -> dict[str, tuple[float, float]]:
    """Return each estimator's relative bias, and by how many standard errors it is not 0."""
    clicks = USERS[user][0]()
    truth = float(stepwise(TARGET).prod(axis=1) @ clicks.sum(axis=1))
    found = []
    for seed in range(logs):
        accumulator = Accumulator([make(SLOTS) for make in SLATE_ESTIMATORS.values()], replicates=5)
        accumulator.add(log(clicks, n, seed))
        found.append([estimate.value for estimate in accumulator.results()])
    values = np.array(found)
    off, error = values.mean(axis=0) - truth, values.std(axis=0, ddof=1) / sqrt(logs)
    return {
        name: (float(off[i] / truth), float(off[i] / error[i]))
        for i, name in enumerate(SLATE_ESTIMATORS)
    }


def main() -> int:
    """Write the table; return 1 if an estimator is off where its assumption holds."""
    given = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    given.add_argument("--logs", type=int, default=100, help="how many logs (100)")
    given.add_argument("--slates", type=int, default=20_000, help="in each of them (20000)")
    given.add_argument("--out", type=Path, default=OUT, help="where to write the table")
    asked = given.parse_args()
    told = {user: biases(user, asked.logs, asked.slates) for user in USERS}
    lines = [
        "# How wrong slate estimators are where their assumption fails",
        "",
        f"Made by `.venv/bin/python -m benchmarks.slates`: {asked.logs} logs of "
        f"{asked.slates:,} slates of {SLOTS} from {ITEMS} items, without repetition. Relative "
        "bias, and in parentheses by how many standard errors it differs from 0; **bold** where "
        "the estimator's assumption does not hold. PI assumes slots that are filled independently, "
        "which those of a slate without repetition never are.",
        "",
        f"| a click hangs on | {' | '.join(SLATE_ESTIMATORS)} |",
        "|---|" + "---|" * len(SLATE_ESTIMATORS),
    ]
    wrong = 0
    for user, (_, right) in USERS.items():
        cells = []
        for name, (bias, z) in told[user].items():
            cell = f"{bias:+.1%} ({z:+.1f})"
            cells.append(cell if name in right else f"**{cell}**")
            wrong += name in right and abs(z) > 3.0
        lines.append(f"| {user} | {' | '.join(cells)} |")
    asked.out.write_text("\n".join(lines) + "\n")
    print(f"wrote {asked.out}; off where they should not be: {wrong}", file=sys.stderr)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
