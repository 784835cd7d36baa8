"""RecoGym keeps to its chain and its equations, and does as a plain-Python telling of them does."""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agents import Uniform
from simulators import RecoGym, WorldError, make_world, returns
from tests.simulators.support import seeds

if TYPE_CHECKING:
    from agents.api import Floats


def logistic(x: float) -> float:
    return 1 / (1 + exp(-x))


def chance(world: RecoGym, taste: Floats, product: int) -> float:
    x = float(world.bandit[product, :5] @ taste + world.bandit[product, 5])
    return logistic(5 * logistic(2 * logistic(0.3 * x) - 2) - 6)


def told_in_plain_python(
    world: RecoGym, users: int, leave_bandit: float, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Requests, clicks and organic views per user who has requests, with random products shown."""
    requests: list[int] = []
    clicks: list[int] = []
    views: list[int] = []
    while len(requests) < users:
        taste, state = rng.normal(size=5), "organic"
        asked = clicked = viewed = 0
        while state != "gone":
            row = {"organic": (0.74, 0.25), "bandit": (0.05, 0.95 - leave_bandit)}[state]
            if state == "organic":
                viewed += 1
            else:
                asked += 1
                click = rng.random() < chance(world, taste, int(rng.integers(10)))
                clicked += click
            draw = rng.random()
            after = "organic" if draw < row[0] else "bandit" if draw < sum(row) else "gone"
            if after == "organic":
                taste = taste + 0.1 * rng.normal(size=5)
            if state == "bandit" and click:
                after = "organic"
            state = after
        if asked:
            requests.append(asked)
            clicks.append(clicked)
            views.append(viewed)
    return np.array(requests, float), np.array(clicks, float), np.array(views, float)


@pytest.mark.parametrize(("corrected", "leaves"), [(False, 0.01), (True, 0.2)])
def test_it_does_as_the_equations_told_in_plain_python(corrected: bool, leaves: float) -> None:
    """With 0.2 asked for, the published table still lets a hundredth leave after an ad."""
    users = 1500
    world = RecoGym(leave_bandit=0.2, corrected=corrected)
    right = told_in_plain_python(world, users, leaves, np.random.default_rng(0))
    world.reset(seeds(users))
    clicks, views = np.zeros(users), world.views[:, 0].sum(axis=1).astype(float)
    rng = np.random.default_rng(1)
    while not world.lanes["ended"].all():
        clicks += world.step(rng.integers(10, size=(users, 1))).reward
    views = world.views[:, 0].sum(axis=1).astype(float)
    ours = (world.lanes["visit"].astype(float), clicks, views)
    for one, other in zip(ours, right, strict=True):
        error = np.hypot(one.std(), other.std()) / np.sqrt(users)
        assert abs(one.mean() - other.mean()) < 4 * error


def test_clicks_are_as_likely_as_the_equation_says() -> None:
    world = RecoGym(flips=3)
    world.reset(seeds(2000))
    tastes, appeal = world.users.copy(), world.appeal()
    feedback = world.step(np.full((2000, 1), 4))
    for user in range(100):
        right = chance(world, tastes[user], 4)
        assert feedback.expected[user, 0] == pytest.approx(right, rel=1e-9)
        assert appeal[user, 4] == feedback.expected[user, 0]
    gap = (feedback.rewards - feedback.expected).sum()
    spread = np.sqrt((feedback.expected * (1 - feedback.expected)).sum())
    assert abs(gap) < 4 * spread


def test_views_follow_taste_and_are_what_is_observed() -> None:
    world = RecoGym()
    world.reset(seeds(20_000))
    once = world.views[:, 0].sum(axis=1) == 1  # who looked at one product, before any drift
    seen = world.views[once, 0]
    scores = world.users[once] @ world.organic[:, :5].T + world.organic[:, 5]
    likely = np.exp(scores - scores.max(axis=1, keepdims=True))
    likely /= likely.sum(axis=1, keepdims=True)
    gap = (seen - likely).sum(axis=0)
    spread = np.sqrt((likely * (1 - likely)).sum(axis=0))
    assert (np.abs(gap) < 4 * spread + 1e-9).all()
    context = world.requests().context.reshape(-1, 2, 10)
    assert np.array_equal(context, world.views)
    assert np.array_equal(context[:, 0], context[:, 1])
    before = world.views.copy()
    world.step(np.zeros((20_000, 1), dtype=np.int64))
    assert np.array_equal(world.views[:, 1], world.views[:, 0] - before[:, 0])


def test_a_click_leads_to_the_shop() -> None:
    world = RecoGym()
    world.reset(seeds(20_000))
    clicked = world.step(np.zeros((20_000, 1), dtype=np.int64)).reward == 1
    assert clicked.sum() > 50
    assert (world.views[clicked, 1].sum(axis=1) >= 1).all()
    stayed = world.views[~clicked, 1].sum(axis=1) == 0
    assert abs(stayed.mean() - 0.95) < 4 * np.sqrt(0.95 * 0.05 / stayed.size)


def test_flips_exchange_pairs_and_nothing_else() -> None:
    plain, flipped = RecoGym(), RecoGym(flips=3)
    assert np.array_equal(plain.bandit, plain.organic)
    assert np.array_equal(flipped.organic, plain.organic)
    moved = (flipped.bandit != plain.bandit).any(axis=1)
    assert moved.sum() == 6
    assert np.array_equal(np.sort(flipped.bandit, axis=0), np.sort(plain.bandit, axis=0))


def test_the_bounds_are_apart_and_the_default_tables_the_same() -> None:
    world, corrected = make_world("RecoGym"), make_world("RecoGym-Corrected")
    assert list(world.bounds()) == ["random", "myopic"]
    random = returns(world, Uniform(), seeds(1000))
    myopic = returns(world, world.bounds()["myopic"], seeds(1000))
    assert myopic.mean() - random.mean() > 4 * np.hypot(myopic.std(), random.std()) / np.sqrt(1000)
    assert np.array_equal(random, returns(corrected, Uniform(), seeds(1000)))


@pytest.mark.parametrize(
    "options",
    [
        {"slate_size": 2},
        {"to_bandit": 1.0},
        {"to_bandit": 0.0},
        {"leave_organic": 0.0},
        {"to_organic": -0.1},
        {"flips": 6},
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(WorldError, match="RecoGym"):
        make_world("RecoGym", **options)
