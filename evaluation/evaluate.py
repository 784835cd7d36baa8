"""A log in, a report out: what a policy would have earned, had it decided in the log's place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from agents.api import PAD, RecloopError
from evaluation.accumulate import Accumulator
from evaluation.estimators import named
from evaluation.report import Report, report
from evaluation.reward_models import Cluster, CrossFitted, Learner, RewardModel, keys_by
from evaluation.rounds import Rounds, check
from evaluation.support import Support
from evaluation.targets import Target, target_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agents.api import Floats, Outcomes, Policy
    from evaluation.estimators import RoundEstimator

Progress: TypeAlias = Callable[[str, int], None]
"""Called after every chunk with what is being done and how many rounds were done just now."""


class SlateError(RecloopError, ValueError):
    """A log of longer slates than the estimators can read."""


def evaluate(
    policy: Policy | Target,
    chunks: Iterable[Outcomes],
    *,
    estimators: Sequence[str | RoundEstimator] = ("IPS", "SNIPS", "DM", "DR"),
    reward_model: RewardModel | Learner = None,
    cluster: Cluster = "request",
    seed: int = 0,
    replicates: int = 1000,
    level: float = 0.95,
    progress: Progress | None = None,
) -> Report:
    """Return what a policy would have earned per round on the situations of a log.

    Parameters
    ----------
    policy : Policy or Distribution
        Evaluated as it stands; it does not learn on the way.
    chunks : iterable of Outcomes
        A log of slates of one slot, in chunks of any size; iterated twice where a reward model has
        to be fitted first, so that then it must be a list or another thing that can be.
    estimators : sequence of str or Estimator
    reward_model : RewardModel or scikit-learn learner, optional
        What DM and DR predict rewards with. A learner is cross-fitted (see `CrossFitted`), the
        default one if there is none; a `RewardModel` is taken as it is.
    cluster : "request" or "user"
        What is resampled together. Where users return and differ much from each other, the rounds
        of one user are not independent evidence: then say "user".
    seed : int
        Two policies evaluated with one seed on one log can be compared replicate by replicate.
    replicates, level
        See `Accumulator`.
    progress : callable, optional

    Raises
    ------
    FaultyLogError
        Naming rows whose propensities or rewards can't be.
    SlateError
        If slates have more than one slot.
    """
    target = target_of(policy)
    wanted = [named([e])[0] if isinstance(e, str) else e for e in estimators]
    model = None
    if any(estimator.modelled for estimator in wanted):
        model = _model(reward_model, chunks, cluster, seed, progress)
    accumulator = Accumulator(wanted, seed=seed, replicates=replicates, level=level)
    support = Support()
    for outcomes in chunks:
        chances = target.chances(outcomes.requests)
        accumulator.add(rounds_of(outcomes, target, cluster, model, chances))
        support.add(outcomes.requests, outcomes.decisions.slates, chances)
        if progress:
            progress(f"evaluate {target.name}", len(outcomes))
    return report(target.name, accumulator.results(support.unsupported))


def rounds_of(
    outcomes: Outcomes,
    target: Target,
    cluster: Cluster = "request",
    model: RewardModel | None = None,
    chances: Floats | None = None,
) -> Rounds:
    """Return what the estimators see of some outcomes.

    Parameters
    ----------
    outcomes : Outcomes
        Slates of one slot.
    target : Target
    cluster : "request" or "user"
    model : RewardModel, optional
    chances : float64 [B, M], optional
        The target's, where they are already known.

    Raises
    ------
    SlateError
        If slates have more than one slot.
    """
    requests, slates = outcomes.requests, outcomes.decisions.slates
    _one_slot(outcomes)
    q = v = None
    if model is not None:
        if chances is None:
            chances = target.chances(requests)
        expected = np.where(
            requests.candidates == PAD, 0.0, model.expected(requests, requests.candidates)
        )
        q = np.where(slates[:, 0] == PAD, 0.0, model.expected(requests, slates)[:, 0])
        v = np.einsum("bm,bm->b", chances, expected)
    return Rounds(
        reward=outcomes.rewards[:, 0].astype(np.float64),
        logged=outcomes.decisions.propensities[:, 0],
        target=target.propensities(requests, slates)[:, 0],
        keys=keys_by(cluster, requests),
        q=q,
        v=v,
    )


def _model(
    given: RewardModel | Learner,
    chunks: Iterable[Outcomes],
    cluster: Cluster,
    seed: int,
    progress: Progress | None,
) -> RewardModel:
    """Return the model to predict rewards with, fitted where that is still to be done."""
    if hasattr(given, "expected"):
        fitted: RewardModel = given
        return fitted
    if isinstance(chunks, Iterator):
        raise RecloopError(
            "a reward model is fitted in a first pass over the log, and these chunks can be read "
            "only once: give a list of them, or a reward model that is already fitted"
        )
    return CrossFitted(given, cluster=cluster, seed=seed).fit(_told(chunks, progress))


def _told(chunks: Iterable[Outcomes], progress: Progress | None) -> Iterator[Outcomes]:
    """Yield checked chunks: a learner must not be the first to stumble over a faulty row."""
    first = 0
    for outcomes in chunks:
        _one_slot(outcomes)
        rewards = outcomes.rewards[:, 0].astype(np.float64)
        logged = outcomes.decisions.propensities[:, 0]
        check(Rounds(rewards, logged, target=logged, keys=outcomes.requests.keys), first)
        first += len(outcomes)
        yield outcomes
        if progress:
            progress("read rewards", len(outcomes))


def _one_slot(outcomes: Outcomes) -> None:
    slots = outcomes.decisions.slates.shape[1]
    if slots != 1:
        raise SlateError(f"these estimators read slates of one slot, but this log's have {slots}")
