"""What the demo shows: its figures as one document, one table and one plot."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from rich import box
from rich.table import Table

from commands.console import figure, finite, out

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from agents.api import Floats, Outcomes
    from commands.demo import Candidate
    from commands.demo_live import Live
    from evaluation import Report
    from simulators import LoggedWorld, Standing

QUARTERS = 4


def figures_of(
    world: LoggedWorld,
    bounds: dict[str, Standing],
    candidates: Sequence[Candidate],
    chosen: Candidate,
    live: Live,
    again: Sequence[tuple[Candidate, Report, float]],
    log: Outcomes,
    seed: int,
) -> dict[str, Any]:
    """Return all figures of a demo, as what JSON can hold."""
    from commands.demo import TESTED_STEPS

    slots = TESTED_STEPS * world.slate_size
    places = dict(bounds) | {str(c.spec): c.standing for c in candidates}
    return {
        "seed": seed,
        "log": {"rounds": len(log), "clicks": int(log.rewards.sum())},
        "world": {
            "fidelity": None if world.fidelity is None else world.fidelity.to_dict(),
            "users": next(iter(places.values())).episodes,
            "click_rates": {
                name: {
                    "click_rate": standing.value.mean / slots,
                    "se": standing.value.se / slots,
                    "score": standing.score.mean,
                    "score_se": standing.score.se,
                }
                for name, standing in places.items()
            },
        },
        "offline": {
            str(c.spec): {"true_value_in_the_world": c.true_value} | c.report.to_dict()
            for c in candidates
        },
        "live": _live(live, chosen, world.slate_size),
        "offline_on_the_live_log": {
            str(candidate.spec): {"true_value_in_the_world": truth} | report.to_dict()
            for candidate, report, truth in again
        },
    }


def _live(live: Live, chosen: Candidate, slate_size: int) -> dict[str, Any]:
    driven, served = live.driven, live.served
    rates = driven.clicks / (driven.steps * slate_size)
    sent: dict[str, int] = {}
    for counts in (live.replayed, driven.sent):
        for kind, count in counts.items():
            sent[kind] = sent.get(kind, 0) + count
    median, late = np.quantile(driven.latencies, [0.5, 0.99])
    return {
        "policy": str(chosen.spec),
        "name": chosen.policy.name,
        "users": len(driven.clicks),
        "steps": driven.steps,
        "click_rate": float(rates.mean()),
        "se": float(rates.std(ddof=1) / np.sqrt(len(rates))),
        "quarters": {
            name: [float(part.mean()) for part in np.array_split(curve, QUARTERS)]
            for name, curve in (
                ("live", driven.curve),
                ("random", live.random),
                ("myopic", live.myopic),
            )
        },
        "events_sent": sent,
        "events_read": served["events"],
        "outcomes": served["outcomes"],
        "outcomes_exported": live.exported.rows,
        "recommendations_answered": len(driven.clicks) * driven.steps,
        "duplicates": served["duplicates"],
        "dead_letters": served["dead"],
        "click_model": {name: served[name] for name in ("log_loss", "auc", "drifts")},
        "latency_seconds": {"p50": float(median), "p99": float(late)},
    }


def write_figures(figures: dict[str, Any], folder: Path) -> None:
    """Write the figures into a run's folder."""
    (folder / "figures.json").write_text(json.dumps(finite(figures), indent=2) + "\n")


