"""What outcomes teach: a lesson for every slot that was filled and seen, in the order of the rows.

Every policy that learns, learns from these alone, so that none of them can forget that an item
nobody looked at was not refused, or be ruined for good by one reward that is not a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from agents.api import RecloopError
from agents.jit import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Keys, Outcomes, Rows


class LessonError(RecloopError, ValueError):
    """Outcomes that nothing can be learned from."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """T seen slots of a batch of outcomes, row by row and within a row slot by slot.

    Parameters
    ----------
    request : int64 [T]
        The row of the batch.
    item : int64 [T]
        The row of the batch's catalogue.
    key : uint64 [T]
        The item's key.
    reward : float64 [T]
        Finite.
    """

    request: Rows
    item: Rows
    key: Keys
    reward: Floats

    def __len__(self) -> int:
        return len(self.item)


def lessons_of(outcomes: Outcomes) -> Lessons:
    """Return what the outcomes teach.

    Raises
    ------
    LessonError
        If a seen slot's reward, its item's features or its request's context are NaN or infinite.
    """
    slates, seen = outcomes.decisions.slates, outcomes.seen
    request, item = np.empty(slates.size, np.int64), np.empty(slates.size, np.int64)
    key, reward = np.empty(slates.size, np.uint64), np.empty(slates.size)
    requests = outcomes.requests
    count = _collect(
        slates,
        seen,
        outcomes.rewards,
        requests.context,
        requests.items.features,
        requests.items.keys,
        request,
        item,
        key,
        reward,
    )
    if count < 0:
        raise LessonError(
            f"outcome {-count - 1} of the batch has a reward, item features or a context that are "
            "not finite numbers; nothing was learned from the batch. Drop it before `update`"
        )
    return Lessons(request[:count], item[:count], key[:count], reward[:count])


@compiled
def _collect(
    slates: Rows,
    seen: NDArray[np.bool_],
    rewards: NDArray[np.float32],
    context: NDArray[np.float32],
    features: NDArray[np.float32],
    item_keys: Keys,
    request: Rows,
    item: Rows,
    key: Keys,
    reward: Floats,
) -> int:
    """Fill the lessons and return how many; -1 - b if row b is not made of finite numbers."""
    count = 0
    for b in range(slates.shape[0]):
        before = count
        for k in range(slates.shape[1]):
            if seen[b, k] and slates[b, k] >= 0:
                if slates[b, k] >= len(item_keys):
                    raise IndexError("a slate's row lies beyond the catalogue")
                if not (np.isfinite(rewards[b, k]) and _finite(features[slates[b, k]])):
                    return -1 - b
                request[count], item[count] = b, slates[b, k]
                key[count], reward[count] = item_keys[slates[b, k]], rewards[b, k]
                count += 1
        if count > before and not _finite(context[b]):
            return -1 - b
    return count


@compiled
def _finite(numbers: NDArray[np.float32]) -> bool:
    finite = True
    for i in range(len(numbers)):
        finite &= np.isfinite(numbers[i])
    return finite
