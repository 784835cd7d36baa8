"""A log of slates in, a report out: what a policy's slates would have earned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import chain
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from agents.api import PAD, RecloopError, ShapeError
from evaluation.chunks.checks import Bounds
from evaluation.chunks.slates import Chances, Slates
from evaluation.estimators.names import UnknownEstimatorError
from evaluation.estimators.slates import SLATE_ESTIMATORS
from evaluation.models.cross_fitted import Learner, RewardModel, Unit, keys_by
from evaluation.passes import Progress, fit_model, in_order, require_slots
from evaluation.plan import Plan, Settings
from evaluation.prospects import along, in_slots
from evaluation.shards import summed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agents.api import Floats, Outcomes, Policy, Requests
    from evaluation.estimators.slates import Slated
    from evaluation.intervals.guaranteed import Interval
    from evaluation.report import Report

DRAWS = 100
"""Slates drawn per request to average an item's chance of a slot over what stands before it."""


def evaluate_slates(
    policy: Policy,
    chunks: Iterable[Outcomes],
    *,
    estimators: Sequence[str | Slated] = ("SIPS", "RIPS", "Cascade-DR"),
    reward_model: RewardModel | Learner = None,
    logging: Policy | None = None,
    examination: Floats | None = None,
    unit: Unit = "request",
    seed: int = 0,
    replicates: int = 1000,
    level: float = 0.95,
    bounds: Bounds | None = None,
    interval: Interval = "bootstrap",
    largest_weight: float = inf,
    progress: Progress | None = None,
) -> Report:
    """Return the sum of rewards that a policy's slates would have earned, on average per slate.

    Parameters
    ----------
    policy : Policy
    chunks : iterable of Outcomes
        A log of slates of one length, in chunks of any size; iterated twice where a reward model
        has to be fitted first. `Shards` are read side by side.
    estimators : sequence of str or Estimator
        By name, see `estimators.slates.SLATE_ESTIMATORS`.
    reward_model, unit, seed, replicates, level, progress
        See `evaluate`.
    bounds : (float, float), optional
        Between which the sum of a slate's rewards lies; see `Accumulator`.
    interval, largest_weight
        See `evaluate`. SIPS, SNSIPS, RIPS and IIPS have intervals with a guarantee; for the latter
        two each slot's reward must lie in its share of the bounds.
    logging, examination
        See `SlateReader`: IIPS, PI and the position-based estimator ask for them.

    Raises
    ------
    FaultyLogError
        Naming rows whose propensities or rewards can't be.
    """
    slots, chunks = peeked(chunks)
    wanted = tuple(slated(estimator, slots) for estimator in estimators)
    reader = SlateReader(policy, unit, None, logging, examination, seed)
    if any(estimator.modelled for estimator in wanted):
        reward_model, chunks = in_order(reward_model, chunks)
        model = fit_model(
            reward_model, chunks, slots=slots, unit=unit, seed=seed, progress=progress
        )
        reader = replace(reader, model=model)
    settings = Settings(seed, replicates, level, bounds, interval, largest_weight)
    plan = Plan(replace(reader, slots=slots), wanted, settings)
    return summed(plan.over, chunks, progress).report()


def peeked(chunks: Iterable[Outcomes]) -> tuple[int, Iterable[Outcomes]]:
    """Return how long the slates of a log are, by its first chunk, and the whole log.

    Raises
    ------
    RecloopError
        If the log is empty.
    """
    first = next(iter(chunks), None)
    if first is None:
        raise RecloopError("there is no slate to evaluate: the log is empty")
    whole = chain((first,), chunks) if isinstance(chunks, Iterator) else chunks
    return first.decisions.slates.shape[1], whole


