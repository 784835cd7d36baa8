"""Popular and epsilon-greedy, against means counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import EpsilonGreedy, OptionError, Popular, StateError, from_spec, make
from tests.agents.support import catalogue, experience, outcomes, requests


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), max_size=40),
    st.integers(-2, 2),
    st.sampled_from([0.5, 1.0, 10.0]),
)
def test_popular_scores_are_means_drawn_to_the_prior(
    shown: list[tuple[int, int]], prior: int, weight: float
) -> None:
    items = catalogue(5)
    policy = Popular(prior=float(prior), weight=weight)
    if shown:
        asked = requests(items, np.tile(np.arange(5), (len(shown), 1)))
        policy.update(outcomes(asked, [[i] for i, _ in shown], [[r] for _, r in shown]))
    won = [[r for i, r in shown if i == item] for item in range(5)]
    wanted = [(prior * weight + sum(rewards)) / (weight + len(rewards)) for rewards in won]
    found = policy.scores(requests(items, np.arange(5)))
    np.testing.assert_allclose(found, [wanted], rtol=1e-14)
    assert policy.version == len(shown)


def test_popular_is_sure_but_for_ties() -> None:
    items = catalogue(3)
    policy = Popular()
    asked = requests(items, np.tile(np.arange(3), (3, 1)))
    policy.update(outcomes(asked, [[0], [1], [1]], [[0], [1], [1]]))
    wanted = [[0, 1, 0], [0.5, 0, 0.5]]
    open_ = np.array([[True, True, True], [True, False, True]])
    view = policy.prepare(asked.take([0, 1]))
    np.testing.assert_array_equal(policy.slot(view, open_), wanted)


def test_what_was_learned_adds_up_over_logs() -> None:
    items = catalogue(3)
    asked = requests(items, np.tile(np.arange(3), (4, 1)))
    whole, one, other = Popular(), Popular(), Popular()
    facts = outcomes(asked, [[2], [0], [2], [1]], [[1], [0], [3], [2]])
    whole.update(facts)
    one.update(facts.take([0, 1]))
    other.update(facts.take([2, 3]))
    sums = dict(
        zip(*[whole.state_dict()[n].ravel().tolist() for n in ("arms", "sums")], strict=True)
    )
    parts = [p.state_dict() for p in (one, other)]
    for key, total in sums.items():
        assert sum(p["sums"][p["arms"] == key].sum() for p in parts) == total


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(OptionError, match="epsilon must lie between 0 and 1"):
        EpsilonGreedy(epsilon=1.5)
    with pytest.raises(OptionError, match="weight must be a finite number above 0"):
        EpsilonGreedy(weight=0.0)
    with pytest.raises(OptionError, match="prior must be a finite number"):
        Popular(prior=float("nan"))


@pytest.mark.parametrize("spec", ["popular", "linucb", "lints:shared=false", "linucb+epsilon=0.1"])
def test_a_state_that_is_refused_changes_nothing(spec: str) -> None:
    stranger, policy = make("uniform"), from_spec(spec)
    stranger.update(experience(catalogue(3), 7))
    with pytest.raises(StateError):
        policy.load_state_dict(stranger.state_dict())
    asked = requests(catalogue(3), [[0, 1, 2]])
    assert policy.decide(asked).versions.tolist() == [0]


@pytest.mark.parametrize("harm", ["missing", "dtype", "length", "twice"])
def test_states_of_others_are_refused(harm: str) -> None:
    policy = Popular()
    asked = requests(catalogue(3), np.tile(np.arange(3), (2, 1)))
    policy.update(outcomes(asked, [[0], [1]], [[0], [1]]))
    state = policy.state_dict()
    if harm == "missing":
        del state["sums"]
    elif harm == "dtype":
        state["sums"] = state["sums"].astype(np.float32)
    elif harm == "length":
        state["sums"] = state["sums"][:1]
    else:
        state["arms"][:] = state["arms"][0]
    with pytest.raises(StateError):
        policy.load_state_dict(state)
