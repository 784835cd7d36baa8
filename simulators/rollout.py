"""Playing policies in worlds, and saying how well they did with an honest error."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from agents import PAD
from simulators.records import WorldError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from agents.api import Floats, Keys, Policy
    from simulators.channel import Channel
    from simulators.recording import Recorder
    from simulators.records import Response
    from simulators.world import World

Progress: TypeAlias = Callable[[int, int], None]
"""Is called with how much is done, and how much there is to do."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and its standard error, which is NaN where there was nothing to measure it by."""

    mean: float
    se: float

    @classmethod
    def of(cls, values: Floats) -> Estimate:
        """Return the mean of independent values and its standard error."""
        return cls.ratio(values, np.ones(len(values)))

    @classmethod
    def ratio(cls, sums: Floats, counts: Floats) -> Estimate:
        """Return sum over count where only the entries of the arrays are independent.

        The error is the linearised one (the delta method), so that it may be a thing's share of
        another thing that varies with it: a lane's reward per visit, a gain per possible gain.
        """
        n, total = len(sums), counts.sum()
        if n == 0 or total == 0:
            return cls(float("nan"), float("nan"))
        mean = float(sums.sum() / total)
        spread = float(np.sum((sums - mean * counts) ** 2))
        se = (n / (n - 1) * spread) ** 0.5 / abs(float(total)) if n > 1 else float("nan")
        return cls(mean, se)


def rollout(
    world: World,
    policy: Policy,
    steps: int,
    *,
    learn: bool = True,
    record: Sequence[Recorder] = (),
    channel: Channel | None = None,
    progress: Progress | None = None,
) -> Iterator[Response]:
    """Let a policy serve a world's present users, and those who come when they have left.

    Parameters
    ----------
    world : World
        Reset already; it is left where the rollout ends, so that another can go on from there.
    policy : Policy
    steps : int
        How many requests every lane makes.
    learn : bool
        Whether the policy is given each step's outcomes.
    record : sequence of Recorder
        Are shown every step.
    channel : Channel, optional
        What the outcomes that the policy learns from pass through; at once and whole if not given.
    progress : callable, optional
        See `Progress`; counts steps.

    Yields
    ------
    Response
        One per step, when the policy has learned from it and the next users have come.
    """
    for step in range(steps):
        response = _step(world, policy, learn, record, channel)
        world.renew(response.ended)
        if progress is not None:
            progress(step + 1, steps)
        yield response


def _step(
    world: World,
    policy: Policy,
    learn: bool,
    record: Sequence[Recorder],
    channel: Channel | None = None,
) -> Response:
    for recorder in record:
        recorder.before()
    response = world.respond(policy.decide(world.requests()))
    if learn:
        for outcomes in (response.facts,) if channel is None else channel.through(response):
            policy.update(outcomes)
    for recorder in record:
        recorder.after(response)
    return response


@dataclass(frozen=True, slots=True)
class Summary:
    """What a rollout came to. Errors treat lanes as independent, not the visits within one.

    Parameters
    ----------
    visits : int
        How many requests were answered.
    per_slot, per_visit : Estimate
        The mean reward.
    expected_per_visit : Estimate
        The mean of the true expected reward: the same quantity with less noise.
    curve : float64 [steps]
        The mean reward per visit at each step.
    """

    visits: int
    per_slot: Estimate
    per_visit: Estimate
    expected_per_visit: Estimate
    curve: Floats


def summarise(responses: Iterable[Response]) -> Summary:
    """Play a rollout to its end and return its summary.

    Raises
    ------
    WorldError
        If there is no response in it.
    """
    curve: list[float] = []
    sums: Floats | None = None
    for response in responses:
        rewards, asked = response.feedback.reward, response.feedback.asked
        slots = (response.outcomes.decisions.slates != PAD).sum(axis=1)
        step = np.stack([rewards, response.expected.sum(axis=1), slots, asked])
        sums = step if sums is None else sums + step
        curve.append(float(rewards.sum() / asked.sum()) if asked.any() else float("nan"))
    if sums is None:
        raise WorldError("a rollout of no steps has no summary")
    rewards, expected, slots, visits = sums
    return Summary(
        visits=int(visits.sum()),
        per_slot=Estimate.ratio(rewards, slots),
        per_visit=Estimate.ratio(rewards, visits),
        expected_per_visit=Estimate.ratio(expected, visits),
        curve=np.array(curve),
    )


