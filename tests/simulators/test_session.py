"""What a session has revealed, against sums taken by hand, and the world's own laws."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agents import PAD, Uniform
from simulators import (
    InterestEvolution,
    Session,
    WorldError,
    check_world,
    make_world,
    returns,
    rollout,
)
from tests.simulators.support import seeds

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMES = ("InterestEvolution", "SlateRerank-Bored", "LongTermSatisfaction")


@pytest.mark.parametrize("name", NAMES)
def test_a_session_is_a_world(name: str) -> None:
    check_world(partial(make_world, name, session=True))


@pytest.mark.parametrize("name", NAMES)
def test_users_do_what_they_did_without_it(name: str) -> None:
    plain, told = make_world(name), make_world(name, session=True)
    policy = Uniform(seed=3)
    first, second = (returns(w, policy, seeds(20)) for w in (plain, told))
    np.testing.assert_array_equal(first, second)
    for bound in ("random", "myopic"):
        first, second = (returns(w, w.bounds()[bound], seeds(5)) for w in (plain, told))
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("memories", [(), (1.0, 0.5)])
def test_the_context_tells_what_was_revealed(name: str, memories: tuple[float, ...]) -> None:
    inner = make_world(name, horizon=7)
    world = Session(inner, memories=memories)
    world.reset(seeds(6))
    D, F = inner.context_width, world.item_width
    adding = [s.name for s in inner.signals if s.blank == 0.0]
    sums: NDArray[np.float64] = np.zeros((6, 3 + len(adding)))
    seen, liked = (np.zeros((6, len(memories), F)) for _ in range(2))
    for response in rollout(world, Uniform(seed=1), 20):
        outcomes, rewards = response.outcomes, response.outcomes.rewards.astype(np.float64)
        wanted = np.concatenate([sums, np.stack([seen, liked], axis=2).reshape(6, -1)], axis=1)
        context = outcomes.requests.context
        assert context.shape == (6, D + wanted.shape[1])
        np.testing.assert_allclose(context[:, D:], wanted, rtol=1e-5, atol=1e-5)
        sums[:, 0] += 1
        sums[:, 1] += rewards.sum(axis=1) == 0
        sums[:, 2] += rewards.sum(axis=1)
        for column, signal in enumerate(adding, start=3):
            sums[:, column] += (rewards * response.signals[signal]).sum(axis=1)
        slates = outcomes.decisions.slates
        features = outcomes.requests.items.features[slates] * (slates != PAD)[:, :, None]
        for place, memory in enumerate(memories):
            shown = (features * outcomes.seen[:, :, None]).sum(axis=1)
            taken = (features * (outcomes.seen * rewards)[:, :, None]).sum(axis=1)
            seen[:, place] = memory * seen[:, place] + shown
            liked[:, place] = memory * liked[:, place] + taken
        for part in (sums, seen, liked):
            part[response.ended] = 0.0


@pytest.mark.parametrize("session", [True, "brief"])
def test_a_budget_follows_from_what_was_revealed(session: bool | str) -> None:
    world = make_world("InterestEvolution", session=session)
    world.reset(seeds(50))
    for _ in rollout(world, Uniform(seed=1), 60):
        pass
    assert isinstance(world, Session)
    inner = world.world
    assert isinstance(inner, InterestEvolution)
    told = world.context()[:, inner.context_width :].astype(np.float64)
    misses, watched, by_quality = told[:, 1], told[:, 2], told[:, 5]
    left = 200.0 - watched + 0.9 / 3.4 * by_quality - 0.5 * misses
    np.testing.assert_allclose(left, inner.users["budget"], atol=1e-3)


def test_a_brief_session_leaves_the_sums_of_items_away() -> None:
    full, brief = (make_world("InterestEvolution", session=kind) for kind in (True, "brief"))
    for world in (full, brief):
        world.reset(seeds(50))
        for _ in rollout(world, Uniform(seed=1), 20):
            pass
    assert full.context_width == brief.context_width + 2 * 2 * 20
    np.testing.assert_array_equal(brief.context(), full.context()[:, : brief.context_width])
    check_world(partial(make_world, "InterestEvolution", session="brief"))
    with pytest.raises(WorldError, match="session is True, False or 'brief', not 'short'"):
        make_world("InterestEvolution", session="short")


@pytest.mark.parametrize("memory", [0.0, 1.5, -1.0])
def test_memories_are_shares(memory: float) -> None:
    with pytest.raises(WorldError, match="memories are shares above 0"):
        Session(make_world("InterestEvolution"), memories=(memory,))
