"""`check_env`: what holds for every environment of a world, each law watched being kept.

Gymnasium's own checker looks at one environment for a step or two. This one plays it: what a step
says must agree with the spaces, with itself when it is played again, with the same users side by
side, and, where a world is behind it, with the laws of worlds (`simulators.check_world`).
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, TypeAlias

import gymnasium
import numpy as np

from agents import RecloopError
from envs.single import WorldEnv
from simulators import check_world

if TYPE_CHECKING:
    from collections.abc import Callable

Env: TypeAlias = "gymnasium.Env[Any, Any]"
Story: TypeAlias = list[Any]

STEPS = 120
EPISODES = 3
ENDLESS = 2000
"""After so many steps an environment without an end is left in peace."""


class EnvCheckError(RecloopError, AssertionError):
    """An environment that breaks a law; `law` is its name."""

    def __init__(self, law: str, message: str) -> None:
        super().__init__(f"law {law!r} is broken: {message}")
        self.law = law


def check_env(make: str | Callable[[], Env], *, seed: int = 0) -> None:
    """Watch an environment keep every law.

    Parameters
    ----------
    make : str or callable
        An id (`recloop/InterestEvolution-v0`), or what makes the environment afresh, alike every
        time.
    seed : int
        What it is reset with.

    Raises
    ------
    EnvCheckError
        At the first law of environments that is broken.
    WorldCheckError
        At the first law of worlds that the world behind it breaks.
    """
    if isinstance(make, str):
        name = make

        def making() -> Env:
            return gymnasium.make(name)

    else:
        making = make
    legacy, plain = str(np.random.get_state(legacy=False)), random.getstate()  # noqa: NPY002
    for law in LAWS.values():
        law(making, seed)
    untouched = str(np.random.get_state(legacy=False)) == legacy  # noqa: NPY002
    hold("generators", untouched and random.getstate() == plain, "it used a global generator")
    inner = making().unwrapped
    if isinstance(inner, WorldEnv):
        check_world(lambda: _world_of(making), seed=seed)


def hold(law: str, kept: bool, message: str) -> None:
    """Raise unless the law is kept."""
    if not kept:
        raise EnvCheckError(law, message)


def _world_of(making: Callable[[], Env]) -> Any:
    inner = making().unwrapped
    assert isinstance(inner, WorldEnv)
    return inner.world


def _actions(env: Env, seed: int) -> Callable[[], Any]:
    env.action_space.seed(seed)
    return env.action_space.sample


def _played(env: Env, seed: int, steps: int = STEPS, drawn: int | None = None) -> Story:
    """Return copies of all that an environment says, episode after episode.

    Actions are drawn with the seed, or another one.
    """
    draw = _actions(env, seed if drawn is None else drawn)
    story: Story = [_copied(env.reset(seed=seed)[0])]
    for _ in range(steps):
        seen, reward, terminated, truncated, _ = env.step(draw())
        story.append((_copied(seen), reward, terminated, truncated))
        if terminated or truncated:
            story.append(_copied(env.reset()[0]))
    return story


def _copied(seen: Any) -> Any:
    if isinstance(seen, dict):
        return {name: np.array(part) for name, part in seen.items()}
    return np.array(seen)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, tuple):
        return all(_same(a, b) for a, b in zip(one, other, strict=True))
    return bool(np.array_equal(one, other, equal_nan=np.asarray(one).dtype.kind == "f"))


def _differ(one: Story, other: Story) -> str:
    """Return where two stories part, or nothing."""
    for at, (a, b) in enumerate(zip(one, other, strict=False)):
        if not _same(a, b):
            return f"at step {at}" if at else "at the reset"
    return "" if len(one) == len(other) else "in how long the episodes are"


def _seeded(making: Callable[[], Env], seed: int) -> None:
    env = making()
    first = _played(env, seed)
    parted = _differ(first, _played(env, seed))
    hold("seed", not parted, f"reset with the same seed, it goes another way {parted}")
    parted = _differ(first, _played(making(), seed))
    hold("seed", not parted, f"made afresh with the same seed, it goes another way {parted}")
    others = [_played(making(), seed + 1 + n, 20, seed) for n in range(3)]
    alike = all(not _differ(first[: len(other)], other) for other in others)
    hold("seed", not alike, "whatever the seed, it goes the same way")


def _spaces(making: Callable[[], Env], seed: int) -> None:
    env = making()
    draw = _actions(env, seed)
    seen, _ = env.reset(seed=seed)
    for step in range(STEPS):
        hold("spaces", seen in env.observation_space, f"{_stray(env, seen)} (step {step})")
        seen, reward, terminated, truncated, _ = env.step(draw())
        finite = isinstance(reward, float) and np.isfinite(reward)
        hold("spaces", finite, f"a reward is a finite float, not {reward!r} (step {step})")
        flags = isinstance(terminated, bool) and isinstance(truncated, bool)
        hold("spaces", flags, f"terminated and truncated are bools, not {terminated!r}")
        if terminated or truncated:
            seen, _ = env.reset()


def _stray(env: Env, seen: Any) -> str:
    """Return which part of an observation is not in its space."""
    space = env.observation_space
    if isinstance(space, gymnasium.spaces.Dict) and isinstance(seen, dict):
        wrong = [name for name in space if name not in seen or seen[name] not in space[name]]
        return f"the observation's {', '.join(wrong)} is not in its space"
    return "the observation is not in its space"


def _own(making: Callable[[], Env], seed: int) -> None:
    env = making()
    draw = _actions(env, seed)
    seen, _ = env.reset(seed=seed)
    kept = [(seen, _copied(seen))]
    for _ in range(10):
        action = draw()
        asked = action.copy()
        seen, *_, terminated, truncated, _ = env.step(action)
        kept.append((seen, _copied(seen)))
        hold("own", bool(np.array_equal(action, asked)), "it wrote into the action it was given")
        if terminated or truncated:
            break
    for step, (told, copy) in enumerate(kept):
        hold("own", _same(told, copy), f"the observation of step {step} changed afterwards")


def _ends(making: Callable[[], Env], seed: int) -> None:
    """Play episodes to their end: what `info` says of them, and that nothing comes after it."""
    env = making()
    draw = _actions(env, seed)
    for _ in range(EPISODES):
        env.reset(seed=seed)
        rewards: list[float] = []
        over = False
        info: dict[str, Any] = {}
        while not over and len(rewards) < ENDLESS:
            _, reward, terminated, truncated, info = env.step(draw())
            rewards.append(float(reward))
            hold("ends", not (terminated and truncated), "it was both terminated and truncated")
            over = terminated or truncated
            told = "episode" in info
            hold("episode", over or not told, "info tells of an episode that goes on")
        if not over:
            return
        _told(info, rewards)
        action = draw()
        try:
            env.step(action)
        except (RecloopError, gymnasium.error.Error, AssertionError):
            continue
        raise EnvCheckError("ends", "it took a step after the end of an episode")


def _told(info: dict[str, Any], rewards: list[float]) -> None:
    said = info.get("episode", {})
    hold("episode", {"r", "l", "t"} <= set(said), "the last step's info has no episode: r, l and t")
    summed = bool(np.isclose(said["r"], sum(rewards), rtol=1e-6, atol=1e-9))
    hold(
        "episode", summed, f"info says a return of {said['r']}, but the rewards are {sum(rewards)}"
    )
    long = said["l"] == len(rewards)
    hold("episode", long, f"info says {said['l']} steps, but there were {len(rewards)}")


def _refusal(making: Callable[[], Env], seed: int) -> None:
    """Show it what is no action, and watch it go on as if nothing had been."""
    whole = _played(making(), seed, 20)
    env = making()
    draw = _actions(env, seed)
    story: Story = [_copied(env.reset(seed=seed)[0])]
    for _ in range(20):
        action = draw()
        for what, wrong in _wrong(action).items():
            try:
                env.step(wrong)
            except (RecloopError, ValueError, TypeError):
                continue
            raise EnvCheckError("refusal", f"it took {what} for an action")
        seen, reward, terminated, truncated, _ = env.step(action)
        story.append((_copied(seen), reward, terminated, truncated))
        if terminated or truncated:
            story.append(_copied(env.reset()[0]))
    parted = _differ(whole, story)
    hold("refusal", not parted, f"what it refused changed what came of it {parted}")


def _wrong(action: Any) -> dict[str, Any]:
    wrong = {
        "a place that is none": np.full_like(action, 2**40),
        "a negative place": np.full_like(action, -1),
        "a slate too long": np.concatenate([action, action]),
        "numbers that are not whole": action + 0.5,
    }
    if len(action) > 1:
        wrong["an item twice"] = np.repeat(action[:1], len(action))
    return wrong


LAWS: dict[str, Callable[[Callable[[], Env], int], None]] = {
    "seed": _seeded,
    "spaces": _spaces,
    "own": _own,
    "ends": _ends,
    "refusal": _refusal,
}
