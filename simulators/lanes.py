"""What is done to the lanes of every world alike, in compiled loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from agents.jit import compiled
from agents.streams import mix, stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Keys, Rows
    from simulators.records import Mask


@compiled
def first_fault(choices: Rows, candidates: int, allow_pad: bool) -> int:
    """Return the first row that is no slate (out of range, or something twice), or -1."""
    for b in range(choices.shape[0]):
        for k in range(choices.shape[1]):
            if choices[b, k] == -1 and allow_pad:
                continue
            if choices[b, k] < 0 or choices[b, k] >= candidates:
                return b
            for earlier in range(k):
                if choices[b, earlier] == choices[b, k]:
                    return b
    return -1


@compiled
def copy_lanes(source: NDArray[np.float32], mask: Mask, target: NDArray[np.float32]) -> None:
    """Copy the lanes of a mask from one [S, B, K] to another, faster than by indices."""
    for b in range(len(mask)):
        if mask[b]:
            for s in range(target.shape[0]):
                for k in range(target.shape[2]):
                    target[s, b, k] = source[s, b, k]


@compiled
def wipe(told: NDArray[np.float32], mask: Mask, blank: NDArray[np.float32]) -> None:
    """Make the lanes of a mask blank in what was told, [S, B, K]; blank is [S]."""
    for b in range(len(mask)):
        if mask[b]:
            for s in range(told.shape[0]):
                for k in range(told.shape[2]):
                    told[s, b, k] = blank[s]


@compiled
def enter(lanes: NDArray[Any], mask: Mask, later: np.uint64, began: Floats, now: float) -> int:
    """Let the user come, now, who is `later` users after the present one of the lane's seed.

    Returns
    -------
    int
        How many came.
    """
    came = 0
    for b in range(lanes.shape[0]):
        if mask[b]:
            came += 1
            lane = lanes[b]
            lane.episode += later
            lane.user = stream(lane.seed, lane.episode, np.uint64(1))  # what `derive` returns
            lane.visit = np.uint64(0)
            lane.total = 0.0
            lane.ended = False
            began[b] = now
    return came


@compiled
def advance(
    lanes: NDArray[Any],
    told: NDArray[np.float32],
    horizon: int,
    reward: Floats,
    terminated: Mask,
    truncated: Mask,
    ended: Mask,
) -> int:
    """Count visit and reward in every lane that has a user, and mark those that have none now.

    Returns
    -------
    int
        How many are gone.
    """
    gone = 0
    for b in range(lanes.shape[0]):
        lane = lanes[b]
        if lane.ended:
            ended[b] = True
            continue
        lane.visit += np.uint64(1)
        lane.clock += 1
        reward[b] = 0.0
        for k in range(told.shape[2]):
            reward[b] += told[0, b, k]
        lane.total += reward[b]
        truncated[b] = not terminated[b] and np.int64(lane.visit) == horizon
        ended[b] = lane.ended = terminated[b] or truncated[b]
        gone += lane.ended
    return gone


@compiled
def item_keys(request_keys: Keys, keys: Keys) -> None:
    """Name what is on offer by the request and the place."""
    for b in range(keys.shape[0]):
        for j in range(keys.shape[1]):
            keys[b, j] = mix(request_keys[b] + np.uint64(j))
