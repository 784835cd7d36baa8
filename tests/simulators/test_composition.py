"""Composed worlds: items come and go, users cross domains, parts fit together or are refused."""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import PAD, Decisions, Uniform
from simulators import BatchedWorld, WorldError, make_world, rollout, world_options
from simulators.compose import (
    ComposedWorld,
    Composition,
    Items,
    Number,
    Part,
    churn,
    drift,
    interests,
    mnl,
    position_based,
    satisfaction,
)
from simulators.compose.items import stock
from simulators.compose.loops import kernels_of
from simulators.compose.value import fitted, valued
from simulators.presets import INDUSTRIES
from tests.simulators.support import seeds

if TYPE_CHECKING:
    from agents import Policy
    from agents.api import Floats

HOUR = 3_600_000
USERS = 250
NAMES = [industry.name for industry in INDUSTRIES]


def made(name: str, **options: Any) -> ComposedWorld:
    world = make_world(name, **options)
    assert isinstance(world, ComposedWorld)
    return world


# --- items that come and go


def there(items: Items, row: int, hour: int) -> bool:
    """Whether an item is available at an hour, counted hour by hour from its arrival."""
    item = stock(items).pool[row]
    return hour % items.span in {
        (int(item["arrival"]) + n) % items.span for n in range(int(item["life"]))
    }


def test_only_what_is_available_then_and_there_is_on_offer() -> None:
    world = made("Travel", num_items=200, life=400.0, num_candidates=8)
    world.reset(seeds(40))
    rows, offers = 0, set()
    for response in rollout(world, Uniform(), 12):
        requests = response.outcomes.requests
        columns = requests.context.shape[1]
        domain = requests.context[:, columns - 3 :].argmax(axis=1)  # the last three columns
        for lane in range(40):
            hour = int(requests.time[lane] / HOUR)
            shown = [row for row in requests.candidates[lane] if row != PAD]
            assert len(set(shown)) == len(shown)
            rows += len(shown)
            for row in shown:
                assert there(world.items, row, hour)
                assert stock(world.items).pool[row]["domain"] == domain[lane]
            offers.add(tuple(sorted(shown)))
    assert rows > 1000
    assert len(offers) > 100


def test_all_that_is_available_is_as_likely_to_be_on_offer() -> None:
    world = made("Education", num_items=20, num_candidates=5)
    world.reset(seeds(8000))
    shown = world.requests().candidates
    share = np.bincount(shown.ravel(), minlength=20) / 8000
    assert np.abs(share - 5 / 20).max() < 4.5 * np.sqrt(0.25 * 0.75 / 8000)
    first = np.bincount(shown[:, 0], minlength=20) / 8000
    assert np.abs(first - 1 / 20).max() < 4.5 * np.sqrt(0.05 * 0.95 / 8000)


@given(seed=st.integers(0, 2**40), life=st.integers(1, 40), slots=st.integers(1, 6))
@settings(max_examples=10, deadline=None)
def test_where_too_little_is_left_candidates_are_padded_and_never_chosen(
    seed: int, life: int, slots: int
) -> None:
    world = made("News", num_items=6, life=float(life), span=60, num_candidates=6, slate_size=slots)
    world.reset(seeds(20, first=seed))
    for _ in range(6):
        requests = world.requests()
        padded = requests.candidates == PAD
        for lane in range(20):
            hour = int(requests.time[lane] / HOUR)
            missing = sum(not there(world.items, row, hour) for row in range(6))
            assert padded[lane].sum() == missing
        assert (world.documents()[padded] == 0).all()
        assert (world.appeal()[padded] == 0).all()
        everything = np.tile(np.arange(slots), (20, 1))  # padding too, as an environment may
        feedback = world.step(everything)
        assert not feedback.seen[padded[:, :slots]].any()
        assert not feedback.told[:, padded[:, :slots]].any()
        assert not feedback.expected[padded[:, :slots]].any()
        world.renew(feedback.ended)
        for policy in world.bounds().values():
            slates = policy.decide(world.requests()).slates
            filled = (slates != PAD).sum(axis=1)
            most = (world.requests().candidates != PAD).sum(axis=1)
            assert (filled == np.minimum(most, slots)).all()


def test_what_is_not_on_offer_is_refused() -> None:
    world = made("News", num_candidates=6, slate_size=2)
    world.reset(seeds(3))
    requests = world.requests()
    absent = np.setdiff1d(np.arange(len(requests.items)), requests.candidates[1])[0]
    slates = requests.candidates[:, :2].copy()
    slates[1, 1] = absent
    before = world.state.copy()
    with pytest.raises(WorldError, match="lane 1"):
        world.respond(Decisions(slates, np.ones((3, 2)), np.zeros(3, dtype=np.int64), "broken"))
    assert np.array_equal(before, world.state)


