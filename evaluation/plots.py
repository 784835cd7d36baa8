"""The forest plot: every estimate with its interval on one axis, and its verdict beside it."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from evaluation.verdict import Trust

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from evaluation.report import Estimate, Report

COLOURS = {Trust.YES: "#1b7837", Trust.CARE: "#b8860b", Trust.NO: "#b2182b"}
"""One colour per verdict, told apart also by those who see no red and green: they differ in
lightness, and the verdict is written out."""


def forest(reports: Sequence[Report], path: Path, *, known: float | None = None) -> None:
    """Write a forest plot of some reports as PNG.

    Parameters
    ----------
    reports : sequence of Report
        One per policy; their estimates stand below each other.
    path : Path
        The file to write; its folder must exist.
    known : float, optional
        A value to compare with, drawn as a vertical line: the logged mean reward, or the truth.

    Notes
    -----
    An interval that nobody should trust may be thousands of times as long as the others. The axis
    shows the others whole, and an arrow where one goes on beyond it.
    """
    rows = [(report.policy, estimate) for report in reports for estimate in report.estimates]
    figure = Figure(figsize=(8.0, 1.2 + 0.38 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    left, right = _window([estimate for _, estimate in rows], known)
    axes.set_xlim(left, right)
    for at, (_, estimate) in enumerate(rows):
        colour = COLOURS[estimate.verdict.trust]
        axes.plot([estimate.low, estimate.high], [at, at], color=colour, linewidth=2.0)
        for end, marker, beyond in (
            (left, "<", estimate.low < left),
            (right, ">", estimate.high > right),
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
    axes.set_xlabel("estimated reward per round")
    figure.savefig(path, format="png", dpi=120)


def _window(estimates: Sequence[Estimate], known: float | None) -> tuple[float, float]:
    """Return the range of values to show: all of what may be trusted, and every value itself."""
    ends = [e.value for e in estimates] + ([] if known is None else [known])
    trusted = [e for e in estimates if e.verdict.trust is not Trust.NO]
    for estimate in trusted or estimates:
        ends += [estimate.low, estimate.high]
    shown = [end for end in ends if isfinite(end)] or [0.0, 1.0]
    margin = 0.05 * (max(shown) - min(shown)) or 0.5
    return min(shown) - margin, max(shown) + margin
