"""The gate: whether a policy may replace another, on the evidence of a log.

Yes is said only when the whole interval of the paired difference lies above a margin and the
verdict on both estimates allows it. The difference is taken round by round of one log, so that what
the two policies share cancels; two intervals that overlap say little about it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from agents.api import RecloopError
from evaluation.accumulate import Accumulator
from evaluation.chunks.rounds import Rounds
from evaluation.estimators.algebra import Estimator, Ratio
from evaluation.estimators.names import named
from evaluation.estimators.single import INCUMBENT, Seen, SeenWeight
from evaluation.estimators.weights import Importance
from evaluation.intervals.watching import watch
from evaluation.models.cross_fitted import Learner, RewardModel, Unit
from evaluation.passes import Progress, fit_model, in_order
from evaluation.rounds import Reader
from evaluation.support import Support
from evaluation.targets import target_of
from evaluation.verdict import Trust

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agents.api import Floats, Outcomes, Policy
    from evaluation.estimators.algebra import Term
    from evaluation.intervals.sequences import ConfidenceSequence, Promise
    from evaluation.report import Estimate
    from evaluation.targets import Target

Method: TypeAlias = Literal["IPS", "SNIPS", "DR"]
"""The estimators whose differences can be paired."""


@dataclass(frozen=True, slots=True)
class Negative:
    """Minus a term."""

    term: Term[Rounds]

    def __call__(self, rounds: Rounds) -> Floats:
        """Return the term of every round."""
        return -self.term(rounds)


@dataclass(frozen=True, slots=True)
class Less:
    """A term of the rounds, less the same of their view with the incumbent as target."""

    term: Term[Rounds]

    def __call__(self, rounds: Rounds) -> Floats:
        """Return the term of every round."""
        return self.term(rounds) - Seen(INCUMBENT, self.term)(rounds)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The gate's answer.

    Parameters
    ----------
    promoted : bool
    reason : str
        Why, in a sentence.
    difference : Estimate
        Candidate minus incumbent, per round; its interval is by the bootstrap.
    low, high : float
        The interval that was held against the margin: that of the difference, or the anytime-valid
        one if a promise was given.
    margin : float
    candidate, incumbent : Estimate
    """

    promoted: bool
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
            "reason": self.reason,
            "low": self.low if np.isfinite(self.low) else None,
            "high": self.high if np.isfinite(self.high) else None,
            "margin": self.margin,
            "difference": self.difference.to_dict(),
            "candidate": self.candidate.to_dict(),
            "incumbent": self.incumbent.to_dict(),
        }


