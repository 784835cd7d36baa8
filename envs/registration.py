"""The ids under which Gymnasium knows our worlds, and what it calls to make them."""

from __future__ import annotations

from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode

from envs.single import WorldEnv
from envs.vector import WorldVectorEnv
from simulators import LoggedWorld, bts_prior, load_obd, make_world, world_names

HORIZON = 20
"""How many slates a user of a fitted world is shown, unless it is said."""


def register_all() -> None:
    """Register every world under `recloop/...-v0`, single and vector."""
    for name in world_names():
        gymnasium.register(
            id=f"recloop/{name}-v0",
            entry_point="envs.registration:single",
            vector_entry_point="envs.registration:vector",
            kwargs={"world": name},
        )
    gymnasium.register(
        id="recloop/Logged-v0",
        entry_point="envs.registration:logged",
        vector_entry_point="envs.registration:logged_vector",
    )


def spec_of(name: str, **options: Any) -> EnvSpec:
    """Return what `gymnasium.make` makes a registered world with these options from.

    Parameters
    ----------
    name : str
        Of the world; see `simulators.make_world`.
    **options
        Of the world.
    """
    spec = deepcopy(gymnasium.spec(f"recloop/{name}-v0"))
    spec.kwargs |= options
    return spec


def single(world: str, episode_statistics: bool = True, **options: Any) -> WorldEnv:
    """Return a world with one user.

    Parameters
    ----------
    world : str
        Its name; see `simulators.make_world`.
    episode_statistics : bool
        See `WorldEnv`.
    **options
        Of the world.
    """
    return WorldEnv(make_world(world, **options), episode_statistics=episode_statistics)


def vector(
    world: str,
    num_envs: int = 1,
    autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    episode_statistics: bool = True,
    **options: Any,
) -> WorldVectorEnv:
    """Return a world with many users; see `single`, and `WorldVectorEnv` for the rest."""
    return WorldVectorEnv(
        make_world(world, **options),
        num_envs,
        autoreset_mode=autoreset_mode,
        episode_statistics=episode_statistics,
    )


def logged(
    world: LoggedWorld | Path | str | None = None,
    slate_size: int | None = None,
    horizon: int | None = HORIZON,
    **coat: Any,
) -> WorldEnv:
    """Return a fitted world with one user.

    Parameters
    ----------
    world : LoggedWorld, Path or str, optional
        The world, or the folder it was saved to. Without it, the world of the Open Bandit Dataset's
        sample (`random` on `all`) is fetched and fitted, once in a process.
    slate_size, horizon : int, optional
        See `simulators.LoggedWorld`; None asks for slates of all positions, and for no horizon.
    **coat
        Of `WorldEnv`.
    """
    return WorldEnv(_fitted(world).resized(slate_size=slate_size, horizon=horizon), **coat)


def logged_vector(
    num_envs: int = 1,
    world: LoggedWorld | Path | str | None = None,
    slate_size: int | None = None,
    horizon: int | None = HORIZON,
    **coat: Any,
) -> WorldVectorEnv:
    """Return a fitted world with many users; see `logged`, and `WorldVectorEnv` for `coat`."""
    fitted = _fitted(world).resized(slate_size=slate_size, horizon=horizon)
    return WorldVectorEnv(fitted, num_envs, **coat)


def _fitted(world: LoggedWorld | Path | str | None) -> LoggedWorld:
    if isinstance(world, LoggedWorld):
        return world
    return _of_the_sample() if world is None else LoggedWorld.load(world)


@lru_cache(maxsize=1)
def _of_the_sample() -> LoggedWorld:
    return LoggedWorld.fit(load_obd("random", "all"), prior=bts_prior("all"))
