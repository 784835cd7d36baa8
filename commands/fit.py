"""`run.py fit`: a world of users who click and leave as in a log, and how far to believe it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agents.api import RecloopError
from commands.console import Json, Seed, emit, figure, say, table
from commands.sources import LOG_HELP, is_log, open_logged

if TYPE_CHECKING:
    from simulators import Fidelity

MINUTE = 60_000


def fit(
    log: Annotated[str, typer.Option(help="Whom the users are to be like. " + LOG_HELP)],
    out: Annotated[Path, typer.Option(help="The folder that the world is saved in.")],
    session_gap: Annotated[
        int | None,
        typer.Option(
            help="The silence, in minutes, that ends a user's session; 30 for MovieLens and "
            "KuaiRand. Without it, in other logs, nobody ever leaves.",
            min=1,
        ),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the report into this file, .png.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Fit a world to a log, save it, and report on held-out rows how far to believe it.

    `train` and `simulate` take the folder as --env.
    """
    from simulators.plots import plot_fidelity

    if not is_log(log):
        raise RecloopError(f"there is no log at {log}. It can be: {LOG_HELP}")
    out.mkdir(parents=True, exist_ok=True)
    if plot is not None and plot.suffix.lower() != ".png":
        raise RecloopError(f"a fidelity report is drawn as .png, not as {plot.name!r}")
    gap = None if session_gap is None else session_gap * MINUTE
    world = open_logged(log, seed=seed, session_gap=gap)
    report = world.fidelity
    assert report is not None, "a world that was fitted has its report"
    world.save(out)
    if plot is not None:
        plot_fidelity(report, plot)
    if as_json:
        emit({"log": log, "seed": seed, "out": str(out), "fidelity": report.to_dict()})
    else:
        show(report)


def show(report: Fidelity) -> None:
    """Print a fidelity report."""
    rows = [
        ("impressions, clicks", f"{report.impressions:,}, {report.clicks:,}"),
        ("log-likelihood: one click rate for all", f"{report.constant:,.1f}"),
        ("log-likelihood: one for every item", f"{report.items_only:,.1f}"),
        ("log-likelihood: the world", f"{report.model:,.1f}"),
        ("gain over one click rate", f"{report.gain:,.1f} ± {report.gain_se:.1f} nats"),
        ("AUC", f"{report.auc:.3f} ± {report.auc_se:.3f}"),
    ]
    if report.session_lengths:
        gain = f"{report.leaving_gain:,.1f} ± {report.leaving_gain_se:.1f} nats"
        rows.append(("leaving: gain over one hazard", gain))
    table("held out", ["figure", "value"], rows)
    bins = [
        (b.name, f"{b.impressions:,}", f"{b.clicks:,}", f"{figure(b.predicted)} ± {figure(b.se)}")
        for b in (*report.by_position, *report.by_decile)
    ]
    table("calibration", ["", "impressions", "clicks", "predicted"], bins)
    shares = [
        (share.name, f"{share.real:,}", f"{figure(share.simulated)} ± {figure(share.se)}")
        for share in (*report.clicks_per_request, *report.session_lengths)
    ]
    table("how often", ["", "in the log", "simulated"], shares)
    say(report.verdict)
