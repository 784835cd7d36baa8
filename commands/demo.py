"""`run.py demo`: the whole loop once, on real logs, in under three minutes.

Every stage uses what its own command uses; the worker is the command `serve` itself, in its own
process. Everything but timings is a function of the seed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from agents.api import RecloopError
from commands.console import Json, Seed, emit, note, progress, say
from commands.demo_live import go_live
from commands.demo_report import figures_of, plot_live, show, write_figures
from commands.evaluate import report_on
from commands.offline import How, OfSize
from commands.sources import POLICY_HELP, open_logged, open_policy, seeds
from commands.train import practise

if TYPE_CHECKING:
    from agents import Policy, Spec
    from agents.api import Outcomes
    from evaluation import Report
    from simulators import LoggedWorld, Standing

LOG = "obd:random/all"
LINEUP = (
    "epsilon-greedy:epsilon=0.1",
    "popular+temperature=0.003",
    "linucb:interactions=false,alpha=0.1+epsilon=0.1",
)
"""Policies that learn click rates of a few in a thousand within seconds."""

EXPLORE = "+epsilon=0.1"
ESTIMATORS = ("IPS", "SNIPS", "DM", "DR")
SLATE_ESTIMATORS = ("SNRIPS",)
CLICKS = How(bounds=(0.0, 1.0))
TRAINED_USERS, TRAINED_STEPS = 500, 200
TESTED_USERS, TESTED_STEPS = 2000, 50
TESTED_FROM, LIVE_FROM = 1_000_000, 2_000_000
"""Where in the row of users those begin who test, and those who come live: nobody is met twice."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A policy on its way through the demo.

    Parameters
    ----------
    spec : Spec
    policy : Policy
        Trained.
    folder : Path
        Where it is saved.
    standing : Standing
        How it does in the world.
    report : Report
        What the real log says of it.
    true_value : float
        Its expected reward per slot on the log's requests, in the fitted world.
    """

    spec: Spec
    policy: Policy
    folder: Path
    standing: Standing
    report: Report
    true_value: float


def demo(
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="Your policy beside the built-in ones; the first goes live. " + POLICY_HELP
        ),
    ] = None,
    users: Annotated[int, typer.Option(help="Users who come live.", min=2)] = 200,
    steps: Annotated[int, typer.Option(help="How often each of them comes.", min=4)] = 60,
    out: Annotated[
        Path | None,
        typer.Option(help="A new folder for figures, logs and plots; in runs/ if not given."),
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Run the whole loop once on real logs: simulate, train, evaluate, serve on Kafka, learn.

    Fetches the Open Bandit Dataset's sample, fits a world of users to it, trains policies there,
    evaluates them on the log, starts a broker, tells the log again through Kafka, and lets
    simulated users answer what the best policy (or yours) recommends while it goes on learning.
    """
    begun = time.monotonic()
    folder = _new_folder(out)
    own = [exploring(spec, seed) for spec in policy or ()]
    log = _fetch()
    world = open_logged(LOG, seed=seed)
    world.save(folder / "world")
    lineup = dict.fromkeys((*own, *LINEUP))
    trained = [_train(spec, world, folder, seed) for spec in lineup]
    found = _test(world, trained, seed)
    candidates = [_evaluate(entry, found[str(entry[0])], world, log, seed) for entry in trained]
    chosen = candidates[0] if own else max(candidates, key=lambda c: c.standing.score.mean)
    live = go_live(
        log,
        LOG,
        world,
        chosen.spec,
        chosen.folder,
        folder,
        lanes=seeds(seed, users, LIVE_FROM),
        steps=steps,
        seed=seed,
    )
    bounds = {name: found[name] for name in world.bounds()}
    again = [_evaluate_again(candidate, world, folder, seed) for candidate in candidates]
    figures = figures_of(world, bounds, candidates, chosen, live, again, log, seed)
    figures["seconds"] = time.monotonic() - begun
    write_figures(figures, folder)
    plot_live(live, chosen, folder / "live.png")
    _forest(candidates, log, folder)
    if as_json:
        emit(figures | {"folder": str(folder)})
        return
    show(figures)
    if world.fidelity is not None:
        say(f"How far to believe the world: {world.fidelity.verdict}\n")
    say(
        "The policies were trained in a world that was fitted to the log on which they are "
        "evaluated, so what the log says of them is too rosy.\n"
    )
    say(
        f"Figures, logs and plots are in {folder}: figures.json, outcomes/ (Parquet), live.png, "
        f"evaluation.png, world/, policies/. It took {figures['seconds']:.0f} s."
    )