def test_looks_lie_as_much_as_they_are_told_to() -> None:
    for honesty in (-0.6, 0.0, 0.8):
        pool = stock(Items(num_items=4000, honesty=honesty)).pool
        found = np.corrcoef(pool["quality"], pool["allure"])[0, 1]
        assert abs(found - honesty) < 4.5 / np.sqrt(4000)
        assert np.abs(pool["allure"]).max() <= 1


# --- what happens to users


def test_users_cross_domains_and_come_back_as_the_laws_say() -> None:
    world = made("StreamingMedia", crossing=0.3, absence=5.0, eagerness=0.0, horizon=None)
    world.reset(seeds(3000))
    before, asked = world.heres.copy(), world.lanes["visit"].copy()
    world.step(np.tile(np.arange(5), (3000, 1)))
    assert (world.lanes["visit"] == asked + 1).all()
    crossed = (world.heres["domain"] != before["domain"]).mean()
    assert abs(crossed - 0.3) < 4 * np.sqrt(0.21 / 3000)
    gaps = world.heres["now"] - before["now"]
    assert gaps.min() >= 0.5  # the tick
    assert abs(gaps.mean() - 5.5) < 4 * 5.0 / np.sqrt(3000)
    assert world.heres["hour"] == pytest.approx(world.heres["now"] % 24)


def test_users_leave_as_often_as_their_satisfaction_says() -> None:
    world = made("ECommerce", staying=1.0)
    world.reset(seeds(6000))
    feedback = world.step(np.tile(np.arange(6), (6000, 1)))
    chance = 1 / (1 + np.exp(1.0 + 2.0 * world.users["satisfaction"]))
    spread = np.sqrt((chance * (1 - chance)).sum())
    assert abs(feedback.terminated.sum() - chance.sum()) < 4 * spread


def test_rewards_are_made_of_the_signals() -> None:
    world = made("ECommerce", click_value=0.5, purchase_value=3.0, buying=0.0)
    world.reset(seeds(600))
    requests = world.requests()
    feedback = world.step(np.tile(np.arange(6), (600, 1)))
    price = stock(world.items).pool["price"][requests.candidates[:, :6]]
    told = feedback.signals
    right = 0.5 * told["clicked"] + 3.0 * price * told["bought"]
    assert told["bought"].sum() > 50
    assert feedback.rewards == pytest.approx(right, rel=1e-6)


def test_dwell_times_have_the_mean_that_is_said() -> None:
    world = made("StreamingMedia", slate_size=5, no_click=-20.0)  # always a click
    world.reset(seeds(20_000))
    requests = world.requests()
    feedback = world.step(np.tile(np.arange(5), (20_000, 1)))
    clicked = feedback.signals["clicked"] > 0
    items = stock(world.items).pool[requests.candidates[:, :5]][clicked]
    share = 1 / (1 + np.exp(-1.5 * items["quality"]))
    dwell = feedback.signals["dwell"][clicked]
    assert (dwell <= items["length"] * (1 + 1e-6)).all()
    gap = dwell / items["length"] - share
    assert abs(gap.mean()) < 4 * gap.std() / np.sqrt(len(gap))
    for low in (0.2, 0.5, 0.7):
        some = (share > low) & (share < low + 0.1)
        assert abs(gap[some].mean()) < 4 * gap[some].std() / np.sqrt(some.sum())


# --- the oracle


