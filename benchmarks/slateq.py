"""SlateQ against the published figures: the tables and the plot of docs/agents/slateq.md.

    .venv/bin/python -m benchmarks.slateq [suite ...] [--seeds 5] [--visits 1000000] [--jobs 2]

Every run trains on many users at a time and is then measured on 5,000 fresh ones, the same for
all. A run is kept as a file in runs/slateq, and not run again: tables are written from the files,
so that seeds can be added later. Minutes are CPU minutes of one core.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch as th
from joblib import Parallel, delayed
from stable_baselines3.common.callbacks import BaseCallback

from agents import SlateQ
from envs.sb3 import make_sb3
from simulators import Estimate, make_world, returns, score

mpl.use("agg")
from matplotlib import pyplot

ROOT = Path(__file__).parent.parent
RUNS, PAGE = ROOT / "runs" / "slateq", ROOT / "docs" / "agents" / "slateq.md"
PLOT = PAGE.with_name("slateq.png")
USERS = 1024
FRESH = np.arange(1_000_000, 1_005_000, dtype=np.uint64)
CURVE = FRESH[:1000]
POINTS = 20
"""How often a curve is measured in a run."""


@dataclass(frozen=True)
class Line:
    """A line of a table: an agent in a world."""

    name: str
    world: str
    options: dict[str, Any] = field(default_factory=dict)
    of_world: dict[str, Any] = field(default_factory=dict)


def paper(name: str, target: str, serving: str, **options: Any) -> Line:
    """Return a line of the paper's table, where the null is zero."""
    options = {"target": target, "serving": serving, "null": "zero"} | options
    return Line(name, "InterestEvolution", options)


ZERO: dict[str, Any] = {"null": "zero"}
WIDE = {"num_candidates": 20, "slate_size": 5}
MULTIPLE = {"choice": "independent"}
SUITES: dict[str, list[Line]] = {
    "null": [
        Line("null learned", "InterestEvolution"),
        Line("null zero", "InterestEvolution", ZERO),
        Line("null learned, m=20 k=5", "InterestEvolution", {}, WIDE),
        Line("null zero, m=20 k=5", "InterestEvolution", ZERO, WIDE),
        Line("null learned, cascade", "InterestEvolution-Cascade"),
        Line("null zero, cascade", "InterestEvolution-Cascade", ZERO),
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
        Line("Bored", "SlateTopK-Bored", MULTIPLE),
        Line("BoredInf", "SlateTopK-BoredInf", MULTIPLE),
        Line("LTS corrected", "LongTermSatisfaction-Corrected"),
        Line("Exploration", "InterestExploration"),
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
            assert isinstance(self.model, SlateQ)
            value = measured(self.line, self.model, CURVE).mean()
            self.points.append((self.num_timesteps, float(value)))
        return True


def measured(line: Line, model: SlateQ, users: np.ndarray[Any, np.dtype[np.uint64]]) -> Any:
    """Return the returns of users: float64 [n]."""
    world = make_world(line.world, session=True, **line.of_world)
    return returns(world, model.to_policy(), users)


def run(line: Line, seed: int, visits: int) -> None:
    """Train, measure, and keep what came of it."""
    path = RUNS / f"{line.name.replace(' ', '-')}.{visits}.{seed}.json"
    if path.exists():
        return
    th.set_num_threads(1)
    env = make_sb3(f"recloop/{line.world}-v0", USERS, session=True, **line.of_world)
    model = SlateQ("MultiInputPolicy", env, seed=seed, **line.options)
    curve = Curve(line, visits)
    start = time.process_time()
    model.learn(visits, callback=curve)
    minutes = (time.process_time() - start) / 60
    found = {
        "returns": measured(line, model, FRESH).tolist(),
        "curve": curve.points,
        "minutes": minutes,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found))
    print(f"{line.name}, seed {seed}: {np.mean(found['returns']):.1f} in {minutes:.1f} min")


def kept(line: Line, visits: int) -> list[dict[str, Any]]:
    """Return what came of a line's runs."""
    name = line.name.replace(" ", "-")
    return [json.loads(p.read_text()) for p in sorted(RUNS.glob(f"{name}.{visits}.*.json"))]


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


def table(lines: list[Line], visits: int) -> list[str]:
    """Return a table of Markdown."""
    rows = [
        "| agent | world | return | 0 = random, 1 = myopic | random | myopic | oracle | seeds "
        "| minutes |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        runs = kept(line, visits)
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
            f"{' | '.join(cells)} | {len(runs)} | {minutes:.1f} |"
        )
    return rows


def write(visits: int) -> None:
    """Write the tables of all suites into the page, and draw the curves."""
    text = PAGE.read_text()
    for suite, lines in SUITES.items():
        start, end = f"<!-- {suite} -->\n", f"<!-- end of {suite} -->"
        before, rest = text.split(start)
        _, after = rest.split(end)
        text = before + start + "\n".join(table(lines, visits)) + "\n" + end + after
    PAGE.write_text(text)
    figure, axes = pyplot.subplots(figsize=(7, 4))
    for line in SUITES["null"]:
        curves = [r["curve"] for r in kept(line, visits)]
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
    parser.add_argument("suites", nargs="*", default=list(SUITES), help=", ".join(SUITES))
    parser.add_argument("--line", help="only the line of this name")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--visits", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    lines = [x for s in asked.suites for x in SUITES[s] if asked.line in (None, x.name)]
    jobs = [delayed(run)(x, seed, asked.visits) for seed in range(asked.seeds) for x in lines]
    Parallel(n_jobs=asked.jobs)(jobs)
    write(asked.visits)


if __name__ == "__main__":
    main()
