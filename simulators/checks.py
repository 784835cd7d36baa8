"""`check_world`: what holds for every world, each law watched being kept.

Every world of the registry runs through it, and anybody's own can: `check_world(MyWorld)`. In a
world that passes, policies can be compared on the same users, logs replay, and the true expected
rewards are those that rewards average to.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np

from agents import PAD, Decisions, RecloopError, Uniform
from simulators.records import WorldError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from agents import Policy, Requests
    from simulators.records import Mask, Response
    from simulators.world import World

    Facts = dict[str, NDArray[Any]]

LANES, STEPS = 4, 60
MANY, FEW = 400, 20
SURE = 5.0
"""Standard errors that a mean may be off: in 1 of 2 million checks by chance."""


class WorldCheckError(RecloopError, AssertionError):
    """A world that breaks a law; `law` is its name."""

    def __init__(self, law: str, message: str) -> None:
        super().__init__(f"law {law!r} is broken: {message}")
        self.law = law


def check_world(make: Callable[[], World], *, seed: int = 0) -> None:
    """Watch a world keep every law, with users that follow from the seed.

    Parameters
    ----------
    make : callable
        Builds the world afresh, alike every time.
    seed : int
        Other seeds bring other users.

    Raises
    ------
    WorldCheckError
        At the first law that is broken.
    """
    legacy, plain = str(np.random.get_state(legacy=False)), random.getstate()  # noqa: NPY002
    for law in LAWS.values():
        law(make, np.uint64(seed))
    untouched = str(np.random.get_state(legacy=False)) == legacy  # noqa: NPY002
    hold("generators", untouched and random.getstate() == plain, "it used a global generator")


def hold(law: str, kept: bool | np.bool_, message: str) -> None:
    """Raise unless the law is kept."""
    if not kept:
        raise WorldCheckError(law, message)


def _begun(make: Callable[[], World], seed: np.uint64, lanes: int) -> World:
    world = make()
    world.reset(seed + np.arange(lanes, dtype=np.uint64))
    return world


def _shown(policy: Policy, requests: Requests, step: int) -> Decisions:
    """Return a policy's decisions; every third step leaves the last slot empty."""
    decisions = policy.decide(requests)
    if step % 3 == 2:
        decisions.slates[:, -1] = PAD
        decisions.propensities[:, -1] = 1.0
    return decisions


def _facts(response: Response) -> Facts:
    """Return all that happened in a step and does not hang on how rows are numbered."""
    requests, decisions = response.outcomes.requests, response.outcomes.decisions
    shown = decisions.slates != PAD
    return {
        "requests": requests.keys,
        "users": requests.users,
        "context": requests.context,
        "time": requests.time,
        "items shown": np.where(shown, requests.items.keys[decisions.slates], 0),
        "rewards": response.outcomes.rewards,
        "seen": response.outcomes.seen,
        "expected": response.expected,
        "terminated": response.feedback.terminated,
        "truncated": response.feedback.truncated,
        **response.signals,
    }


def _played(world: World, steps: int = STEPS) -> list[Facts]:
    told, policy = [], Uniform(seed=1)
    for step in range(steps):
        response = world.respond(_shown(policy, world.requests(), step))
        told.append(_facts(response))
        world.renew(response.ended)
    return told


def _difference(one: list[Facts], other: list[Facts], lane: int | slice = slice(None)) -> str:
    """Return what first differs between a story and some lanes of another, or nothing."""
    for step, (a, b) in enumerate(zip(one, other, strict=True)):
        for name, values in a.items():
            if not np.array_equal(values, b[name][lane], equal_nan=True):
                return f"{name} at step {step}"
    return ""


def _replay(make: Callable[[], World], seed: np.uint64) -> None:
    world = _begun(make, seed, LANES)
    first = _played(world)
    world.reset(seed + np.arange(LANES, dtype=np.uint64))
    found = _difference(first, _played(world))
    hold("replay", not found, f"the same seeds brought other {found}")


def _alone(make: Callable[[], World], seed: np.uint64) -> None:
    together = _played(_begun(make, seed, LANES))
    for lane in range(LANES):
        alone = _played(_begun(make, seed + np.uint64(lane), 1))
        found = _difference(alone, together, slice(lane, lane + 1))
        hold("alone", not found, f"a user alone and in a batch of {LANES} has other {found}")


def _users(make: Callable[[], World], seed: np.uint64) -> None:
    met = []
    for policy in (Uniform(seed=1), Uniform(seed=2)):
        world = _begun(make, seed, LANES)
        for _ in range(3):
            world.respond(policy.decide(world.requests()))
        world.renew(np.ones(LANES, dtype=np.bool_))
        met.append(world.requests())
    for name in ("users", "keys", "context"):
        same = np.array_equal(getattr(met[0], name), getattr(met[1], name))
        hold("users", same, f"{name} of the next users hang on what the present ones were shown")


