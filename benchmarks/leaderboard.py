"""Agents against worlds, with equal budgets: writes docs/leaderboard.md and its curves.

    .venv/bin/python -m benchmarks.leaderboard [--seeds 5] [--steps 200] [--lanes 50] [--jobs 2]

A cell is an agent trained in a world from a seed: `lanes` users at a time make `steps` requests
each. What it learned then serves other users, without learning; its score lies between random (0)
and the best policy that the world itself knows (1), on the same users. Every cell is kept in
--cells once it is done, so that a run that was broken off goes on, and a new agent costs its own
cells alone.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import t as student

from agents import RecloopError, make, names
from agents.streams import row_of
from envs.learners import DEEP, make_learner
from simulators import World, make_world, returns

ROOT = Path(__file__).parent.parent
WORLDS = (
    "InterestEvolution",
    "InterestExploration",
    "LongTermSatisfaction-Corrected",
    "SlateTopK-Bored:num_candidates=100",
    "SlateTopK-BoredInf:num_candidates=100",
    "SlateRerank-Bored",
)
VARIANTS = ("neural-ranker:discount=0.9", "reinforce:discount=0.9")
"""Agents whose other options make them others."""
POINTS = 20
"""Of a learning curve."""
JUDGED_FIRST = 1_000_000
"""The root of the users that agents are judged by; those they learn from have small roots."""


@dataclass(frozen=True)
class Budget:
    """What every cell may cost.

    Parameters
    ----------
    lanes, steps : int
        Users at a time, and requests of each.
    users : int
        How many users judge what was learned.
    seconds : float
        How long a cell may train. An agent that does not come to the end of its steps in time is
        judged by what it has learned by then, and marked; one that could not serve the judges in
        ten times that time is not judged.
    """

    lanes: int
    steps: int
    users: int
    seconds: float


@dataclass(frozen=True)
class Cell:
    """What came of one agent in one world from one seed; a return per user, and the score."""

    agent: str
    world: str
    seed: int
    budget: Budget
    done: int
    seconds: float
    value: float | None
    score: float | None
    curve: list[float]
    refused: str = ""


def agents() -> list[str]:
    """Return all that can be trained: the registry's policies, and what learns in environments."""
    learning = [n for n in names() if not getattr(make(n), "trained_elsewhere", False)]
    return sorted({*learning, *DEEP, *VARIANTS})


def world_of(address: str) -> World:
    """Return the world of a name, with options behind it: `SlateTopK-Bored:num_candidates=100`."""
    name, _, options = address.partition(":")
    given = (option.partition("=") for option in filter(None, options.split(",")))
    return make_world(name, **{option: int(value) for option, _, value in given})


def judge(
    world: World, address: str, budget: Budget, seed: int, cells: Path
) -> dict[str, list[float]]:
    """Return what the worst and the best bound earn from each of the users who judge."""
    place = cells / (_key("bounds", address, str(budget), str(seed)) + ".json")
    if not place.is_file():
        users = row_of(JUDGED_FIRST + seed, budget.users)
        bounds = list(world.bounds().values())
        values = {
            name: returns(world, policy, users).tolist()
            for name, policy in (("low", bounds[0]), ("high", bounds[-1]))
        }
        _write(place, values)
    found: dict[str, list[float]] = json.loads(place.read_text())
    return found


def play(agent: str, address: str, seed: int, budget: Budget, cells: Path) -> Cell:
    """Return a cell: the one that is kept, or else train, judge and keep it."""
    place = cells / f"{_key(agent, address, str(budget), str(seed))}.json"
    if place.is_file():
        kept = json.loads(place.read_text())
        return Cell(**{**kept, "budget": Budget(**kept["budget"])})
    try:
        cell = _play(agent, address, seed, budget, cells)
    except RecloopError as error:
        cell = Cell(agent, address, seed, budget, 0, 0.0, None, None, [], str(error))
    _write(place, asdict(cell))
    return cell


