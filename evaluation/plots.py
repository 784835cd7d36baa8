"""The forest plot: every estimate with its interval on one axis, and its verdict beside it."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from math import isfinite
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from agents.api import RecloopError
from evaluation.verdict import Trust

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from evaluation.report import Estimate, Report

COLOURS = {Trust.YES: "#1b7837", Trust.CARE: "#8a6508", Trust.NO: "#b2182b"}
"""One colour per verdict, told apart also by those who see no red and green: they differ in
lightness, and the verdict is written out."""

WIDTH, HEIGHT = 420, 24
"""Of a row's drawing on the page, in its pixels."""


def forest(reports: Sequence[Report], path: Path, *, known: float | None = None) -> None:
    """Write a forest plot of some reports as PNG, or as a page that needs nothing else.

    Parameters
    ----------
    reports : sequence of Report
        One per policy; their estimates stand below each other.
    path : Path
        The file to write, `.png` or `.html`; its folder must exist. The page has the figures and
        the reasons of the verdicts as well; it loads nothing and runs no script.
    known : float, optional
        A value to compare with, drawn as a vertical line: the logged mean reward, or the truth.

    Raises
    ------
    RecloopError
        If the file's name ends otherwise.

    Notes
    -----
    An interval that nobody should trust may be thousands of times as long as the others. The axis
    shows the others whole, and an arrow where one goes on beyond it.
    """
    writers = {".png": _picture, ".html": _page}
    if path.suffix.lower() not in writers:
        raise RecloopError(f"a forest plot is written as .png or .html, not as {path.name!r}")
    estimates = [estimate for report in reports for estimate in report.estimates]
    writers[path.suffix.lower()](reports, path, _window(estimates, known), known)


@dataclass(frozen=True, slots=True)
class Window:
    """The range of values that is shown."""

    left: float
    right: float

    def x(self, value: float) -> float:
        """Return where a value stands on the page, in pixels; at the edge if beyond it."""
        share = (min(max(value, self.left), self.right) - self.left) / (self.right - self.left)
        return WIDTH * share


def _window(estimates: Sequence[Estimate], known: float | None) -> Window:
    """Return the range of values to show: all of what may be trusted, and every value itself."""
    ends = [e.value for e in estimates] + ([] if known is None else [known])
    trusted = [e for e in estimates if e.verdict.trust is not Trust.NO]
    for estimate in trusted or estimates:
        ends += [estimate.low, estimate.high]
    shown = [end for end in ends if isfinite(end)] or [0.0, 1.0]
    margin = 0.05 * (max(shown) - min(shown)) or 0.5
    return Window(min(shown) - margin, max(shown) + margin)


