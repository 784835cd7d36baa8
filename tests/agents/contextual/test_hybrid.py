"""The hybrid model, against one dense regression on shared features and every item's own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from agents import HybridLinUCB, LinUCB, ShapeError, joint
from tests.agents.support import catalogue, experience, outcomes, requests

if TYPE_CHECKING:
    from agents import Outcomes, Requests
    from agents.api import Floats, Rows


def stacked(asked: Requests, rows: Rows, interactions: bool) -> Floats:
    """Return z, and x in the place of the item's own: [B, M, k + N d]."""
    z = joint(asked.context, asked.items.features[rows], interactions)
    x = np.concatenate([np.ones((len(asked), 1)), asked.context], axis=1, dtype=np.float64)
    own = np.zeros((*rows.shape, len(asked.items), x.shape[1]))
    for b, m in np.ndindex(rows.shape):
        own[b, m, rows[b, m]] = x[b]
    return np.concatenate([z, own.reshape(*rows.shape, own.shape[2] * own.shape[3])], axis=2)


def expected(
    facts: Outcomes, weight: Floats, asked: Requests, l2: float, alpha: float, interactions: bool
) -> Floats:
    X = stacked(facts.requests, facts.decisions.slates, interactions)[:, 0]
    A = l2 * np.eye(X.shape[1]) + (X.T * weight) @ X
    theta = np.linalg.solve(A, X.T @ (weight * facts.rewards[:, 0]))
    x = stacked(asked, asked.candidates, interactions)
    spread = np.einsum("bmp,pq,bmq->bm", x, np.linalg.inv(A), x)
    bounds: Floats = x @ theta + alpha * np.sqrt(spread)
    return bounds


@pytest.mark.parametrize("interactions", [True, False])
@pytest.mark.parametrize("options", [{}, {"half_life": 40.0}, {"window": 80.0}])
@pytest.mark.parametrize("count", [0, 1, 200])
def test_scores_are_those_of_one_dense_regression(
    interactions: bool, options: dict[str, Any], count: int
) -> None:
    items = catalogue(5, width=3)
    seconds = np.random.default_rng(1).permutation(count)
    facts = experience(items, count, width=4, seed=2)
    facts = replace(facts, requests=replace(facts.requests, time=seconds * 1000))
    policy = HybridLinUCB(alpha=1.3, l2=0.7, interactions=interactions, **options)
    policy.update(facts)
    tick = 5 if "half_life" in options else 10
    age = (count - 1) // tick - seconds // tick
    weight = np.ones(count)
    if "half_life" in options:
        weight = np.exp2(-age / 8)
    elif "window" in options:
        weight = np.where(age < 8, 1.0, 0.0)
    asked = requests(items, np.tile(np.arange(5), (6, 1)), width=4, seed=3)
    wanted = expected(facts, weight, asked, 0.7, 1.3, interactions)
    np.testing.assert_allclose(policy.scores(asked), wanted, rtol=1e-8)


def test_features_of_wild_scale_are_survived() -> None:
    """Leverages of 1e8: everything is then derived afresh from the sums."""
    items = catalogue(3, width=2)
    facts = experience(items, 60, width=2, seed=4)
    facts.requests.context[:, 0] *= np.float32(1e4)
    policy = HybridLinUCB(interactions=False)
    policy.update(facts)
    asked = facts.requests.take(slice(0, 6))
    wanted = expected(facts, np.ones(60), asked, 1.0, 1.0, False)
    np.testing.assert_allclose(policy.scores(asked), wanted, rtol=1e-3)


def test_a_new_item_is_known_by_its_features_and_an_old_one_by_itself() -> None:
    """Rewards are an item's first feature, but for item 0 that is better than it looks."""
    items = catalogue(40, width=2, seed=5)
    asked = requests(items, np.tile(np.arange(40), (900, 1)), width=2, seed=6)
    shown = np.random.default_rng(7).integers(0, 30, (900, 1))
    truth = items.features[:, 0] + 3.0 * (np.arange(40) == 0)
    facts = outcomes(asked, shown, truth[shown])
    hybrid, shared, own = (
        HybridLinUCB(interactions=False),
        LinUCB(interactions=False),
        LinUCB(shared=False),
    )
    for policy in (hybrid, shared, own):
        policy.update(facts)
    error = {}
    for name, policy in (("hybrid", hybrid), ("shared", shared), ("own", own)):
        error[name] = np.abs(policy.estimate(asked)[0][:50] - truth).mean(axis=0)
    assert error["hybrid"][0] < 0.2 < 2.0 < error["shared"][0]
    assert error["hybrid"][30:].mean() < 0.25 * error["own"][30:].mean()


def test_items_that_leave_keep_what_was_learned() -> None:
    items = catalogue(4)
    policy = HybridLinUCB()
    policy.update(experience(items, 60))
    asked = requests(items, [[0, 1, 2, 3]])
    before = policy.model.own.copy()
    gone = replace(asked, items=items.without(items.keys[:2]), candidates=np.array([[2, 3]]))
    policy.update(outcomes(gone, [[3]], [[1.0]]))
    arms = policy.model.arms.arms.of(asked)[0]
    np.testing.assert_array_equal(policy.model.own[arms[:3]], before[arms[:3]])
    assert (policy.model.own[arms[3]] != before[arms[3]]).any()


def test_features_of_another_width_are_refused() -> None:
    items = catalogue(3)
    policy = HybridLinUCB()
    policy.update(experience(items, 5, width=3))
    with pytest.raises(ShapeError, match="changed their width"):
        policy.decide(requests(items, [[0, 1]], width=4))