def _own(make: Callable[[], World], seed: np.uint64) -> None:
    world = _begun(make, seed, LANES)
    requests = world.requests()
    names = ("keys", "users", "context", "candidates", "time")
    kept = {name: getattr(requests, name).copy() for name in names}
    _played(world, 5)
    for name, values in kept.items():
        same = np.array_equal(values, getattr(requests, name))
        hold("own", same, f"{name} of requests changed after they were handed out")


def _gone(make: Callable[[], World], seed: np.uint64) -> None:
    """Let users leave without others coming, and watch the lanes that are empty."""
    world, policy = _begun(make, seed, LANES), Uniform(seed=1)
    left: Mask = np.zeros(LANES, dtype=np.bool_)
    for _ in range(20 * STEPS):
        requests = world.requests()
        hold("gone", (requests.candidates[left] == PAD).all(), "who has left may be shown things")
        response = world.respond(policy.decide(requests))
        quiet = not response.feedback.reward[left].any() and not response.outcomes.seen[left].any()
        hold("gone", quiet, "who has left sees slates, or is worth a reward")
        hold("gone", response.ended[left].all(), "who has left is back without being renewed")
        if left.any():
            return
        left = response.ended


def _proper(make: Callable[[], World], seed: np.uint64) -> None:
    world, policy = _begun(make, seed, FEW), Uniform(seed=1)
    bounds = {signal.name: signal for signal in getattr(world, "signals", ())}
    for step in range(STEPS):
        response = world.respond(_shown(policy, world.requests(), step))
        outcomes, told = response.outcomes, response.feedback
        empty = outcomes.decisions.slates == PAD
        blank = not (outcomes.seen[empty].any() or outcomes.rewards[empty].any())
        hold("facts", blank, "an empty slot was seen, or rewarded")
        hold("facts", not response.expected[empty].any(), "an empty slot is expected to pay")
        hold("facts", np.isfinite(outcomes.rewards).all(), "rewards are not all finite")
        hold("facts", np.isfinite(response.expected).all(), "expected is not all finite")
        summed = np.allclose(outcomes.rewards.sum(axis=1), told.reward, rtol=1e-5)
        hold("facts", summed, "the slots' rewards do not sum to the visit's")
        both = (told.terminated & told.truncated).any()
        hold("facts", not both, "an episode was both terminated and truncated")
        for name, values in response.signals.items():
            signal = bounds.get(name)
            if signal is not None:
                inside = ((values >= signal.low) & (values <= signal.high)).all()
                hold("facts", inside, f"signal {name} is not within its bounds")
        world.renew(response.ended)


def _expected(make: Callable[[], World], seed: np.uint64) -> None:
    world, policy = _begun(make, seed, MANY), Uniform(seed=1)
    slots: list[NDArray[np.float64]] = []
    for step in range(FEW):
        response = world.respond(_shown(policy, world.requests(), step))
        slots.append(response.outcomes.rewards - response.expected)
        world.renew(response.ended)
    gaps = np.concatenate(slots)
    for slot, gap in enumerate(gaps.T):
        off = abs(gap.mean()) > SURE * gap.std() / np.sqrt(len(gap)) + 1e-9
        hold("expected", not off, f"rewards in slot {slot} do not average to what was expected")


def _refusal(make: Callable[[], World], seed: np.uint64) -> None:
    world = _begun(make, seed, LANES)
    right = Uniform(seed=1).decide(world.requests())
    stray = right.slates.copy()
    stray[-1, 0] = np.iinfo(np.int64).max
    wrong = {"what is no candidate": stray, "too few slates": right.slates[:-1]}
    if right.slates.shape[1] > 1:
        twice = right.slates.copy()
        twice[-1, 1] = twice[-1, 0]
        wrong["an item twice"] = twice
    for what, slates in wrong.items():
        told = Decisions(slates, np.ones(slates.shape), right.versions[: len(slates)], "broken")
        try:
            world.respond(told)
        except WorldError:
            continue
        raise WorldCheckError("refusal", f"it was shown {what}, and did not raise a WorldError")
    found = _difference(_played(_begun(make, seed, LANES)), _played(world))
    hold("refusal", not found, f"refusing a slate changed {found}")


def _bounds(make: Callable[[], World], seed: np.uint64) -> None:
    world = _begun(make, seed, LANES)
    bounds = world.bounds()
    first = list(bounds)[:2]
    hold("bounds", first == ["random", "myopic"], f"they begin with {first}, not random and myopic")
    for name, policy in bounds.items():
        for _ in range(3):
            try:
                response = world.respond(policy.decide(world.requests()))
            except RecloopError as error:
                raise WorldCheckError("bounds", f"{name} cannot decide: {error}") from error
            world.renew(response.ended)


LAWS: dict[str, Callable[[Callable[[], World], np.uint64], None]] = {
    "replay": _replay,
    "alone": _alone,
    "users": _users,
    "own": _own,
    "gone": _gone,
    "facts": _proper,
    "expected": _expected,
    "refusal": _refusal,
    "bounds": _bounds,
}
