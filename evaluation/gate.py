"""The gate: whether a policy may replace another, on the evidence of a log.

`Gate` asks two policies what they would have shown, and sums what came of it as `Evidence`, by
which they are judged; `promote` does so for a whole log. Both read single slots and slates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agents.api import Policy, RecloopError
from evaluation.chunks.pairs import Pair
from evaluation.evidence import Evidence, method_named
from evaluation.models.cross_fitted import Learner, RewardModel, Unit
from evaluation.passes import Progress, fit_model, in_order
from evaluation.rounds import Reader
from evaluation.shards import summed
from evaluation.slates import SlateReader, peeked
from evaluation.support import Support
from evaluation.targets import target_of
from evaluation.verdict import Trust

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agents.api import Outcomes
    from evaluation.evidence import Judgement, Method
    from evaluation.intervals.sequences import Promise
    from evaluation.plan import Reads
    from evaluation.targets import Target


class Gate:
    """Evidence on two policies from a log: add chunks of it, merge with others, judge.

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
        self._evidence = Evidence(
            method=method,
            slots=slots,
            promise=promise,
            seed=seed,
            replicates=replicates,
            level=level,
        )
        self._supports = (Support(), Support())

    @property
    def rounds(self) -> int:
        """How many rows it has seen."""
        return self._evidence.rounds

    def add(self, outcomes: Outcomes) -> None:
        """Take in some outcomes.

        Raises
        ------
        FaultyLogError, PromiseError
            Naming faulty rows; nothing of the outcomes is counted.
        """
        mine, theirs = (reader.seen(outcomes) for reader in self._readers)
        self._evidence.add(Pair(mine[0], theirs[0]))
        for support, (_, weights, wanted) in zip(self._supports, (mine, theirs), strict=True):
            support.add(outcomes, wanted, weights)

    def merge(self, other: Gate) -> None:
        """Take in what another gate between the same policies has seen."""
        self._evidence.merge(other._evidence)
        for mine, theirs in zip(self._supports, other._supports, strict=True):
            mine.merge(theirs)

    def judge(self, margin: float = 0.0, *, least: Trust = Trust.CARE) -> Judgement:
        """Return whether the candidate may replace the incumbent; see `judge_pair`."""
        return self._evidence.judge(margin, least=least, supports=self._supports)


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


def _policy(target: Policy | Target) -> Policy:
    if not isinstance(target, Policy):
        raise RecloopError(f"slates are filled by policies; {target.name} is a table of chances")
    return target
