"""What bandits without context miss in worlds that suit them, and in worlds that do not.

    .venv/bin/python -m benchmarks.bandits [seeds]

Plays every policy in every small world below, alone and one round after the other, and writes
docs/agents/bandits.md (a table of regrets) and docs/agents/bandits.png (their curves).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np

from agents import Catalogue, Decisions, Outcomes, Requests, from_spec
from agents.streams import derive

mpl.use("Agg")

import matplotlib.pyplot as plt

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats

ROUNDS = 4000

TURN = 1000
"""After how many rounds the turning world turns."""

DOCS = Path(__file__).resolve().parent.parent / "docs" / "agents"

LOOKED = np.array([1.0, 0.4, 0.2, 0.1])
"""How likely the positions of the position world are looked at."""


def still(seed: int) -> Floats:
    """Return rates that stay."""
    rates = np.random.default_rng([seed, 1]).permutation(np.r_[0.5, 0.4, np.linspace(0.1, 0.35, 8)])
    return np.tile(rates, (ROUNDS, 1))


def rare(seed: int) -> Floats:
    """Return rates of clicks as they are in shops."""
    return still(seed) / 10.0


def turning(seed: int) -> Floats:
    """Return rates that the items exchange."""
    worth, rng = still(seed), np.random.default_rng([seed, 2])
    for t in range(0, ROUNDS, TURN):
        worth[t : t + TURN] = rng.permutation(worth[0])
    return worth


def spiteful(seed: int) -> Floats:
    """Return what UCB1 of this seed gets nothing of: its choice earns 0, the other item 1."""
    worth, policy, asked = np.ones((ROUNDS, 2)), from_spec("ucb1", seed), request(2, 1)
    for t in range(ROUNDS):
        now = at(asked, t, seed)
        decided = policy.decide(now)
        worth[t, decided.slates[0, 0]] = 0.0
        policy.update(answered(now, decided, np.zeros(1, np.bool_)))
    return worth


def shelf(seed: int) -> Floats:
    """Return how attractive the items of a shelf are."""
    rates = np.r_[0.5, 0.4, 0.3, 0.25, np.linspace(0.05, 0.2, 8)]
    return np.tile(np.random.default_rng([seed, 1]).permutation(rates), (ROUNDS, 1))


def plainly(attracted: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Click all that attracts."""
    return attracted


