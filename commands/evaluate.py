"""`run.py evaluate`: what policies would have earned, from a log alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.console import Json, Seed, emit, figure, progress, say, table
from commands.sources import LOG_HELP, POLICY_HELP, open_log, open_policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agents.api import Outcomes, Policy
    from evaluation import Report

ESTIMATORS = "IPS,SNIPS,DM,DR"
REPLICATES = 1000


def evaluate(
    logs: Annotated[str, typer.Option(help=LOG_HELP)],
    policy: Annotated[list[str], typer.Option(help=POLICY_HELP + " Give it once per policy.")],
    estimators: Annotated[str, typer.Option(help="Which, separated by commas.")] = ESTIMATORS,
    replicates: Annotated[int, typer.Option(help="Bootstrap resamples.", min=100)] = REPLICATES,
    plot: Annotated[Path | None, typer.Option(help="Where to write a forest plot, PNG.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Estimate what policies would earn per slot, with interval and verdict, from a log."""
    log = open_log(logs)
    names = [name.strip() for name in estimators.split(",")]
    policies = {address: open_policy(address, seed)[0] for address in policy}
    reports = {
        address: report_on(built, log, names, replicates=replicates, seed=seed)
        for address, built in policies.items()
    }
    if plot is not None:
        from evaluation import forest

        forest(list(reports.values()), plot)
    if as_json:
        documents = [{"spec": spec} | report.to_dict() for spec, report in reports.items()]
        emit({"logs": logs, "seed": seed, "reports": documents})
        return
    show(f"what each policy would have earned per slot on {logs}", reports)


def report_on(
    policy: Policy,
    log: Iterable[Outcomes],
    estimators: Sequence[str],
    *,
    replicates: int = REPLICATES,
    seed: int,
) -> Report:
    """Return the report on a policy, showing a bar while it is made."""
    import evaluation

    with progress(f"evaluating {policy.name}") as advance:
        done = 0

        def count(_: str, rounds: int) -> None:
            nonlocal done
            done += rounds
            advance(done, None)

        return evaluation.evaluate(
            policy, log, estimators=estimators, replicates=replicates, seed=seed, progress=count
        )


def show(title: str, reports: dict[str, Report]) -> None:
    """Print the reports as one table, and the reasons of the verdicts below it."""
    rows = [
        (
            spec,
            estimate.estimator,
            figure(estimate.value),
            f"{figure(estimate.low)} to {figure(estimate.high)}",
            f"{estimate.diagnostics.effective_size:,.0f}",
            str(estimate.verdict.trust),
        )
        for spec, report in reports.items()
        for estimate in report.estimates
    ]
    table(title, ["policy", "estimator", "value", "95 % interval", "eff. rounds", "verdict"], rows)
    for spec, report in reports.items():
        reasons = dict.fromkeys(r for e in report.estimates for r in e.verdict.reasons)
        say(f"{spec}: {'; '.join(reasons)}. {report.agreement.capitalize()}.")
