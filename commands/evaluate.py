"""`run.py evaluate`: what policies would have earned, from a log alone."""

from __future__ import annotations

from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents.api import RecloopError
from commands.console import Json, Seed, emit, figure, say, table
from commands.gate import Asked, judge, tell
from commands.offline import REPLICATES, How, OfSize, counting, of_size, two_numbers
from commands.sources import LOG_HELP, POLICY_HELP, open_log, open_policy, warn_of_untrained

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agents.api import Policy
    from evaluation import Report

ESTIMATORS = "IPS,SNIPS,DM,DR"
SLATE_ESTIMATORS = "SIPS,RIPS,SNRIPS"


def evaluate(
    logs: Annotated[str, typer.Option(help=LOG_HELP)],
    policy: Annotated[list[str], typer.Option(help=POLICY_HELP + " Give it once per policy.")],
    estimators: Annotated[
        str | None,
        typer.Option(
            help=f"Which, separated by commas. By default {ESTIMATORS}; "
            f"for slates of several slots {SLATE_ESTIMATORS}; for the gate one, DR or SNRIPS."
        ),
    ] = None,
    slots: Annotated[
        int | None,
        typer.Option(help="Evaluate the slates of this size; the commonest by default.", min=1),
    ] = None,
    interval: Annotated[
        str,
        typer.Option(
            help="What intervals are made by: bootstrap; bernstein, which holds for a log of any "
            "size; or sequence, which holds at all times while a log grows. The latter two want "
            "--bounds, and bernstein --largest-weight."
        ),
    ] = "bootstrap",
    bounds: Annotated[
        str | None,
        typer.Option(help="Between what a slate's rewards can lie, if they do: 0,1 for one click."),
    ] = None,
    largest_weight: Annotated[
        float | None,
        typer.Option(
            help="What no importance weight exceeds: one over the smallest probability that the "
            "logging policy gives anything.",
            min=1.0,
        ),
    ] = None,
    unit: Annotated[
        str, typer.Option(help="What is resampled together: request, or user where users return.")
    ] = "request",
    logging: Annotated[
        str | None,
        typer.Option(help="The policy that decided in the log, for IIPS, PI and their kin."),
    ] = None,
    gate: Annotated[
        str | None,
        typer.Option(
            help="An incumbent. Judge whether the policy may replace it, for use in CI: exit 0 if "
            "it is better beyond doubt, and 1 if not, or if that can't be told."
        ),
    ] = None,
    margin: Annotated[
        float, typer.Option(help="By how much per slate it must be better, for the gate.")
    ] = 0.0,
    strict: Annotated[
        bool, typer.Option(help="The gate asks for the verdict 'trust', not 'with care'.")
    ] = False,
    replicates: Annotated[int, typer.Option(help="Bootstrap resamples.", min=100)] = REPLICATES,
    jobs: Annotated[
        int, typer.Option(help="Processes that read the log's files side by side; -1: all cores.")
    ] = 1,
    plot: Annotated[
        Path | None, typer.Option(help="Where to write a forest plot: .png or .html.")
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Estimate what policies would earn per slate, with interval and verdict, from a log.

    A log of slates of several slots is read as one: a policy's value is the sum of a slate's
    rewards, and the estimators differ in what they assume of how users go through a slate.
    """
    if plot is not None:
        _make_room(plot)
    log = of_size(open_log(logs), slots, jobs)
    policies = {address: open_policy(address, seed)[0] for address in policy}
    warn_of_untrained(policies, "evaluated")
    how = How(
        _one_of("--interval", interval, ("bootstrap", "bernstein", "sequence")),
        None if bounds is None else two_numbers("--bounds", bounds),
        inf if largest_weight is None else largest_weight,
        _one_of("--unit", unit, ("request", "user")),
        None if logging is None else open_policy(logging, seed)[0],
        replicates,
    )
    named = [name.strip() for name in estimators.split(",")] if estimators else None
    if gate is not None:
        found = judge(policies, Asked(gate, margin, strict), log, named, how, seed)
        if as_json:
            asked = {"candidate": policy[0], "incumbent": gate}
            told = {"logs": logs, "slots": log.slots, "seed": seed, "policies": asked}
            emit(told | found.to_dict())
        else:
            tell(policy[0], gate, found)
        raise typer.Exit(0 if found.promoted else 1)
    names = named or (ESTIMATORS if log.slots == 1 else SLATE_ESTIMATORS).split(",")
    reports = {
        address: report_on(built, log, names, how=how, seed=seed)
        for address, built in policies.items()
    }
    if plot is not None:
        from evaluation import forest

        forest(list(reports.values()), plot)
    if as_json:
        documents = [{"spec": spec} | report.to_dict() for spec, report in reports.items()]
        emit({"logs": logs, "slots": log.slots, "seed": seed, "reports": documents})
        return
    show(f"what each policy would have earned per slate of {log.slots} on {logs}", reports)


def _make_room(plot: Path) -> None:
    """See to it that a plot can be written, before anything is computed for it."""
    if plot.suffix not in (".png", ".html"):
        raise RecloopError(f"{plot}: a plot is a picture or a page; end its name in .png or .html")
    plot.parent.mkdir(parents=True, exist_ok=True)


def report_on(
    policy: Policy, log: OfSize, estimators: Sequence[str], *, how: How | None = None, seed: int
) -> Report:
    """Return the report on a policy, showing a bar while it is made; see `evaluation.evaluate`."""
    import evaluation

    how = how or How()
    options: dict[str, Any] = {
        "estimators": estimators,
        "interval": how.interval,
        "bounds": how.bounds,
        "largest_weight": how.largest_weight,
        "unit": how.unit,
        "replicates": how.replicates,
        "seed": seed,
    }
    with counting(f"evaluating {policy.name}") as count:
        if log.slots == 1:
            return evaluation.evaluate(policy, log.sources, progress=count, **options)
        logging = how.logging
        return evaluation.evaluate_slates(
            policy, log.sources, logging=logging, progress=count, **options
        )


def show(title: str, reports: dict[str, Report]) -> None:
    """Print the reports as one table, and the reasons of the verdicts below it."""
    rows: list[tuple[str, str, str, str, str]] = []
    for spec, report in reports.items():
        rows.append((spec, "", "", "", ""))
        rows += [
            (
                f"  {estimate.estimator}",
                figure(estimate.value),
                f"{figure(estimate.low)} to {figure(estimate.high)}",
                f"{estimate.diagnostics.effective_size:,.0f}",
                str(estimate.verdict.trust),
            )
            for estimate in report.estimates
        ]
    kinds = {report.interval for report in reports.values()} - {"bootstrap"}
    interval = f"95 % {'/'.join(kinds) or 'interval'}"
    table(title, ["policy", "value", interval, "rounds", "verdict"], rows)
    say("rounds: how many of the policy's own the log says as much as (effective sample size)")
    for spec, report in reports.items():
        reasons = dict.fromkeys(r for e in report.estimates for r in e.verdict.reasons)
        say(f"\n{spec}: {'; '.join(reasons)}; {report.agreement}.")


def _one_of(option: str, given: str, known: tuple[str, ...]) -> str:
    """Return a word that was given, or say which there are."""
    if given not in known:
        raise RecloopError(f"{option} {given}: it is one of {', '.join(known)}")
    return given