def first_only(attracted: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Click the first that attracts, and leave."""
    before: NDArray[np.int64] = np.cumsum(attracted) - attracted
    clicked: NDArray[np.bool_] = attracted & (before == 0)
    return clicked


def if_looked(attracted: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Click what attracts and is looked at."""
    clicked: NDArray[np.bool_] = attracted & (rng.random(len(attracted)) < LOOKED)
    return clicked


def altogether(worth: Floats) -> Floats:
    """Add up what a slate's items are worth."""
    return np.asarray(worth.sum(axis=-1))


@dataclass(frozen=True)
class World:
    """A bandit: what items are worth in a round, and how a slate of them is clicked.

    Parameters
    ----------
    told : str
        What it is, in a line.
    rates : callable
        Given a seed, returns what every item is worth in every round: float64 [T, M].
    slots : int
    click : callable
        Given what the slots' items would have made attractive, bool [K], and a generator, returns
        the clicks [K].
    value : callable
        Given what slates' items are worth, float64 [..., K], best first where it matters, returns
        the expected clicks.
    """

    told: str
    rates: Callable[[int], Floats]
    slots: int = 1
    click: Callable[[NDArray[np.bool_], np.random.Generator], NDArray[np.bool_]] = plainly
    value: Callable[[Floats], Floats] = altogether


WORLDS = {
    "still": World("ten items, clicked by 10 to 50 %, one slot", still),
    "rare": World("the same, clicked by 1 to 5 %", rare),
    "turning": World(f"`still`, but every {TURN} rounds the items exchange their rates", turning),
    "spiteful": World("two items; the one that `ucb1` would choose earns nothing", spiteful),
    "cascade": World(
        "twelve items, four slots, read from the top to the first click",
        shelf,
        4,
        first_only,
        lambda worth: 1.0 - (1.0 - worth).prod(axis=-1),
    ),
    "position": World(
        "twelve items, four slots, looked at with probability "
        + ", ".join(f"{chance:g}" for chance in LOOKED),
        shelf,
        4,
        if_looked,
        lambda worth: worth @ LOOKED,
    ),
}

SINGLE, SLATES = ["still", "rare", "turning", "spiteful"], ["cascade", "position"]

PLAYERS = {
    "uniform": SINGLE + SLATES,
    "popular": SINGLE,
    "popular:prior=1": SINGLE,
    "epsilon-greedy": SINGLE + SLATES,
    "epsilon-greedy:half_life=200": ["turning"],
    "ucb1": SINGLE + SLATES,
    "ucb1:scale=0.3": SINGLE + SLATES,
    "ucb1:scale=0.3,half_life=200": ["turning"],
    "bernoulli-ts": SINGLE + SLATES,
    "bernoulli-ts:floor=0": SINGLE + SLATES,
    "bernoulli-ts:half_life=200": ["turning"],
    "gaussian-ts": SINGLE,
    "exp3": SINGLE,
    "exp3:half_life=200": ["turning"],
    "cascade-ucb": SLATES,
    "cascade-ucb:scale=0.3": SLATES,
    "cascade-ts": SLATES,
    "cascade-ts:floor=0": SLATES,
    "pbm-ucb": SLATES,
    "pbm-ucb:scale=0.3": SLATES,
    "pbm-ts": SLATES,
    "pbm-ts:floor=0": SLATES,
}
"""The worlds that each policy is played in."""


def request(items: int, slots: int) -> Requests:
    """Return one request that may be shown every item."""
    return Requests(
        keys=np.zeros(1, dtype=np.uint64),
        users=np.zeros(1, dtype=np.uint64),
        context=np.zeros((1, 0), dtype=np.float32),
        candidates=np.arange(items)[None],
        items=Catalogue.of([str(i) for i in range(items)], np.zeros((items, 0))),
        positions=np.arange(slots)[None],
        time=np.zeros(1, dtype=np.int64),
    )


def at(asked: Requests, t: int, seed: int) -> Requests:
    """Return the request of a round; rounds are a second apart."""
    keys = derive(np.array([seed], dtype=np.uint64), np.array([t], dtype=np.uint64))
    return replace(asked, keys=keys, time=np.array([1000 * t]))


def answered(now: Requests, decided: Decisions, clicks: NDArray[np.bool_]) -> Outcomes:
    """Return an outcome that says of every slot that it was shown."""
    rewards = clicks[None].astype(np.float32)
    return Outcomes(now, decided, rewards, np.ones(rewards.shape, np.bool_), now.time)


def play(spec: str, world: World, seed: int) -> Floats:
    """Return what a policy has missed after every round: float64 [T].

    It is measured against the best slate of every round, where rates are rates, and against the
    best item in hindsight where the world is spiteful.
    """
    rng = np.random.default_rng(seed)
    # The spiteful world knows what ucb1 of this seed draws: nobody else may draw the same.
    own = seed if spec.startswith("ucb1") else seed + 1000
    worth, policy = world.rates(seed), from_spec(spec, own)
    asked, shown = request(worth.shape[1], world.slots), np.empty((ROUNDS, world.slots))
    for t in range(ROUNDS):
        now = at(asked, t, seed)
        decided = policy.decide(now)
        shown[t] = worth[t, decided.slates[0]]
        attracted = rng.random(world.slots) < shown[t]
        policy.update(answered(now, decided, world.click(attracted, rng)))
    best = -np.sort(-worth, axis=1)[:, : world.slots]
    if world.rates is spiteful:
        best = worth[:, [worth.sum(axis=0).argmax()]]
    missed: Floats = np.cumsum(world.value(best) - world.value(shown))
    return missed


def measure(seeds: int) -> dict[str, dict[str, Floats]]:
    """Return, by world and policy, the regret of every seed and round: float64 [seeds, T]."""
    found: dict[str, dict[str, Floats]] = {name: {} for name in WORLDS}
    for spec, places in PLAYERS.items():
        for place in places:
            curves = [play(spec, WORLDS[place], seed) for seed in range(seeds)]
            found[place][spec] = np.array(curves)
            print(f"{place:10s}{spec:32s}{np.mean(curves, axis=0)[-1]:8.0f}", flush=True)
    return found


def page(found: dict[str, dict[str, Floats]], seeds: int) -> str:
    """Return the page of the table."""
    lines = [
        "# What the bandits miss",
        "",
        "    .venv/bin/python -m benchmarks.bandits",
        "",
        f"Regret after {ROUNDS:,} rounds: expected clicks of the best slate of every round, less",
        f"those of what was shown; mean ± standard error over {seeds} seeds. Policies learn after",
        "every round, from what was shown and clicked: the log does not say what was looked at.",
        "",
        *[f"- `{name}`: {world.told}." for name, world in WORLDS.items()],
        "",
        "In `spiteful`, regret is against the best item in hindsight, and may be below 0.",
        "",
        "| | " + " | ".join(WORLDS) + " |",
        "|---" * (1 + len(WORLDS)) + "|",
    ]
    for spec in PLAYERS:
        cells = [_cell(found[place].get(spec)) for place in WORLDS]
        lines.append(f"| `{spec}` | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", "![Regret over rounds](bandits.png)", ""])


def _cell(curves: Floats | None) -> str:
    if curves is None:
        return ""
    last = curves[:, -1]
    return f"{last.mean():,.0f} ± {last.std(ddof=1) / np.sqrt(len(last)):,.0f}"


def draw(found: dict[str, dict[str, Floats]], path: Path) -> None:
    """Draw regret over rounds, a panel a world."""
    figure, axes = plt.subplots(2, 3, figsize=(15, 9), layout="constrained")
    families = list(dict.fromkeys(spec.partition(":")[0] for spec in PLAYERS))
    for axis, (name, curves) in zip(axes.flat, found.items(), strict=True):
        for spec, runs in curves.items():
            family, _, options = spec.partition(":")
            look = {"color": plt.colormaps["tab20"](families.index(family)), "label": spec}
            style = "-" if not options else ":" if "half_life" in options else "--"
            axis.plot(np.arange(1, ROUNDS + 1), runs.mean(axis=0), linestyle=style, **look)
        top = found[name]["uniform"].mean(axis=0)[-1]
        axis.set(title=name, xlabel="rounds", ylabel="regret", ylim=(min(0, -0.02 * top), None))
        axis.legend(fontsize=7)
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main() -> None:
    """Measure, and write the page and its picture."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    found = measure(seeds)
    (DOCS / "bandits.md").write_text(page(found, seeds))
    draw(found, DOCS / "bandits.png")


if __name__ == "__main__":
    main()
