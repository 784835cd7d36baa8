"""Each law of change keeps to its equation, which is written here by itself."""

from __future__ import annotations

from math import cos, exp, log, pi, sqrt
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.streams import derive, stream, uniform
from simulators.compose import (
    Part,
    boredom,
    churn,
    crossing,
    devices,
    drift,
    freshness,
    hours,
    influence,
    interests,
    regions,
    returning,
    satiation,
    satisfaction,
    season,
    thrift,
)
from simulators.compose.hooks import branch
from simulators.presets.education import practising, skill
from simulators.presets.health import burden, habit

DRAW = np.uint64(7)
ITEM = SimpleNamespace(
    topic=2, domain=0, region=1, quality=0.5, allure=-0.25, length=2.0, price=0.75, level=0.5,
    arrival=5,
)  # fmt: skip
sizes = st.floats(0.0, 1.0)
tastes = st.lists(st.floats(-1, 1), min_size=6, max_size=6)


def law_of(part: Any, **given: float) -> SimpleNamespace:
    sized = {"topics": 3.0, "domains": 2.0, "regions": 4.0, "span": 100.0, "length": 4.0}
    return SimpleNamespace(**sized | {name: n.default for name, n in part.law.items()} | given)


def hook(part: Part, name: str, *arguments: Any) -> Any:
    return getattr(part, name).py_func(*arguments)


def user(**fields: Any) -> SimpleNamespace:
    return SimpleNamespace(
        **{k: np.array(v, dtype=float) if isinstance(v, list) else v for k, v in fields.items()}
    )


def here(**given: Any) -> SimpleNamespace:
    now = {"now": 30.0, "hour": 6.0, "phase": 0.3, "device": 0, "region": 1, "domain": 0}
    return SimpleNamespace(**now | given)


def record(fields: SimpleNamespace) -> Any:
    """The same as a record, which compiled functions take."""
    names = vars(fields)
    kinds = [(name, np.int64 if isinstance(v, int) else np.float64) for name, v in names.items()]
    return np.rec.array([tuple(names.values())], dtype=kinds)[0]


def draws(count: int) -> list[np.uint64]:
    return list(derive(np.arange(count, dtype=np.uint64), np.zeros(count, dtype=np.uint64)))


# --- interests


def test_tastes_share_what_their_domains_have_in_common() -> None:
    born = []
    for draw in draws(3000):
        someone = user(taste=[0.0] * 6)
        hook(interests, "birth", someone, here(), law_of(interests, shared=0.7), draw)
        born.append(someone.taste)
    taste = np.array(born)
    assert np.abs(taste).max() <= 1
    spread = (0.7**2 + 0.3**2) / 3  # of 0.7 U(-1, 1) + 0.3 U(-1, 1)
    assert taste.var(axis=0) == pytest.approx([spread] * 6, rel=0.08)
    found = np.corrcoef(taste.T)
    right = np.eye(6) + (np.eye(6, k=3) + np.eye(6, k=-3)) * 0.7**2 / (0.7**2 + 0.3**2)
    assert np.abs(found - right).max() < 4.5 / sqrt(3000)


def test_what_speaks_for_an_item() -> None:
    someone = user(taste=[0.1, 0.2, -0.3, 0, 0, 0])
    law = law_of(interests, liking=3.0, luring=0.4, base=-1.0)
    assert hook(interests, "utility", someone, ITEM, here(), law) == pytest.approx(-0.9 - 0.1 - 1.0)
    dear = hook(thrift, "utility", user(thrift=0.5), ITEM, here(), law_of(thrift))
    assert dear == pytest.approx(-2.0 * 0.5 * 0.75)
    near = [hook(regions, "utility", None, ITEM, here(region=r), law_of(regions)) for r in (0, 1)]
    assert near == [0.0, 0.5]
    long = [hook(devices, "utility", None, ITEM, here(device=d), law_of(devices)) for d in (0, 1)]
    assert long == [-0.5 * 2.0 / 4.0, 0.0]
    daily = hook(hours, "utility", None, ITEM, here(), law_of(hours))
    assert daily == pytest.approx(0.5 * cos(2 * pi * (6 / 24 - 2 / 3)))
    yearly = hook(season, "utility", None, ITEM, here(), law_of(season))
    assert yearly == pytest.approx(0.5 * cos(2 * pi * (0.3 - 2 / 3)))


@given(now=st.floats(0, 1000))
@settings(deadline=None)
def test_staleness_goes_by_the_age_on_the_circle(now: float) -> None:
    age = now - 5.0
    while age < 0:
        age += 100.0
    while age >= 100.0:
        age -= 100.0
    found = hook(freshness, "utility", None, ITEM, here(now=now), law_of(freshness))
    assert found == pytest.approx(-0.5 * sqrt(age / 24), abs=1e-6)


