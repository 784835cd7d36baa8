"""What holds for every world."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import PAD, Decisions, Uniform
from agents.streams import derive
from simulators import InterestEvolution, Response, World, WorldError, rollout
from tests.simulators.support import WORLDS, seeds, small_logged
from tests.simulators.trajectory import digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Rows
    from simulators import BatchedWorld

ROOT = Path(__file__).parents[2]
NAMES = list(WORLDS)


def played(name: str, lanes: int, first: int, steps: int) -> list[Response]:
    world = WORLDS[name]()
    world.reset(seeds(lanes, first))
    return list(rollout(world, Uniform(seed=2), steps))


def facts(response: Response) -> dict[str, NDArray[Any]]:
    """Everything about a step that does not hang on how rows are numbered."""
    requests, decisions = response.outcomes.requests, response.outcomes.decisions
    shown = decisions.slates != PAD
    keys = np.where(shown, requests.items.keys[decisions.slates], 0)
    return {
        "request": requests.keys,
        "user": requests.users,
        "context": requests.context,
        "time": requests.time,
        "shown": keys,
        "propensities": decisions.propensities,
        "rewards": response.outcomes.rewards,
        "seen": response.outcomes.seen,
        "expected": response.expected,
        "ended": response.ended,
        "reward": response.feedback.reward,
        **response.signals,
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_lane_is_the_same_alone_and_in_a_batch(name: str) -> None:
    together = [facts(step) for step in played(name, 5, 3, 90)]
    for lane in range(5):
        alone = [facts(step) for step in played(name, 1, 3 + lane, 90)]
        for one, many in zip(alone, together, strict=True):
            for field, values in one.items():
                assert np.array_equal(values[0], many[field][lane]), field
    # Kernels outlive a reset, so what is kept of one user must be laid out as that of many is.
    world, types, kinds = WORLDS[name](), cast("Any", numba), set()
    for lanes in (1, 5):
        world.reset(np.arange(lanes, dtype=np.uint64))
        kinds.add(str(types.typeof(world._users)))
    assert len(kinds) == 1


def test_another_process_plays_the_same_bits() -> None:
    command = [sys.executable, "-m", "tests.simulators.trajectory", "7"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{name} {digest(name, 7)}" for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_users_are_the_same_whatever_they_are_shown(name: str) -> None:
    """Common random numbers: who comes next does not hang on the policy."""
    meetings = []
    for policy in (Uniform(seed=1), Uniform(seed=2)):
        world = WORLDS[name]()
        world.reset(seeds(4))
        world.respond(policy.decide(world.requests()))
        world.renew(np.ones(4, dtype=np.bool_))
        meetings.append(world.requests())
    first, second = meetings
    assert np.array_equal(first.users, second.users)
    assert np.array_equal(first.context, second.context)
    assert np.array_equal(first.items.keys, second.items.keys)


@pytest.mark.parametrize("name", NAMES)
def test_requests_of_a_user_are_numbered_from_their_key(name: str) -> None:
    world = WORLDS[name]()
    world.reset(seeds(3))
    assert isinstance(world, World)
    for visit in range(4):
        requests = world.requests()
        assert np.array_equal(
            requests.keys, derive(requests.users, np.full(3, visit, dtype=np.uint64))
        )
        world.respond(Uniform().decide(requests))
    first = requests.users
    world.renew(np.array([False, True, False]))
    again = world.requests()
    assert (again.users != first).tolist() == [False, True, False]
    assert again.keys[1] == derive(again.users, np.zeros(3, dtype=np.uint64))[1]


@pytest.mark.parametrize("name", NAMES)
def test_facts_fit_together(name: str) -> None:
    for step in played(name, 6, 0, 60):
        outcomes, feedback = step.outcomes, step.feedback
        assert not (outcomes.seen & (outcomes.decisions.slates == PAD)).any()
        assert (outcomes.seen[:, 0] == (outcomes.decisions.slates[:, 0] != PAD)).all()
        assert (outcomes.rewards[~outcomes.seen] == 0).all()
        assert (step.expected >= 0).all()
        assert np.allclose(outcomes.rewards.sum(axis=1), feedback.reward)
        assert not (feedback.terminated & feedback.truncated).any()


@pytest.mark.parametrize("name", NAMES)
def test_rewards_average_to_what_was_expected(name: str) -> None:
    steps = played(name, 400, 0, 30)
    gap = np.array([s.feedback.reward - s.expected.sum(axis=1) for s in steps]).ravel()
    assert abs(gap.mean()) < 4 * gap.std() / np.sqrt(gap.size)


@pytest.mark.parametrize("name", NAMES)
def test_a_user_who_has_left_asks_for_nothing(name: str) -> None:
    world = WORLDS[name]()
    world.reset(seeds(8))
    world.lanes["ended"][:4] = True
    world.renew(np.zeros(8, dtype=np.bool_))
    before = world.lanes.copy()
    requests = world.requests()
    assert (requests.candidates[:4] == PAD).all()
    assert (requests.candidates[4:] != PAD).all()
    response = world.respond(Uniform().decide(requests))
    assert (world.lanes[:4] == before[:4]).all()
    assert response.ended[:4].all()
    assert len(response.facts) == 4
    assert (response.outcomes.rewards[:4] == 0).all()


def test_the_horizon_truncates_and_leaving_does_not() -> None:
    world = small_logged(horizon=5)
    world.reset(seeds(3))
    for visit in range(1, 6):
        response = world.respond(Uniform().decide(world.requests()))
        assert (response.feedback.truncated == (visit == 5)).all()
        assert not response.feedback.terminated.any()
    assert not small_logged(horizon=5).endless
    assert small_logged().endless
    assert not InterestEvolution().endless


def broken(slates: list[list[int]]) -> Decisions:
    shown = np.array(slates)
    return Decisions(shown, np.ones(shown.shape), np.zeros(len(shown), dtype=np.int64), "broken")


@pytest.mark.parametrize(
    ("slates", "words"),
    [
        ([[0, 1, 1], [6, 7, 8]], "lane 0"),
        ([[0, 1, 2], [6, 7, 12]], "lane 1"),
        ([[0, 1, 2], [0, 7, 8]], "lane 1"),
        ([[0, 1, 2], [6, -2, 8]], "lane 1"),
        ([[0, 1], [6, 7]], r"shape \(2, 2\)"),
        ([[0, 1, 2]], r"shape \(1, 3\)"),
    ],
)
def test_what_is_no_slate_is_refused_and_nothing_happens(
    slates: list[list[int]], words: str
) -> None:
    world = InterestEvolution(6, 3)
    world.reset(seeds(2))
    world.requests()
    before = world.lanes.copy(), world.users.copy()
    with pytest.raises(WorldError, match=words):
        world.respond(broken(slates))
    assert (world.lanes == before[0]).all()
    assert (world.users == before[1]).all()


def test_an_item_that_is_gone_is_no_candidate() -> None:
    world = small_logged()
    world.reset(seeds(1))
    assert 2 not in world.requests().candidates
    with pytest.raises(WorldError, match="lane 0"):
        world.respond(broken([[0, 1, 2]]))
    world.respond(broken([[0, 1, 3]]))


def test_a_world_without_users_says_so() -> None:
    with pytest.raises(WorldError, match="reset"):
        InterestEvolution(6, 3).respond(broken([[0, 1, 2]]))


def test_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(WorldError, match="slate of 4"):
        InterestEvolution(3, 4)
    with pytest.raises(WorldError, match="horizon"):
        InterestEvolution(3, 2, horizon=0)
    with pytest.raises(WorldError, match="3 positions"):
        small_logged(slate_size=4)


@given(
    st.sampled_from(NAMES),
    st.integers(0, 2**70),
    st.lists(st.lists(st.integers(-1, 5), min_size=3, max_size=3), min_size=1, max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_only_what_was_shown_is_chosen(name: str, seed: int, shown: list[list[int]]) -> None:
    world = WORLDS[name]()
    world.reset(seeds(len(shown), seed))
    choices: Rows = np.full((len(shown), world.slate_size), PAD, dtype=np.int64)
    for lane, places in enumerate(shown):
        distinct = [p for i, p in enumerate(places) if p == PAD or p not in places[:i]]
        choices[lane, : len(distinct)] = distinct[: world.slate_size]
    for _ in range(5):
        feedback = world.step(choices)
        padded = choices == PAD
        assert (feedback.rewards[padded] == 0).all()
        assert (feedback.expected[padded] == 0).all()
        assert not feedback.seen[padded].any()
        for signal in world.signals:
            values = feedback.signals[signal.name]
            assert (values[padded] == signal.blank).all()
            assert ((values >= signal.low) & (values <= signal.high)).all()


def test_privileged_policies_see_their_world_alone() -> None:
    world, other = InterestEvolution(6, 3), InterestEvolution(6, 3)
    world.reset(seeds(3))
    other.reset(seeds(3, first=50))
    myopic = world.bounds()["myopic"]
    with pytest.raises(WorldError, match="present users"):
        myopic.decide(other.requests())
    whole = myopic.decide(world.requests())
    for lane in (2, 0):
        part = myopic.decide(world.requests().take([lane]))
        assert np.array_equal(part.slates[0], whole.slates[lane])


def test_a_lane_can_be_given_another_seed() -> None:
    world = InterestEvolution(6, 3)
    world.reset(seeds(3))
    world.renew(np.ones(3, dtype=np.bool_))
    world.renew(np.array([True, False, False]), seeds(3, first=70))
    fresh = InterestEvolution(6, 3)
    fresh.reset(seeds(1, first=70))
    assert world.requests().users[0] == fresh.requests().users[0]
    assert world.lanes["episode"].tolist() == [0, 1, 1]


def test_requests_are_not_changed_by_what_follows() -> None:
    world: BatchedWorld = InterestEvolution(6, 3)
    world.reset(seeds(4))
    requests = world.requests()
    kept = replace(requests, context=requests.context.copy(), users=requests.users.copy())
    for _ in rollout(world, Uniform(), 30):
        pass
    assert np.array_equal(kept.context, requests.context)
    assert np.array_equal(kept.users, requests.users)