def _play(agent: str, address: str, seed: int, budget: Budget, cells: Path) -> Cell:
    make_learner(agent, world_of(address), 2, seed).learn(0, 2, lambda _: None, lambda: False)
    learner = make_learner(agent, world_of(address), budget.lanes, seed)
    start = time.perf_counter()  # kernels are compiled by now
    end = start + budget.seconds
    curve = learner.learn(0, budget.steps, lambda _: None, lambda: time.perf_counter() > end)
    spent = time.perf_counter() - start
    policy, _ = learner.policy()
    world = world_of(address)
    value, score = None, None
    if _in_time(spent / len(curve) / budget.lanes, world, budget):
        found = judge(world, address, budget, seed, cells)
        got = returns(world, policy, row_of(JUDGED_FIRST + seed, budget.users))
        low, high = np.array(found["low"]), np.array(found["high"])
        value, score = float(got.mean()), float((got - low).mean() / (high - low).mean())
    thin = [float(part.mean()) for part in np.array_split(curve, min(POINTS, len(curve)))]
    return Cell(agent, address, seed, budget, len(curve), spent, value, score, thin)


def _in_time(per_request: float, world: World, budget: Budget) -> bool:
    """Return whether those who judge can be served in time; sessions without horizon are short."""
    visits = getattr(world, "horizon", None) or 100
    return per_request * visits * budget.users < 10.0 * budget.seconds


def _key(*parts: str) -> str:
    readable = "-".join("".join(c if c.isalnum() else "_" for c in part) for part in parts[:2])
    return f"{readable}-{blake2b('|'.join(parts).encode(), digest_size=6).hexdigest()}"


def _write(place: Path, document: dict[str, Any]) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    half = place.with_suffix(".part")
    half.write_text(json.dumps(document))
    half.replace(place)


def interval(values: list[float]) -> tuple[float, float]:
    """Return the mean over seeds and half of its 95 % interval (Student's t)."""
    n = len(values)
    if n < 2:
        return float(np.mean(values)), float("nan")
    half = student.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n)
    return float(np.mean(values)), float(half)


def page(cells: list[Cell], budget: Budget, seeds: int, command: str, worlds: list[str]) -> str:
    """Return docs/leaderboard.md."""
    lines = [
        "# Leaderboard",
        "",
        f"    {command}",
        "",
        f"Every agent with its default options, in every world: {budget.lanes} users at a time "
        f"make {budget.steps} requests each ({budget.lanes * budget.steps:,} in all), or as many "
        f"as it manages in {budget.seconds:g} s (then marked †, with the share it managed).",
        f"What was learned serves {budget.users} other users, without learning. Means over {seeds} "
        "seeds with 95 % intervals (Student's t).",
        "The score is 0 for random and 1 for the best policy that the world itself knows, which "
        "sees what no agent sees; an agent that looks further ahead may pass it.",
        "Where an agent cannot learn, or is too slow to be judged, it counts as random.",
        "Seconds are of training, on one core of the machine that wrote this page.",
        "",
        "## Over all worlds",
        "",
        "| agent | mean score | " + " | ".join(_short(world) for world in worlds) + " |",
        "|---|---|" + "---|" * len(worlds),
    ]
    names_ = sorted({cell.agent for cell in cells})
    table = {name: [_scores(cells, name, world) for world in worlds] for name in names_}
    mean = {n: np.mean([np.mean(s) if s else 0.0 for s in row]) for n, row in table.items()}
    for name in sorted(mean, key=lambda name: -mean[name]):
        marks = [f"{np.mean(scores):.2f}" if scores else "–" for scores in table[name]]
        lines.append(f"| `{name}` | {mean[name]:.2f} | " + " | ".join(marks) + " |")
    for world in worlds:
        lines += ["", *_world_lines(cells, world, budget)]
    return "\n".join(lines) + "\n"


def _short(address: str) -> str:
    return address.partition(":")[0]


def _scores(cells: list[Cell], agent: str, world: str) -> list[float]:
    own = (cell for cell in cells if (cell.agent, cell.world) == (agent, world))
    return [cell.score for cell in own if cell.score is not None]


