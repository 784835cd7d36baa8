"""Neural-linear: its regression against NumPy on the network's features, and what it can learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.special import expit

from agents import LinTS, NeuralLinear, OptionError, ShapeError, StateError
from agents.slots import ScoreError
from tests.agents.support import catalogue, experience, outcomes, requests

if TYPE_CHECKING:
    from agents.api import Floats


def hidden(policy: NeuralLinear, x: Floats) -> Floats:
    """Return the held network's last hidden layer, by NumPy."""
    for kind, n, m, at in policy.held.program[:-1].tolist():
        if kind == 0:
            W = policy.held.params[at : at + n * m].reshape(n, m).astype(np.float64)
            x = x @ W + policy.held.params[at + n * m : at + n * m + m]
        else:
            x = np.maximum(x, 0.0)
    return np.insert(x, 0, 1.0, axis=1)


@pytest.mark.parametrize("count", [70, 128])
def test_the_posterior_is_a_regression_on_the_hidden_layer(count: int) -> None:
    """Features change at example 128; then the last 100 are regressed on anew."""
    items = catalogue(4, width=2)
    policy = NeuralLinear(hidden="8x6", memory=100, refresh=128, l2=0.5)
    facts = experience(items, count, seed=1)
    policy.update(facts)
    learned = np.concatenate(
        [facts.requests.context, items.features[facts.decisions.slates[:, 0]]], axis=1
    ).astype(np.float64)
    kept = slice(count - 100, None) if count == 128 else slice(None)
    X, r = hidden(policy, learned)[kept], facts.rewards[kept, 0].astype(np.float64)
    A = 0.5 * np.eye(7) + X.T @ X
    asked = requests(items, np.tile(np.arange(4), (5, 1)), seed=2)
    mean, deviation = policy.estimate(asked)
    for m in range(4):
        pairs = np.concatenate([asked.context, np.tile(items.features[m], (5, 1))], axis=1)
        x = hidden(policy, pairs.astype(np.float64))
        np.testing.assert_allclose(
            mean[:, m], x @ np.linalg.solve(A, X.T @ r), rtol=1e-3, atol=1e-4
        )
        spread = np.sqrt(np.einsum("bp,pq,bq->b", x, np.linalg.inv(A), x))
        np.testing.assert_allclose(deviation[:, m], spread, rtol=1e-3)


def test_it_learns_what_no_linear_model_can() -> None:
    """The better of two items is the parity of two signs: a linear model is right half the time."""
    items, T = catalogue(2, width=1), 3000
    items.features[:] = [[-1.0], [1.0]]
    asked = requests(items, np.tile(np.arange(2), (T + 500, 1)), width=2, seed=3)
    sign = np.sign(asked.context[:, 0] * asked.context[:, 1])
    rng = np.random.default_rng(4)
    shown = rng.integers(0, 2, (T, 1))
    chance = expit(3.0 * sign[:T, None] * items.features[shown, 0])
    facts = outcomes(asked.take(slice(0, T)), shown, rng.random((T, 1)) < chance)
    test, best = asked.take(slice(T, None)), (sign[T:] > 0).astype(int)
    right = {}
    for policy in (NeuralLinear(hidden="32x16"), LinTS()):
        policy.update(facts)
        right[policy.name] = policy.distribution(test)[np.arange(500), best].mean()
    # Of 500 fair coins, five standard errors are 0.11.
    assert abs(right["lints"] - 0.5) < 0.11
    assert right["neural-linear"] > 0.8


def test_what_cannot_be_read_is_refused() -> None:
    items = catalogue(3)
    policy = NeuralLinear(hidden=4)
    policy.update(experience(items, 20))
    asked = requests(items, [[0, 1], [1, 2]])
    asked.context[1, 0] = np.nan
    with pytest.raises(ScoreError, match="request 1 of the batch"):
        policy.decide(asked)
    for width in (2, 4):
        with pytest.raises(ShapeError, match="cannot read"):
            policy.decide(requests(items, [[0, 1]], width=width))
        with pytest.raises(ShapeError, match="cannot read"):
            policy.update(experience(items, 3, width=width))
    with pytest.raises(OptionError, match="at least one layer"):
        NeuralLinear(hidden=0)


def test_networks_of_other_layers_or_features_are_refused_and_change_nothing() -> None:
    items = catalogue(3)
    policy, other = NeuralLinear(hidden=4), NeuralLinear(hidden="4x4")
    for learner in (policy, other):
        learner.update(experience(items, 20))
    before, state = policy.decide(requests(items, [[0, 1]])).slates, policy.state_dict()
    held = {name: array for name, array in other.state_dict().items() if name.startswith("held")}
    for changes in (held, {"widths": state["widths"] + 1}, {"widths": state["widths"][::-1] * 9}):
        with pytest.raises(StateError, match="other features, or have other layers"):
            policy.load_state_dict(state | changes)
    np.testing.assert_array_equal(policy.decide(requests(items, [[0, 1]])).slates, before)
    policy.load_state_dict(state)
