"""Confidence sequences: the capital by hand, coverage at all times at once, merging, promises."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import log, sqrt
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.api import RecloopError
from evaluation.chunks.checks import FaultyLogError
from evaluation.chunks.pairs import Pair
from evaluation.chunks.rounds import Rounds
from evaluation.intervals.bernstein import bernstein
from evaluation.intervals.sequences import BETS, Promise, PromiseError
from evaluation.intervals.watching import watch, watch_apart
from tests.evaluation.logs import Shop, some

if TYPE_CHECKING:
    from agents.api import Floats

SHOP = Shop(base=0.1)
BOUND = float((SHOP.target / SHOP.logging).max())
PROMISES = {"free": Promise(), "bounded": Promise(largest_weight=BOUND)}


def by_hand(y: Floats, offset: float, needed: float) -> float:
    """The smallest value whose capital is below 1 / alpha, by bisection over plain products."""

    def capital(value: float) -> float:
        mean = offset + value
        grown = [sum(log(1 + k * x) for x in y) - len(y) * log(1 + k * mean) for k in BETS.tolist()]
        top = max(grown)
        return top + log(sum(np.exp(g - top) for g in grown) / len(grown))

    low, high = -offset, float(y.mean()) - offset
    if capital(low) < needed:
        return low
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if capital(middle) >= needed else (low, middle)
    return low


def test_both_ends_by_hand() -> None:
    log_ = SHOP.rounds(300, seed=1)
    w, r = log_.target / log_.logged, log_.reward
    sequence = watch("IPS", Promise())
    sequence.add(log_)
    low, high = sequence.interval(0.9)
    needed = log(2 / 0.1)
    assert low == pytest.approx(by_hand(w * r, 0.0, needed), abs=1e-9)
    assert high == pytest.approx(-by_hand(w * (1 - r), 1.0, needed), abs=1e-9)


@pytest.mark.parametrize("method", ["IPS", "SNIPS", "DR"])
@pytest.mark.parametrize("promise", PROMISES.values(), ids=PROMISES)
def test_chunks_order_and_merging_change_nothing(
    method: Literal["IPS", "SNIPS", "DR"], promise: Promise
) -> None:
    log_ = SHOP.rounds(999, seed=1)
    whole = watch(method, promise)
    whole.add(log_)
    parts = [watch(method, promise) for _ in range(3)]
    for part, rows in zip(
        parts, np.split(np.random.default_rng(0).permutation(999), 3), strict=True
    ):
        part.add(some(log_, rows[:100]))
        part.add(some(log_, rows[100:]))
    total = watch(method, promise)
    for at in (2, 0, 1):
        total.merge(parts[at])
    np.testing.assert_allclose(total.interval(), whole.interval(), rtol=1e-12)


LOGS, LENGTH = 60, 1000
TIMES = np.unique(np.geomspace(5, LENGTH, 12).astype(int))


@pytest.mark.parametrize("promise", PROMISES.values(), ids=PROMISES)
@pytest.mark.parametrize("method", ["IPS", "SNIPS", "DR"])
def test_they_hold_at_all_times_at_once(
    method: Literal["IPS", "SNIPS", "DR"], promise: Promise
) -> None:
    """Looked at twelve times, a log breaks its interval of 80 % with chance 20 % at most."""
    broken = 0
    for seed in range(LOGS):
        rounds, sequence = SHOP.rounds(LENGTH, seed), watch(method, promise)
        for start, end in pairwise((0, *TIMES)):
            sequence.add(some(rounds, np.arange(start, end)))
            if sequence.rules_out(SHOP.truth, 0.8):
                broken += 1
                break
    assert broken / LOGS < 0.2 + 3.0 * sqrt(0.2 * 0.8 / LOGS)


@pytest.mark.parametrize("promise", PROMISES.values(), ids=PROMISES)
@pytest.mark.parametrize("method", ["IPS", "SNIPS", "DR"])
def test_those_of_differences_do_too(
    method: Literal["IPS", "SNIPS", "DR"], promise: Promise
) -> None:
    truth = SHOP.truth - float((SHOP.logging * SHOP.clicks).sum(axis=1).mean())
    broken = 0
    for seed in range(LOGS):
        mine, theirs = pair(seed)
        sequence = watch_apart(method, promise)
        for start, end in pairwise((0, *TIMES)):
            rows = np.arange(start, end)
            sequence.add(Pair(some(mine, rows), some(theirs, rows)))
            if sequence.rules_out(truth, 0.8):
                broken += 1
                break
    assert broken / LOGS < 0.2 + 3.0 * sqrt(0.2 * 0.8 / LOGS)


def pair(seed: int, length: int = LENGTH) -> tuple[Rounds, Rounds]:
    """The same rounds with the target and with the logging policy as target."""
    segment, _, _ = SHOP.play(length, seed)
    rounds = SHOP.rounds(length, seed)
    v = (SHOP.logging * SHOP.guess).sum(axis=1)[segment]
    return rounds, replace(rounds, target=rounds.logged, v=v)


def test_the_one_of_snips_gains_what_snips_gains() -> None:
    """Where rewards hardly differ the noise of IPS is that of the weights, that of SNIPS is not."""
    log_ = SHOP.rounds(5000, seed=1)
    alike = replace(log_, reward=0.9 + 0.1 * log_.reward)
    widths = {}
    for method in ("IPS", "SNIPS"):
        sequence = watch(method, PROMISES["bounded"])
        sequence.add(alike)
        low, high = sequence.interval()
        assert low < 0.9 + 0.1 * SHOP.truth < high
        widths[method] = high - low
    assert widths["SNIPS"] < 0.5 * widths["IPS"]


def test_the_one_of_snips_is_right_for_every_constant_by_hand() -> None:
    """A bettor with y = W (c - low) + w (r - c) for one c of the grid, all alike at c = 0."""
    log_ = SHOP.rounds(300, seed=1)
    w, r = log_.target / log_.logged, log_.reward
    sequence = watch("SNIPS", PROMISES["bounded"])
    sequence.add(log_)

    def capital(value: float) -> float:
        grown = [
            float(np.log1p(k * (BOUND * c + w * (r - c))).sum())
            - 300 * log(1 + k * (BOUND * c - c + value))
            for c in np.linspace(0, 1, 9)
            for k in BETS.tolist()
        ]
        return float(np.log(np.mean(np.exp(np.array(grown) - max(grown)))) + max(grown))

    low, _ = sequence.interval(0.9)
    assert capital(low) == pytest.approx(log(2 / 0.1), abs=1e-6)


def test_wrong_propensities_rule_out_every_value() -> None:
    """A mean weight of 2.5: what bounds from below and from above would cross."""
    log_ = SHOP.rounds(20_000, seed=1)
    wrong = replace(log_, logged=log_.logged / 2.5, reward=np.full(20_000, 0.5))
    sequence = watch("IPS", Promise())
    sequence.add(wrong)
    assert np.isnan(sequence.interval()).all()


def test_they_close_in_on_the_truth_about_as_fast_as_they_can() -> None:
    """At 20,000 rows, at most three times as wide as the normal interval that holds but once."""
    log_ = SHOP.rounds(20_000, seed=1)
    w = log_.target / log_.logged
    normal = 2 * 1.96 * (w * log_.reward).std() / sqrt(20_000)
    for name, most in (("free", 12.0), ("bounded", 3.0)):
        sequence = watch("IPS", PROMISES[name])
        sequence.add(log_)
        low, high = sequence.interval()
        assert low < SHOP.truth < high
        assert high - low < most * normal, name


@settings(max_examples=30, deadline=None)
@given(st.floats(-3, 3), st.floats(0.1, 50))
def test_the_unit_of_reward_does_not_matter(shift: float, scale: float) -> None:
    log_ = SHOP.rounds(200, seed=1)
    moved = replace(log_, reward=shift + scale * log_.reward)
    low, high = 0.0, 1.0
    here, there = watch("IPS", Promise(low, high)), watch("IPS", Promise(shift, shift + scale))
    here.add(log_)
    there.add(moved)
    np.testing.assert_allclose(
        (np.array(there.interval()) - shift) / scale, here.interval(), atol=1e-9
    )


def test_a_broken_promise_is_told_by_row() -> None:
    log_ = SHOP.rounds(50, seed=1)
    heavy = {"target": 1.0, "logged": 0.01, "reward": 1.0}
    cases: list[tuple[Literal["IPS", "DR"], Promise, dict[str, float]]] = [
        ("IPS", Promise(), {"reward": 1.5}),
        ("IPS", Promise(), {"reward": -0.5}),
        ("IPS", Promise(largest_weight=BOUND), heavy),
        ("DR", Promise(), {"q": 8.0, "target": 0.5, "reward": 0.0}),
    ]
    for method, promise, change in cases:
        bad = {}
        for field, value in change.items():
            bad[field] = getattr(log_, field).copy()
            bad[field][33] = value
        sequence = watch(method, promise)
        sequence.add(log_)
        with pytest.raises(PromiseError, match="row 83 "):
            sequence.add(replace(log_, **bad))
        assert sequence.rounds == 50
    with pytest.raises(FaultyLogError):
        watch("IPS", Promise()).add(replace(log_, logged=np.zeros(50)))


def test_promises_and_levels_are_checked() -> None:
    for arguments in ((1.0, 0.0), (0.0, np.inf), (0.0, 1.0, 0.5)):
        with pytest.raises(PromiseError):
            Promise(*arguments)
    sequence = watch("IPS", Promise())
    assert sequence.interval() == (-np.inf, np.inf)
    with pytest.raises(RecloopError, match="level"):
        sequence.interval(1.0)
    with pytest.raises(RecloopError, match="same statistics"):
        sequence.merge(watch("IPS", Promise(largest_weight=9.0)))


def test_what_is_ruled_out_is_outside_of_the_interval() -> None:
    sequence = watch("DR", Promise(largest_weight=BOUND))
    sequence.add(SHOP.rounds(3000, seed=1))
    low, high = sequence.interval(0.9)
    for value, out in ((low - 1e-6, True), (low + 1e-6, False), (high - 1e-6, False)):
        assert sequence.rules_out(value, 0.9) == out
    assert sequence.rules_out(high + 1e-6, 0.9)


def test_without_any_reward_the_lower_end_stays_at_the_least_possible() -> None:
    log_ = SHOP.rounds(500, seed=1)
    sequence = watch("IPS", Promise())
    sequence.add(replace(log_, reward=np.zeros(500)))
    low, high = sequence.interval()
    assert low == 0.0
    assert 0.0 < high < 1.0


def test_bernstein_by_hand_and_its_coverage() -> None:
    assert bernstein(0.5, 0.04, 100, 2.0, 0.9) == pytest.approx(
        (
            0.5 - sqrt(2 * 0.04 * log(40) / 100) - 14 * log(40) / 297,
            0.5 + sqrt(2 * 0.04 * log(40) / 100) + 14 * log(40) / 297,
        )
    )
    hits = 0
    for seed in range(200):
        log_ = SHOP.rounds(300, seed)
        x = log_.target / log_.logged * log_.reward
        low, high = bernstein(float(x.mean()), float(x.var(ddof=1)), 300, BOUND)
        hits += low <= SHOP.truth <= high
    assert hits / 200 >= 0.95
    with pytest.raises(RecloopError, match="two rows"):
        bernstein(0.0, 0.0, 1, 1.0)