@dataclass(frozen=True, slots=True)
class SlateReader:
    """Turns outcomes of slates into what estimators see of them.

    Parameters
    ----------
    policy : Policy
        The evaluated one.
    unit : "request" or "user"
    model : RewardModel, optional
        Predicts a slot's reward from its item and position, for Cascade-DR.
    logging : Policy, optional
        What decided in the log, for the estimators that ask how likely an item was for a slot
        whatever stood before it: a log does not tell.
    examination : float64 [K], optional
        The chance that each slot is looked at, for the position-based estimator.
    seed : int
    slots : int, optional
        How long all slates must be.
    """

    policy: Policy
    unit: Unit = "request"
    model: RewardModel | None = None
    logging: Policy | None = None
    examination: Floats | None = None
    seed: int = 0
    slots: int | None = None

    @property
    def name(self) -> str:
        """The policy's."""
        return self.policy.name

    def seen(self, outcomes: Outcomes) -> tuple[Slates, Floats, Iterable[Floats]]:
        """Return the slates, each slot's own weights, and what the policy wants; see `Reads`."""
        slates = self.read(outcomes)
        wanted = along(self.policy, outcomes.requests, outcomes.decisions.slates)
        return slates, slates.target / slates.logged, wanted

    def read(self, outcomes: Outcomes) -> Slates:
        """Return what the estimators see of some outcomes.

        Raises
        ------
        SlateError
            If slates are not as long as they must be.
        """
        requests, slates = outcomes.requests, outcomes.decisions.slates
        require_slots(outcomes, self.slots or slates.shape[1])
        q, v = self._predictions(outcomes) if self.model else (None, None)
        return Slates(
            reward=outcomes.rewards.astype(np.float64),
            logged=outcomes.decisions.propensities,
            target=self.policy.propensities(requests, slates),
            keys=keys_by(self.unit, requests),
            q=q,
            v=v,
            chances=self._chances(outcomes),
        )

    def _predictions(self, outcomes: Outcomes) -> tuple[Floats, Floats]:
        """Return q and v, see `Slates`, slot by slot."""
        assert self.model is not None
        requests, slates = outcomes.requests, outcomes.decisions.slates
        q, v = np.zeros(slates.shape), np.zeros(slates.shape)
        for k, chances in enumerate(along(self.policy, requests, slates)):
            at = placed(requests, k)
            filled = slates[:, k] != PAD
            q[:, k] = np.where(filled, self.model.expected(at, slates[:, k : k + 1])[:, 0], 0.0)
            expected = self.model.expected(at, requests.candidates)
            v[:, k] = np.where(requests.candidates == PAD, 0.0, chances * expected).sum(axis=1)
        return q, v

    def _chances(self, outcomes: Outcomes) -> dict[str, Chances]:
        """Return the chances of items for slots, where the logging policy is known."""
        if self.logging is None:
            return {}
        requests, slates = outcomes.requests, outcomes.decisions.slates
        logged, target = (
            in_slots(policy, requests, slates, DRAWS, self.seed)
            for policy in (self.logging, self.policy)
        )
        diagonal = np.arange(slates.shape[1])
        found = {"slot": Chances(logged[:, diagonal, diagonal], target[:, diagonal, diagonal])}
        if self.examination is not None:
            if self.examination.shape != slates.shape[1:]:
                raise ShapeError(
                    f"examination is {self.examination.shape}, but slates have "
                    f"{slates.shape[1]} slots"
                )
            found["exposure"] = Chances(logged @ self.examination, target @ self.examination)
        return found


def placed(requests: Requests, k: int) -> Requests:
    """Return the same requests for slot k alone."""
    return replace(requests, positions=requests.positions[:, k : k + 1])


def slated(estimator: str | Slated, slots: int) -> Slated:
    """Return an estimator for slates of K slots, or raise `UnknownEstimatorError`."""
    if not isinstance(estimator, str):
        return estimator
    folded = {known.casefold(): known for known in SLATE_ESTIMATORS}
    if estimator.casefold() in folded:
        return SLATE_ESTIMATORS[folded[estimator.casefold()]](slots)
    near = get_close_matches(estimator.casefold(), folded, n=1)
    hint = f"did you mean {folded[near[0]]}? " if near else ""
    raise UnknownEstimatorError(
        f"there is no slate estimator {estimator!r}: {hint}There are {', '.join(SLATE_ESTIMATORS)}"
    )
