"""The empirical Bernstein interval: right at any size of the log, if terms are bounded."""

from __future__ import annotations

from math import log, sqrt

from agents.api import RecloopError


def bernstein(
    mean: float, variance: float, rows: int, width: float, level: float = 0.95
) -> tuple[float, float]:
    """Return the interval of Maurer & Pontil (2009, theorem 4), applied to both sides.

    It holds for every number of rows that is fixed beforehand, however skewed the terms, where a
    bootstrap needs enough of them; the price is its last term, that is large while few are seen.

    Parameters
    ----------
    mean, variance : float
        The sample's; the variance with n - 1 below.
    rows : int
        How many independent rows.
    width : float
        The range of a row's term: the largest weight times the range of rewards, for IPS.
    level : float
        The coverage, in (0, 1).

    Raises
    ------
    RecloopError
        If there are fewer than two rows.
    """
    off = half_width(variance, rows, width, level)
    return mean - off, mean + off


def half_width(variance: float, rows: int, width: float, level: float) -> float:
    """Return how far the mean may be off on either side; see `bernstein`."""
    if rows < 2:
        raise RecloopError(f"a Bernstein interval needs two rows at least, not {rows}")
    doubt = log(4.0 / (1.0 - level))
    return sqrt(2.0 * variance * doubt / rows) + 7.0 * width * doubt / (3.0 * (rows - 1))