def test_a_value_that_is_of_the_form_is_found() -> None:
    rng = np.random.default_rng(0)
    states, fields = rng.normal(size=(2000, 7)), np.array([[0, 3], [3, 3], [6, 1]])
    one, two, three = states[:, :3], states[:, 3:6], states[:, 6]
    worth = 2.0 + (one * two).mean(axis=1) - 0.5 * three + 0.3 * three**2 + one.mean(axis=1) * three
    weights = fitted(states, fields, worth)
    found = [valued(state, fields, weights) for state in states[:50]]
    assert found == pytest.approx(worth[:50], abs=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_who_looks_ahead_is_not_worse_than_who_does_not(name: str) -> None:
    """By the true expected rewards, which have less noise than the rewards."""
    world = made(name)
    values = {bound: expected_of(world, policy) for bound, policy in world.bounds().items()}
    assert list(values) == ["random", "myopic", "oracle"]
    better = values["myopic"] - values["random"]
    assert better.mean() > 4 * better.std() / np.sqrt(USERS)
    ahead = values["oracle"] - values["myopic"]
    assert ahead.mean() > -2 * ahead.std() / np.sqrt(USERS)
    if name in ("ECommerce", "StreamingMedia", "News", "SocialFeed", "Travel"):
        assert ahead.mean() > 2 * ahead.std() / np.sqrt(USERS)


def expected_of(world: BatchedWorld, policy: Policy) -> Floats:
    """What every user is expected to be worth, summed over their visits."""
    world.reset(seeds(USERS))
    total, ended = np.zeros(USERS), np.zeros(USERS, dtype=np.bool_)
    while not ended.all():
        response = world.respond(policy.decide(world.requests()))
        total += response.expected.sum(axis=1)
        ended = response.ended
    return total


def test_with_nothing_ahead_the_oracle_shows_the_best_slate() -> None:
    """In the last visit a position-based slate is best in the order of the true rewards."""
    world = made("ECommerce", horizon=1)
    world.reset(seeds(50))
    bounds, requests = world.bounds(), world.requests()
    same = bounds["oracle"].decide(requests).slates == bounds["myopic"].decide(requests).slates
    assert same.all()


# --- options and errors


@pytest.mark.parametrize("name", NAMES)
def test_industries_have_their_numbers_as_options(name: str) -> None:
    options = world_options(name)
    assert {"num_candidates", "slate_size", "horizon", "num_items", "topics"} <= set(options)
    world = made(name, tick=3.0, item_seed=5)
    assert dict(world.blueprint.law)["tick"] == 3.0
    with pytest.raises(WorldError, match="did you mean tick"):
        made(name, tik=3.0)


def test_worlds_of_the_same_parts_share_their_kernels() -> None:
    news = next(industry for industry in INDUSTRIES if industry.name == "News")
    one, other = made("News"), made("News", topics=3, staleness=2.0)
    same = kernels_of(news.choice, news.payoff, news.parts)
    assert one._equations is other._equations is same


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"slate_size": 9, "num_candidates": 8}, "slate of 9"),
        ({"life": 0.5}, "from 1 to 672 hours"),
        ({"topics": 0}, "count from 1"),
        ({"honesty": 1.5}, "correlation"),
        ({"num_items": 1, "domains": 2}, "do not fill"),
        ({"patience": 1.5}, "patience lies between 0 and 1"),
        ({"recovery": 0.0}, "recovery lies between"),
        ({"liking": float("nan")}, "cannot be nan"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(WorldError, match=words):
        made("News", **options)


def nothing(user: Any, item: Any, here: Any, law: Any) -> float:
    return 0.0


@pytest.mark.parametrize(
    ("parts", "law", "words"),
    [
        ((drift,), {}, "part 'drift' needs the field 'taste', which no part keeps"),
        ((interests, churn), {}, "needs the field 'satisfaction'"),
        ((interests, interests), {}, "both 'interests' and 'interests' have a field 'taste'"),
        ((interests,), {"likin": 1.0}, "no part has a number 'likin': did you mean liking"),
        ((interests,), {"shared": 2.0}, "shared lies between 0 and 1"),
        ((Part(name="odd", situation=("hours",)),), {}, "did you mean hour"),
        ((Part(name="odd", law={"tick": Number(1.0)}),), {}, "both 'every world' and 'odd'"),
        ((Part(name="odd", law={"horizon": Number(1.0)}),), {}, "both 'sizes' and 'odd'"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    parts: tuple[Part, ...], law: dict[str, float], words: str
) -> None:
    with pytest.raises(WorldError, match=words):
        Composition(name="Odd", choice=mnl, parts=parts, law=law)


def test_utilities_are_summed_and_users_leave_for_any_reason() -> None:
    """Two parts more than News has hooks for: each adds its share, and nothing else changes."""

    def more(amount: float, chance: float) -> Part:
        def utility(user: Any, item: Any, here: Any, law: Any) -> float:
            return amount

        def leave(user: Any, here: Any, law: Any) -> float:
            return chance

        return Part(name=f"more {amount}", utility=utility, leave=leave)

    parts = (satisfaction, more(0.5, 0.2), more(-1.25, 0.5), Part(name="idle", utility=nothing))
    world = Composition(name="Sums", choice=position_based, parts=parts)()
    world.reset(seeds(5000))
    assert world.appeal() == pytest.approx(1 / (1 + exp(0.75)))  # satisfaction is 0 at first
    left = world.step(np.tile(np.arange(3), (5000, 1))).terminated.mean()
    assert abs(left - (1 - 0.8 * 0.5)) < 4 * np.sqrt(0.24 / 5000)


def test_a_world_of_one_part_is_a_world() -> None:
    world: BatchedWorld = Composition(name="Bare", choice=mnl, parts=())()
    assert world.context_width == 1
    assert world.endless is False
    assert len(list(rollout_of(world))) == 3


def rollout_of(world: BatchedWorld) -> Any:
    world.reset(seeds(2))
    return rollout(world, Uniform(), 3)
