"""SlateQ against the published figures: the tables and the plot of docs/agents/slateq.md.

    .venv/bin/python -m benchmarks.slateq [suite ...] [--seeds 5] [--visits 1000000] [--jobs 2]
    .venv/bin/python -m benchmarks.slateq profile

Every run trains on many users at a time and is then measured on 5,000 fresh ones, the same for
all. A run is kept as a file in runs/slateq, and not run again: tables are written from the files,
so that seeds can be added later; where a line was run at several lengths the longest one counts.
Minutes are CPU minutes of one core.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch as th
from joblib import Parallel, delayed
from stable_baselines3.common.callbacks import BaseCallback

from agents import SlateAhead, SlateQ
from envs.sb3 import make_sb3
from simulators import Estimate, make_world, returns, score

mpl.use("agg")
from matplotlib import pyplot

ROOT = Path(__file__).parent.parent
RUNS, PAGE = ROOT / "runs" / "slateq", ROOT / "docs" / "agents" / "slateq.md"
PLOT = PAGE.with_name("slateq.png")
FRESH = np.arange(1_000_000, 1_005_000, dtype=np.uint64)
CURVE = FRESH[:1000]
POINTS = 20
"""How often a curve is measured in a run."""
PARTS = {
    "train": "gradient steps",
    "slates": "decisions",
    "step_wait": "the environment",
    "_store_transition": "the replay buffer",
}
"""What learning is made of, by the functions that do it."""


@dataclass(frozen=True)
class Line:
    """A line of a table: an agent in a world."""

    name: str
    world: str
    options: dict[str, Any] = field(default_factory=dict)
    of_world: dict[str, Any] = field(default_factory=dict)
    session: bool | str = "brief"
    """What is known of the past; see `simulators.make_world`."""
    agent: type[SlateQ] | type[SlateAhead] = SlateQ
    users: int = 1024
    """How many are learned from at a time."""


def paper(name: str, target: str, serving: str, **options: Any) -> Line:
    """Return a line of the paper's table: the null is zero, of the session nothing is known."""
    options = {"target": target, "serving": serving, "null": "zero", "n_steps": 1} | options
    return Line(name, "InterestEvolution", options, session=False)


def ahead(name: str, world: str) -> Line:
    """Return a line of the agent that looks at a slate's clicks together."""
    return Line(name, world, session=True, agent=SlateAhead, users=512)


ZERO: dict[str, Any] = {"null": "zero"}
WIDE = {"num_candidates": 20, "slate_size": 5}
EVEN = {"quality": "even"}
MULTIPLE = {"choice": "independent"}
SUITES: dict[str, list[Line]] = {
    "null": [
        Line("null learned", "InterestEvolution"),
        Line("null zero", "InterestEvolution", ZERO),
        Line("null learned, m=20 k=5", "InterestEvolution", {}, WIDE),
        Line("null zero, m=20 k=5", "InterestEvolution", ZERO, WIDE),
        Line("null learned, cascade", "InterestEvolution-Cascade"),
        Line("null zero, cascade", "InterestEvolution-Cascade", ZERO),
        Line("null learned, even quality", "InterestEvolution", {}, EVEN),
        Line("null zero, even quality", "InterestEvolution", ZERO, EVEN),
    ],
    "paper": [
        paper("MYOP-TS", "MYOP", "TS"),
        paper("MYOP-GS", "MYOP", "GS"),
        paper("SARSA-TS", "SARSA", "TS"),
        paper("SARSA-GS", "SARSA", "GS"),
        paper("QL-TT-TS", "TT", "TS"),
        paper("QL-GT-GS", "GT", "GS"),
        paper("QL-OT-TS", "OT", "TS"),
        paper("QL-OT-GS", "OT", "GS"),
        paper("QL-OT-OS", "OT", "OS"),
    ],
    "others": [
        Line("SlateQ, Bored", "SlateTopK-Bored", MULTIPLE, session=True),
        Line("SlateQ, BoredInf", "SlateTopK-BoredInf", MULTIPLE, session=True),
        ahead("SlateAhead, Bored", "SlateTopK-Bored"),
        ahead("SlateAhead, BoredInf", "SlateTopK-BoredInf"),
        Line("LTS corrected", "LongTermSatisfaction-Corrected", session=True),
        Line("Exploration", "InterestExploration", session=True),
    ],
}


class Curve(BaseCallback):
    """The return on some fresh users, measured as training goes on."""

    def __init__(self, line: Line, visits: int) -> None:
        super().__init__()
        self.line, self.every = line, visits // POINTS
        self.points: list[tuple[int, float]] = []

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.every * (len(self.points) + 1):
            assert isinstance(self.model, SlateQ | SlateAhead)
            value = measured(self.line, self.model, CURVE).mean()
            self.points.append((self.num_timesteps, float(value)))
        return True


def measured(
    line: Line, model: SlateQ | SlateAhead, users: np.ndarray[Any, np.dtype[np.uint64]]
) -> Any:
    """Return the returns of users: float64 [n]."""
    world = make_world(line.world, session=line.session, **line.of_world)
    return returns(world, model.to_policy(), users)


