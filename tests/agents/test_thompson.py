"""Thompson sampling: its probabilities by integration, its regret against Russo & Van Roy."""

from __future__ import annotations

from math import log, sqrt
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import integrate, special, stats

from agents import BernoulliTS, GaussianTS, LessonError, OptionError, from_spec
from tests.agents.lanes import bernoulli, lanes, play
from tests.agents.support import catalogue, outcomes, requests

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Rows

COUNT = 3000


def taught(policy: BernoulliTS | GaussianTS, facts: list[tuple[int, float]]) -> None:
    asked = requests(catalogue(3), np.tile(np.arange(3), (len(facts), 1)))
    policy.update(outcomes(asked, [[item] for item, _ in facts], [[won] for _, won in facts]))


def mean_distribution(policy: BernoulliTS | GaussianTS) -> tuple[Floats, Floats]:
    """Return how likely each of three items is over many request keys, and its standard error."""
    found = policy.distribution(requests(catalogue(3), np.tile(np.arange(3), (COUNT, 1))))
    return found.mean(axis=0), found.std(axis=0) / sqrt(COUNT)


def test_a_slot_goes_to_the_best_with_the_posterior_probability_that_it_is_the_best() -> None:
    policy = BernoulliTS(samples=16, floor=0.1)
    taught(policy, [(0, 1.0), (0, 0.0), (0, 1.0), (1, 0.0), (1, 0.0), (1, 0.25)])
    beliefs = [stats.beta(3, 2), stats.beta(1.25, 3.75), stats.beta(1, 1)]

    def best(i: int) -> float:
        others = [belief for j, belief in enumerate(beliefs) if j != i]
        share = integrate.quad(
            lambda p: beliefs[i].pdf(p) * others[0].cdf(p) * others[1].cdf(p), 0, 1
        )
        return float(share[0])

    wanted = np.array([0.9 * best(i) + 0.1 / 3 for i in range(3)])
    found, error = mean_distribution(policy)
    assert (np.abs(found - wanted) < 5 * error + 0.002).all()  # 0.002: the tables'


def test_gaussian_beliefs_are_the_conjugate_posterior() -> None:
    policy = GaussianTS(prior=0.2, weight=2.0, scale=0.7, samples=16, floor=0.0)
    taught(policy, [(0, 1.0), (0, -3.0), (0, 2.5), (1, 0.4)] + 4000 * [(2, -50.0)])
    # Normal prior of variance 0.49 / 2, normal noise of variance 0.49; item 2 is out of it.
    mean = [(0.4 + 0.5) / 5, (0.4 + 0.4) / 3]
    gap = (mean[0] - mean[1]) / sqrt(0.49 / 5 + 0.49 / 3)
    found, error = mean_distribution(policy)
    assert abs(found[0] - special.ndtr(gap)) < 5 * error[0]
    assert found[2] == 0.0


def test_bayesian_regret_of_chances_is_below_the_bound() -> None:
    """E regret <= sqrt(K T H / 2), H <= ln K the prior's entropy of the best arm.

    Russo & Van Roy 2016, "An information-theoretic analysis of Thompson sampling".
    """
    count, arms, rounds = 200, 5, 500
    rates = np.random.default_rng(0).random((count, arms))
    slates = play(BernoulliTS(samples=4, floor=0), lanes(count, arms), rounds, bernoulli(rates, 1))
    regret = regrets(rates, slates)
    bound = sqrt(arms * rounds * log(arms) / 2)
    assert bound < 0.3 * (rates.max(axis=1) - rates.mean(axis=1)).mean() * rounds
    assert regret.mean() + 3 * regret.std() / sqrt(count) < bound


def regrets(rates: Floats, slates: Rows) -> Floats:
    """Return every lane's regret over all rounds."""
    best = rates.max(axis=1)
    missed: Floats = sum(best - np.take_along_axis(rates, s, axis=1)[:, 0] for s in slates)
    return missed


def test_bayesian_regret_of_means_is_below_the_bound() -> None:
    """E regret <= sigma sqrt(2 K T H) where rewards are sigma-subgaussian: the same paper."""
    count, arms, rounds, scale = 200, 5, 500, 0.5
    rng = np.random.default_rng(2)
    means = scale * rng.normal(size=(count, arms))

    def answer(t: int, slates: Rows) -> tuple[Floats, NDArray[np.bool_]]:
        noise = scale * rng.normal(size=slates.shape)
        return np.take_along_axis(means, slates, axis=1) + noise, np.ones(slates.shape, np.bool_)

    policy = GaussianTS(scale=scale, samples=4, floor=0)
    regret = regrets(means, play(policy, lanes(count, arms), rounds, answer))
    bound = sqrt(2 * scale**2) * sqrt(2 * arms * rounds * log(arms))
    assert bound < 0.5 * (means.max(axis=1) - means.mean(axis=1)).mean() * rounds
    assert regret.mean() + 3 * regret.std() / sqrt(count) < bound


def test_late_outcomes_cost_no_more_than_the_rounds_they_are_late() -> None:
    count, arms, rounds, late = 100, 4, 300, 40
    rates = np.random.default_rng(3).random((count, arms))
    asked, policy = lanes(count, arms), BernoulliTS(samples=4, floor=0)
    prompt = regrets(
        rates, play(BernoulliTS(samples=4, floor=0), asked, rounds, bernoulli(rates, 4))
    )
    delayed = regrets(rates, play(policy, asked, rounds, bernoulli(rates, 4), late))
    blind = late * (rates.max(axis=1) - rates.mean(axis=1)).mean()
    error = 3 * sqrt((prompt.var() + delayed.var()) / count)
    assert delayed.mean() < prompt.mean() + blind + error


def test_a_newcomer_is_tried_and_a_returner_is_known() -> None:
    items = catalogue(3)
    policy = BernoulliTS(floor=0.0, samples=32)
    taught(policy, 300 * [(0, 1.0), (0, 0.0)] + 300 * [(1, 1.0), (1, 0.0), (1, 0.0), (1, 0.0)])
    grown = items.without(items.keys[:1]).with_items(["new"], np.zeros((1, 2)))
    tried = policy.distribution(requests(grown, np.tile([1, 3], (COUNT, 1))))[:, 1]
    # The newcomer's chance is uniform, the other's all but 0.25.
    assert abs(tried.mean() - 0.75) < 5 * tried.std() / sqrt(COUNT) + 0.002
    back = policy.distribution(requests(items, np.tile([0, 1], (50, 1))))
    np.testing.assert_array_equal(back, np.tile([1.0, 0.0], (50, 1)))


def test_what_cannot_be_is_refused() -> None:
    policy = BernoulliTS()
    with pytest.raises(LessonError, match="bernoulli-ts learns rewards between 0 and 1, not"):
        taught(policy, [(0, 1.0), (1, 1.5)])
    assert policy.version == 0
    assert len(policy.sums.arms) == 0
    for spec in ("alpha=0", "beta=-1", "floor=1.5", "window=-1"):
        with pytest.raises(OptionError):
            from_spec(f"bernoulli-ts:{spec}")
    with pytest.raises(OptionError, match="samples must be at least 1"):
        GaussianTS(samples=0)