def _world_lines(cells: list[Cell], world: str, budget: Budget) -> list[str]:
    lines = [
        f"## {world}",
        "",
        f"![Learning curves]({_picture(world).as_posix()})",
        "",
        "| agent | return per user | score | seconds |",
        "|---|---|---|---|",
    ]
    own: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.world == world:
            own.setdefault(cell.agent, []).append(cell)
    judged = {n: cs for n, cs in own.items() if all(c.score is not None for c in cs)}
    for name in sorted(judged, key=lambda n: -np.mean([c.score for c in judged[n]])):
        group = judged[name]
        value, by = interval([c.value for c in group if c.value is not None])
        score, off = interval([c.score for c in group if c.score is not None])
        share = np.mean([c.done for c in group]) / budget.steps
        mark = "" if share == 1.0 else f" † {share:.0%}"
        took = np.median([c.seconds for c in group])
        lines.append(
            f"| `{name}`{mark} | {value:.2f} ± {by:.2f} | {score:.3f} ± {off:.3f} | {took:.1f} |"
        )
    for name in sorted(own.keys() - judged.keys()):
        why = next((c.refused for c in own[name] if c.refused), "too slow to be judged here")
        lines.append(f"| `{name}` | | {why.partition(';')[0]} | |")
    return lines


def _picture(world: str) -> Path:
    return Path("leaderboard") / f"{_short(world).lower()}.png"


def draw(cells: list[Cell], world: str, budget: Budget, folder: Path) -> None:
    """Draw the learning curves of the best eight agents of a world, with 95 % bands."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    own = [c for c in cells if c.world == world and c.score is not None and len(c.curve) > 1]
    ranked = sorted({c.agent for c in own}, key=lambda n: -np.mean(_scores(own, n, world)))
    figure, axes = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
    for name in ranked[:8]:
        curves = [c for c in own if c.agent == name]
        reach = min(c.done for c in curves) * budget.lanes
        grid = np.linspace(0, reach, POINTS)
        lines = np.array(
            [
                np.interp(grid, np.linspace(0, c.done * budget.lanes, len(c.curve)), c.curve)
                for c in curves
            ]
        )
        middle = lines.mean(axis=0)
        axes.plot(grid, middle, label=name, linewidth=1.5)
        if len(lines) > 1:
            half = (
                student.ppf(0.975, len(lines) - 1) * lines.std(axis=0, ddof=1) / len(lines) ** 0.5
            )
            axes.fill_between(grid, middle - half, middle + half, alpha=0.15, linewidth=0)
    axes.set_xlabel("requests")
    axes.set_ylabel("reward per request, while learning")
    axes.set_title(world)
    if ranked:
        axes.legend(fontsize=8, ncols=2)
    axes.spines[["top", "right"]].set_visible(False)
    place = folder / _picture(world)
    place.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(place, dpi=130, metadata={"Software": None})
    plt.close(figure)


def main(words: list[str] | None = None) -> None:
    """Play the cells that are not there yet, and write page and curves."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--agents", nargs="*", help="specs; all there are if not given")
    parser.add_argument("--worlds", nargs="*", default=list(WORLDS), help="names, :option=number")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--lanes", type=int, default=50)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--users", type=int, default=100, help="who judge what was learned")
    parser.add_argument("--seconds", type=float, default=5.0, help="a cell's training at most")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--cells", type=Path, default=ROOT / "runs" / "leaderboard")
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    given = parser.parse_args(words)
    budget = Budget(given.lanes, given.steps, given.users, given.seconds)
    chosen = given.agents or agents()
    plan = [(a, w, s) for s in range(given.seeds) for w in given.worlds for a in chosen]
    cells: list[Cell] = Parallel(n_jobs=given.jobs, verbose=5)(
        delayed(play)(agent, world, seed, budget, given.cells) for agent, world, seed in plan
    )
    told = (
        f".venv/bin/python -m benchmarks.leaderboard --seeds {given.seeds} "
        f"--lanes {given.lanes} --steps {given.steps}"
    ) + ("" if given.worlds == list(WORLDS) else f" --worlds {' '.join(given.worlds)}")
    given.out.mkdir(parents=True, exist_ok=True)
    for world in given.worlds:
        draw(cells, world, budget, given.out)
    text = page(cells, budget, given.seeds, told, given.worlds)
    (given.out / "leaderboard.md").write_text(text)


if __name__ == "__main__":
    main()
