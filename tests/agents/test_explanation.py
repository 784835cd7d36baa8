"""Explanations say what the policy itself would say of a request that lacks the feature."""

from __future__ import annotations

import numpy as np
import pytest

from agents import Explore, LinTS, LinUCB, Popular, ShapeError, Uniform, explain
from tests.agents.support import catalogue, experience, outcomes, requests


def test_a_linear_models_effects_are_its_terms() -> None:
    """The ridge solution, computed in one piece from the same lessons, times each feature."""
    items = catalogue(6)
    seen = experience(items, 80)
    policy = LinUCB(interactions=False, l2=2.0)
    policy.update(seen)
    context, features = seen.requests.context, items.features[seen.decisions.slates[:, 0]]
    x = np.hstack([np.ones((80, 1)), context, features]).astype(np.float64)
    theta = np.linalg.solve(x.T @ x + 2.0 * np.eye(6), x.T @ seen.rewards[:, 0])

    asked = requests(items, [[0, 2, 4, 5]], slots=2, seed=7)
    told = explain(policy, asked, np.array([4, 2]))

    shown = items.features[[4, 2]].astype(np.float64)
    assert told.measure == "expected reward"
    np.testing.assert_allclose(
        told.context_effects, np.tile(theta[1:4] * asked.context, (2, 1)), atol=1e-6
    )
    np.testing.assert_allclose(told.item_effects, theta[4:] * shown, atol=1e-6)
    base = theta[0] + asked.context @ theta[1:4]
    np.testing.assert_allclose(told.scores, base + shown @ theta[4:], atol=1e-6)
    inverse = np.linalg.inv(x.T @ x + 2.0 * np.eye(6))
    row = np.concatenate([[1.0], asked.context[0], shown[0]])
    assert told.deviations is not None
    assert told.deviations[0] == pytest.approx(np.sqrt(row @ inverse @ row), rel=1e-6)


def test_a_wrapped_policy_is_asked_and_the_wrapper_states_the_chances() -> None:
    items = catalogue(4)
    policy = LinUCB()
    policy.update(experience(items, 30))
    wrapped = Explore(policy, epsilon=0.4)
    asked = requests(items, [[0, 1, 2, 3]], slots=2)
    slate = wrapped.decide(asked).slates[0]

    told, bare = explain(wrapped, asked, slate), explain(policy, asked, slate)

    np.testing.assert_array_equal(told.scores, bare.scores)
    np.testing.assert_array_equal(told.propensities, wrapped.propensities(asked, slate[None])[0])


def test_what_a_policy_does_not_look_at_has_no_effect() -> None:
    items = catalogue(3)
    popular = Popular()
    asked = requests(items, [[0, 1, 2]], slots=1)
    popular.update(outcomes(asked, [[1]], [[1.0]]))
    told = explain(popular, asked, np.array([1]))
    assert told.measure == "score"
    assert told.deviations is None
    assert not told.context_effects.any()
    assert not told.item_effects.any()


def test_a_policy_without_scores_is_explained_by_its_chances() -> None:
    asked = requests(catalogue(4), [[0, 1, 2, 3]], slots=2)
    told = explain(Uniform(), asked, np.array([3, 0]))
    assert told.measure == "probability"
    np.testing.assert_allclose(told.scores, 0.25)
    np.testing.assert_allclose(told.propensities, [1 / 4, 1 / 3])


def test_asking_changes_nothing() -> None:
    items = catalogue(5)
    policy = LinTS(seed=3)
    policy.update(experience(items, 20))
    before = policy.state_dict()
    explain(policy, requests(items, [[0, 1, 2]]), np.array([2]))
    after = policy.state_dict()
    assert before.keys() == after.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(array, after[name])


def test_only_one_slate_of_candidates_can_be_explained() -> None:
    items = catalogue(4)
    with pytest.raises(ShapeError, match="row 3 is not among the candidates"):
        explain(Uniform(), requests(items, [[0, 1, 2]]), np.array([3]))
    with pytest.raises(ShapeError, match="one request for 1 slots"):
        explain(Uniform(), requests(items, [[0, 1], [1, 2]]), np.array([0]))
    with pytest.raises(ShapeError, match=r"a slate \(2,\)"):
        explain(Uniform(), requests(items, [[0, 1, 2]]), np.array([0, 1]))
