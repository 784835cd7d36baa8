"""Logistic Thompson sampling, against dense Laplace steps by SciPy's optimiser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from agents import LessonError, LogisticTS, joint
from tests.agents.support import catalogue, experience, outcomes, requests

if TYPE_CHECKING:
    from agents.api import Floats


def laplace(X: Floats, r: Floats, l2: float) -> tuple[Floats, Floats]:
    """Return mean and precision after one Laplace approximation an observation."""
    mean, precision = np.zeros(X.shape[1]), l2 * np.eye(X.shape[1])
    for x, reward in zip(X, r, strict=True):
        mean = minimize(_loss, mean, (mean, precision, x, reward), jac=True, tol=1e-10).x
        chance = expit(mean @ x)
        precision = precision + chance * (1 - chance) * np.outer(x, x)
    return mean, precision


def _loss(
    theta: Floats, mean: Floats, precision: Floats, x: Floats, reward: float
) -> tuple[float, Floats]:
    gap, z = theta - mean, theta @ x
    value = 0.5 * gap @ precision @ gap + np.logaddexp(0, z) - reward * z
    return float(value), precision @ gap + (expit(z) - reward) * x


@pytest.mark.parametrize("shared", [True, False])
def test_the_posterior_is_that_of_dense_laplace_steps(shared: bool) -> None:
    items = catalogue(3, width=2)
    facts = experience(items, 60, width=2, seed=1)
    facts.rewards[:] = facts.rewards > 0.3
    facts.rewards[5] = 0.25
    policy = LogisticTS(shared=shared, l2=0.5, interactions=False)
    policy.update(facts)
    asked = requests(items, np.tile(np.arange(3), (5, 1)), width=2, seed=2)
    mean, deviation = policy.model.posterior(asked)
    for item in range(3):
        of = np.full(60, True) if shared else facts.decisions.slates[:, 0] == item
        if shared:
            X = joint(facts.requests.context, items.features[facts.decisions.slates])[:, 0]
            x = joint(asked.context, items.features[asked.candidates])[:, item]
        else:
            X, x = (
                np.insert(a.context.astype(float), 0, 1.0, axis=1) for a in (facts.requests, asked)
            )
        theta, precision = laplace(X[of], facts.rewards[of, 0].astype(float), 0.5)
        np.testing.assert_allclose(mean[:, item], x @ theta, atol=1e-6)
        spread = np.sqrt(np.einsum("bp,pq,bq->b", x, np.linalg.inv(precision), x))
        np.testing.assert_allclose(deviation[:, item], spread, rtol=1e-6)


def test_chances_are_learned() -> None:
    """Against the known chances of a world with rare clicks, within the posterior's own error."""
    items, T = catalogue(4, width=2, seed=3), 6000
    asked = requests(items, np.tile(np.arange(4), (T, 1)), width=2, seed=4)
    rng = np.random.default_rng(5)
    shown = rng.integers(0, 4, (T, 1))
    taste = rng.normal(size=(4, 3)) + np.array([-2.0, 0.0, 0.0])
    x = np.insert(asked.context.astype(float), 0, 1.0, axis=1)
    chance = expit(x @ taste.T)
    won = rng.random((T, 1)) < np.take_along_axis(chance, shown, axis=1)
    policy = LogisticTS(shared=False)
    policy.update(outcomes(asked, shown, won))
    mean, deviation = policy.model.posterior(asked)
    score = (mean - x @ taste.T) / deviation
    assert 0.5 < np.sqrt((score**2).mean()) < 1.7
    found, _ = policy.estimate(asked)
    assert np.abs(found - chance).mean() < 0.02


def test_rewards_that_are_no_chances_are_refused() -> None:
    items = catalogue(3)
    policy = LogisticTS()
    policy.update(outcomes(requests(items, [[0, 1]]), [[0]], [[1.0]]))
    before = policy.state_dict()
    with pytest.raises(LessonError, match="between 0 and 1"):
        policy.update(outcomes(requests(items, [[0, 1]] * 2), [[0], [1]], [[1.0], [1.5]]))
    for name, array in policy.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