def _new_folder(out: Path | None) -> Path:
    folder = out or Path("runs") / f"demo-{datetime.now():%Y%m%d-%H%M%S}"
    if folder.exists() and any(folder.iterdir()):
        raise RecloopError(f"{folder} is not empty: name a new folder with --out")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _fetch() -> Outcomes:
    from simulators import fetch_obd, load_obd

    fetch_obd(progress=note)
    return load_obd("random", "all")


def exploring(address: str, seed: int) -> str:
    """Return a policy's address, with exploration if the policy itself leaves nothing to chance."""
    if Path(address).is_dir() or "+" in address:
        return address
    from agents import ScorePolicy

    policy, _ = open_policy(address, seed)
    if isinstance(policy, ScorePolicy) and type(policy).slot is ScorePolicy.slot:
        note(f"{policy.name} leaves nothing to chance, so its log would teach little: {EXPLORE}")
        return address + EXPLORE
    return address


def _train(address: str, world: LoggedWorld, folder: Path, seed: int) -> tuple[Spec, Policy, Path]:
    from agents.store import save

    policy, spec = open_policy(address, seed)
    practise(policy, world, seeds(seed, TRAINED_USERS), TRAINED_STEPS)
    place = _unused(folder / "policies" / policy.name)
    save(policy, spec, place)
    return spec, policy, place


def _unused(place: Path) -> Path:
    """Return a place that is not taken: policies of one name may have other options."""
    others = (place.with_name(f"{place.name}-{n}") for n in count(2))
    return next(other for other in chain((place,), others) if not other.exists())


def _test(
    world: LoggedWorld, trained: list[tuple[Spec, Policy, Path]], seed: int
) -> dict[str, Standing]:
    """Return how everybody does with users whom nobody has met."""
    from simulators import standings

    with progress("comparing in the world") as advance:
        return standings(
            world,
            {str(spec): policy for spec, policy, _ in trained},
            seeds(seed, TESTED_USERS, TESTED_FROM),
            steps=TESTED_STEPS,
            progress=lambda _, done, total: advance(done, total),
        )


def _evaluate(
    entry: tuple[Spec, Policy, Path],
    standing: Standing,
    world: LoggedWorld,
    log: Outcomes,
    seed: int,
) -> Candidate:
    spec, policy, place = entry
    report = report_on(policy, OfSize([log], 1), ESTIMATORS, how=CLICKS, seed=seed)
    true_value = float(world.true_value(policy, log.requests).mean())
    return Candidate(spec, policy, place, standing, report, true_value)


def _evaluate_again(
    candidate: Candidate, world: LoggedWorld, folder: Path, seed: int
) -> tuple[Candidate, Report, float]:
    """Return what the live log says of a policy as it was trained, and what is true."""
    from simulators import Log

    log = OfSize(Log(folder / "outcomes"), world.slate_size)
    how = How(bounds=(0.0, float(log.slots)))
    report = report_on(candidate.policy, log, SLATE_ESTIMATORS, how=how, seed=seed)
    values = []
    for outcomes in log:
        decisions = candidate.policy.decide(outcomes.requests)
        values.append(world.expected(outcomes.requests, decisions.slates).sum(axis=1))
    return candidate, report, float(np.concatenate(values).mean())


def _forest(candidates: list[Candidate], log: Outcomes, folder: Path) -> None:
    from evaluation import forest

    known = float(log.rewards.mean())
    forest([candidate.report for candidate in candidates], folder / "evaluation.png", known=known)
