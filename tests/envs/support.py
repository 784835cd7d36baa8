"""The registered environments, small."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

import envs
from envs import WorldEnv, WorldVectorEnv
from simulators import world_names
from tests.simulators.support import single_item, small_logged

IDS: dict[str, dict[str, Any]] = {
    **{
        f"recloop/{name}-v0": {
            "num_candidates": 6,
            "slate_size": 1 if single_item(name) else 3,
            "horizon": None if name.startswith("InterestEvolution") else 25,
        }
        for name in world_names()
    },
    "recloop/Logged-v0": {"world": small_logged(), "slate_size": 2, "horizon": 7},
}

assert envs.WorldEnv is WorldEnv  # importing the package registers the ids


def single(name: str, **options: Any) -> WorldEnv:
    """The environment itself, without the wrappers."""
    env = gymnasium.make(name, **IDS[name], **options).unwrapped
    assert isinstance(env, WorldEnv)
    return env


def vector(name: str, lanes: int, **options: Any) -> WorldVectorEnv:
    env = gymnasium.make_vec(
        name,
        num_envs=lanes,
        vectorization_mode="vector_entry_point",
        **IDS[name],
        **options,
    )
    assert isinstance(env, WorldVectorEnv)
    return env


def same(one: Any, other: Any) -> bool:
    """Whether two observations or infos are equal, bit for bit, but for the seconds they took."""
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return False
        return all(same(one[key], other[key]) for key in one if key != "t")
    if isinstance(one, np.ndarray) and one.dtype == object:
        return all(same(a, b) for a, b in zip(one, other, strict=True))
    return bool(np.array_equal(one, other))
