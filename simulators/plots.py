"""The fidelity report as a picture: what was predicted of the log, and what is in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from simulators.records import WorldError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from simulators.fidelity import Bin, Fidelity, Share

REAL, WORLD = "#555555", "#2166ac"


def plot_fidelity(fidelity: Fidelity, path: Path | str) -> None:
    """Write a fidelity report as PNG: calibration, clicks a request, and session lengths.

    Bars are two standard errors of what the log has, were the world right.

    Parameters
    ----------
    fidelity : Fidelity
    path : Path or str
        The file to write; its folder must exist.

    Raises
    ------
    WorldError
        If the file's name does not end in .png.
    """
    where = Path(path)
    if where.suffix.lower() != ".png":
        raise WorldError(f"a fidelity report is drawn as .png, not as {where.name!r}")
    figure = Figure(figsize=(10, 6.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2)
    _calibration(axes[0, 0], fidelity.by_decile, "tenths of the impressions, by click chance")
    _calibration(axes[0, 1], fidelity.by_position, "position")
    _shares(axes[1, 0], fidelity.clicks_per_request, "clicks in a request", log=True)
    _shares(axes[1, 1], fidelity.session_lengths, "requests in a session")
    figure.suptitle(f"{fidelity.clicks:,} clicks in {fidelity.impressions:,} held-out impressions")
    figure.savefig(where, dpi=110)


def _calibration(axis: Axes, bins: Sequence[Bin], title: str) -> None:
    counts = np.array([each.impressions for each in bins])
    at = np.arange(len(bins))
    rates = np.array([[each.clicks, each.predicted, each.se] for each in bins]) / counts[:, None]
    axis.errorbar(at, rates[:, 1], 2 * rates[:, 2], fmt="o", color=WORLD, label="world", capsize=3)
    axis.plot(at, rates[:, 0], "x", color=REAL, label="log")
    axis.set_xticks(at, [each.name.rpartition(" ")[2] for each in bins])
    axis.set_xlabel(title)
    axis.set_ylabel("click rate")
    axis.set_ylim(bottom=0)
    axis.legend()


def _shares(axis: Axes, shares: Sequence[Share], title: str, *, log: bool = False) -> None:
    axis.set_xlabel(title)
    if not shares:
        axis.text(0.5, 0.5, "the world's users never leave", ha="center", transform=axis.transAxes)
        return
    at = np.arange(len(shares))
    real, simulated = ([getattr(s, name) for s in shares] for name in ("real", "simulated"))
    errors = [2 * share.se for share in shares]
    axis.bar(at - 0.2, real, 0.4, color=REAL, label="log")
    axis.bar(at + 0.2, simulated, 0.4, yerr=errors, color=WORLD, label="world", capsize=3)
    axis.set_xticks(at, [_short(share.name) for share in shares])
    axis.set_ylabel("how many")
    if log:
        axis.set_yscale("symlog")
    axis.legend()


def _short(name: str) -> str:
    """Return the numbers of a share's name: "4-5" of "sessions of 4 to 5 requests"."""
    first, *last = re.findall(r"\d+", name)
    return "-".join([first, *last]) + ("+" if "or more" in name else "")
