"""Position-based bandits: what they read, what they learn of positions, and what it is worth."""

from __future__ import annotations

from dataclasses import replace
from math import inf, log, sqrt
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import integrate

from agents import PBMTS, PBMUCB, OptionError, from_spec
from agents.bandits.position import Examination
from tests.agents.lanes import lanes, play
from tests.agents.support import catalogue, outcomes, requests

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Requests, Rows

LOOKED = np.array([1.0, 0.5, 0.2])


def at(asked: Requests, positions: list[int]) -> Requests:
    """Return one-slot requests at display positions."""
    return replace(asked, positions=np.array(positions)[:, None])


def test_scores_weigh_clicks_by_position() -> None:
    policy = PBMUCB(examination="1/0.5", scale=0.5)
    asked = at(requests(catalogue(3), np.tile(np.arange(3), (6, 1))), [0, 1, 1, 7, 0, 0])
    policy.update(outcomes(asked, [[0], [0], [0], [1], [1], [1]], [[1], [0], [1], [0], [0], [1]]))
    wanted = []
    for clicks, shows, looked in ((2, 3, 1 + 0.5 + 0.5), (1, 3, 0.5 + 1 + 1)):
        width = sqrt(shows / looked) * sqrt(log(6) / (2 * looked))
        wanted.append(clicks / looked + 0.5 * width)
    np.testing.assert_allclose(policy.scores(asked)[0], [*wanted, inf], rtol=1e-12)


def test_draws_are_from_the_posterior_of_clicks_that_only_some_could_make() -> None:
    policy = PBMTS(examination="0.9/0.3", floor=0.0, samples=16)
    asked = at(requests(catalogue(2), np.tile(np.arange(2), (8, 1))), [0, 0, 0, 1, 1, 1, 1, 1])
    policy.update(outcomes(asked, [[0]] * 8, [[1], [0], [0], [1], [0], [0], [0], [0]]))

    def density(p: float) -> float:
        return float(p**2 * (1 - 0.9 * p) ** 2 * (1 - 0.3 * p) ** 4)

    # The other item's chance is uniform: the first is the better one with probability E[p].
    wanted = integrate.quad(lambda p: p * density(p), 0, 1)[0] / integrate.quad(density, 0, 1)[0]
    found = policy.distribution(requests(catalogue(2), np.tile(np.arange(2), (3000, 1))))[:, 0]
    assert abs(found.mean() - wanted) < 5 * found.std() / sqrt(3000) + 0.003


def test_chances_of_positions_are_learned_though_good_items_stood_first() -> None:
    rng, rounds = np.random.default_rng(0), 60_000
    attracts = np.array([0.9, 0.3, 0.1, 0.05, 0.2, 0.5])
    noise = rng.gumbel(size=(rounds, 6))
    slates = np.argsort(-(6 * attracts + noise), axis=1)[:, :3]  # the better, the higher
    clicks = rng.random((rounds, 3)) < LOOKED * attracts[slates]
    shown, won = np.zeros((6, 3)), np.zeros((6, 3))
    np.add.at(shown, (slates, np.arange(3)), 1.0)
    np.add.at(won, (slates, np.arange(3)), clicks)
    found = Examination("learned", 3).of(won, shown)
    naive = won.sum(axis=0) / shown.sum(axis=0)
    np.testing.assert_allclose(found, LOOKED, atol=0.02)
    assert np.abs(naive / naive[0] - LOOKED).max() > 0.1


def test_what_nothing_is_known_of_is_looked_at_less_the_lower_it_stands() -> None:
    blank, nothing = Examination("learned", 4), np.zeros((0, 4))
    np.testing.assert_allclose(blank.of(nothing, nothing), [1, 1 / 2, 1 / 3, 1 / 4], atol=5e-4)
    np.testing.assert_array_equal(blank.places(np.array([0, 3, 9, -1])), [0, 3, 3, 0])


@pytest.mark.parametrize("written", ["", "1/0", "1/1.2", "half", "0.5,0.1"])
def test_chances_that_cannot_be_are_refused(written: str) -> None:
    with pytest.raises(OptionError, match="examination must be 'learned', or chances"):
        PBMUCB(examination=written)
    with pytest.raises(OptionError, match="positions must be at least 1"):
        PBMTS(positions=0)


def regret(spec: str) -> float:
    """Return what a policy misses in 3,000 rounds of three slots and five items."""
    attracts, rng = np.array([0.35, 0.1, 0.5, 0.15, 0.75]), np.random.default_rng(0)

    def answer(t: int, slates: Rows) -> tuple[Floats, NDArray[np.bool_]]:
        clicked = rng.random(slates.shape) < LOOKED * attracts[slates]
        return clicked.astype(float), np.ones(slates.shape, np.bool_)

    slates = play(from_spec(spec, seed=2), lanes(1, 5, 3), 3000, answer)[:, 0]
    best = np.sort(attracts)[::-1][:3] @ LOOKED
    return float((best - attracts[slates] @ LOOKED).sum())


def test_items_that_stood_low_are_not_taken_for_bad() -> None:
    """A bandit that takes every slot that was shown for one that was looked at is fooled."""
    fooled = regret("ucb1:scale=0.5")
    for spec in ("pbm-ucb:scale=0.5", "pbm-ucb:scale=0.5,examination=1/0.5/0.2"):
        assert regret(spec) < 0.25 * fooled
    for spec in ("pbm-ts:floor=0", "pbm-ts:floor=0,examination=1/0.5/0.2"):
        assert regret(spec) < 0.1 * fooled
