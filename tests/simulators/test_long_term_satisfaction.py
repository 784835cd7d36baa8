"""LongTermSatisfaction keeps to its equations, and to the returns measured of RecSim's."""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agents import Uniform
from simulators import LongTermSatisfaction, make_world, returns
from tests.simulators.support import seeds

if TYPE_CHECKING:
    from agents.api import Floats


def extreme(world: LongTermSatisfaction, sign: float, users: int) -> Floats:
    """Returns of always showing the most (1) or the least (-1) clickbait."""
    world.reset(seeds(users))
    total = np.zeros(users)
    for _ in range(60):
        world.prepare()
        total += world.step((sign * world.clickbait).argmax(axis=1)[:, None]).reward
    assert world.lanes["ended"].all()
    return total


def test_exposure_begins_and_moves_by_the_law() -> None:
    world = LongTermSatisfaction()
    world.reset(seeds(4000))
    before = world.users["exposure"].copy()
    assert np.abs(before).max() <= 0.5 / 0.3
    assert abs(before.var() - 1 / (12 * 0.3**2)) < 0.1
    world.prepare()
    clickbait = world.clickbait[:, 3].copy()
    world.step(np.full((4000, 1), 3))
    noise = world.users["exposure"] - (0.7 * before - 2 * (clickbait - 0.5))
    assert abs(noise.mean()) < 4 * 0.05 / np.sqrt(4000)
    assert abs(noise.std() - 0.05) < 4 * 0.05 / np.sqrt(8000)


@pytest.mark.parametrize("sensitivity", [0.01, 0.1, 1.0])
def test_engagement_is_log_normal_about_what_satisfaction_allows(sensitivity: float) -> None:
    world = LongTermSatisfaction(sensitivity=sensitivity)
    world.reset(seeds(4000))
    world.prepare()
    exposure, clickbait = world.users["exposure"].copy(), world.clickbait[:, 0].copy()
    feedback = world.step(np.zeros((4000, 1), dtype=np.int64))
    satisfaction = 1 / (1 + np.exp(-sensitivity * exposure))
    level = (5 * clickbait + 4 * (1 - clickbait)) * satisfaction
    noise = np.log(feedback.signals["engagement"][:, 0]) - level
    assert abs(noise.mean()) < 4 / np.sqrt(4000)
    assert abs(noise.std() - 1) < 4 / np.sqrt(8000)
    assert feedback.expected[:, 0] == pytest.approx(np.exp(level + 0.5), rel=1e-12)
    assert np.array_equal(feedback.rewards, feedback.signals["engagement"])


def test_the_first_slot_is_clicked_and_the_rest_not_seen() -> None:
    world = LongTermSatisfaction(6, 3)
    world.reset(seeds(20))
    feedback = world.step(np.tile([2, 0, 1], (20, 1)))
    assert (feedback.signals["clicked"] == [1, 0, 0]).all()
    assert (feedback.seen == [True, False, False]).all()
    assert (feedback.rewards[:, 1:] == 0).all()


def test_a_user_leaves_after_sixty_visits() -> None:
    world = LongTermSatisfaction()
    world.reset(seeds(3))
    for visit in range(1, 61):
        feedback = world.step(np.zeros((3, 1), dtype=np.int64))
        assert (feedback.terminated == (visit == 60)).all()


def test_returns_are_those_that_were_measured() -> None:
    """Ten candidates: 948.5 random, 1116.9 with the most clickbait, 786.2 with the least."""
    world, users = LongTermSatisfaction(), 3000
    measured = {
        948.5: returns(world, Uniform(), seeds(users)),
        1116.9: extreme(world, 1.0, users),
        786.2: extreme(world, -1.0, users),
    }
    for reference, values in measured.items():
        error = values.std(ddof=1) / np.sqrt(users)  # theirs is not told; at least as large
        assert abs(values.mean() - reference) < 3 * np.sqrt(2) * error


def test_when_satisfaction_matters_the_order_of_the_extremes_flips() -> None:
    world, users = make_world("LongTermSatisfaction-Corrected"), 3000
    assert isinstance(world, LongTermSatisfaction)
    for reference, sign in ((844.0, 1.0), (997.0, -1.0)):
        values = extreme(world, sign, users)
        error = values.std(ddof=1) / np.sqrt(users)
        assert abs(values.mean() - reference) < 3 * np.sqrt(2) * error


@pytest.mark.parametrize("name", ["LongTermSatisfaction", "LongTermSatisfaction-Corrected"])
def test_the_oracle_returns_what_it_foresees_and_beats_the_extremes(name: str) -> None:
    world, users = make_world(name), 3000
    assert isinstance(world, LongTermSatisfaction)
    values = returns(world, world.bounds()["oracle"], seeds(users))
    world.reset(seeds(users))
    grid = np.linspace(-6, 6, world.values.shape[1])
    foreseen = np.interp(world.users["exposure"], grid, world.values[60])
    gap = values - foreseen
    assert abs(gap.mean()) < 4 * gap.std() / np.sqrt(users)
    for sign in (1.0, -1.0):
        other = values - extreme(world, sign, users)
        assert other.mean() > -3 * other.std() / np.sqrt(users) - 1e-9


def test_with_one_visit_left_the_oracle_is_myopic() -> None:
    world = LongTermSatisfaction(8, 1, horizon=1, sensitivity=2.0)
    world.reset(seeds(10))
    world.requests()
    assert np.array_equal(world.worth(), world.appeal())
    assert world.appeal()[0, 0] == pytest.approx(
        exp((4 + world.clickbait[0, 0]) / (1 + exp(-2 * world.users["exposure"][0])) + 0.5)
    )
