"""Rejection replay gives what the policy would have earned live, learning as it would live."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agents.api import Outcomes, RecloopError
from agents.explore import Explore
from agents.simple import Uniform
from agents.slots import ScorePolicy
from evaluation import replay
from evaluation.chunks.checks import FaultyLogError
from tests.evaluation.logs import Shop, Tabled, cut

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Requests

SHOP = Shop(segments=2, items=4, base=0.3)
LOG = SHOP.outcomes(6000, seed=1)


class Counting(ScorePolicy):
    """Prefers what has earned most per showing in the segment, hopeful about the unknown."""

    name = "counting"

    def __init__(self) -> None:
        super().__init__()
        self.shown, self.earned = np.ones((2, SHOP.items)), np.ones((2, SHOP.items))

    def scores(self, requests: Requests) -> Floats:
        segment = requests.context.argmax(axis=1)
        rates = self.earned / self.shown
        return np.asarray(rates[segment[:, None], requests.candidates])

    def update(self, outcomes: Outcomes) -> None:
        super().update(outcomes)
        cells = outcomes.requests.context.argmax(axis=1), outcomes.decisions.slates[:, 0]
        np.add.at(self.shown, cells, 1.0)
        np.add.at(self.earned, cells, outcomes.rewards[:, 0])


def learner() -> Explore:
    return Explore(Counting(), epsilon=0.2)


def state(policy: Explore) -> NDArray[np.float64]:
    assert isinstance(policy.policy, Counting)
    return np.stack([policy.policy.shown, policy.policy.earned])


def live(policy: Explore, rounds: int, every: int, seed: int) -> float:
    """Return what a policy earns per round in the shop itself."""
    log, total = SHOP.outcomes(rounds, seed), 0.0
    rng = np.random.default_rng([9, seed])
    for start in range(0, rounds, every):
        part = log.take(slice(start, start + every))
        decisions = policy.decide(part.requests)
        segment = part.requests.context.argmax(axis=1)
        chance = SHOP.clicks[segment, decisions.slates[:, 0]]
        rewards = (rng.random(len(part)) < chance).astype(np.float32)[:, None]
        policy.update(replace(part, decisions=decisions, rewards=rewards))
        total += float(rewards.sum())
    return total / rounds


def test_it_earns_and_learns_what_it_would_live() -> None:
    there = [live(learner(), 100, 5, seed) for seed in range(60)]
    here, first, last = [], [], []
    for seed in range(60):
        log = SHOP.outcomes(1500, seed=1000 + seed)
        found = replay(learner(), [log], every=5, rounds=100, seed=seed, replicates=5)
        assert len(found.returns) == 100
        here.append(found.returns.mean())
        first.append(found.returns[:25].mean())
        last.append(found.returns[-25:].mean())
    error = sqrt((np.var(there) + np.var(here)) / 60)
    assert np.mean(here) == pytest.approx(np.mean(there), abs=3 * error)
    assert np.mean(last) > np.mean(first)


def test_one_that_does_not_learn_earns_its_value() -> None:
    found = replay(Tabled(SHOP.target), [LOG], every=500, replicates=200)
    assert found.estimate.low < SHOP.truth < found.estimate.high
    assert found.estimate.value == pytest.approx(found.returns.mean(), rel=1e-12)
    assert found.used == len(LOG)
    assert abs(found.estimate.diagnostics.mean_weight_z) < 3.0
    assert found.estimate.verdict.trust == "trust"


def test_the_logging_policy_itself_is_accepted_every_time() -> None:
    found = replay(Tabled(SHOP.logging), [LOG], largest_weight=1.0, every=64, replicates=5)
    np.testing.assert_array_equal(found.returns, LOG.rewards[:, 0])


@pytest.mark.parametrize("every", [1, 7])
def test_chunks_do_not_matter(every: int) -> None:
    log = LOG.take(slice(0, 1500))
    policies = learner(), learner()
    whole = replay(policies[0], [log], every=every, replicates=5)
    parts = replay(policies[1], cut(log, 333), every=every, replicates=5)
    np.testing.assert_array_equal(whole.returns, parts.returns)
    np.testing.assert_array_equal(state(policies[0]), state(policies[1]))
    assert state(policies[0])[0].sum() == 8 + len(whole.returns)


def test_the_policy_is_handed_its_own_propensities() -> None:
    handed: list[Outcomes] = []

    class Listening(Uniform):
        def update(self, outcomes: Outcomes) -> None:
            super().update(outcomes)
            handed.append(outcomes)

    replay(Listening(), [LOG.take(slice(0, 300))], every=10, replicates=5)
    for outcomes in handed:
        np.testing.assert_allclose(outcomes.decisions.propensities, 0.25)
        assert outcomes.decisions.policy == "uniform"
    assert handed[-1].decisions.versions[0] > 0


def test_what_can_not_be_replayed_is_refused() -> None:
    with pytest.raises(RecloopError, match=r"row \d+ has weight .* tell a larger one"):
        replay(Uniform(), [LOG], largest_weight=1.0)
    with pytest.raises(RecloopError, match="read only once"):
        replay(Uniform(), iter([LOG]))
    with pytest.raises(RecloopError, match="none of the log's 1 rows"):
        replay(Uniform(), [LOG.take([0])], largest_weight=1e12)
    with pytest.raises(RecloopError, match="count rows"):
        replay(Uniform(), [LOG], every=0)
    propensities = LOG.decisions.propensities.copy()
    propensities[5] = 0.0
    faulty = replace(LOG, decisions=replace(LOG.decisions, propensities=propensities))
    with pytest.raises(FaultyLogError, match="zero in row 5"):
        replay(Uniform(), [faulty])


def test_wrong_propensities_are_told() -> None:
    """Logged at half of what was used: the mean weight is 2."""
    halved = replace(LOG.decisions, propensities=LOG.decisions.propensities / 2.0)
    found = replay(Uniform(), [replace(LOG, decisions=halved)], every=100, replicates=5)
    assert found.estimate.diagnostics.mean_weight == pytest.approx(2.0, rel=0.05)
    assert found.estimate.verdict.trust == "do not trust"
