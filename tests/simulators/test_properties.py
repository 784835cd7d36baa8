"""What holds in every world of the registry, whatever its size, its options and its users."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import PAD, Uniform
from simulators import make_world, returns, world_names, world_options
from tests.simulators.support import seeds

WORTH = {"InterestEvolution": 4.0, "InterestExploration": 1.0, "RecoGym": 1.0}
"""The most that a click is worth, where a slate gets one at most."""

OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "attention": st.floats(0.01, 1.0),
    "scaling": st.floats(0.01, 0.5),
    "sensitivity": st.floats(0.001, 0.5),
    "slope": st.floats(1.0, 100.0),
    "offset": st.floats(0.0, 1.0),
    "eps": st.floats(0.1, 1.0),
    "omega": st.floats(0.5, 1.0),
    "threshold": st.integers(1, 11),
    "boredom": st.sampled_from(["return", "loss"]),
    "influence": st.sampled_from(["vector", "scalar"]),
    "to_bandit": st.floats(0.05, 0.9),
    "to_organic": st.floats(0.0, 0.5),
    "flips": st.integers(0, 1),
}
WORDS = ("boredom", "influence")
"""The options that are words; worlds of another kind have numbers of the same names."""


@st.composite
def worlds(draw: st.DrawFn, name: str) -> Any:
    """A world of any size, with any of the options above that it has."""
    known = world_options(name)
    given_ = {
        option: draw(values)
        for option, values in OPTIONS.items()
        if option in known and isinstance(known[option], str) == (option in WORDS)
    }
    candidates = draw(st.integers(2, 9))
    slots = draw(st.integers(1, candidates)) if known["slate_size"] > 1 else 1
    size = {"num_candidates": candidates, "slate_size": slots, "horizon": draw(st.integers(1, 30))}
    return make_world(name, **given_, **size)


@pytest.mark.parametrize("name", world_names())
@given(data=st.data(), seed=st.integers(0, 2**64 - 1), lanes=st.integers(1, 4))
@settings(max_examples=12, deadline=None)
def test_any_world_keeps_within_its_bounds(
    name: str, data: st.DataObject, seed: int, lanes: int
) -> None:
    world = data.draw(worlds(name))
    world.reset(seeds(lanes, seed))
    policy = Uniform(seed=1)
    kind = name.partition("-")[0]
    for _ in range(world.horizon):
        requests = world.requests()
        present = ~world.lanes["ended"]
        budgets = world.users["budget"].copy() if kind == "InterestEvolution" else None
        decisions = policy.decide(requests)
        decisions.slates[:, -1] = np.where(present & (lanes > 1), PAD, decisions.slates[:, -1])
        response = world.respond(decisions)
        empty = decisions.slates == PAD
        assert not response.outcomes.rewards[empty].any()
        assert not response.outcomes.seen[empty].any()
        assert not response.expected[empty].any()
        assert np.isfinite(response.expected).all()
        assert (response.expected >= 0).all()
        if kind in WORTH:
            assert (response.expected.sum(axis=1) <= WORTH[kind] * (1 + 1e-12)).all()
            assert ((response.outcomes.rewards > 0).sum(axis=1) <= 1).all()
        if budgets is not None:
            after = world.users["budget"]
            most = np.minimum(budgets, 4.0) * (1 + 0.9 / 3.4 * 4.4)
            assert (after[present] >= budgets[present] - np.maximum(most, 0.5)[present]).all()
            assert (response.feedback.terminated == (present & (after <= 0))).all()
        assert not (response.feedback.truncated & response.feedback.terminated).any()
        for signal in world.signals:
            values = response.signals[signal.name]
            assert ((values >= signal.low) & (values <= signal.high)).all()
    assert world.lanes["ended"].all()


@pytest.mark.parametrize("name", world_names())
@given(data=st.data(), seed=st.integers(0, 2**64 - 1))
@settings(max_examples=5, deadline=None)
def test_probabilities_of_first_slots_sum_to_one(name: str, data: st.DataObject, seed: int) -> None:
    """What is stated of every candidate, one after the other, for the first slot."""
    world = data.draw(worlds(name))
    world.reset(seeds(2, seed))
    requests = world.requests()
    policy = Uniform()
    stated = np.zeros(2)
    for j in range(world.num_candidates):
        slates = np.full((2, world.slate_size), PAD, dtype=np.int64)
        slates[:, 0] = requests.candidates[:, j]
        stated += policy.propensities(requests, slates)[:, 0]
    assert stated == pytest.approx(np.ones(2), abs=1e-12)


def test_no_cascade_of_this_kind_has_both_published_figures() -> None:
    """159.9 random and 163.6 myopic, 2.3 % more: at 159.9 it is some 7 %, and never under 5."""
    users = 2000
    found = []
    for scaling in (0.242, 0.5):
        world = make_world("InterestEvolution-Cascade", attention=1.0, scaling=scaling)
        found.append(
            [returns(world, world.bounds()[b], seeds(users)) for b in ("random", "myopic")]
        )
    (random, myopic), (random_most, myopic_most) = found
    assert abs(random.mean() - 159.9) < 3 * np.hypot(random.std() / np.sqrt(users), 0.2)
    assert myopic.mean() > 163.6 + 10 * myopic.std() / np.sqrt(users)
    assert myopic_most.mean() > 1.05 * random_most.mean()
