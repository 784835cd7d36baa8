"""What bounds the value of a policy from below and from above, for each kind of estimator.

Without a promise about the largest weight, a value is bounded from above through w (high - r),
whose noise is that of the weights; with it, through largest - w r as well, which is tighter where
rewards are rare. The promise also lets SNIPS have a sequence of its own: for every constant c the
mean of c + w (r - c) is the value, as that of w r is, and its noise is that of SNIPS where c is
near the value. No c is known beforehand, so bets on a grid of them are mixed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, overload

import numpy as np

from agents.api import RecloopError
from evaluation.chunks.checks import AnyChunk
from evaluation.chunks.pairs import Pair
from evaluation.estimators.paired import Of
from evaluation.estimators.single import dm, dr, ips, snips
from evaluation.intervals.sequences import ConfidenceSequence, Promise, Statistic

if TYPE_CHECKING:
    from evaluation.chunks.rounds import Rounds
    from evaluation.estimators.algebra import Estimator, Term

Method: TypeAlias = Literal["IPS", "SNIPS", "DR", "DM"]
"""The estimators of single rounds that have a confidence sequence, by name."""

CONTROLS = np.linspace(0.0, 1.0, 9)
"""Where in the range of rewards the constants c of SNIPS lie."""


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


def by_snips(weight: Term[AnyChunk], gain: Term[AnyChunk], promise: Promise) -> Watched[AnyChunk]:
    """Return what bounds E[c + w (r - c)], for every c of the grid; see `by_ips`.

    The term is at least c - (c - low) largest, and at most c + (high - c) largest. Without a
    promise about the largest weight only c = low from below and c = high from above are left: IPS.
    """
    if not np.isfinite(promise.largest_weight):
        return by_ips(weight, gain, promise)
    below, above = [], []
    for share in CONTROLS.tolist():
        c = promise.low + share * (promise.high - promise.low)
        under = (c - promise.low) * promise.largest_weight
        over = (promise.high - c) * promise.largest_weight
        below.append(Statistic(((1.0, gain), (-c, weight)), under, under - c))
        above.append(Statistic(((-1.0, gain), (c, weight)), over, over + c))
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


def by_dm(predicted: Term[AnyChunk], promise: Promise) -> Watched[AnyChunk]:
    """Return what bounds E[v], v within the promised range of rewards."""
    return Watched(
        (Statistic(((1.0, predicted),), -promise.low, -promise.low),),
        (Statistic(((-1.0, predicted),), promise.high, promise.high),),
    )


def watched(estimator: Estimator[AnyChunk], promise: Promise) -> Watched[AnyChunk]:
    """Return what bounds the value that an estimator estimates.

    Raises
    ------
    RecloopError
        If nothing bounds it at all times: it is shrunk, say, or normalised slot by slot.
    """
    weight, (part, *_) = estimator.weight.exact, estimator.parts
    if estimator.kind == "weighted":
        return by_ips(weight, estimator.gain, promise)
    if estimator.kind == "normalised":
        return by_snips(weight, estimator.gain, promise)
    if estimator.kind == "corrected":
        return by_dr(weight, part.over, promise)
    if estimator.kind == "modelled":
        return by_dm(part.over, promise)
    raise RecloopError(
        f"{estimator.name} has no interval with a guarantee: ask for the bootstrap's, or choose "
        "estimators that have one (IPS, SNIPS, DM, DR, MRDR, MIPS, OffCEM; of slates SIPS, SNSIPS, "
        "RIPS, IIPS)"
    )


def watched_apart(estimator: Estimator[AnyChunk], promise: Promise) -> Watched[Pair[AnyChunk]]:
    """Return what bounds the difference of two policies' values, from pairs of rows.

    SNIPS takes one c for both policies: (w - w') (r - c), where w' is the incumbent's weight.
    """
    single = watched(estimator, promise)
    mine = Watched(_lifted(single.below, "candidate"), _lifted(single.above, "candidate"))
    theirs = Watched(_lifted(single.below, "incumbent"), _lifted(single.above, "incumbent"))
    if estimator.kind != "normalised" or len(single.below) != len(single.above):
        return mine.minus(theirs)
    return Watched(
        tuple(one + other for one, other in zip(mine.below, theirs.above, strict=True)),
        tuple(one + other for one, other in zip(mine.above, theirs.below, strict=True)),
    )


def _lifted(
    statistics: tuple[Statistic[AnyChunk], ...], side: Literal["candidate", "incumbent"]
) -> tuple[Statistic[Pair[AnyChunk]], ...]:
    return tuple(
        Statistic(
            tuple((factor, Of(side, term)) for factor, term in statistic.parts),
            statistic.base,
            statistic.offset,
        )
        for statistic in statistics
    )


_METHODS: dict[Method, Callable[[], Estimator[Rounds]]] = {
    "IPS": ips,
    "SNIPS": snips,
    "DR": dr,
    "DM": dm,
}


@overload
def watch(method: Method, promise: Promise) -> ConfidenceSequence[Rounds]: ...


@overload
def watch(method: Estimator[AnyChunk], promise: Promise) -> ConfidenceSequence[AnyChunk]: ...


def watch(method: Method | Estimator[AnyChunk], promise: Promise) -> ConfidenceSequence[AnyChunk]:
    """Return a confidence sequence for what an estimator estimates.

    Parameters
    ----------
    method : str or Estimator
        An estimator of single rounds by name, or any estimator; see `watched`.
    promise : Promise
        Of rewards; for slates of the sum of a slate's rewards, in which every slot has its share of
        the range where the weights are of slots or of prefixes.
    """
    return watched(_estimator(method), promise).sequence(promise)


@overload
def watch_apart(method: Method, promise: Promise) -> ConfidenceSequence[Pair[Rounds]]: ...


@overload
def watch_apart(
    method: Estimator[AnyChunk], promise: Promise
) -> ConfidenceSequence[Pair[AnyChunk]]: ...


def watch_apart(
    method: Method | Estimator[AnyChunk], promise: Promise
) -> ConfidenceSequence[Pair[AnyChunk]]:
    """Return a confidence sequence for candidate minus incumbent; see `watch`."""
    return watched_apart(_estimator(method), promise).sequence(promise)


def _estimator(method: Method | Estimator[Any]) -> Estimator[Any]:
    return _METHODS[method]() if isinstance(method, str) else method
