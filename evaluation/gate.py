"""The gate: whether a policy may replace another, on the evidence of a log.

Yes is said only when the whole interval of the paired difference lies above a margin and the
verdict on both estimates allows it. The difference is taken row by row of one log, so that what
the two policies share cancels; two intervals that overlap say little about it.

`judge_pair` is the rule itself, a pure function of what was summed. `Gate` sums outcomes for it, as
a live loop does while they come in; `promote` asks it of a log. Both read single slots and slates.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, isnan
from typing import TYPE_CHECKING, Any, TypeAlias

from agents.api import Policy, RecloopError
from evaluation.accumulate import Accumulator
from evaluation.chunks.checks import AnyChunk
from evaluation.chunks.pairs import Pair
from evaluation.estimators.algebra import Estimator
from evaluation.estimators.names import UnknownEstimatorError, named
from evaluation.estimators.paired import compared
from evaluation.intervals.watching import watch_apart
from evaluation.models.cross_fitted import Learner, RewardModel, Unit
from evaluation.passes import Progress, fit_model, in_order
from evaluation.rounds import Reader
from evaluation.shards import summed
from evaluation.slates import SlateReader, peeked, slated
from evaluation.support import Support
from evaluation.targets import target_of
from evaluation.verdict import Trust

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agents.api import Outcomes
    from evaluation.intervals.sequences import ConfidenceSequence, Promise
    from evaluation.plan import Reads
    from evaluation.report import Estimate
    from evaluation.targets import Target

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


class Gate:
    """What a judgement is made from: add chunks of a log, merge with others, judge.

    Parameters
    ----------
    candidate, incumbent : Policy or Target
        Of slates only policies.
    method : str
        An estimator that is not tuned, by name: of single slots ("IPS", "SNIPS", "DR", ...), or of
        slates ("SIPS", "SNRIPS", "Cascade-DR", ...).
    slots : int
        How long the slates are; 1 reads the log as rounds of single slots.
    model : RewardModel, optional
        What DR and its kin predict rewards with.
    promise : Promise, optional
        What is known of rewards and weights, of a slate's sum of rewards for slates. If given, the
        interval is a confidence sequence: the gate may be asked again and again while the log
        grows. Without it, ask once. The model's predictions are kept within the promised range.
    logging : Policy, optional
        What decided in the log, for IIPS and PI.
    unit, seed, replicates, level
        See `evaluate`.
    """

    def __init__(
        self,
        candidate: Policy | Target,
        incumbent: Policy | Target,
        *,
        method: Method | None = None,
        slots: int = 1,
        model: RewardModel | None = None,
        promise: Promise | None = None,
        logging: Policy | None = None,
        unit: Unit = "request",
        seed: int = 0,
        replicates: int = 1000,
        level: float = 0.95,
    ) -> None:
        if promise is not None and unit != "request":
            raise RecloopError(
                "a confidence sequence takes rounds as independent, each request by itself: "
                "resample by user without a promise, or give the promise without users"
            )
        bounds = (promise.low, promise.high) if promise is not None else None
        self._readers: tuple[Reads[Any], ...] = tuple(
            Reader(target_of(policy), unit, model, bounds=bounds)
            if slots == 1
            else SlateReader(_policy(policy), unit, model, logging, seed=seed, slots=slots)
            for policy in (candidate, incumbent)
        )
        estimator = method_named(method, slots)
        self._accumulator: Accumulator[Pair[Any]] = Accumulator(
            compared(estimator), seed=seed, replicates=replicates, level=level, bounds=bounds
        )
        self._sequence: ConfidenceSequence[Pair[Any]] | None = None
        if promise is not None:
            self._sequence = watch_apart(estimator, promise)
        self._supports = (Support(), Support())

    @property
    def rounds(self) -> int:
        """How many rows it has seen."""
        return self._accumulator.rounds

    def add(self, outcomes: Outcomes) -> None:
        """Take in some outcomes.

        Raises
        ------
        FaultyLogError, PromiseError
            Naming faulty rows; nothing of the outcomes is counted.
        """
        mine, theirs = (reader.seen(outcomes) for reader in self._readers)
        pair = Pair(mine[0], theirs[0])
        if self._sequence is not None:
            self._sequence.add(pair)
        self._accumulator.add(pair)
        for support, (_, weights, wanted) in zip(self._supports, (mine, theirs), strict=True):
            support.add(outcomes, wanted, weights)

    def merge(self, other: Gate) -> None:
        """Take in what another gate between the same policies has seen."""
        if (self._sequence is None) != (other._sequence is None):
            raise RecloopError("a gate with a promise and one without can't be merged")
        self._accumulator.merge(other._accumulator)
        if self._sequence is not None and other._sequence is not None:
            self._sequence.merge(other._sequence)
        for mine, theirs in zip(self._supports, other._supports, strict=True):
            mine.merge(theirs)

    def judge(self, margin: float = 0.0, *, least: Trust = Trust.CARE) -> Judgement:
        """Return whether the candidate may replace the incumbent; see `judge_pair`."""
        return judge_pair(
            self._accumulator,
            margin=margin,
            least=least,
            sequence=self._sequence,
            supports=self._supports,
        )


def promote(
    candidate: Policy | Target,
    incumbent: Policy | Target,
    log: Iterable[Outcomes],
    *,
    method: Method | None = None,
    margin: float = 0.0,
    least: Trust = Trust.CARE,
    reward_model: RewardModel | Learner = None,
    promise: Promise | None = None,
    logging: Policy | None = None,
    unit: Unit = "request",
    seed: int = 0,
    replicates: int = 1000,
    level: float = 0.95,
    progress: Progress | None = None,
) -> Judgement:
    """Return whether a candidate may replace an incumbent, on the evidence of a log.

    Parameters
    ----------
    candidate, incumbent : Policy or Target
    log : iterable of Outcomes
        Of single slots or of slates of one length; `Shards` are read side by side.
    method : str, optional
        See `Gate`; by default DR for single slots and SNRIPS for slates.
    promise, logging
        See `Gate`.
    margin, least
        See `judge_pair`.
    reward_model, unit, seed, replicates, level, progress
        See `evaluate`.

    Raises
    ------
    FaultyLogError
        Naming rows whose propensities or rewards can't be.
    """
    slots, log = peeked(log)
    model = None
    if method_named(method, slots).modelled:
        reward_model, log = in_order(reward_model, log)
        model = fit_model(reward_model, log, slots=slots, unit=unit, seed=seed, progress=progress)

    def over(chunks: Iterable[Outcomes], progress: Progress | None) -> Gate:
        gate = Gate(
            candidate,
            incumbent,
            method=method,
            slots=slots,
            model=model,
            promise=promise,
            logging=logging,
            unit=unit,
            seed=seed,
            replicates=replicates,
            level=level,
        )
        for outcomes in chunks:
            gate.add(outcomes)
            if progress:
                progress("compare", len(outcomes))
        return gate

    return summed(over, log, progress, "compare").judge(margin, least=least)


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


def _policy(target: Policy | Target) -> Policy:
    if not isinstance(target, Policy):
        raise RecloopError(f"slates are filled by policies; {target.name} is a table of chances")
    return target


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
