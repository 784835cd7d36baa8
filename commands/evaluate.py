"""`run.py evaluate`: what policies would have earned, from a log alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agents.api import RecloopError
from commands.console import Json, Seed, emit, figure, note, progress, say, table
from commands.sources import LOG_HELP, POLICY_HELP, open_log, open_policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from agents.api import Outcomes, Policy
    from evaluation import Report

ESTIMATORS = "IPS,SNIPS,DM,DR"
SLATE_ESTIMATORS = "SIPS,RIPS,SNRIPS"
REPLICATES = 1000


def evaluate(
    logs: Annotated[str, typer.Option(help=LOG_HELP)],
    policy: Annotated[list[str], typer.Option(help=POLICY_HELP + " Give it once per policy.")],
    estimators: Annotated[
        str | None,
        typer.Option(
            help=f"Which, separated by commas. By default {ESTIMATORS}; "
            f"for slates of several slots {SLATE_ESTIMATORS}."
        ),
    ] = None,
    slots: Annotated[
        int | None,
        typer.Option(help="Evaluate the slates of this size; the commonest by default.", min=1),
    ] = None,
    replicates: Annotated[int, typer.Option(help="Bootstrap resamples.", min=100)] = REPLICATES,
    plot: Annotated[
        Path | None, typer.Option(help="Where to write a forest plot: .png or .html.")
    ] = None,
    bounds: Annotated[
        str | None,
        typer.Option(help="Between what a slate's rewards can lie, if they do: 0,1 for one click."),
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
    limits = None if bounds is None else _bounds(bounds)
    log = of_size(open_log(logs), slots)
    chosen = estimators or (ESTIMATORS if log.slots == 1 else SLATE_ESTIMATORS)
    names = [name.strip() for name in chosen.split(",")]
    policies = {address: open_policy(address, seed)[0] for address in policy}
    _warn_of_untrained(policies)
    reports = {
        address: report_on(built, log, names, replicates=replicates, bounds=limits, seed=seed)
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


@dataclass(frozen=True)
class OfSize:
    """The slates of one size in a log; it can be iterated over as often as the log itself.

    Parameters
    ----------
    log : iterable of Outcomes
    slots : int
        K.
    """

    log: Iterable[Outcomes]
    slots: int

    def __iter__(self) -> Iterator[Outcomes]:
        return (part for part in self.log if part.requests.slate_size == self.slots)


def of_size(log: Iterable[Outcomes], slots: int | None) -> OfSize:
    """Return the slates of a size, by default of the commonest one; tell if others are left out.

    Raises
    ------
    RecloopError
        If there are none.
    """
    sizes: Counter[int] = Counter()
    for outcomes in log:
        sizes[outcomes.requests.slate_size] += len(outcomes)
    if not sizes:
        raise RecloopError("the log is empty: there is nothing to evaluate on")
    chosen = sizes.most_common(1)[0][0] if slots is None else slots
    told = ", ".join(f"{count:,} slates of {size}" for size, count in sorted(sizes.items()))
    if chosen not in sizes:
        raise RecloopError(f"the log has no slates of {chosen} slots; it has {told}")
    if len(sizes) > 1:
        note(f"the log has {told}: those of {chosen} are evaluated; --slots chooses others")
    return OfSize(log, chosen)


def _make_room(plot: Path) -> None:
    """See to it that a plot can be written, before anything is computed for it."""
    if plot.suffix not in (".png", ".html"):
        raise RecloopError(f"{plot}: a plot is a picture or a page; end its name in .png or .html")
    plot.parent.mkdir(parents=True, exist_ok=True)


def report_on(
    policy: Policy,
    log: OfSize,
    estimators: Sequence[str],
    *,
    replicates: int = REPLICATES,
    bounds: tuple[float, float] | None = None,
    seed: int,
) -> Report:
    """Return the report on a policy, showing a bar while it is made; see `evaluation.evaluate`."""
    import evaluation

    run = evaluation.evaluate if log.slots == 1 else evaluation.evaluate_slates
    with progress(f"evaluating {policy.name}") as advance:
        done = 0

        def count(_: str, rounds: int) -> None:
            nonlocal done
            done += rounds
            advance(done, None)

        return run(
            policy,
            log,
            estimators=estimators,
            replicates=replicates,
            bounds=bounds,
            seed=seed,
            progress=count,
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
    table(title, ["policy", "value", "95 % interval", "rounds", "verdict"], rows)
    say("rounds: how many of the policy's own the log says as much as (effective sample size)")
    for spec, report in reports.items():
        reasons = dict.fromkeys(r for e in report.estimates for r in e.verdict.reasons)
        say(f"\n{spec}: {'; '.join(reasons)}; {report.agreement}.")


def _bounds(text: str) -> tuple[float, float]:
    """Return the two numbers that `--bounds` was given."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise RecloopError(f"--bounds {text}: write two numbers, as in --bounds 0,1") from None
    return low, high


def _warn_of_untrained(policies: dict[str, Policy]) -> None:
    """Tell if a policy that learns was given as new: what it will have learned may differ."""
    for address, policy in policies.items():
        if getattr(policy, "version", 1) == 0 and policy.name != "uniform":
            note(
                f"{address} has learned nothing yet and is evaluated as it is; to evaluate what it "
                "learns, `train` it and give the folder"
            )
