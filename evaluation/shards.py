"""A log in shards, each summed by a worker: map-reduce, with joblib as the door to the machines.

What is summed does not depend on how a log was cut, so that the report is the one that `evaluate`
gives, to rounding. Workers are processes of this machine, or whatever joblib's active backend has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from joblib import Parallel, delayed

from agents.api import Outcomes, RecloopError
from evaluation.rounds import Plan, Summed, planned

if TYPE_CHECKING:
    from agents.api import Policy
    from evaluation.chunks.checks import Bounds
    from evaluation.chunks.rounds import Rounds
    from evaluation.estimators.algebra import Readable
    from evaluation.models.cross_fitted import Learner, RewardModel, Unit
    from evaluation.passes import Progress
    from evaluation.report import Report
    from evaluation.targets import Clusters, Target


class ShardError(RecloopError, ValueError):
    """A shard that can't be evaluated, by its number."""


@dataclass(frozen=True, slots=True)
class _Whole:
    """All shards one after the other, as often as it is iterated over."""

    shards: Sequence[Iterable[Outcomes]]

    def __iter__(self) -> Iterator[Outcomes]:
        return chain.from_iterable(self.shards)


def evaluate_shards(
    policy: Policy | Target,
    shards: Sequence[Iterable[Outcomes]],
    *,
    estimators: Sequence[str | Readable[Rounds]] = ("IPS", "SNIPS", "DM", "DR"),
    reward_model: RewardModel | Learner = None,
    clusters: Clusters | None = None,
    unit: Unit = "request",
    seed: int = 0,
    replicates: int = 1000,
    level: float = 0.95,
    bounds: Bounds | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Return what `evaluate` says of a policy, each shard of the log read by a worker.

    Parameters
    ----------
    policy : Policy or Target
        Handed to the workers, as the estimators and the reward model are.
    shards : sequence of iterables of Outcomes
        Each the chunks of a part of the log, that can be iterated over again and be handed to
        another process: one that opens its file when it is iterated over. Fitting a reward model
        goes through all of them first, in this process.
    estimators, reward_model, clusters, unit, seed, replicates, level, bounds
        See `evaluate`; a River model can't be had, because it learns in the order of the log.
    jobs : int, optional
        How many workers, -1 for one per core. By default what joblib's active backend says, one
        process if none: `with joblib.parallel_config(backend=...)` chooses where.
    progress : callable, optional
        Called after every shard.

    Raises
    ------
    ShardError
        Naming the shard, counted from 0, and what is wrong with it: rows are counted within it.
    """
    if any(isinstance(shard, Iterator) for shard in shards):
        raise RecloopError("a shard must be readable more than once: give lists, or what opens one")
    whole = _Whole(shards)
    plan, chunks = planned(
        policy,
        whole,
        estimators=estimators,
        reward_model=reward_model,
        clusters=clusters,
        unit=unit,
        seed=seed,
        replicates=replicates,
        level=level,
        bounds=bounds,
        progress=progress,
    )
    if chunks is not whole:
        raise RecloopError(
            "a River model learns in the order of the log, so its shards can't be read side by "
            "side: evaluate the log as a whole, or give a scikit-learn learner"
        )
    tasks = (delayed(_summed)(plan, shard, at) for at, shard in enumerate(shards))
    total = plan.over(())
    for part in Parallel(n_jobs=jobs, return_as="generator")(tasks):
        total.merge(part)
        if progress:
            progress(f"evaluate {total.policy}", part.accumulator.rounds)
    return total.report()


def _summed(plan: Plan, shard: Iterable[Outcomes], at: int) -> Summed:
    """Return what a shard sums to: what a worker does."""
    try:
        return plan.over(shard)
    except RecloopError as error:
        raise ShardError(f"shard {at}: {error}") from error