@given(taste=tastes, step=sizes, seed=st.integers(0, 2**63))
@settings(deadline=None)
def test_a_click_moves_the_taste_for_its_topic(taste: list[float], step: float, seed: int) -> None:
    draw, someone, u = np.uint64(seed), user(taste=taste), taste[2]
    hook(drift, "clicked", someone, ITEM, here(), law_of(drift, drift=step), 1.0, draw)
    size = step * (1 - abs(u)) * (1 - u)
    up = uniform(draw, 0) < (u + 1) / 2
    right = [*taste[:2], min(1.0, max(-1.0, u + size if up else u - size)), *taste[3:]]
    assert someone.taste.tolist() == pytest.approx(right)


@given(taste=tastes, pull=sizes, narrow=sizes, spill=sizes, dose=sizes)
@settings(deadline=None)
def test_clicks_pull_all_tastes(
    taste: list[float], pull: float, narrow: float, spill: float, dose: float
) -> None:
    someone = user(taste=taste)
    law = law_of(influence, influence=pull, narrowing=narrow, spill=spill)
    hook(influence, "clicked", someone, ITEM, here(), law, dose, DRAW)
    right = []
    for i, u in enumerate(taste):  # topics 0 to 2 are of domain 0, as the item is
        share = pull * dose * (1.0 if i < 3 else spill)
        right.append((1 - share) * u + share * (1.0 if i in (2, 5) else -narrow))
    assert someone.taste.tolist() == pytest.approx(right, abs=1e-12)
    assert np.abs(someone.taste).max() <= 1 + 1e-12


# --- satiation and boredom


@given(st.lists(st.tuples(sizes, st.floats(0, 200)), max_size=12))
@settings(deadline=None)
def test_satiation_is_a_sum_of_fading_doses(eaten: list[tuple[float, float]]) -> None:
    someone, law = user(satiation=[0.0] * 6), law_of(satiation)
    for dose, hours_passed in eaten:
        hook(satiation, "clicked", someone, ITEM, here(), law, dose, DRAW)
        hook(satiation, "turn", someone, here(), law, hours_passed)
    right = 0.0
    for i, (dose, _) in enumerate(eaten):
        right += dose * exp(-sum(passed for _, passed in eaten[i:]) / 24.0)
    assert someone.satiation[2] == pytest.approx(right)
    assert not np.delete(someone.satiation, 2).any()
    cost = hook(satiation, "utility", someone, ITEM, here(), law)
    assert cost == pytest.approx(-0.5 * right)


def test_a_topic_is_averse_after_too_many_clicks_for_as_long_as_it_says() -> None:
    someone, law = user(recent=[0.0] * 6, weary=[0.0] * 6), law_of(boredom, memory=1e9)
    averse = []
    for visit in range(8):
        averse.append(hook(boredom, "utility", someone, ITEM, here(), law))
        if visit < 4:
            hook(boredom, "clicked", someone, ITEM, here(), law, 1.0, DRAW)
        hook(boredom, "turn", someone, here(), law, 10.0)
    assert averse == [0, 0, 0, 0, -4, -4, 0, 0]  # 10 and 20 hours later, and no more after 30
    forgetful = user(recent=[3.0] * 6, weary=[0.0] * 6)
    hook(boredom, "turn", forgetful, here(), law_of(boredom), 48.0)
    assert forgetful.recent == pytest.approx([3.0 * exp(-2)] * 6)


# --- satisfaction, churn, return


@given(st.lists(st.tuples(st.sampled_from("cpt"), st.floats(0, 3)), max_size=20))
@settings(deadline=None)
def test_satisfaction_is_the_sigmoid_of_what_is_remembered(story: list[tuple[str, float]]) -> None:
    someone, law, x = user(exposure=0.0, satisfaction=0.0), law_of(satisfaction, whim=0.0), 0.0
    for what, amount in story:
        if what == "c":
            hook(satisfaction, "clicked", someone, ITEM, here(), law, amount, DRAW)
            x += 0.5 * amount * 0.5
        elif what == "p":
            hook(satisfaction, "passed", someone, ITEM, here(), law)
            x -= 0.05
        else:
            hook(satisfaction, "turn", someone, here(), law, 100 * amount)
            x *= exp(-100 * amount / 168)
    assert someone.satisfaction == pytest.approx(2 / (1 + exp(-x)) - 1, abs=1e-12)
    goodwill = hook(satisfaction, "utility", someone, ITEM, here(), law)
    assert goodwill == pytest.approx(0.5 * someone.satisfaction)


def test_satisfaction_has_whims() -> None:
    moods = []
    for draw in draws(3000):
        someone = user(exposure=0.0, satisfaction=0.0)
        law = law_of(satisfaction, effect=0.0, whim=0.5)
        hook(satisfaction, "clicked", someone, ITEM, here(), law, 1.0, draw)
        moods.append(someone.exposure)
    assert abs(np.mean(moods)) < 4 * 0.5 / sqrt(3000)
    assert np.std(moods) == pytest.approx(0.5, rel=4 / sqrt(2 * 3000))


