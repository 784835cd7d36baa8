"""The worlds by their names: one table, which environments, commands and tests are derived from."""

from __future__ import annotations

from dataclasses import dataclass, field
from inspect import signature
from typing import TYPE_CHECKING, Any

from simulators.presets import INDUSTRIES
from simulators.recogym import RecoGym
from simulators.records import WorldError, near
from simulators.recsim import InterestEvolution, InterestExploration, LongTermSatisfaction
from simulators.sardine import PRESETS, Sardine
from simulators.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simulators.world import BatchedWorld


@dataclass(frozen=True, slots=True)
class Listed:
    """A kind of world, and the options that its name stands for."""

    kind: Callable[..., BatchedWorld]
    preset: Mapping[str, Any] = field(default_factory=dict)


WORLDS: dict[str, Listed] = {
    "InterestEvolution": Listed(InterestEvolution),
    "InterestEvolution-Cascade": Listed(InterestEvolution, {"choice": "cascade"}),
    "InterestExploration": Listed(InterestExploration),
    "LongTermSatisfaction": Listed(LongTermSatisfaction),
    "LongTermSatisfaction-Corrected": Listed(LongTermSatisfaction, {"sensitivity": 0.1}),
    **{name: Listed(Sardine, preset) for name, preset in PRESETS.items()},
    "RecoGym": Listed(RecoGym),
    "RecoGym-Corrected": Listed(RecoGym, {"corrected": True}),
    **{composition.name: Listed(composition) for composition in INDUSTRIES},
}


def world_names() -> tuple[str, ...]:
    """Return the names that `make_world` knows."""
    return tuple(WORLDS)


def world_options(name: str) -> dict[str, Any]:
    """Return the options of a world, and their defaults.

    Raises
    ------
    WorldError
        If there is no world of that name.
    """
    listed = _listed(name)
    own = {
        option: listed.preset.get(option, parameter.default)
        for option, parameter in signature(listed.kind).parameters.items()
    }
    return own | {"session": False}


def make_world(name: str, **options: Any) -> BatchedWorld:
    """Return a world, not reset yet.

    Parameters
    ----------
    name : str
        One of `world_names()`.
    **options
        Some of `world_options(name)`; what is not given has its default. With `session` requests
        also tell what the user's session has revealed so far, see `Session`; where it is "brief"
        without the sums of items' features, which are many.

    Raises
    ------
    WorldError
        If there is no such world or option, or an option cannot be.
    """
    listed, known = _listed(name), world_options(name)
    for option in options:
        if option not in known:
            hint = near(option, known)
            raise WorldError(f"{name} has no option {option!r}: {hint}it has {', '.join(known)}")
    session = options.pop("session", False)
    if session not in (False, True, "brief"):
        raise WorldError(f"{name}: session is True, False or 'brief', not {session!r}")
    world = listed.kind(**{**listed.preset, **options})
    world.name = name
    if session == "brief":
        return Session(world, memories=())
    return Session(world) if session else world


def _listed(name: str) -> Listed:
    if name not in WORLDS:
        hint = near(name, WORLDS)
        raise WorldError(f"there is no world {name!r}: {hint}there are {', '.join(WORLDS)}")
    return WORLDS[name]
