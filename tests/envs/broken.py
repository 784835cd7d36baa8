"""Environments that break one law each."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium.spaces import Dict

from envs import WorldEnv
from simulators import make_world

if TYPE_CHECKING:
    from collections.abc import Callable

    from envs.coat import Observation, Slates

    Step = tuple[Observation, float, bool, bool, dict[str, Any]]


def whole() -> WorldEnv:
    return WorldEnv(make_world("InterestEvolution", num_candidates=6, slate_size=3, horizon=30))


class Wrapper(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Whole, with something around it."""

    def __init__(self) -> None:
        super().__init__(whole())

    @property
    def unwrapped(self) -> gymnasium.Env[Any, Any]:
        """Hide the world, which is whole."""
        return self


class PromisesMore(Wrapper):
    """The return in info is not the rewards' sum."""

    def step(self, action: Slates) -> Step:
        seen, reward, terminated, truncated, info = self.env.step(action)
        return seen, 0.5 * float(reward), terminated, truncated, info


class SeesBeyond(Wrapper):
    """Its users' interests are beyond the bounds of their space."""

    def step(self, action: Slates) -> Step:
        seen, reward, *rest = self.env.step(action)
        return (seen | {"user": 3.0 + seen["user"]}, float(reward), *rest)


class NeverEnds(Wrapper):
    """Who has left goes on being served."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Step | None = None

    def step(self, action: Slates) -> Step:
        if self.last is None or not (self.last[2] or self.last[3]):
            self.last = self.env.step(action)  # type: ignore[assignment]
        assert self.last is not None
        return self.last

    def reset(self, **given: Any) -> Any:
        self.last = None
        return self.env.reset(**given)


class RollsTheDice(Wrapper):
    """Its rewards are jittered by the process's generator, which it seeds for that."""

    def step(self, action: Slates) -> Step:
        random.seed(int(action[0]))
        return self.env.step(action)  # type: ignore[return-value]


class WritesIntoWhatItTold(Wrapper):
    """It hands out the same arrays again and again."""

    def __init__(self) -> None:
        super().__init__()
        assert isinstance(self.observation_space, Dict)
        self.told: Observation = {
            name: np.zeros(space.shape or (), np.float32)
            for name, space in self.observation_space.items()
        }

    def same(self, seen: Observation) -> Observation:
        for name, values in seen.items():
            self.told[name][...] = values
        return self.told

    def step(self, action: Slates) -> Step:
        seen, *rest = self.env.step(action)
        return (self.same(seen), *rest)  # type: ignore[return-value]

    def reset(self, **given: Any) -> Any:
        seen, info = self.env.reset(**given)
        return self.same(seen), info


class IgnoresItsSeed(Wrapper):
    """Its users are other ones every time."""

    made = 0

    def reset(self, **given: Any) -> Any:
        IgnoresItsSeed.made += 1
        return self.env.reset(seed=IgnoresItsSeed.made)


class KnowsOneSeed(Wrapper):
    """Its users are always the same."""

    def reset(self, **given: Any) -> Any:
        return self.env.reset(seed=None if "seed" not in given else 7)


class TellsNothing(Wrapper):
    """The end of an episode has no statistics."""

    def step(self, action: Slates) -> Step:
        seen, reward, terminated, truncated, _ = self.env.step(action)
        return seen, float(reward), terminated, truncated, {}


class TakesAnything(Wrapper):
    """What is no slate it reads as another one."""

    def step(self, action: Slates) -> Step:
        if action not in self.action_space:
            action = np.arange(3)
        return self.env.step(action)  # type: ignore[return-value]


class SulksWhenItRefuses(Wrapper):
    """A wrong slate costs the user patience."""

    def step(self, action: Slates) -> Step:
        if action not in self.action_space:
            inner = self.env.unwrapped
            assert isinstance(inner, WorldEnv)
            inner.world.users["budget"] -= 20.0  # type: ignore[attr-defined]
        return self.env.step(action)  # type: ignore[return-value]


BROKEN: list[tuple[str, str, Callable[[], gymnasium.Env[Any, Any]]]] = [
    ("episode", "but the rewards are", PromisesMore),
    ("spaces", "the observation's user is not in its space", SeesBeyond),
    ("ends", "a step after the end", NeverEnds),
    ("generators", "a global generator", RollsTheDice),
    ("own", "changed afterwards", WritesIntoWhatItTold),
    ("seed", "reset with the same seed", IgnoresItsSeed),
    ("seed", "whatever the seed", KnowsOneSeed),
    ("episode", "info has no episode", TellsNothing),
    ("refusal", "it took .* for an action", TakesAnything),
    ("refusal", "changed what came of it", SulksWhenItRefuses),
]
