"""The ids under which Gymnasium knows our worlds, and what it calls to make them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import gymnasium

from envs.single import WorldEnv
from envs.vector import WorldVectorEnv
from simulators import InterestEvolution, LoggedWorld, bts_prior, load_obd

HORIZON = 20
"""How many slates a user of a fitted world is shown, unless it is said."""


def register_all() -> None:
    """Register every world under `recloop/...-v0`, single and vector."""
    for name, function in (("InterestEvolution", "interest_evolution"), ("Logged", "logged")):
        gymnasium.register(
            id=f"recloop/{name}-v0",
            entry_point=f"envs.registration:{function}",
            vector_entry_point=f"envs.registration:{function}_vector",
        )


def interest_evolution(
    num_candidates: int = 10, slate_size: int = 3, horizon: int | None = None, **coat: Any
) -> WorldEnv:
    """Return `simulators.InterestEvolution` with one user; `coat` is of `WorldEnv`."""
    return WorldEnv(InterestEvolution(num_candidates, slate_size, horizon=horizon), **coat)


def interest_evolution_vector(
    num_envs: int = 1,
    num_candidates: int = 10,
    slate_size: int = 3,
    horizon: int | None = None,
    **coat: Any,
) -> WorldVectorEnv:
    """Return `simulators.InterestEvolution` with many users; `coat` is of `WorldVectorEnv`."""
    world = InterestEvolution(num_candidates, slate_size, horizon=horizon)
    return WorldVectorEnv(world, num_envs, **coat)


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