def run(line: Line, seed: int, visits: int) -> None:
    """Train, measure, and keep what came of it."""
    path = RUNS / f"{line.name.replace(' ', '-')}.{visits}.{seed}.json"
    if path.exists():
        return
    th.set_num_threads(1)
    env = make_sb3(f"recloop/{line.world}-v0", line.users, session=line.session, **line.of_world)
    model = line.agent("MultiInputPolicy", env, seed=seed, **line.options)
    curve = Curve(line, visits)
    start = time.process_time()
    drawn = line in SUITES["null"]
    model.learn(visits, callback=curve if drawn else None)
    minutes = (time.process_time() - start) / 60
    found = {
        "returns": measured(line, model, FRESH).tolist(),
        "curve": curve.points,
        "minutes": minutes,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found))
    print(f"{line.name}, seed {seed}: {np.mean(found['returns']):.1f} in {minutes:.1f} min")


def kept(line: Line) -> tuple[int, list[dict[str, Any]]]:
    """Return how many visits a line's longest runs took, and what came of them."""
    runs: dict[int, list[dict[str, Any]]] = {}
    for path in sorted(RUNS.glob(f"{line.name.replace(' ', '-')}.*.*.json")):
        runs.setdefault(int(path.name.split(".")[-3]), []).append(json.loads(path.read_text()))
    return max(runs.items(), default=(0, []))


def bounds(line: Line) -> dict[str, Any]:
    """Return the returns of the world's bounds on the fresh users, computed once."""
    options = "-".join(f"{name}={value}" for name, value in line.of_world.items())
    path = RUNS / f"bounds.{line.world}.{options}.json"
    if not path.exists():
        world = make_world(line.world, **line.of_world)
        found = {name: returns(world, p, FRESH).tolist() for name, p in world.bounds().items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found))
    return {name: np.array(values) for name, values in json.loads(path.read_text()).items()}


def table(lines: list[Line]) -> list[str]:
    """Return a table of Markdown."""
    rows = [
        "| agent | world | return | 0 = random, 1 = myopic | random | myopic | oracle | seeds "
        "| visits | minutes |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        visits, runs = kept(line)
        if not runs:
            continue
        means = np.array([np.mean(r["returns"]) for r in runs])
        every = np.mean([r["returns"] for r in runs], axis=0)
        error = Estimate.of(means).se if len(runs) > 1 else Estimate.of(every).se
        known = bounds(line)
        at = score(every, known["random"], known["myopic"])
        cells = [f"{known[b].mean():.1f}" if b in known else "" for b in ("random", "myopic")]
        cells.append(f"{known['oracle'].mean():.1f}" if "oracle" in known else "")
        minutes = np.mean([r["minutes"] for r in runs])
        rows.append(
            f"| {line.name} | {line.world} | {means.mean():.1f} ± {error:.1f} | {at.mean:.2f} | "
            f"{' | '.join(cells)} | {len(runs)} | {visits:,} | "
            f"{minutes:.1f} |"
        )
    return rows


def profile(visits: int = 100_000, users: int = 1024) -> None:
    """Write into the page where the time of learning goes, on one core, of CPU time."""
    th.set_num_threads(1)
    env = make_sb3("recloop/InterestEvolution-v0", users, session="brief")
    model = SlateQ("MultiInputPolicy", env, seed=0, learning_starts=users).learn(20 * users)
    profiler, start = cProfile.Profile(time.process_time), time.process_time()
    profiler.runcall(model.learn, visits, reset_num_timesteps=False)
    total = time.process_time() - start
    spent: dict[str, float] = dict.fromkeys(PARTS, 0.0)
    for (_, _, function), (*_, cumulative, _) in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]
        if function in spent:
            spent[function] += cumulative
    rows = ["| part of learning | share of the time |", "|---|---|"]
    rows += [f"| {PARTS[name]} | {seconds / total:.0%} |" for name, seconds in spent.items()]
    rows.append(f"| the rest | {1 - sum(spent.values()) / total:.0%} |")
    rows.append(f"| all, visits a second | {visits / total:,.0f} |")
    insert("profile", rows)


def insert(name: str, rows: list[str]) -> None:
    """Write a table into its place in the page."""
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, rest = PAGE.read_text().split(start)
    _, after = rest.split(end)
    PAGE.write_text(before + start + "\n".join(rows) + "\n" + end + after)


def write() -> None:
    """Write the tables of all suites into the page, and draw the curves."""
    for suite, lines in SUITES.items():
        insert(suite, table(lines))
    figure, axes = pyplot.subplots(figsize=(7, 4))
    for line in SUITES["null"]:
        curves = [r["curve"] for r in kept(line)[1]]
        if curves:
            points = np.mean(curves, axis=0)
            axes.plot(points[:, 0] / 1e6, points[:, 1], label=f"{line.world}, {line.name}")
    axes.set(xlabel="visits, millions", ylabel="return on fresh users")
    axes.legend(fontsize=7, frameon=False)
    figure.tight_layout()
    figure.savefig(PLOT, dpi=110)


def main() -> None:
    """Run what was not run yet, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "suites", nargs="*", default=list(SUITES), help=", ".join((*SUITES, "profile"))
    )
    parser.add_argument("--line", help="only the line of this name")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--visits", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    if asked.suites == ["profile"]:
        profile()
        return
    lines = [x for s in asked.suites for x in SUITES[s] if asked.line in (None, x.name)]
    jobs = [delayed(run)(x, seed, asked.visits) for seed in range(asked.seeds) for x in lines]
    for _ in Parallel(n_jobs=asked.jobs, return_as="generator_unordered")(jobs):
        write()  # what was run stays, should the rest be cut off


if __name__ == "__main__":
    main()
