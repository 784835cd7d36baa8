"""Which interval an estimate is given: the bootstrap's, Bernstein's, or a confidence sequence.

The bootstrap's holds about 95 % once there is enough to go by, for every estimator. The other two
are promised to hold at least that, if what was promised about rewards and weights is true, and
exist for the estimators that are means of bounded terms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import numpy as np
from scipy.optimize import brentq

from agents.api import RecloopError
from evaluation.chunks.checks import AnyChunk
from evaluation.intervals.bernstein import bernstein, half_width

if TYPE_CHECKING:
    from evaluation.estimators.algebra import Estimator, Moments
    from evaluation.intervals.sequences import Promise

Interval: TypeAlias = Literal["bootstrap", "bernstein", "sequence"]
"""Right once there is enough to go by; right at any size, if looked at once; right at all times."""

INTERVALS: tuple[Interval, ...] = ("bootstrap", "bernstein", "sequence")


class Ends(Protocol[AnyChunk]):
    """Says what the ends of an estimate's interval are, from the moments of the log."""

    def __call__(
        self, at: int, estimator: Estimator[AnyChunk], log: Moments[AnyChunk], /
    ) -> tuple[float, float]:
        """Return the interval of the accumulator's estimator number `at`."""


def promised(interval: Interval, bounds: tuple[float, float] | None, largest: float) -> Promise:
    """Return what an interval with a guarantee is built on.

    Raises
    ------
    RecloopError
        If too little is promised for it.
    """
    from evaluation.intervals.sequences import Promise

    if interval not in INTERVALS:
        raise RecloopError(f"there is no interval {interval!r}: there are {', '.join(INTERVALS)}")
    if bounds is None:
        raise RecloopError(
            f"an interval by {interval} holds because rewards are bounded: say between what they "
            "lie (bounds=(0, 1), or --bounds 0,1 on the command line)"
        )
    if interval == "bernstein" and not np.isfinite(largest):
        raise RecloopError(
            "an interval by bernstein needs a bound on the weights that holds before the log is "
            "seen: one over the smallest probability that the logging policy ever gives anything "
            "(largest_weight=, or --largest-weight on the command line)"
        )
    return Promise(bounds[0], bounds[1], largest)


def bernstein_of(
    estimator: Estimator[AnyChunk], log: Moments[AnyChunk], promise: Promise, level: float
) -> tuple[float, float]:
    """Return the empirical Bernstein interval of an estimate.

    Parameters
    ----------
    estimator : Estimator
        Of a kind other than "other".
    log : Moments
    promise : Promise
        With a finite largest weight.
    level : float

    Notes
    -----
    SNIPS is no mean, so its interval holds every V that the mean of w (r - V) allows to be the
    value: that mean is 0 where V is the value, and w (r - V) has a known range.
    """
    rows = int(log.rows)
    if rows < 2:
        return -np.inf, np.inf
    reading = estimator.read(log)
    reach = promise.largest_weight * (promise.high - promise.low)
    if estimator.kind == "normalised":
        return _self_normalised(estimator, log, promise, reach, level)
    width = {
        "weighted": promise.largest_weight * (max(promise.high, 0.0) - min(promise.low, 0.0)),
        "corrected": 2.0 * reach + promise.high - promise.low,
        "modelled": promise.high - promise.low,
    }[estimator.kind]
    variance = float(reading.spread) ** 2 * rows / (rows - 1)
    return bernstein(float(reading.value), variance, rows, width, level)


def _self_normalised(
    estimator: Estimator[AnyChunk],
    log: Moments[AnyChunk],
    promise: Promise,
    reach: float,
    level: float,
) -> tuple[float, float]:
    (part,) = estimator.parts
    assert part.under is not None
    a, b = log.columns[part.over], log.columns[part.under]
    mean_a, mean_b = float(log.means[a]), float(log.means[b])
    var_a, var_b, cov = (
        float(log.products[log.pairs[min(i, j), max(i, j)]] - log.means[i] * log.means[j])
        for i, j in ((a, a), (b, b), (a, b))
    )
    rows = int(log.rows)

    def beyond(value: float) -> float:
        variance = var_a - 2.0 * value * cov + value**2 * var_b
        scaled = max(variance, 0.0) * rows / (rows - 1)
        return abs(mean_a - value * mean_b) - half_width(scaled, rows, reach, level)

    middle = min(max(mean_a / mean_b, promise.low), promise.high) if mean_b else promise.low
    ends = []
    for end in (promise.low, promise.high):
        inside = beyond(end) <= 0.0 or beyond(middle) >= 0.0
        ends.append(end if inside else float(brentq(beyond, middle, end, xtol=1e-15)))
    return ends[0], ends[1]