@given(mood=st.floats(-1, 1))
@settings(deadline=None)
def test_who_is_content_stays(mood: float) -> None:
    chance = hook(churn, "leave", user(satisfaction=mood), here(), law_of(churn))
    assert log(chance / (1 - chance)) == pytest.approx(-3.5 - 2.0 * mood)


def test_who_is_content_comes_back_sooner() -> None:
    for mood in (-0.8, 0.0, 0.9):
        someone, law = user(satisfaction=mood), law_of(returning)
        gaps = np.array([hook(returning, "gap", someone, here(), law, d) for d in draws(3000)])
        mean = 24.0 * exp(-0.5 * mood)
        assert abs(gaps.mean() - mean) < 4 * mean / sqrt(3000)  # an exponential's deviation
        assert (gaps > mean).mean() == pytest.approx(exp(-1), abs=4 * 0.48 / sqrt(3000))


# --- situations


def test_devices_and_domains_come_as_often_as_they_say() -> None:
    first, kept, crossed, went = [], 0, 0, np.zeros(2)
    law = record(law_of(devices, switching=0.5))
    other = law_of(crossing, crossing=0.4, domains=3.0)
    for draw in draws(4000):
        at = record(here(device=-1))
        hook(devices, "arrive", at, law, draw)
        first.append(int(at["device"]))  # NumPy has another use for at.device
        at = record(here(device=9, domain=1))
        hook(devices, "move", at, law, draw)
        hook(crossing, "move", at, other, draw)
        kept += at["device"] == 9
        crossed += at.domain != 1
        went += at.domain == 0, at.domain == 2
    shares = np.bincount(first, minlength=3) / 4000
    assert np.abs(shares - [0.6, 0.3, 0.1]).max() < 4 * 0.5 / sqrt(4000)
    assert abs(kept / 4000 - 0.5) < 4 * 0.5 / sqrt(4000)
    assert abs(crossed / 4000 - 0.4) < 4 * 0.49 / sqrt(4000)
    assert abs(went[0] - went[1]) < 4 * sqrt(crossed)


# --- the industries' own


def test_lessons_teach_who_they_are_right_for() -> None:
    law = law_of(skill)
    someone = user(skill=[0.0, 0.0, 0.2, 0.0, 0.0, 0.0])
    liked = hook(skill, "utility", someone, ITEM, here(), law)
    assert liked == pytest.approx(-1.5 * (0.5 - 0.2 - 0.2) ** 2)
    shared = practising.dwell.py_func(someone, ITEM, 0.0, law_of(practising))  # type: ignore[union-attr]
    passed = practising.purchase.py_func(someone, ITEM, 0.0, law_of(practising))  # type: ignore[union-attr]
    assert shared == pytest.approx(1 / (1 + exp(-(1.0 - 0.3))))
    assert passed == pytest.approx(1 / (1 + exp(0.9)))
    hook(skill, "clicked", someone, ITEM, here(), law, 0.8, DRAW)
    learned = 0.2 + 0.25 * 0.8 * exp(-((0.3 / 0.6) ** 2))
    assert someone.skill == pytest.approx([0, 0, learned, 0, 0, 0])
    hook(skill, "turn", someone, here(), law, 60 * 24.0)
    assert someone.skill[2] == pytest.approx((learned + 1) * exp(-1) - 1)


def test_habits_form_and_burdens_wear() -> None:
    someone = user(habit=[0.0] * 6, burden=0.0)
    for n in range(1, 30):
        hook(habit, "clicked", someone, ITEM, here(), law_of(habit), 0.5, DRAW)
        assert someone.habit[2] == pytest.approx(1 - (1 - 0.05 * 0.5) ** n)
    hook(habit, "turn", someone, here(), law_of(habit), 30 * 24.0)
    assert someone.habit[2] == pytest.approx((1 - 0.975**29) * exp(-1))
    eased = hook(habit, "utility", someone, ITEM, here(), law_of(habit))
    assert eased == pytest.approx(3 * someone.habit[2])
    law = law_of(burden)
    hook(burden, "clicked", someone, ITEM, here(), law, 0.5, DRAW)
    hook(burden, "passed", someone, ITEM, here(), law)
    assert someone.burden == pytest.approx(0.5 * 0.5 + 0.15)
    chance = hook(burden, "leave", someone, here(), law)
    assert log(chance / (1 - chance)) == pytest.approx(0.7 * 0.4 - 5.0)
    assert hook(burden, "utility", someone, ITEM, here(), law) == pytest.approx(-0.2)
    hook(burden, "turn", someone, here(), law, 36.0)
    assert someone.burden == pytest.approx(0.4 * exp(-1))


def test_streams_of_hooks_are_their_own() -> None:
    """What one part draws says nothing of what the next one does."""
    ones, others = [], []
    for n in range(3000):
        start = np.uint64(stream(np.uint64(n), np.uint64(0), np.uint64(5)))
        first = np.uint64(branch(start, 0))
        ones.append(uniform(first, 0))
        others.append(uniform(np.uint64(branch(first, 0)), 0))
    assert abs(np.corrcoef(ones, others)[0, 1]) < 4 / sqrt(3000)