def returns(
    world: World,
    policy: Policy,
    seeds: Keys,
    *,
    steps: int | None = None,
    learn: bool = False,
    record: Sequence[Recorder] = (),
    progress: Progress | None = None,
) -> Floats:
    """Return the summed reward of the first user of every seed: float64 [B].

    Users who leave are not followed by others: counting whole episodes out of a fixed number of
    steps would count the short ones more often.

    Parameters
    ----------
    world : World
        Is reset.
    policy : Policy
    seeds : uint64 [B]
        Two policies given the same seeds meet the same users.
    steps : int, optional
        How many requests a user makes at most.
    learn : bool
        Whether the policy is given each step's outcomes.
    record : sequence of Recorder
        Are shown every step.
    progress : callable, optional
        See `Progress`; counts users who have left, or steps where their number is given.

    Raises
    ------
    WorldError
        If the users never leave and `steps` is not given.
    """
    if world.endless and steps is None:
        raise WorldError(
            f"nobody ever leaves {world.name}: give it a horizon, or say for how many steps to play"
        )
    world.reset(seeds)
    totals = np.zeros(len(seeds))
    step, ended = 0, np.zeros(len(seeds), dtype=np.bool_)
    while not ended.all() and step != steps:
        response = _step(world, policy, learn, record)
        totals += response.feedback.reward
        step, ended = step + 1, response.ended
        if progress is not None and steps is not None:
            progress(step, steps)
        elif progress is not None:
            progress(int(ended.sum()), len(seeds))
    return totals


def score(values: Floats, low: Floats, high: Floats) -> Estimate:
    """Return where a policy stands between two others: 0 as the low one, 1 as the high one.

    Parameters
    ----------
    values, low, high : float64 [B]
        The returns of the same users under the three policies. What the users have in common
        cancels, which is why the error is small.
    """
    return Estimate.ratio(values - low, high - low)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a policy did in a world: its return per user, and its score between the bounds."""

    episodes: int
    value: Estimate
    score: Estimate


def standings(
    world: World,
    policies: Mapping[str, Policy],
    seeds: Keys,
    *,
    steps: int | None = None,
    record: Mapping[str, Sequence[Recorder]] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Standing]:
    """Let the world's bounds and other policies serve the same users, and rank them by score.

    Parameters
    ----------
    world : World
        Is reset for each policy.
    policies : mapping of name to Policy
        They do not learn here. A name that is a bound's takes the bound's place in the table.
    seeds : uint64 [B]
        One user each.
    steps : int, optional
        See `returns`.
    record : mapping of name to sequence of Recorder, optional
        Who is shown every step of a policy. They are closed when it has served everybody.
    progress : callable, optional
        Is called with a policy's name, and see `Progress`.

    Returns
    -------
    dict of name to Standing
        Worst bound first, then the better bounds, then the policies in their order. The score is 0
        at the worst bound and 1 at the best one.
    """
    bounds = world.bounds()
    values: dict[str, Floats] = {}
    for name, policy in (bounds | dict(policies)).items():

        def report(done: int, total: int, name: str = name) -> None:
            if progress is not None:
                progress(name, done, total)

        with ExitStack() as recorders:
            shown = [recorders.enter_context(each) for each in (record or {}).get(name, ())]
            values[name] = returns(world, policy, seeds, steps=steps, record=shown, progress=report)
    low, *_, high = (values[name] for name in bounds)
    return {
        name: Standing(len(seeds), Estimate.of(value), score(value, low, high))
        for name, value in values.items()
    }
