"""The bootstrap in one pass: every row's resampling weights are a function of its key.

A resample of n rows out of n gives every row a count that is nearly Poisson(1), independent of the
others (Hanley & MacGibbon 2006; Chamandy et al. 2012, "Estimating uncertainty for massive data
streams"). Here replicate r's count of a row is a function of (seed, the row's key, r) alone, so the
replicates do not depend on chunks, order or machine, rows that share a key are resampled together,
and two policies evaluated with one seed on one log are resampled alike: their difference is paired.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from agents.jit import compiled
from agents.streams import mix, stream, word

if TYPE_CHECKING:
    from agents.api import Floats, Keys, Rows

PURPOSE = np.uint64(0xB0075)
"""The stream purpose of resampling counts."""

PER_WORD = 5
"""Counts read from one 64-bit word; the number of replicates is a multiple of it."""

_WEYL = np.uint64(0x9E3779B97F4A7C15)
_ONE, _LOW = np.uint64(1), np.uint64(0xFFF)
_S12, _S24, _S36, _S48 = np.uint64(12), np.uint64(24), np.uint64(36), np.uint64(48)

_TABLE = np.repeat(np.arange(7.0), (1507, 1507, 753, 251, 62, 14, 2))
"""Poisson(1) as 4,096 equally likely counts: small enough for the processor's nearest cache, and
rounded such that the mean and the variance are 1 exactly, which is what a bootstrap asks of its
counts. The third central moment is 0.995 in place of 1."""


def resample(terms: Floats, keys: Keys, seed: int, replicates: int) -> Floats:
    """Return the resampled counts and sums of some rows.

    Parameters
    ----------
    terms : float64 [T, B]
    keys : uint64 [B]
    seed : int
    replicates : int
        A multiple of `PER_WORD`.

    Returns
    -------
    float64 [1 + T, replicates]
        For every replicate: how many rows it holds, and the sum of each term over them.
    """
    out = np.zeros((1 + len(terms), replicates))
    _resample(terms, keys, word(seed), _TABLE, out)
    return out


def scatter(
    cells: Rows, weights: Floats, keys: Keys, seed: int, replicates: int, out: Floats
) -> None:
    """Add rows to a histogram in every resample, in place.

    Parameters
    ----------
    cells : int64 [B, K]
        Where a row counts; nowhere if negative.
    weights : float64 [B, K]
        How much it counts there.
    keys : uint64 [B]
    seed, replicates : int
        See `resample`.
    out : float64 [C, replicates]
    """
    _scatter(cells, weights, keys, word(seed), _TABLE, out)


def spread_around(value: Floats, replicates: Floats, level: float) -> tuple[Floats, Floats]:
    """Return the normal interval around a figure, by the standard error of its replicates.

    For figures that resamples shift as a whole, such as the share of items ever shown (a resample
    misses some) or Gini: their spread is right, their centre is not.

    Parameters
    ----------
    value : float64 [...]
    replicates : float64 [R, ...]
    level : float
        The coverage, in (0, 1).
    """
    off = ndtri((1.0 + level) / 2.0) * np.nanstd(replicates, axis=0, ddof=1)
    return value - off, value + off


def studentised(
    value: float, spread: float, replicates: Floats, spreads: Floats, level: float
) -> tuple[float, float]:
    """Return the bootstrap-t interval of an estimate (Efron & Tibshirani 1993, section 12.5).

    Each replicate is measured in its own standard errors, so the skewness of rare rewards and heavy
    weights is carried to the side where it belongs: where the rewards of a log say as much as 16,
    this covers 96 % and percentiles 92 % (docs/coverage.md). Under clustering the spreads are off
    by a factor, the same in the log and in its resamples: it cancels.

    Parameters
    ----------
    value, spread : float
        The estimate, and the standard deviation of one row's influence on it.
    replicates, spreads : float64 [R]
        The same in every resample. A resample without spread says nothing and is left out.
    level : float
        The coverage, in (0, 1).

    Returns
    -------
    low, high : float
        NaN if the estimate is.
    """
    if not np.isfinite(value):
        return float("nan"), float("nan")
    usable = np.isfinite(replicates) & (spreads > 0.0)
    if spread == 0.0 or not usable.any():
        return value, value
    measured = (replicates[usable] - value) / spreads[usable]
    first, last = percentile(measured, level)
    return value - last * spread, value - first * spread


def percentile(replicates: Floats, level: float) -> tuple[float, float]:
    """Return the central interval of bootstrap replicates; NaN if none of them is finite.

    The k-th smallest of R replicates stands for the quantile k / (R + 1), as it does in a sample of
    R; NumPy's default, (k - 1) / (R - 1), makes intervals of 400 replicates cover 0.5 % too little.

    Parameters
    ----------
    replicates : float64 [R]
    level : float
        The coverage, in (0, 1).
    """
    finite = replicates[np.isfinite(replicates)]
    if not len(finite):
        return float("nan"), float("nan")
    ends = [(1.0 - level) / 2.0, (1.0 + level) / 2.0]
    low, high = np.quantile(finite, ends, method="weibull")
    return float(low), float(high)


@compiled
def _draw(seed: np.uint64, key: np.uint64, table: Floats, counts: Floats) -> None:
    """Fill in how often a row is in each resample."""
    start = stream(seed, key, PURPOSE)
    for j in range(counts.size // 5):
        bits = mix(start + (np.uint64(j) + _ONE) * _WEYL)
        counts[5 * j] = table[bits & _LOW]
        counts[5 * j + 1] = table[(bits >> _S12) & _LOW]
        counts[5 * j + 2] = table[(bits >> _S24) & _LOW]
        counts[5 * j + 3] = table[(bits >> _S36) & _LOW]
        counts[5 * j + 4] = table[(bits >> _S48) & _LOW]


@compiled
def _scatter(
    cells: Rows, weights: Floats, keys: Keys, seed: np.uint64, table: Floats, out: Floats
) -> None:
    B, K = cells.shape
    counts = np.empty(out.shape[1])
    for i in range(B):
        _draw(seed, keys[i], table, counts)
        for k in range(K):
            if cells[i, k] >= 0:
                for r in range(out.shape[1]):
                    out[cells[i, k], r] += weights[i, k] * counts[r]


@compiled
def _resample(terms: Floats, keys: Keys, seed: np.uint64, table: Floats, out: Floats) -> None:
    """Take four rows at a time: sums are read and written once for them, not once for each."""
    T, B = terms.shape
    R = out.shape[1]
    counts = np.zeros((4, R))
    x = np.zeros(4)
    for first in range(0, B, 4):
        rows = min(4, B - first)
        for i in range(4):
            if i < rows:
                _draw(seed, keys[first + i], table, counts[i])
            else:
                counts[i] = 0.0
        for r in range(R):
            out[0, r] += (counts[0, r] + counts[1, r]) + (counts[2, r] + counts[3, r])
        for t in range(T):
            some = False
            for i in range(4):
                x[i] = terms[t, first + i] if i < rows else 0.0
                some = some or x[i] != 0.0
            if some:  # most rounds earn nothing
                a, b, c, d = x[0], x[1], x[2], x[3]
                for r in range(R):
                    out[t + 1, r] += (a * counts[0, r] + b * counts[1, r]) + (
                        c * counts[2, r] + d * counts[3, r]
                    )
