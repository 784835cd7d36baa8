"""Cascade bandits against the theorem of Kveton et al., and what they read from a slate."""

from __future__ import annotations

from math import inf, log, pi
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import special

from agents import CascadeTS, CascadeUCB, LessonError, from_spec
from agents.bandits.cascade import kl_bound
from tests.agents.lanes import lanes, play
from tests.agents.support import catalogue, outcomes, requests

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Rows


@pytest.mark.parametrize("seen_behind", [True, False])
def test_what_stands_behind_a_click_teaches_nothing(seen_behind: bool) -> None:
    policy = CascadeTS()
    asked = requests(catalogue(4), np.tile(np.arange(4), (3, 1)), slots=3)
    rewards = [[0, 1, 1], [0, 0, 0], [1, 0, 0]]
    facts = outcomes(asked, [[0, 1, 2], [3, 2, 0], [2, 1, 0]], rewards)
    if not seen_behind:
        facts.seen[0, 2] = facts.seen[2, 1:] = False
    policy.update(facts)
    found = policy.sums.of(asked)[0].tolist()  # clicks and looks of every item
    assert found == [[0, 2], [1, 1], [1, 2], [0, 1]]


def test_unseen_clicks_end_nothing() -> None:
    policy = CascadeUCB()
    asked = requests(catalogue(3), [[0, 1, 2]], slots=3)
    facts = outcomes(asked, [[0, 1, 2]], [[1, 0, 1]])
    facts.seen[0, 0] = False
    policy.update(facts)
    assert policy.sums.of(asked)[0].tolist() == [[0, 0], [0, 1], [1, 1]]


@pytest.mark.parametrize("mean", [0.0, 0.02, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("radius", [1e-4, 0.1, 3.0])
def test_bounds_are_where_the_divergence_is_used_up(mean: float, radius: float) -> None:
    def spent(q: float) -> float:
        return float(special.rel_entr(mean, q) + special.rel_entr(1 - mean, 1 - q))

    found = kl_bound(mean, radius)
    assert found >= mean
    assert spent(max(found - 1e-8, mean)) <= radius
    assert found + 1e-8 >= 1.0 or spent(found + 1e-8) >= radius


def test_scores_are_the_bounds_of_what_was_looked_at() -> None:
    asked = requests(catalogue(3), np.tile(np.arange(3), (30, 1)))
    facts = outcomes(asked, [[t % 2] for t in range(30)], [[t % 5 == 0] for t in range(30)])
    by_kl, plain = CascadeUCB(), CascadeUCB(kl=False)
    by_kl.update(facts)
    plain.update(facts)
    wanted = [3 / 15 + np.sqrt(1.5 * log(30) / 15)] * 2
    np.testing.assert_allclose(plain.scores(asked)[0, :2], wanted, rtol=1e-12)
    assert plain.scores(asked)[0, 2] == inf
    bound = kl_bound(3 / 15, (log(30) + 3 * log(log(30))) / 15)
    np.testing.assert_allclose(by_kl.scores(asked)[0], [bound, bound, 1.0], rtol=1e-12)


@pytest.mark.parametrize("spec", ["cascade-ucb", "cascade-ucb:kl=false", "cascade-ts:floor=0"])
def test_regret_is_below_the_theorem(spec: str) -> None:
    """CascadeUCB1's regret <= sum over poor items 12 ln T / gap + pi^2 / 3 L: theorem 2 there.

    No worse may the others be, whose own theorems are tighter (KL-UCB) or of the same order (TS).
    """
    attracts, best, rounds = np.array([0.8, 0.1, 0.7, 0.1, 0.05]), 2, 2000
    gaps = np.sort(attracts)[::-1][best - 1] - np.sort(attracts)[::-1][best:]
    bound = (12 * log(rounds) / gaps).sum() + pi**2 / 3 * len(attracts)
    rng = np.random.default_rng(0)

    def answer(t: int, slates: Rows) -> tuple[Floats, NDArray[np.bool_]]:
        liked = rng.random(slates.shape) < attracts[slates]
        before: NDArray[np.int64] = np.cumsum(liked, axis=1) - liked
        return (liked & (before == 0)).astype(float), before == 0

    def clicked(slates: Rows) -> Floats:
        found: Floats = 1.0 - (1.0 - attracts[slates]).prod(axis=-1)
        return found

    slates = play(from_spec(spec, seed=1), lanes(1, 5, 2), rounds, answer)
    regret = float((clicked(np.array([0, 2])) - clicked(slates)).sum())
    pairs = np.array([[i, j] for i in range(5) for j in range(5) if i != j])
    assert bound < 1.1 * (clicked(np.array([0, 2])) - clicked(pairs)).mean() * rounds
    assert regret < bound / 3


def test_rewards_that_are_no_clicks_are_refused() -> None:
    policy = CascadeUCB()
    with pytest.raises(LessonError, match="cascade-ucb learns rewards between 0 and 1"):
        policy.update(outcomes(requests(catalogue(2), [[0, 1]]), [[0]], [[3.0]]))
    assert policy.version == 0
