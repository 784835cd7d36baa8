"""UCB1 against the textbook, told in a few lines, and against its theorem."""

from __future__ import annotations

from dataclasses import replace
from math import inf, log, pi, sqrt
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agents import UCB1, OptionError
from tests.agents.support import catalogue, outcomes, requests

if TYPE_CHECKING:
    from numpy.typing import NDArray


def played(policy: UCB1, rewards: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return which arm was chosen in every round, a second each, of rewards drawn before."""
    rounds, arms = rewards.shape
    asked = requests(catalogue(arms), np.tile(np.arange(arms), (rounds, 1)))
    asked = replace(asked, time=1000 * np.arange(rounds))
    chosen = np.empty(rounds, dtype=np.int64)
    for t in range(rounds):
        now = asked.take([t])
        slate = policy.decide(now).slates
        chosen[t] = slate[0, 0]
        policy.update(outcomes(now, slate, [[rewards[t, chosen[t]]]]))
    return chosen


def bounds(chosen: list[int], won: list[float], arms: int, weights: list[float]) -> list[float]:
    """Return the upper confidence bounds after rounds that weigh this much."""
    out = []
    for arm in range(arms):
        n = sum(w for c, w in zip(chosen, weights, strict=True) if c == arm)
        mean = sum(w * r for c, r, w in zip(chosen, won, weights, strict=True) if c == arm)
        out.append(mean / n + sqrt(2 * log(sum(weights)) / n) if n > 0 else inf)
    return out


@pytest.mark.parametrize(("half_life", "window"), [(0, 0), (16, 0), (0, 40)])
def test_every_choice_has_the_highest_bound(half_life: float, window: float) -> None:
    rewards = np.random.default_rng(0).random((200, 4)).astype(np.float32)
    chosen = played(UCB1(half_life=half_life, window=window), rewards).tolist()
    won = [float(rewards[t, arm]) for t, arm in enumerate(chosen)]
    for t in range(1, 200):
        # A tick is an eighth: 2 seconds of a half-life of 16, 5 of a window of 40.
        aged = [(t - 1) // 2 - s // 2 for s in range(t)]
        weights = [2 ** (-age / 8) if half_life else 1.0 for age in aged]
        if window:
            weights = [float((t - 1) // 5 - s // 5 < 8) for s in range(t)]
        found = bounds(chosen[:t], won[:t], 4, weights)
        assert found[chosen[t]] >= max(found) - 1e-9


def test_regret_is_below_the_theorem_of_auer() -> None:
    """Regret <= 8 sum ln n / gap + (1 + pi^2 / 3) sum gap: Auer et al. 2002, theorem 1."""
    rates, rounds = np.array([0.9, 0.3, 0.2]), 2000
    gaps = rates.max() - rates
    found = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        rewards = (rng.random((rounds, 3)) < rates).astype(np.float32)
        found.append(gaps[played(UCB1(seed=seed), rewards)].sum())
    bound = sum(8 * log(rounds) / gap + (1 + pi**2 / 3) * gap for gap in gaps[1:])
    assert bound < 0.3 * gaps.mean() * rounds  # or the theorem would not be worth the test
    assert np.mean(found) < bound
    assert max(found) < 0.5 * bound  # nobody's theorem, but it was 0.2 of it


def test_what_was_never_shown_comes_first_and_what_left_is_known_when_it_is_back() -> None:
    items = catalogue(3)
    policy = UCB1()
    asked = requests(items, np.tile([0, 1], (40, 1)))
    policy.update(outcomes(asked, np.tile([[0], [1]], (20, 1)), np.tile([[1.0], [0.0]], (20, 1))))
    both = requests(items, [[0, 1]])
    before = policy.scores(both)
    grown = items.without(items.keys[:1]).with_items(["new"], np.zeros((1, 2)))
    newcomer = requests(grown, [[1, 2, 3]])
    decided = policy.decide(newcomer)
    assert decided.slates[0, 0] in (2, 3)
    assert decided.propensities[0, 0] == 0.5  # two that nothing is known of, and a coin
    policy.update(outcomes(newcomer, [[3]], [[1.0]]))
    assert policy.decide(newcomer).slates[0, 0] == 2
    back = requests(grown.with_items(["i0"], items.features[:1]), [[0, 1]])
    n, t = 20, 41
    wanted = [1.0 + sqrt(2 * log(t) / n), 0.0 + sqrt(2 * log(t) / n)]
    np.testing.assert_allclose(policy.scores(back), [wanted], rtol=1e-12)
    assert before[0, 0] > before[0, 1]


def test_scale_is_the_range_of_rewards() -> None:
    rng = np.random.default_rng(3)
    rewards = rng.random((100, 3)).astype(np.float32)
    small, large = played(UCB1(), rewards), played(UCB1(scale=8.0), 8 * rewards)
    np.testing.assert_array_equal(small, large)
    with pytest.raises(OptionError, match="scale must be a finite number of at least 0"):
        UCB1(scale=-1.0)