def _picture(reports: Sequence[Report], path: Path, window: Window, known: float | None) -> None:
    rows = [(report.policy, estimate) for report in reports for estimate in report.estimates]
    figure = Figure(figsize=(8.0, 1.2 + 0.38 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_xlim(window.left, window.right)
    for at, (_, estimate) in enumerate(rows):
        colour = COLOURS[estimate.verdict.trust]
        axes.plot([estimate.low, estimate.high], [at, at], color=colour, linewidth=2.0)
        for end, marker, beyond in (
            (window.left, "<", estimate.low < window.left),
            (window.right, ">", estimate.high > window.right),
        ):
            if beyond:
                axes.plot([end], [at], marker, color=colour, clip_on=False)
        axes.plot([estimate.value], [at], "o", color=colour)
        axes.annotate(
            str(estimate.verdict.trust),
            (1.01, at),
            xycoords=("axes fraction", "data"),
            va="center",
            color=colour,
        )
    if known is not None:
        axes.axvline(known, color="0.5", linestyle="--", linewidth=1.0)
    axes.set_yticks(range(len(rows)), [f"{policy}: {e.estimator}" for policy, e in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.locator_params(axis="x", nbins=6)
    axes.set_xlabel("estimated reward per round")
    figure.savefig(path, format="png", dpi=120)


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Offline evaluation</title>
<style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2rem; color: #222; background: #fff }}
table {{ border-collapse: collapse }}
th, td {{ padding: .2rem .8rem; text-align: left; vertical-align: top }}
th {{ border-bottom: 1px solid #999 }}
.number {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }}
.why {{ max-width: 40rem }}
svg {{ display: block; overflow: visible }}
</style></head><body>
<h1>What each policy would have earned per round</h1>
<table>
<tr><th>policy</th><th>estimator</th><th class="number">value</th><th class="number">interval</th>
<th>{axis}</th><th>verdict</th><th>why</th></tr>
{rows}
</table>
{agreements}
</body></html>
"""


def _page(reports: Sequence[Report], path: Path, window: Window, known: float | None) -> None:
    rows = [
        _row(report.policy, estimate, window, known)
        for report in reports
        for estimate in report.estimates
    ]
    agreements = [
        f"<p>{escape(report.policy)}: {escape(report.agreement)}.</p>" for report in reports
    ]
    page = PAGE.format(
        axis=_axis(window, known), rows="\n".join(rows), agreements="\n".join(agreements)
    )
    path.write_text(page, encoding="utf-8")


def _row(policy: str, estimate: Estimate, window: Window, known: float | None) -> str:
    trust = estimate.verdict.trust
    cells = [
        f"<td>{escape(policy)}</td><td>{escape(estimate.estimator)}</td>",
        f'<td class="number">{estimate.value:.4g}</td>',
        f'<td class="number">{estimate.low:.4g} to {estimate.high:.4g} ({estimate.level:.0%})</td>',
        f"<td>{_bar(estimate, window, known)}</td>",
        f'<td style="color: {COLOURS[trust]}; white-space: nowrap">{trust}</td>',
        f'<td class="why">{escape("; ".join(estimate.verdict.reasons))}</td>',
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _bar(estimate: Estimate, window: Window, known: float | None) -> str:
    """Return an interval as a drawing, with arrows where it goes on beyond the window."""
    middle = HEIGHT / 2
    drawn = [] if known is None else [_line(window.x(known), 0, window.x(known), HEIGHT, "#777")]
    if isfinite(estimate.value):
        colour = COLOURS[estimate.verdict.trust]
        low, high = window.x(estimate.low), window.x(estimate.high)
        drawn.append(_line(low, middle, high, middle, colour))
        for end, back, beyond in (
            (0, 8, estimate.low < window.left),
            (WIDTH, WIDTH - 8, estimate.high > window.right),
        ):
            if beyond:
                corners = f"{end},{middle} {back},{middle - 5} {back},{middle + 5}"
                drawn.append(f'<polygon points="{corners}" fill="{colour}"/>')
        at = window.x(estimate.value)
        drawn.append(f'<circle cx="{at:.1f}" cy="{middle}" r="4" fill="{colour}"/>')
    label = f"{estimate.value:.4g}, between {estimate.low:.4g} and {estimate.high:.4g}"
    return _svg(label, drawn)


def _axis(window: Window, known: float | None) -> str:
    """Return the axis as a drawing: round numbers, and the known value if there is one."""
    ticks = MaxNLocator(4).tick_values(window.left, window.right)
    drawn = [
        f'<text x="{window.x(tick):.1f}" y="{HEIGHT - 6}" font-size="12" '
        f'text-anchor="middle" font-weight="normal">{tick:.4g}</text>'
        for tick in map(float, ticks)
        if window.left <= tick <= window.right
    ]
    told = "the axis of values" if known is None else f"the axis; the grey line is {known:.4g}"
    return _svg(told, drawn)


def _svg(label: str, drawn: Sequence[str]) -> str:
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{escape(label)}">'
        f"<title>{escape(label)}</title>{''.join(drawn)}</svg>"
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1}" x2="{x2:.1f}" y2="{y2}" stroke="{colour}" '
        'stroke-width="2"/>'
    )
