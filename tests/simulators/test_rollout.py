"""Playing worlds, and the errors that are stated with what comes of it."""

from __future__ import annotations

import numpy as np
import pytest

from agents import Outcomes, Uniform
from simulators import (
    Estimate,
    InterestEvolution,
    WorldError,
    returns,
    rollout,
    score,
    standings,
    summarise,
)
from tests.simulators.support import seeds, small_logged


class Listener(Uniform):
    """Keeps what it is taught."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Outcomes] = []

    def update(self, outcomes: Outcomes) -> None:
        self.heard.append(outcomes)


def test_a_policy_learns_from_every_fact_once_and_in_order() -> None:
    world, policy = InterestEvolution(5, 2), Listener()
    world.reset(seeds(3))
    steps = list(rollout(world, policy, 12))
    assert len(policy.heard) == 12
    for step, heard in zip(steps, policy.heard, strict=True):
        assert np.array_equal(heard.requests.keys, step.outcomes.requests.keys)
    silent = Listener()
    assert len(list(rollout(world, silent, 4, learn=False))) == 4
    assert silent.heard == []


def test_a_rollout_goes_on_where_another_ended() -> None:
    whole, parts = InterestEvolution(5, 2), InterestEvolution(5, 2)
    for world in (whole, parts):
        world.reset(seeds(3))
    long = [s.outcomes.rewards for s in rollout(whole, Uniform(), 150)]
    short = [s.outcomes.rewards for n in (60, 90) for s in rollout(parts, Uniform(), n)]
    assert np.array_equal(long, short)


def test_progress_counts_up_to_the_end() -> None:
    world = small_logged(horizon=3)
    world.reset(seeds(2))
    told: list[tuple[int, int]] = []
    list(rollout(world, Uniform(), 5, progress=lambda done, total: told.append((done, total))))
    assert told == [(n, 5) for n in range(1, 6)]
    told.clear()
    returns(world, Uniform(), seeds(4), progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (4, 4)


def test_a_summary_is_what_plain_sums_give() -> None:
    world = small_logged(horizon=4)
    world.reset(seeds(6))
    steps = list(rollout(world, Uniform(), 10))
    summary = summarise(steps)
    rewards = np.array([s.outcomes.rewards for s in steps], dtype=np.float64)
    assert summary.visits == 60
    assert summary.per_slot.mean == pytest.approx(rewards.mean())
    assert summary.per_visit.mean == pytest.approx(rewards.sum(axis=2).mean())
    assert np.allclose(summary.curve, rewards.sum(axis=2).mean(axis=1))
    lanes = rewards.sum(axis=(0, 2)) / 10
    assert summary.per_visit.se == pytest.approx(lanes.std(ddof=1) / np.sqrt(6))
    expected = np.array([s.expected for s in steps]).sum(axis=2).mean()
    assert summary.expected_per_visit.mean == pytest.approx(expected)
    with pytest.raises(WorldError, match="no steps"):
        summarise([])


def test_returns_are_of_whole_episodes() -> None:
    world = InterestEvolution(5, 2)
    values = returns(world, Uniform(), seeds(20))
    assert world.lanes["ended"].all()
    assert np.allclose(values, world.lanes["total"])
    assert (world.lanes["episode"] == 0).all()


def test_returns_where_nobody_leaves_need_a_number_of_steps() -> None:
    world = small_logged()
    with pytest.raises(WorldError, match="horizon"):
        returns(world, Uniform(), seeds(3))
    assert returns(world, Uniform(), seeds(3), steps=7).shape == (3,)
    assert (world.lanes["visit"] == 7).all()


def test_estimates() -> None:
    values = np.array([1.0, 2.0, 6.0])
    assert Estimate.of(values).mean == 3.0
    assert Estimate.of(values).se == pytest.approx(values.std(ddof=1) / np.sqrt(3))
    assert np.isnan(Estimate.of(values[:1]).se)
    assert np.isnan(Estimate.of(values[:0]).mean)


def test_the_error_of_a_ratio_covers() -> None:
    """95 % intervals of a ratio of means hold the truth in 95 % of samples."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        counts = rng.integers(1, 9, size=60).astype(np.float64)
        found = Estimate.ratio(0.7 * counts + rng.normal(size=60), counts)
        covered += abs(found.mean - 0.7) < 1.96 * found.se
    assert abs(covered / 2000 - 0.945) < 0.02


def test_scores_are_relative_to_the_bounds() -> None:
    low, high = np.array([1.0, 2.0, 3.0]), np.array([3.0, 5.0, 6.0])
    assert score(low, low, high) == Estimate(0.0, 0.0)
    assert score(high, low, high) == Estimate(1.0, 0.0)
    half = score((low + high) / 2, low, high)
    assert half.mean == pytest.approx(0.5)
    assert half.se == pytest.approx(0.0, abs=1e-12)


def test_standings_put_policies_between_the_bounds_on_the_same_users() -> None:
    world = InterestEvolution(8, 2)
    told: set[str] = set()
    table = standings(
        world,
        {"mine": Uniform(seed=9)},
        seeds(300),
        progress=lambda name, done, total: told.add(name),
    )
    assert list(table) == ["random", "myopic", "oracle", "mine"]
    assert told == set(table)
    assert table["random"].score == Estimate(0.0, 0.0)
    assert table["oracle"].score == Estimate(1.0, 0.0)
    mine = table["mine"]
    assert mine.episodes == 300
    assert abs(mine.score.mean) < 4 * mine.score.se
    assert mine.value.mean == pytest.approx(returns(world, Uniform(seed=9), seeds(300)).mean())
