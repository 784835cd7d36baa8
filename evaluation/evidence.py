"""The rule by which a policy may replace another, and what it is judged on.

Yes is said only when the whole interval of the paired difference lies above a margin and the
verdict on both estimates allows it. The difference is taken row by row of one log, so that what
the two policies share cancels; two intervals that overlap say little about it.

`judge_pair` is the rule itself, a pure function of what was summed. `Evidence` sums pairs of rows
for it, whose propensities somebody states: `Gate` asks two policies for them, and a live loop had
them logged when it decided. Rows are of single slots or of slates.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, isnan
from typing import TYPE_CHECKING, Any, TypeAlias

from agents.api import RecloopError
from evaluation.accumulate import Accumulator
from evaluation.chunks.checks import AnyChunk
from evaluation.chunks.pairs import Pair
from evaluation.chunks.rounds import Rounds
from evaluation.chunks.slates import Slates
from evaluation.estimators.algebra import Estimator
from evaluation.estimators.names import UnknownEstimatorError, named
from evaluation.estimators.paired import compared
from evaluation.intervals.watching import watch_apart
from evaluation.slates import slated
from evaluation.verdict import Trust

if TYPE_CHECKING:
    from agents.api import Floats, Keys
    from evaluation.intervals.sequences import ConfidenceSequence, Promise
    from evaluation.report import Estimate
    from evaluation.support import Support

Method: TypeAlias = str
"""The name of an estimator that is not tuned: of single slots (DR, SNIPS, ...) or of slates."""

SINGLE_DEFAULT, SLATE_DEFAULT = "DR", "SNRIPS"
"""What the gate estimates with unless told."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The gate's answer.

    Parameters
    ----------
    promoted : bool
        Whether the candidate may replace the incumbent.
    worse : bool
        Whether it is worse beyond doubt, by more than the margin: what a candidate that is already
        live is rolled back for.
    reason : str
        Why, in a sentence.
    difference : Estimate
        Candidate minus incumbent, per row; its interval is by the bootstrap.
    low, high : float
        The interval that was held against the margin: that of the difference, or the anytime-valid
        one if a promise was given.
    margin : float
    candidate, incumbent : Estimate
    """

    promoted: bool
    worse: bool
    reason: str
    difference: Estimate
    low: float
    high: float
    margin: float
    candidate: Estimate
    incumbent: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        return {
            "promoted": self.promoted,
            "worse": self.worse,
            "reason": self.reason,
            "low": self.low if isfinite(self.low) else None,
            "high": self.high if isfinite(self.high) else None,
            "margin": self.margin,
            "difference": self.difference.to_dict(),
            "candidate": self.candidate.to_dict(),
            "incumbent": self.incumbent.to_dict(),
        }


def judge_pair(
    accumulator: Accumulator[Pair[AnyChunk]],
    *,
    margin: float = 0.0,
    least: Trust = Trust.CARE,
    sequence: ConfidenceSequence[Pair[AnyChunk]] | None = None,
    supports: tuple[Support | None, Support | None] = (None, None),
) -> Judgement:
    """Return whether the candidate may replace the incumbent; changes nothing.

    Parameters
    ----------
    accumulator : Accumulator
        Of the three estimators of `compared`, over pairs of rows.
    margin : float
        By how much, in reward per row, the candidate must be better beyond doubt.
    least : Trust
        The verdict that both estimates need at least.
    sequence : ConfidenceSequence, optional
        Of the difference (`watch_apart`), over the same rows. If given, its interval is held
        against the margin, and the question may be asked again and again while the log grows.
        Without it, ask once.
    supports : pair of Support, optional
        The candidate's and the incumbent's.
    """
    mine, theirs = supports
    candidate, _, difference = accumulator.results(mine)
    _, incumbent, _ = accumulator.results(theirs)
    low, high = difference.low, difference.high
    if sequence is not None:
        low, high = sequence.interval(accumulator.level)
    doubt = _doubt({"candidate": candidate, "incumbent": incumbent}, least)
    if not doubt and isnan(low):
        doubt = "no lead is left that the log allows: the propensities or the promise are wrong"
    span = f"the candidate's lead is between {low:.4g} and {high:.4g} at {accumulator.level:.0%}"
    better, worse = low > margin, high < -margin
    if doubt:
        better, worse, reason = False, False, doubt
    elif better:
        reason = f"{span}, all of it above the margin of {margin:g}"
    elif worse:
        reason = f"{span}: it is worse by more than the margin of {margin:g}"
    else:
        reason = f"{span}, not all of it above the margin of {margin:g}"
    return Judgement(better, worse, reason, difference, low, high, margin, candidate, incumbent)


class Evidence:
    """What a judgement is made from: add pairs of rows, merge with others, judge.

    Parameters
    ----------
    method, slots, promise, seed, replicates, level
        See `Gate`.
    """

    def __init__(
        self,
        *,
        method: Method | None = None,
        slots: int = 1,
        promise: Promise | None = None,
        seed: int = 0,
        replicates: int = 1000,
        level: float = 0.95,
    ) -> None:
        estimator = method_named(method, slots)
        bounds = (promise.low, promise.high) if promise is not None else None
        self._accumulator: Accumulator[Pair[Any]] = Accumulator(
            compared(estimator), seed=seed, replicates=replicates, level=level, bounds=bounds
        )
        self._sequence: ConfidenceSequence[Pair[Any]] | None = None
        if promise is not None:
            self._sequence = watch_apart(estimator, promise)

    @property
    def rounds(self) -> int:
        """How many rows it has seen."""
        return self._accumulator.rounds

    def add(self, pair: Pair[Any]) -> None:
        """Take in some rows; see `Gate.add`."""
        if self._sequence is not None:
            self._sequence.add(pair)
        self._accumulator.add(pair)

    def merge(self, other: Evidence) -> None:
        """Take in what other evidence on the same policies was made from."""
        if (self._sequence is None) != (other._sequence is None):
            raise RecloopError("a gate with a promise and one without can't be merged")
        self._accumulator.merge(other._accumulator)
        if self._sequence is not None and other._sequence is not None:
            self._sequence.merge(other._sequence)

    def judge(
        self,
        margin: float = 0.0,
        *,
        least: Trust = Trust.CARE,
        supports: tuple[Support | None, Support | None] = (None, None),
    ) -> Judgement:
        """Return whether the candidate may replace the incumbent; see `judge_pair`."""
        return judge_pair(
            self._accumulator,
            margin=margin,
            least=least,
            sequence=self._sequence,
            supports=supports,
        )


def stated_pair(
    rewards: Floats, logged: Floats, candidate: Floats, incumbent: Floats, keys: Keys
) -> Pair[Any]:
    """Return rows as `Evidence` takes them, from propensities that were stated when they were made.

    Parameters
    ----------
    rewards : float64 [B, K]
    logged, candidate, incumbent : float64 [B, K]
        The probability of slot k's item given those before it, under what decided and under the
        two policies; 1 in padded slots.
    keys : uint64 [B]
        What is resampled together: the request keys.
    """
    if rewards.shape[1] == 1:
        return Pair(
            *(Rounds(rewards[:, 0], logged[:, 0], p[:, 0], keys) for p in (candidate, incumbent))
        )
    return Pair(*(Slates(rewards, logged, p, keys) for p in (candidate, incumbent)))


def method_named(method: Method | None, slots: int) -> Estimator[Any]:
    """Return the estimator that a gate estimates with.

    Raises
    ------
    UnknownEstimatorError
        If there is none of that name for slates of this length, or it is tuned.
    """
    if slots > 1:
        return slated(method or SLATE_DEFAULT, slots)
    (estimator,) = named([method or SINGLE_DEFAULT])
    if not isinstance(estimator, Estimator):
        raise UnknownEstimatorError(
            f"{estimator.name} is tuned for each policy by itself, which makes differences of "
            f"nothing: give its parameter ({estimator.name}:0.1, say), or choose IPS, SNIPS or DR"
        )
    return estimator


def _doubt(estimates: dict[str, Estimate], least: Trust) -> str:
    """Return why an estimate is not trusted enough; nothing if all are."""
    order = list(Trust)
    for who, estimate in estimates.items():
        if order.index(estimate.verdict.trust) > order.index(least):
            return (
                f"the estimate of the {who} says {estimate.verdict.trust!s}: "
                f"{'; '.join(estimate.verdict.reasons)}"
            )
    return ""
