"""`Explore`, against Plackett-Luce written out, and against counting."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agents import (
    PAD,
    Explore,
    LinTS,
    LinUCB,
    OptionError,
    Policy,
    Popular,
    RecloopError,
    Requests,
    ScorePolicy,
    Uniform,
)
from agents.explore import softmax
from tests.agents.support import catalogue, experience, requests

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agents.api import Floats


def known() -> Popular:
    policy = Popular()
    policy.update(experience(catalogue(5), 60))
    return policy


def plackett_luce(scores: list[float], slate: Sequence[int], temperature: float) -> list[float]:
    """Return each slot's probability, with exact sums and no shift of the scores."""
    chances, left = [], dict(enumerate(scores))
    for item in slate:
        weights = {i: math.exp(s / temperature) for i, s in left.items()}
        chances.append(weights[item] / math.fsum(weights.values()))
        del left[item]
    return chances


@pytest.mark.parametrize("temperature", [0.05, 0.4, 10.0])
def test_every_ordered_slate_has_its_plackett_luce_probability(temperature: float) -> None:
    policy = Explore(known(), temperature=temperature)
    slates = [list(slate) for slate in itertools.permutations(range(5), 3)]
    asked = requests(catalogue(5), [range(5)] * len(slates), slots=3)
    scores = known().scores(asked)[0].tolist()
    found = policy.propensities(asked, np.array(slates))
    wanted = np.array([plackett_luce(scores, slate, temperature) for slate in slates])
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=0)
    assert math.fsum(np.prod(found, axis=1)) == pytest.approx(1.0, abs=1e-12)


def test_slates_are_drawn_as_often_as_plackett_luce_says() -> None:
    n, policy = 60_000, Explore(known(), temperature=0.5, seed=3)
    asked = requests(catalogue(5), np.tile(np.arange(5), (n, 1)), slots=2)
    decided = policy.decide(asked)
    scores = known().scores(asked.take([0]))[0].tolist()
    for slate in itertools.permutations(range(5), 2):
        chance = math.prod(plackett_luce(scores, slate, 0.5))
        drawn = (decided.slates == slate).all(axis=1).mean()
        assert abs(drawn - chance) < 5 * math.sqrt(chance * (1 - chance) / n)


def test_softmax_is_stable_where_exp_is_not() -> None:
    scores = np.array([[1e6, 1e6 - 1.0, -1e6], [-1e300, 0.0, 1e300]])
    chances = softmax(scores, np.ones((2, 3), np.bool_), 1.0)
    e = math.exp(-1.0)
    wanted = np.array([[1 / (1 + e), e / (1 + e), 0.0], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(chances, wanted, rtol=1e-12)


def test_epsilon_is_spread_over_what_is_open() -> None:
    policy = Explore(known(), epsilon=0.3)
    asked = requests(catalogue(5), [[0, 1, 2, 3, 4]], slots=2)
    order = np.argsort(-known().scores(asked)[0])
    found = policy.propensities(asked, np.array([[order[1], order[0]]]))
    np.testing.assert_allclose(found, [[0.3 / 5, 0.7 + 0.3 / 4]])


def test_states_pass_through_and_the_name_says_both() -> None:
    bare, wrapped = known(), Explore(Popular(), epsilon=0.1)
    assert wrapped.name == "popular+epsilon=0.1"
    assert Explore(Popular(), temperature=2.0).name == "popular+temperature=2"
    wrapped.update(experience(catalogue(5), 60))
    for name, array in bare.state_dict().items():
        np.testing.assert_array_equal(wrapped.state_dict()[name], array)
    again = Popular()
    again.load_state_dict(wrapped.state_dict())
    assert again.version == wrapped.version == 60
    assert Explore(bare, epsilon=0.1).version == 60


@pytest.mark.parametrize("policy", [Uniform(), LinTS()])
def test_a_policy_without_scores_is_refused(policy: Policy) -> None:
    with pytest.raises(RecloopError, match=rf"cannot wrap '{policy.name}'.*scores"):
        Explore(policy, epsilon=0.1)


def test_exactly_one_way_of_exploring_is_taken() -> None:
    with pytest.raises(OptionError, match="either an epsilon or a temperature"):
        Explore(Popular())
    with pytest.raises(OptionError, match="either an epsilon or a temperature"):
        Explore(Popular(), epsilon=0.1, temperature=1.0)
    with pytest.raises(OptionError, match="temperature must be a finite number above 0"):
        Explore(LinUCB(), temperature=0.0)
    with pytest.raises(OptionError, match="epsilon must lie"):
        Explore(LinUCB(), epsilon=1.01)


def test_a_policy_that_only_scores_can_be_wrapped() -> None:
    class Second(ScorePolicy):
        name = "second"

        def scores(self, requests: Requests) -> Floats:
            return np.where(requests.candidates == 2, 1.0, 0.0)

    asked = requests(catalogue(4), [[0, 1, 2, PAD]])
    np.testing.assert_allclose(
        Explore(Second(), epsilon=0.3).distribution(asked), [[0.1, 0.1, 0.8, 0]]
    )
