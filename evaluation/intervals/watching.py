"""The confidence sequences of off-policy values: by IPS, by DR, and of two policies' difference.

SNIPS and IPS estimate one and the same value, so the sequence of IPS is that of SNIPS too. Without
a promise about the largest weight, each value is bounded from above through w (high - r), whose
noise is that of the weights; with it, through largest - w r as well, which is tighter where rewards
are rare.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Generic, Literal

import numpy as np

from evaluation.chunks.checks import AnyChunk
from evaluation.estimators.single import INCUMBENT, Corrected, Gain, Seen, SeenWeight
from evaluation.estimators.weights import Importance
from evaluation.intervals.sequences import ConfidenceSequence, Promise, Statistic

if TYPE_CHECKING:
    from evaluation.chunks.rounds import Rounds
    from evaluation.estimators.algebra import Term


@dataclass(frozen=True, slots=True)
class Watched(Generic[AnyChunk]):
    """Statistics that bound a value from below and from above."""

    below: tuple[Statistic[AnyChunk], ...]
    above: tuple[Statistic[AnyChunk], ...]

    def sequence(self, promise: Promise) -> ConfidenceSequence[AnyChunk]:
        """Return the confidence sequence for the value."""
        return ConfidenceSequence(self.below, self.above, promise.high - promise.low)

    def minus(self, other: Watched[AnyChunk]) -> Watched[AnyChunk]:
        """Return the statistics of this value minus another, row by row of the same log."""
        return Watched(
            tuple(mine + theirs for mine, theirs in product(self.below, other.above)),
            tuple(mine + theirs for mine, theirs in product(self.above, other.below)),
        )


def by_ips(weight: Term[AnyChunk], gain: Term[AnyChunk], promise: Promise) -> Watched[AnyChunk]:
    """Return what bounds E[w r]: w (r - low) from below, w (high - r) from above.

    Parameters
    ----------
    weight : Term
        The exact importance weight, of mean 1.
    gain : Term
        Weight times reward; for slates the reward is that of the whole slate.
    promise : Promise
    """
    low, high = promise.low, promise.high
    below = [Statistic(((1.0, gain), (-low, weight)), 0.0, -low)]
    above = [Statistic(((-1.0, gain), (high, weight)), 0.0, high)]
    if np.isfinite(promise.largest_weight):
        most = promise.largest_weight * (high - low)
        above.append(Statistic(((-1.0, gain), (low, weight)), most, most + low))
    return Watched(tuple(below), tuple(above))


def by_dr(weight: Term[AnyChunk], corrected: Term[AnyChunk], promise: Promise) -> Watched[AnyChunk]:
    """Return what bounds E[v + w (r - q)]: the correction is no less than -w (high - low).

    Parameters
    ----------
    weight : Term
        The exact importance weight, of mean 1.
    corrected : Term
        v + w (r - q), q and v within the promised range of rewards.
    promise : Promise
    """
    low, high, width = promise.low, promise.high, promise.high - promise.low
    below = [Statistic(((1.0, corrected), (width, weight)), -low, width - low)]
    above = [Statistic(((-1.0, corrected), (width, weight)), high, width + high)]
    if np.isfinite(promise.largest_weight):
        most = promise.largest_weight * width
        below.append(Statistic(((1.0, corrected),), most - low, most - low))
        above.append(Statistic(((-1.0, corrected),), most + high, most + high))
    return Watched(tuple(below), tuple(above))


def watch(
    method: Literal["IPS", "DR"], promise: Promise, *, difference: bool = False
) -> ConfidenceSequence[Rounds]:
    """Return a confidence sequence for rounds.

    Parameters
    ----------
    method : "IPS" or "DR"
    promise : Promise
    difference : bool
        Whether it is for the value of the rounds' target minus that of the target in their view
        `INCUMBENT`, instead of the former alone.
    """
    weight = Importance()
    here, there = weight, SeenWeight(INCUMBENT, weight)
    if method == "IPS":
        found = by_ips(here, Gain(weight), promise)
        other = by_ips(there, Seen(INCUMBENT, Gain(weight)), promise)
    else:
        found = by_dr(here, Corrected(weight), promise)
        other = by_dr(there, Seen(INCUMBENT, Corrected(weight)), promise)
    return (found.minus(other) if difference else found).sequence(promise)
