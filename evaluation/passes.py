"""The first pass over a log: its facts are checked, and a reward model is fitted to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from agents.api import RecloopError
from evaluation.chunks.checks import check
from evaluation.chunks.slates import Slates
from evaluation.models.cross_fitted import CrossFitted, is_ready
from evaluation.shards import Shards

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agents.api import Outcomes
    from evaluation.models.cross_fitted import Learner, RewardModel, Unit, Weigh

Progress: TypeAlias = Callable[[str, int], None]
"""Called after every chunk with what is being done and how many rows were done just now."""


class SlateError(RecloopError, ValueError):
    """A log whose slates are longer than the estimators can read, or of several lengths."""


def fit_model(
    given: RewardModel | Learner,
    chunks: Iterable[Outcomes],
    *,
    slots: int | None = None,
    weigh: Weigh | None = None,
    unit: Unit = "request",
    seed: int = 0,
    progress: Progress | None = None,
) -> RewardModel:
    """Return the model to predict rewards with, fitted where that is still to be done.

    Parameters
    ----------
    given : RewardModel or scikit-learn learner, optional
        See `in_order` for those of River.
    chunks : iterable of Outcomes
    slots : int, optional
        How long the slates must be.
    weigh, unit, seed
        See `CrossFitted`.
    progress : callable, optional

    Raises
    ------
    RecloopError
        If the chunks can be read only once.
    """
    if is_ready(given):
        ready: RewardModel = given
        return ready
    if isinstance(chunks, Iterator):
        raise RecloopError(
            "a reward model is fitted in a first pass over the log, and these chunks can be read "
            "only once: give a list of them, or a reward model that is already fitted"
        )
    model = CrossFitted(given, unit=unit, seed=seed)
    return model.fit(_checked(chunks, slots, progress), weigh)


def in_order(
    given: RewardModel | Learner, chunks: Iterable[Outcomes]
) -> tuple[RewardModel | Learner, Iterable[Outcomes]]:
    """Return the model, and the chunks as they have to be gone through once for it to predict.

    A River model is made `Progressive`: it learns from what has been gone through.
    """
    if isinstance(chunks, Shards) and (hasattr(given, "learn_one") or hasattr(given, "through")):
        raise RecloopError(
            "a River model learns in the order of the log, so its shards can't be read side by "
            "side: evaluate the log as a whole, or give a scikit-learn learner"
        )
    if hasattr(given, "learn_one"):
        from evaluation.models.progressive import Progressive  # River is slow to import

        given = Progressive(given)
    if hasattr(given, "through"):
        return given, given.through(chunks)
    return given, chunks


def require_slots(outcomes: Outcomes, slots: int) -> None:
    """Refuse slates of another length."""
    found = outcomes.decisions.slates.shape[1]
    if found != slots:
        raise SlateError(
            f"these estimators read slates of {slots} slot{'s'[: slots > 1]}, but this log has "
            f"some of {found}"
        )


def _checked(
    chunks: Iterable[Outcomes], slots: int | None, progress: Progress | None
) -> Iterator[Outcomes]:
    """Yield checked chunks: a learner must not be the first to stumble over a faulty row."""
    first = 0
    for outcomes in chunks:
        require_slots(outcomes, slots or outcomes.decisions.slates.shape[1])
        rewards = outcomes.rewards.astype(np.float64)
        logged = outcomes.decisions.propensities
        check(Slates(rewards, logged, target=logged, keys=outcomes.requests.keys), first)
        first += len(outcomes)
        yield outcomes
        if progress:
            progress("read rewards", len(outcomes))
