"""Rejection replay: what a policy would have earned while it learned, from a log alone.

Weights tell what a policy earns that stands still. One that learns goes where its own decisions
lead it, so the log has to be turned into the one that it would have made: a row is accepted with
probability w / c, w the weight under the policy as it is by then and c at least the largest weight.
What is accepted is distributed as if the policy had decided, and it learns from that (Li, Chu,
Langford & Wang 2011; Dudik, Erhan, Langford & Li 2014 for logs that are not uniform). The price is
rows: about one in c is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil, inf, sqrt
from typing import TYPE_CHECKING

import numpy as np

from agents.api import RecloopError
from agents.streams import uniforms
from evaluation.accumulate import SAME, Accumulator
from evaluation.chunks.checks import check
from evaluation.chunks.rounds import Rounds
from evaluation.chunks.slates import Slates
from evaluation.estimators.single import ips
from evaluation.models.cross_fitted import Unit, keys_by
from evaluation.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from agents.api import Floats, Outcomes, Policy
    from evaluation.passes import Progress
    from evaluation.report import Estimate

ACCEPT = 0xACC
"""The stream purpose of accepting rows."""

ROUNDING = 1e-9
"""By how much a weight may exceed the largest one, relatively."""


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """What came of a replay.

    Parameters
    ----------
    estimate : Estimate
        The mean return per accepted row, all along the way that the policy learned.
    returns : float64 [T]
        The return of each accepted row, in order: the learning curve.
    used : int
        How many rows of the log were gone through.
    """

    estimate: Estimate
    returns: Floats
    used: int


def replay(
    policy: Policy,
    chunks: Iterable[Outcomes],
    *,
    largest_weight: float | None = None,
    every: int = 1,
    rounds: int | None = None,
    unit: Unit = "request",
    seed: int = 0,
    replicates: int = 1000,
    level: float = 0.95,
    progress: Progress | None = None,
) -> Replay:
    """Return what a policy would have earned while learning; afterwards it has learned.

    Parameters
    ----------
    policy : Policy
        Learns from the accepted rows, which carry the propensities that it states itself.
    chunks : iterable of Outcomes
        A log of slates of any length, in order of time.
    largest_weight : float, optional
        c. By default one over the smallest probability of a slate in the log, for which the log is
        read once before; a smaller one that no weight exceeds accepts more rows.
    every : int
        After how many accepted rows the policy learns from them: as often as it would live, and
        with more of them the replay is faster.
    rounds : int, optional
        Stop after that many accepted rows. Fixed beforehand, the mean is unbiased; if the log ends
        first, or without it, it is nearly so.
    unit : "request" or "user"
        What is resampled together for the interval.
    seed : int
        The root of accepting rows and of the bootstrap.
    replicates, level
        See `Accumulator`.
    progress : callable, optional

    Raises
    ------
    FaultyLogError
        Naming rows whose propensities or rewards can't be.
    RecloopError
        If a weight exceeds the largest one, naming the row, or no row is accepted.
    """
    if every < 1 or (rounds is not None and rounds < 1):
        raise RecloopError(f"every and rounds count rows, not {every} and {rounds}")
    if largest_weight is None:
        largest_weight = _largest(chunks)
    accumulator = Accumulator([ips("Replay")], seed=seed, replicates=replicates, level=level)
    course = _Course(policy, largest_weight, every, rounds or inf, seed)
    first = 0
    for outcomes in chunks:
        _check(outcomes, first)
        for taken in course.through(outcomes, first):
            ones = np.ones(len(taken))
            returns = taken.rewards.sum(axis=1, dtype=np.float64)
            accumulator.add(Rounds(returns, ones, ones, keys_by(unit, taken.requests)))
            course.returns.append(returns)
        first += len(outcomes)
        if progress:
            progress(f"replay {policy.name}", len(outcomes))
        if course.accepted >= course.rounds:
            break
    course.learn()
    if not course.accepted:
        raise RecloopError(
            f"none of the log's {first:,} rows was accepted: it is too short for a largest weight "
            f"of {largest_weight:g}"
        )
    (estimate,) = accumulator.results()
    mean, z = course.mean_weight()
    found = replace(estimate.diagnostics, mean_weight=mean, mean_weight_z=z)
    estimate = replace(estimate, diagnostics=found, verdict=judge(found))
    return Replay(estimate, np.concatenate(course.returns), course.used)


class _Course:
    """A policy on its way through a log."""

    def __init__(
        self, policy: Policy, largest: float, every: int, rounds: float, seed: int
    ) -> None:
        self.policy, self.largest, self.every, self.rounds = policy, largest, every, rounds
        self.seed = seed
        self.used, self.accepted, self._learned = 0, 0, 0
        self.returns: list[Floats] = []
        self._waiting: list[Outcomes] = []
        self._window = max(16, ceil(min(2.0 * every * largest, 4096.0)))
        self._weights = np.zeros(2)  # sums of w and w^2

    def through(self, outcomes: Outcomes, first: int) -> Iterator[Outcomes]:
        """Yield the accepted rows of a chunk, letting the policy learn on the way."""
        at = 0
        while at < len(outcomes) and self.accepted < self.rounds:
            ahead = outcomes.take(slice(at, at + self._window))
            stated = self.policy.propensities(ahead.requests, ahead.decisions.slates)
            accepts, weights = self._accepts(ahead, stated, first + at)
            wanted = min(self.every - (self.accepted - self._learned), self.rounds - self.accepted)
            found = np.flatnonzero(accepts)[: int(wanted)]
            gone = int(found[-1]) + 1 if len(found) == wanted else len(ahead)
            self._weights += weights[:gone].sum(), (weights[:gone] ** 2).sum()
            self.used += gone
            at += gone
            if len(found):
                taken = self._decided(ahead.take(found), stated[found])
                self._waiting.append(taken)
                self.accepted += len(found)
                yield taken
            if self.accepted - self._learned >= self.every:
                self.learn()

    def learn(self) -> None:
        """Let the policy learn from the accepted rows that wait."""
        for taken in self._waiting:
            self.policy.update(taken)
        self._waiting, self._learned = [], self.accepted

    def mean_weight(self) -> tuple[float, float]:
        """Return the mean weight of all rows gone through, and by how many errors it is off 1."""
        mean, square = self._weights / self.used
        error = sqrt(max(square - mean**2, 0.0) / self.used)
        off = float(mean) - 1.0
        if abs(off) < SAME:
            return float(mean), 0.0
        return float(mean), off / error if error else inf

    def _accepts(
        self, ahead: Outcomes, stated: Floats, first: int
    ) -> tuple[NDArray[np.bool_], Floats]:
        """Return which rows are accepted, bool [B], and the weights, float64 [B]."""
        weights = np.asarray((stated / ahead.decisions.propensities).prod(axis=1))
        beyond = np.flatnonzero(~(weights <= self.largest * (1.0 + ROUNDING)))
        if len(beyond):
            raise RecloopError(
                f"row {first + int(beyond[0])} has weight {weights[beyond[0]]:.6g}, more than the "
                f"largest one that was told, {self.largest:g}: tell a larger one"
            )
        draws = uniforms(self.seed, ahead.requests.keys, 1, purpose=ACCEPT)[:, 0]
        return draws * self.largest < weights, weights

    def _decided(self, taken: Outcomes, stated: Floats) -> Outcomes:
        """Return accepted rows as decisions of the policy itself."""
        versions = np.full(len(taken), self._learned, dtype=np.int64)
        decisions = replace(
            taken.decisions, propensities=stated, versions=versions, policy=self.policy.name
        )
        return replace(taken, decisions=decisions)


def _check(outcomes: Outcomes, first: int) -> None:
    logged = outcomes.decisions.propensities
    rewards = outcomes.rewards.astype(np.float64)
    check(Slates(rewards, logged, target=logged, keys=outcomes.requests.keys), first)


def _largest(chunks: Iterable[Outcomes]) -> float:
    """Return one over the smallest probability of a slate in the log."""
    if isinstance(chunks, Iterator):
        raise RecloopError(
            "these chunks can be read only once, and the largest weight is not known: give a list "
            "of them, or tell the largest weight"
        )
    smallest, first = 1.0, 0
    for outcomes in chunks:
        _check(outcomes, first)
        first += len(outcomes)
        smallest = min(smallest, float(outcomes.decisions.propensities.prod(axis=1).min(initial=1)))
    return 1.0 / smallest