class Gate:
    """What a judgement is made from: add chunks of a log, merge with others, judge.

    Parameters
    ----------
    candidate, incumbent : Policy or Target
    method : "IPS", "SNIPS" or "DR"
    model : RewardModel, optional
        What DR predicts rewards with.
    promise : Promise, optional
        What is known of rewards and weights. If given, the interval is a confidence sequence: the
        gate may be asked again and again while the log grows. Without it, ask once. The model's
        predictions are kept within the promised range of rewards.
    unit, seed, replicates, level
        See `evaluate`.
    """

    def __init__(
        self,
        candidate: Policy | Target,
        incumbent: Policy | Target,
        *,
        method: Method = "DR",
        model: RewardModel | None = None,
        promise: Promise | None = None,
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
        self.level = level
        bounds = (promise.low, promise.high) if promise is not None else None
        self._readers = tuple(
            Reader(target_of(policy), unit, model, bounds=bounds)
            for policy in (candidate, incumbent)
        )
        self._accumulator = Accumulator(
            _compared(method), seed=seed, replicates=replicates, level=level
        )
        self._sequence: ConfidenceSequence[Rounds] | None = None
        if promise is not None:
            watched: Literal["IPS", "DR"] = "DR" if method == "DR" else "IPS"
            self._sequence = watch(watched, promise, difference=True)
        self._supports = (Support(), Support())

    def add(self, outcomes: Outcomes) -> None:
        """Take in some outcomes of slates of one slot.

        Raises
        ------
        FaultyLogError, PromiseError
            Naming faulty rows; nothing of the outcomes is counted.
        """
        chances = [reader.target.chances(outcomes.requests) for reader in self._readers]
        here, there = (
            reader.read(outcomes, chance)
            for reader, chance in zip(self._readers, chances, strict=True)
        )
        rounds = replace(here, views={INCUMBENT: there})
        if self._sequence is not None:
            self._sequence.add(rounds)
        self._accumulator.add(rounds)
        requests, slates = outcomes.requests, outcomes.decisions.slates
        for support, chance, seen in zip(self._supports, chances, (here, there), strict=True):
            support.add(requests, slates, chance, seen.target / seen.logged)

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
        """Return whether the candidate may replace the incumbent.

        Parameters
        ----------
        margin : float
            By how much, in reward per round, the candidate must be better beyond doubt.
        least : Trust
            The verdict that both estimates need at least.
        """
        mine, theirs = self._supports
        candidate, _, difference = self._accumulator.results(mine)
        _, incumbent, _ = self._accumulator.results(theirs)
        low, high = difference.low, difference.high
        if self._sequence is not None:
            low, high = self._sequence.interval(self.level)
        doubted = _doubted({"candidate": candidate, "incumbent": incumbent}, least)
        span = f"the candidate's lead is between {low:.4g} and {high:.4g} at {self.level:.0%}"
        if doubted:
            promoted, reason = False, doubted
        elif low > margin:
            promoted, reason = True, f"{span}, all of it above the margin of {margin:g}"
        else:
            promoted, reason = False, f"{span}, not all of it above the margin of {margin:g}"
        return Judgement(promoted, reason, difference, low, high, margin, candidate, incumbent)


def promote(
    candidate: Policy | Target,
    incumbent: Policy | Target,
    log: Iterable[Outcomes],
    *,
    method: Method = "DR",
    margin: float = 0.0,
    least: Trust = Trust.CARE,
    reward_model: RewardModel | Learner = None,
    promise: Promise | None = None,
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
        Slates of one slot; see `evaluate`.
    method, promise
        See `Gate`.
    margin, least
        See `Gate.judge`.
    reward_model, unit, seed, replicates, level, progress
        See `evaluate`.

    Raises
    ------
    FaultyLogError
        Naming rows whose propensities or rewards can't be.
    """
    model = None
    if method == "DR":
        reward_model, log = in_order(reward_model, log)
        model = fit_model(reward_model, log, slots=1, unit=unit, seed=seed, progress=progress)
    gate = Gate(
        candidate,
        incumbent,
        method=method,
        model=model,
        promise=promise,
        unit=unit,
        seed=seed,
        replicates=replicates,
        level=level,
    )
    for outcomes in log:
        gate.add(outcomes)
        if progress:
            progress("compare", len(outcomes))
    return gate.judge(margin, least=least)


def _compared(method: Method) -> tuple[Estimator[Rounds], ...]:
    """Return the estimators of the candidate, of the incumbent, and of their difference."""
    ((mine,),) = (estimator.candidates for estimator in named([method]))
    (part,) = mine.parts
    weight, gain = SeenWeight(INCUMBENT, Importance()), Seen(INCUMBENT, mine.gain)
    over = Seen(INCUMBENT, part.over)
    theirs = replace(
        mine, parts=(Ratio(over, weight if part.under else None),), weight=weight, gain=gain
    )
    apart: tuple[Ratio[Rounds], ...] = (Ratio(Less(part.over)),)
    if part.under:
        apart = (part, Ratio(Negative(over), weight))
    return mine, theirs, replace(mine, name=f"{method} difference", parts=apart)


def _doubted(estimates: dict[str, Estimate], least: Trust) -> str:
    """Return why an estimate is not trusted enough; nothing if all are."""
    order = list(Trust)
    for who, estimate in estimates.items():
        if order.index(estimate.verdict.trust) > order.index(least):
            return (
                f"the estimate of the {who} says {estimate.verdict.trust!s}: "
                f"{'; '.join(estimate.verdict.reasons)}"
            )
    return ""
