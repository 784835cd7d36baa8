"""River models behind a policy: ensembles and forgetting, against River alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from river.dummy import StatisticRegressor
from river.linear_model import LinearRegression
from river.preprocessing import StandardScaler
from river.stats import Mean

from agents import Bootstrap, OptionError, SquareCB, joint
from agents.streams import derive
from tests.agents.support import catalogue, experience, requests

if TYPE_CHECKING:
    from agents import Outcomes, Requests
    from agents.api import Floats, Rows

ITEMS = catalogue(5)


def rows(asked: Requests, chosen: Rows) -> list[dict[int, float]]:
    x = joint(asked.context, asked.items.features[chosen], interactions=True)[:, 0]
    return [dict(enumerate(row.tolist())) for row in x]


def alone(facts: Outcomes, counts: Rows, asked: Requests) -> Floats:
    """Return what River predicts of item 0, having learned every outcome so often."""
    model = StandardScaler() | LinearRegression()
    learned = rows(facts.requests, facts.decisions.slates)
    for x, reward, count in zip(learned, facts.rewards[:, 0].tolist(), counts, strict=True):
        for _ in range(count):
            model.learn_one(x, reward)
    return np.array([model.predict_one(x) for x in rows(asked, np.zeros((len(asked), 1), int))])


def test_each_copy_learns_its_own_resample() -> None:
    facts, policy = experience(ITEMS, 80), Bootstrap(model="linear", copies=4, seed=2)
    policy.update(facts)
    asked = requests(ITEMS, np.zeros((3, 1), int), seed=3)
    keys = derive(facts.requests.keys, ITEMS.keys[facts.decisions.slates[:, 0]])
    times = policy.times(keys)
    for copy in range(4):
        expected = alone(facts, times[:, copy], asked)
        np.testing.assert_array_equal(policy.predictions(asked)[copy][:, 0], expected)
    assert len({tuple(column) for column in times.T.tolist()}) == 4


def test_resamples_are_poisson() -> None:
    times = Bootstrap(copies=10).times(np.arange(20_000, dtype=np.uint64)).ravel()
    error = np.sqrt(1.0 / len(times))
    assert abs(times.mean() - 1.0) < 5 * error
    # A Poisson number's fourth central moment is 1 + 3: the variance of the variance is 3 / n.
    assert abs(times.var() - 1.0) < 5 * np.sqrt(3.0) * error
    assert abs((times == 0).mean() - np.exp(-1.0)) < 5 * 0.48 * error


def test_a_slot_is_shared_as_the_copies_vote() -> None:
    policy = Bootstrap(copies=4, floor=0.2)
    view = np.array([[[3.0, 1.0, 2.0]], [[3.0, 1.0, 2.0]], [[0.0, 5.0, 5.0]], [[0.0, 0.0, 9.0]]])
    found = policy.slot(view, np.ones((1, 3), np.bool_))
    np.testing.assert_allclose(found, [[0.4 + 0.2 / 3, 0.1 + 0.2 / 3, 0.3 + 0.2 / 3]])
    found = policy.slot(view, np.array([[False, True, True]]))
    np.testing.assert_allclose(found, [[0.0, 0.1 + 0.1, 0.7 + 0.1]])


def test_copies_differ_as_an_estimate_errs() -> None:
    """Of a mean of n numbers the copies' spread is its standard error, sd / sqrt(n)."""
    facts, copies = experience(ITEMS, 400, seed=4), 200
    policy = Bootstrap(model=StatisticRegressor(Mean()), copies=copies)
    policy.update(facts)
    means = policy.predictions(requests(ITEMS, [[0]], seed=5))[:, 0, 0]
    wanted = facts.rewards.std() / np.sqrt(400)
    assert abs(means.std() / wanted - 1.0) < 5 / np.sqrt(2 * copies)
    assert abs(means.mean() - facts.rewards.mean()) < 5 * wanted / np.sqrt(copies)


@pytest.mark.parametrize("make", [SquareCB, Bootstrap])
def test_a_window_is_a_model_of_the_last_examples(make: Any) -> None:
    facts = experience(ITEMS, 64, seed=6)
    facts = replace(facts, requests=replace(facts.requests, time=np.arange(64) * 1000))
    policy, fresh = make(model="linear", window=16.0), make(model="linear")
    policy.update(facts)
    fresh.update(facts.take(slice(48, 64)))  # ticks of 2 s: those of 48 s and later count
    asked = requests(ITEMS, np.tile(np.arange(5), (3, 1)), seed=7)
    np.testing.assert_array_equal(policy.distribution(asked), fresh.distribution(asked))
    assert policy.learned == 16


def test_under_a_half_life_as_many_live_as_it_would_weigh() -> None:
    facts = experience(ITEMS, 16_000, seed=8)
    time = np.arange(16_000) // 1000 * 1000
    policy = SquareCB(model="linear", half_life=8.0)
    policy.update(replace(facts, requests=replace(facts.requests, time=time)))
    ticks, counts = np.unique(policy.state_dict()["ticks"], return_counts=True)
    share = np.exp2((ticks - 15) / 8.0)
    error = np.sqrt(1000 * share * (1 - share))
    assert len(ticks) == 16
    assert (abs(counts - 1000 * share) <= 5 * error).all()


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(OptionError, match="copies"):
        Bootstrap(copies=0)
    with pytest.raises(OptionError, match="floor"):
        Bootstrap(floor=2.0)
