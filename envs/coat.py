"""What the single and the vector environment share: how a world looks through Gymnasium."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from agents.streams import word
from envs.spaces import SlateSpace

if TYPE_CHECKING:
    from agents.api import Keys
    from simulators import BatchedWorld

Observation: TypeAlias = dict[str, NDArray[Any]]
Slates: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]


def observation_space(world: BatchedWorld) -> spaces.Dict:
    """Return the space of one user's observations.

    "user" is what is observed of the user, [D]. "documents" are the features of the candidates,
    [M, F], where they are drawn anew at every visit; a fixed catalogue is the same for everybody
    and always, so it is not repeated: it is `env.unwrapped.world.catalogue`. The rest is what the
    response to the last slate revealed, slot by slot, [K]; before the first it is blank.
    """
    shape = (world.context_width,)
    parts: dict[str, spaces.Space[Any]] = {"user": _box(*world.context_bounds, shape)}
    if world.catalogue is None:
        shape_of_all = (world.num_candidates, world.item_width)
        parts["documents"] = _box(*world.item_bounds, shape_of_all)
    for signal in world.signals:
        parts[signal.name] = _box(signal.low, signal.high, (world.slate_size,))
    return spaces.Dict(parts)


def action_space(world: BatchedWorld) -> SlateSpace:
    """Return the space of one user's slates."""
    return SlateSpace(world.num_candidates, world.slate_size)


def observe(world: BatchedWorld, told: NDArray[np.float32]) -> Observation:
    """Return the observations of all present users.

    Parameters
    ----------
    world : BatchedWorld
    told : float32 [S, B, K]
        What was revealed last: by a response, or by `BatchedWorld.open`.
    """
    seen: Observation = dict(zip(world.signal_names, told, strict=True))
    seen["user"] = world.context()
    if world.catalogue is None:
        seen["documents"] = world.documents()
    return seen


def seeds_of(values: list[int]) -> Keys:
    """Return seeds of any size and sign as a world takes them: uint64."""
    return np.array([word(value) for value in values], dtype=np.uint64)


def _box(low: float, high: float, shape: tuple[int, ...]) -> spaces.Box:
    return spaces.Box(low, high, shape, dtype=np.float32)
