"""A log in, a report out: what a policy would have earned, had it decided in the log's place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from agents.api import PAD
from evaluation.chunks.checks import Bounds
from evaluation.chunks.rounds import Rounds
from evaluation.estimators.names import named
from evaluation.estimators.single import CLUSTERS, ROBUST
from evaluation.models.cross_fitted import Learner, RewardModel, Unit, is_ready, keys_by
from evaluation.passes import Progress, fit_model, in_order, require_slots
from evaluation.plan import Plan, Settings
from evaluation.shards import summed
from evaluation.targets import Clusters, Target, target_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agents.api import Floats, Outcomes, Policy
    from evaluation.estimators.algebra import Readable
    from evaluation.intervals.guaranteed import Interval
    from evaluation.report import Report


def evaluate(
    policy: Policy | Target,
    chunks: Iterable[Outcomes],
    *,
    estimators: Sequence[str | Readable[Rounds]] = ("IPS", "SNIPS", "DM", "DR"),
    reward_model: RewardModel | Learner = None,
    clusters: Clusters | None = None,
    unit: Unit = "request",
    seed: int = 0,
    replicates: int = 1000,
    level: float = 0.95,
    bounds: Bounds | None = None,
    interval: Interval = "bootstrap",
    largest_weight: float = inf,
    progress: Progress | None = None,
) -> Report:
    """Return what a policy would have earned per round on the situations of a log.

    Parameters
    ----------
    policy : Policy or Target
        Evaluated as it stands; it does not learn on the way.
    chunks : iterable of Outcomes
        A log of slates of one slot, in chunks of any size; iterated twice where a reward model has
        to be fitted first, so that then it must be a list or another thing that can be. `Shards`
        are read side by side.
    estimators : sequence of str or Estimator
        By name, see `estimators.names`.
    reward_model : RewardModel, scikit-learn learner or River model, optional
        What DM and DR predict rewards with. A learner is cross-fitted (see `CrossFitted`), the
        default one if there is none; a River model predicts each round before it learns from it
        (see `Progressive`), in one pass; a `RewardModel` is taken as it is.
    clusters : Clusters, optional
        What MIPS and OffCEM weigh in place of items.
    unit : "request" or "user"
        What is resampled together. Where users return and differ much from each other, the rounds
        of one user are not independent evidence: then say "user".
    seed : int
        Two policies evaluated with one seed on one log can be compared replicate by replicate.
    replicates, level
        See `Accumulator`.
    bounds : (float, float), optional
        Between which rewards lie: (0, 1) for clicks. Intervals are cut to them (see `Accumulator`)
        and so are a reward model's predictions.
    interval : "bootstrap", "bernstein" or "sequence"
        What intervals are made by. Those with a guarantee want bounds, and exist for IPS, SNIPS,
        DM, DR, MRDR, MIPS and OffCEM; a sequence holds at all times while the log grows.
    largest_weight : float
        What no importance weight exceeds, known before the log is seen; see `Promise`.
    progress : callable, optional

    Raises
    ------
    FaultyLogError
        Naming rows whose propensities or rewards can't be.
    PromiseError
        Naming rows whose rewards or weights are outside of what was promised for the interval.
    SlateError
        If slates have more than one slot.
    """
    wanted: list[Readable[Rounds]] = []
    for estimator in estimators:
        wanted += named([estimator]) if isinstance(estimator, str) else [estimator]
    reader = Reader(target_of(policy), unit, clusters=clusters, bounds=bounds)
    if any(estimator.modelled for estimator in wanted):
        reward_model, chunks = in_order(reward_model, chunks)
    fit = partial(fit_model, reward_model, chunks, slots=1, unit=unit, seed=seed, progress=progress)
    if any(estimator.modelled for estimator in wanted):
        reader = replace(reader, model=fit())
    if any(estimator.name == "MRDR" for estimator in wanted) and not is_ready(reward_model):
        reader = replace(reader, robust=fit(weigh=reader.robustly))
    settings = Settings(seed, replicates, level, bounds, interval, largest_weight)
    plan = Plan(reader, tuple(wanted), settings)
    return summed(plan.over, chunks, progress).report()


@dataclass(frozen=True, slots=True)
class Reader:
    """Turns outcomes into what estimators see of them.

    Parameters
    ----------
    target : Target
    unit : "request" or "user"
    model : RewardModel, optional
    robust : RewardModel, optional
        The model of MRDR.
    clusters : Clusters, optional
    bounds : (float, float), optional
        What the models' predictions are kept between.
    """

    target: Target
    unit: Unit = "request"
    model: RewardModel | None = None
    robust: RewardModel | None = None
    clusters: Clusters | None = None
    bounds: Bounds | None = None

    @property
    def name(self) -> str:
        """The target's."""
        return self.target.name

    def seen(self, outcomes: Outcomes) -> tuple[Rounds, Floats, Iterable[Floats]]:
        """Return the rounds, their weights, and what the target wants to show; see `Reads`."""
        chances = self.target.chances(outcomes.requests)
        rounds = self.read(outcomes, chances)
        return rounds, (rounds.target / rounds.logged)[:, None], (chances,)

    def read(self, outcomes: Outcomes, chances: Floats | None = None) -> Rounds:
        """Return what the estimators see of some outcomes.

        Parameters
        ----------
        outcomes : Outcomes
            Slates of one slot.
        chances : float64 [B, M], optional
            The target's, where they are already known.

        Raises
        ------
        SlateError
            If slates have more than one slot.
        """
        require_slots(outcomes, 1)
        requests, slates = outcomes.requests, outcomes.decisions.slates
        rounds = Rounds(
            reward=outcomes.rewards[:, 0].astype(np.float64),
            logged=outcomes.decisions.propensities[:, 0],
            target=self.target.propensities(requests, slates)[:, 0],
            keys=keys_by(self.unit, requests),
        )
        if self.model is None and self.clusters is None:
            return rounds
        if chances is None:
            chances = self.target.chances(requests)
        views = {}
        if self.model is not None:
            rounds = self._predicted(rounds, self.model, outcomes, chances)
        if self.robust is not None:
            views[ROBUST] = self._predicted(rounds, self.robust, outcomes, chances)
        if self.clusters is not None:
            logging = target_of(self.clusters.logging).chances(requests)
            views[CLUSTERS] = replace(
                rounds,
                logged=self.clusters.chances(requests, slates, logging),
                target=self.clusters.chances(requests, slates, chances),
            )
        return replace(rounds, views=views)

    def robustly(self, outcomes: Outcomes) -> Floats:
        """Return pi_e (1 - p) / p^2, float64 [B, K]: what MRDR's model weighs rounds with."""
        target = self.target.propensities(outcomes.requests, outcomes.decisions.slates)
        logged = outcomes.decisions.propensities
        return target * (1.0 - logged) / logged**2

    def _predicted(
        self, rounds: Rounds, model: RewardModel, outcomes: Outcomes, chances: Floats
    ) -> Rounds:
        """Return rounds with a model's predictions."""
        requests, slates = outcomes.requests, outcomes.decisions.slates
        low, high = self.bounds or (-np.inf, np.inf)
        expected = np.clip(model.expected(requests, requests.candidates), low, high)
        expected = np.where(requests.candidates == PAD, 0.0, expected)
        shown = np.clip(model.expected(requests, slates), low, high)
        shown = np.where(slates == PAD, 0.0, shown)
        return replace(rounds, q=shown[:, 0], v=np.einsum("bm,bm->b", chances, expected))