def show(figures: dict[str, Any]) -> None:
    """Print the figures as one table."""
    grid = Table(
        title="recloop: the loop, once around",
        title_justify="left",
        title_style="bold",
        box=box.HORIZONTALS,
        show_header=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    grid.add_column("", no_wrap=True)
    grid.add_column("", justify="right", no_wrap=True)
    grid.add_column("", justify="right", no_wrap=True)
    grid.add_column("")
    for title, remark, rows in _sections(figures):
        grid.add_section()
        grid.add_row(f"[bold]{title}[/]", "", "", remark)
        for row in rows:
            grid.add_row(*row)
    out.print(grid)


Row: TypeAlias = tuple[str, str, str, str]


def _sections(figures: dict[str, Any]) -> list[tuple[str, str, list[Row]]]:
    log, live = figures["log"], figures["live"]
    users = f"{figures['world']['users']:,} users"
    rounds = f"{log['clicks']} clicks in {log['rounds']:,}"
    visits = f"{live['users']} × {live['steps']} visits"
    return [
        ("click rate in the world", users, _rates(figures)),
        ("offline, on the real log", rounds, _offline(figures["offline"])),
        ("live over Kafka", visits, _curve(live)),
        ("offline, on the live log", "per slate", _offline(figures["offline_on_the_live_log"])),
        ("events", "", _events(live)),
    ]


def _rates(figures: dict[str, Any]) -> list[Row]:
    names = {spec: report["policy"] for spec, report in figures["offline"].items()}
    return [
        (
            names.get(spec, spec),
            percent(rate["click_rate"]),
            f"± {percent(rate['se'])}",
            f"score {rate['score']:.2f}",
        )
        for spec, rate in figures["world"]["click_rates"].items()
    ]


def _offline(reports: dict[str, Any]) -> list[Row]:
    rows = []
    for report in reports.values():
        truth = percent(report["true_value_in_the_world"])
        rows.append((report["policy"], truth, "", "true in the world"))
        for estimate in report["estimates"]:
            low, high = (percent(estimate[end]) for end in ("low", "high"))
            value = percent(estimate["value"])
            interval = f"{low} to {high}"
            rows.append((f"  {estimate['estimator']}", value, interval, estimate["verdict"]))
    return rows


def _curve(live: dict[str, Any]) -> list[Row]:
    quarters = live["quarters"]
    rows = [(live["name"], percent(live["click_rate"]), f"± {percent(live['se'])}", "")]
    rows += [
        (
            f"  quarter {part + 1}",
            percent(quarters["live"][part]),
            f"random {percent(quarters['random'][part])}",
            f"myopic {percent(quarters['myopic'][part])}",
        )
        for part in range(QUARTERS)
    ]
    model = live["click_model"]
    loss, auc = (figure(model[name] or float("nan")) for name in ("log_loss", "auc"))
    drifts = f"{model['drifts']} drifts"
    return [*rows, ("River click model", f"AUC {auc}", f"log-loss {loss}", drifts)]


def _events(live: dict[str, Any]) -> list[Row]:
    dead, latency = live["dead_letters"], live["latency_seconds"]
    exported = f"{live['outcomes_exported']:,} exported"
    return [
        ("events in", f"{live['events_read']:,}", "", ""),
        ("outcomes out", f"{live['outcomes']:,}", "", exported),
        ("recommendations answered", f"{live['recommendations_answered']:,}", "", ""),
        ("duplicates dropped", f"{live['duplicates']:,}", "", ""),
        (
            "dead letters",
            f"{sum(dead.values()):,}",
            "",
            ", ".join(f"{count} {kind}" for kind, count in dead.items()),
        ),
        (
            "feedback to fresh slate",
            f"p50 {1000 * latency['p50']:.0f} ms",
            f"p99 {1000 * latency['p99']:.0f} ms",
            f"{live['users']} at once",
        ),
    ]


def percent(rate: float | None) -> str:
    """Return a click rate as a person reads it."""
    return "undefined" if rate is None else f"{100 * rate:.3f}%"


def plot_live(live: Live, chosen: Candidate, path: Path) -> None:
    """Draw the live click rate over the visits, beside the same users under the world's bounds."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    picture = Figure(figsize=(8.0, 4.5), layout="constrained")
    FigureCanvasAgg(picture)
    axes = picture.add_subplot()
    visits = np.arange(1, live.driven.steps + 1)
    lines = (
        (f"live: {chosen.policy.name}", live.driven.curve, "tab:green", 2.4),
        ("myopic (sees the true click rates)", live.myopic, "tab:orange", 1.4),
        ("random", live.random, "tab:gray", 1.4),
    )
    for label, curve, colour, width in lines:
        axes.plot(visits, 100 * _running(curve), color=colour, linewidth=width, label=label)
    axes.set_xlabel(f"visits of each of {len(live.driven.clicks)} users")
    axes.set_ylabel("clicks per 100 slots, running mean")
    axes.set_title("The same simulated users, live over Kafka and under the bounds", loc="left")
    axes.set_xlim(1, live.driven.steps)
    axes.set_ylim(bottom=0.0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    picture.savefig(path, dpi=144)


def _running(curve: Floats) -> Floats:
    """Return the mean up to every step."""
    mean: Floats = np.cumsum(curve) / np.arange(1, len(curve) + 1)
    return mean
