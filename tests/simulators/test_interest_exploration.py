"""InterestExploration keeps to its equations, and to the clicks measured of RecSim's."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest

from agents import Uniform
from simulators import InterestExploration, returns
from tests.simulators.support import seeds


def test_users_are_of_two_kinds_by_their_affinities() -> None:
    world = InterestExploration()
    world.reset(seeds(6000))
    logs = np.log(world.affinities)
    first = logs[:, 0] < 0.4  # six deviations from 0.1, three from 0.7
    assert abs(first.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 6000) + 0.002
    for rows, means in ((first, (0.1, 0.7)), (~first, (0.7, 0.1))):
        assert logs[rows].mean(axis=0) == pytest.approx(means, abs=0.01)
        assert logs[rows].std(axis=0) == pytest.approx([0.1, 0.1], abs=0.01)


def test_documents_are_of_two_topics_with_their_qualities() -> None:
    world = InterestExploration(10, 2)
    world.reset(seeds(2000))
    shown = world.documents()
    topic = shown[:, :, :2].argmax(axis=2)
    assert (shown[:, :, :2].sum(axis=2) == 1).all()
    assert abs((topic == 0).mean() - 0.2) < 4 * np.sqrt(0.16 / 20_000)
    for which, mean in ((0, 0.8), (1, 0.2)):
        logs = np.log(shown[:, :, 2][topic == which])
        assert abs(logs.mean() - mean) < 4 * 0.1 / np.sqrt(len(logs))
        assert abs(logs.std() - 0.1) < 4 * 0.1 / np.sqrt(2 * len(logs))


def test_clicks_follow_the_multinomial_logit() -> None:
    world = InterestExploration(6, 3)
    world.reset(seeds(40_000))
    documents = world.documents()
    choices = np.tile([4, 0, 2], (40_000, 1))
    feedback = world.step(choices)
    for user in range(200):
        weights = []
        for place in (4, 0, 2):
            topic = int(documents[user, place, :2].argmax())
            weights.append(exp(world.affinities[user, topic] + documents[user, place, 2]))
        right = np.array(weights) / (sum(weights) + exp(5))
        assert feedback.expected[user] == pytest.approx(right, rel=1e-5)
    clicked = feedback.signals["clicked"]
    assert np.array_equal(clicked, feedback.rewards)
    assert clicked.sum(axis=1).max() == 1
    gap = (clicked - feedback.expected).sum(axis=0)
    spread = np.sqrt((feedback.expected * (1 - feedback.expected)).sum(axis=0))
    assert (np.abs(gap) < 4 * spread).all()


def test_nothing_changes_the_user_and_nobody_leaves() -> None:
    world = InterestExploration(horizon=None)
    assert world.endless
    world.reset(seeds(50))
    before = world.affinities.copy()
    for _ in range(30):
        assert not world.step(np.tile([0, 1], (50, 1))).ended.any()
    assert np.array_equal(before, world.affinities)


def test_clicks_per_step_are_those_that_were_measured() -> None:
    """With ten candidates and two slots: 0.229 random, 0.394 with the affinities known."""
    world = InterestExploration(10, 2, horizon=50)
    for policy, reference in ((Uniform(), 0.229), (world.bounds()["myopic"], 0.394)):
        rates = returns(world, policy, seeds(1500)) / 50
        ours = rates.std(ddof=1) / np.sqrt(1500)
        assert abs(rates.mean() - reference) < 3 * np.hypot(ours, 0.001)  # three digits were told


def test_the_highest_quality_does_as_well_as_was_measured() -> None:
    world = InterestExploration(10, 2, horizon=50)
    world.reset(seeds(1500))
    total = np.zeros(1500)
    for _ in range(50):
        best = np.argsort(-world.documents()[:, :, 2], axis=1)[:, :2]
        total += world.step(best).reward
    rates = total / 50
    assert abs(rates.mean() - 0.389) < 3 * np.hypot(rates.std(ddof=1) / np.sqrt(1500), 0.001)
