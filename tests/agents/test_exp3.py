"""Exp3: its estimates by enumeration, its weights by the paper, its regret by the theorem."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from math import e, log, sqrt
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agents import Decisions, Exp3, LessonError, OptionError, Outcomes, Requests
from tests.agents.lanes import lanes, play
from tests.agents.support import catalogue, outcomes, requests

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Rows


def logged(asked: Requests, slates: Rows, chances: Floats, rewards: Floats) -> Outcomes:
    """Return outcomes of decisions that were logged with these propensities."""
    decisions = Decisions(slates, chances, np.zeros(len(slates), dtype=np.int64), "somebody")
    seen = np.ones(slates.shape, dtype=np.bool_)
    return Outcomes(asked, decisions, rewards.astype(np.float32), seen, asked.time)


@pytest.mark.parametrize(("slots", "looked"), [(1, 1), (2, 2), (3, 1), (3, 2), (3, 3)])
def test_estimates_are_unbiased_over_all_slates(slots: int, looked: int) -> None:
    """The sum over all slates of P(slate) times its estimates is what every item earns."""
    rng = np.random.default_rng(slots)
    weights, earns = rng.random(4), rng.random(4).astype(np.float32)
    slates = np.array(list(permutations(range(4), slots)))
    chances = np.empty(slates.shape)
    for b, slate in enumerate(slates):
        for k, item in enumerate(slate):
            chances[b, k] = weights[item] / (weights.sum() - weights[slate[:k]].sum())
    asked = requests(catalogue(4), np.tile(np.arange(4), (len(slates), 1)), slots=slots)
    facts = logged(asked, slates, chances, earns[slates])
    facts = replace(facts, seen=np.tile(np.arange(slots) < looked, (len(slates), 1)))
    expected = np.zeros(4)
    for b in range(len(slates)):
        policy = Exp3()
        policy.update(facts.take([b]))
        arms = policy.sums.arms.of(asked.take([0]))[0]
        gains = np.where(arms >= 0, policy.sums.of(asked.take([0]))[0, :, 0], 0.0)
        expected += chances[b].prod() * gains
    np.testing.assert_allclose(expected, earns, rtol=1e-6)


def test_probabilities_are_those_of_the_paper() -> None:
    rng, gamma, arms = np.random.default_rng(0), 0.2, 3
    asked = requests(catalogue(arms), np.tile(np.arange(arms), (60, 1)))
    policy, weights = Exp3(gamma=gamma), np.ones(arms)
    for t in range(60):
        now = asked.take([t])
        chances = (1 - gamma) * weights / weights.sum() + gamma / arms
        np.testing.assert_allclose(policy.distribution(now)[0], chances, rtol=1e-9)
        arm = policy.decide(now).slates[0, 0]
        reward = rng.random(dtype=np.float32)
        policy.update(logged(now, np.array([[arm]]), chances[[[arm]]], np.array([[reward]])))
        weights[arm] *= np.exp(gamma * float(reward) / chances[arm] / arms)


def test_late_outcomes_teach_by_the_propensities_they_were_logged_with() -> None:
    """However late and shuffled: what it knows is a sum over the outcomes, each with its own p."""
    rng = np.random.default_rng(1)
    asked = requests(catalogue(5), np.tile(np.arange(5), (200, 1)), slots=2)
    prompt, late = Exp3(gamma=0.3), Exp3(gamma=0.3)
    facts = []
    for t in range(200):
        now = asked.take([t])
        decided = prompt.decide(now)
        won = rng.random((1, 2)).astype(np.float32)
        fact = Outcomes(now, decided, won, np.ones((1, 2), np.bool_), now.time)
        prompt.update(fact)
        facts.append(fact)
    for t in rng.permutation(200):
        late.decide(asked.take([t]))
        late.update(facts[t])
    np.testing.assert_allclose(late.distribution(asked), prompt.distribution(asked), rtol=1e-9)


def test_regret_against_an_adversary_is_below_the_theorem() -> None:
    """Best arm's gain - E gain <= 2 sqrt(e - 1) sqrt(T K ln K): Auer et al. 2002b, corollary 3.2.

    The adversary lets one arm earn first and another, better in the end, later on.
    """
    count, arms, rounds = 50, 2, 2000
    gamma = min(1.0, sqrt(arms * log(arms) / ((e - 1) * rounds)))
    earns = np.zeros((rounds, arms))
    earns[: rounds // 3, 0] = 1.0
    earns[rounds // 3 :, 1] = 1.0

    def answer(t: int, slates: Rows) -> tuple[Floats, NDArray[np.bool_]]:
        return earns[t][slates], np.ones(slates.shape, np.bool_)

    slates = play(Exp3(gamma=gamma), lanes(count, arms), rounds, answer)
    gains = earns[np.arange(rounds)[:, None], slates[:, :, 0]].sum(axis=0)
    regret = earns.sum(axis=0).max() - gains
    bound = 2 * sqrt(e - 1) * sqrt(rounds * arms * log(arms))
    assert bound < 0.5 * rounds / 3  # what following the first leader for good would cost
    assert regret.mean() + 3 * regret.std() / sqrt(count) < bound


def test_a_newcomer_is_tried_and_a_returner_is_known() -> None:
    items = catalogue(2)
    policy = Exp3(gamma=0.2)
    asked = requests(items, np.tile([0, 1], (400, 1)))
    policy.update(
        logged(asked, np.tile([[0]], (400, 1)), np.full((400, 1), 0.5), np.ones((400, 1)))
    )
    before = policy.distribution(asked.take([0]))
    grown = items.without(items.keys[:1]).with_items(["new"], np.zeros((1, 2)))
    assert policy.distribution(requests(grown, [[1, 2]]))[0, 1] >= 0.1
    np.testing.assert_array_equal(policy.distribution(asked.take([0])), before)


def test_what_nothing_can_be_learned_from_is_refused() -> None:
    asked, policy = requests(catalogue(2), [[0, 1], [0, 1]]), Exp3(scale=2.0)
    good, slates = np.array([[0.5], [0.5]]), np.array([[0], [1]])
    for rewards, chances in (([2.5, 0], good), ([0, -1], good), ([1, 1], [[0.5], [0.0]])):
        facts = logged(asked, slates, np.array(chances), np.array(rewards)[:, None])
        with pytest.raises(LessonError, match="nothing was learned"):
            policy.update(facts)
        assert len(policy.sums.arms) == 0
    with pytest.raises(OptionError, match="gamma must be above 0 and at most 1"):
        Exp3(gamma=0.0)
    unseen = outcomes(asked, slates, [[9.0], [1.0]])
    policy.update(replace(unseen, seen=np.array([[False], [True]])))
    assert policy.version == 2
