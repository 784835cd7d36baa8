"""The gate of slates, the pure rule behind all gates, and what slates say of support."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest

from agents.api import RecloopError
from agents.simple import Uniform
from evaluation import (
    Accumulator,
    Distribution,
    Gate,
    Pair,
    Promise,
    Trust,
    compared,
    evaluate_slates,
    judge_pair,
    promote,
    watch_apart,
)
from evaluation.estimators.names import UnknownEstimatorError
from evaluation.estimators.single import ips
from tests.evaluation.logs import Shop, Tabled, cut, some

SHOP = Shop(base=0.2)
LOG = SHOP.pairs(4000, seed=1)
BEST = np.where(SHOP.clicks == SHOP.clicks.max(axis=1, keepdims=True), 0.5, 0.1)
WORST = np.where(SHOP.clicks == SHOP.clicks.min(axis=1, keepdims=True), 0.5, 0.1)
LEAD = SHOP.worth(BEST) - SHOP.worth(SHOP.logging)


@pytest.mark.parametrize("method", ["SIPS", "SNRIPS", "Cascade-DR", "SNSIPS"])
def test_better_slates_are_promoted_and_worse_ones_are_rolled_back(method: str) -> None:
    incumbent = Tabled(SHOP.logging)
    found = promote(Tabled(BEST), incumbent, cut(LOG, 900), method=method, replicates=200)
    assert found.low < LEAD < found.high
    assert found.promoted
    assert not found.worse
    worse = promote(Tabled(WORST), incumbent, [LOG], method=method, replicates=200)
    assert not worse.promoted
    assert worse.worse
    assert "it is worse" in worse.reason
    alike = promote(incumbent, incumbent, [LOG], method=method, replicates=50)
    assert (alike.promoted, alike.worse) == (False, False)


def test_the_intervals_of_the_difference_cover_the_truth_and_are_paired() -> None:
    hits, logs = 0, 80
    for seed in range(logs):
        gate = Gate(Tabled(BEST), Tabled(SHOP.logging), method="SNRIPS", slots=2, replicates=200)
        gate.add(SHOP.pairs(800, seed))
        found = gate.judge()
        hits += found.low <= LEAD <= found.high
        assert found.difference.value == pytest.approx(
            found.candidate.value - found.incumbent.value, rel=1e-9
        )
    assert abs(hits / logs - 0.95) < 3.0 * sqrt(0.95 * 0.05 / logs)


def test_a_slates_log_twice_as_long_by_copying_is_no_better_by_user() -> None:
    """Clustered: the slates of one user stand and fall together."""
    twice = LOG.take(np.repeat(np.arange(1000), 5))
    found = [
        promote(Tabled(BEST), Uniform(), [log], method="SNRIPS", unit="user", replicates=200)
        for log in (LOG.take(np.arange(1000)), twice)
    ]
    assert found[0].low == pytest.approx(found[1].low, rel=1e-9)
    assert found[0].high == pytest.approx(found[1].high, rel=1e-9)


def test_with_a_promise_slates_are_watched() -> None:
    found = promote(
        Tabled(BEST), Tabled(SHOP.logging), [LOG], method="SIPS", promise=Promise(0.0, 2.0)
    )
    assert found.low < LEAD < found.high
    assert found.low < found.difference.low
    with pytest.raises(RecloopError, match="no interval with a guarantee"):
        promote(Tabled(BEST), Uniform(), [LOG], method="SNRIPS", promise=Promise(0.0, 2.0))


def test_the_rule_is_a_pure_function_of_sums() -> None:
    """What a live loop does: sums pairs of rows itself, in parts, and asks."""
    rounds = SHOP.rounds(3000, seed=1)
    estimator = ips()
    total = Accumulator(compared(estimator), replicates=200)
    sequence = watch_apart(estimator, Promise())
    for rows in np.array_split(np.arange(3000), 3):
        here = some(rounds, rows)
        pair = Pair(here, replace(here, target=here.logged))
        part = Accumulator(compared(estimator), replicates=200)
        part.add(pair)
        total.merge(part)
        sequence.add(pair)
    once, ever = judge_pair(total), judge_pair(total, sequence=sequence)
    w, r = rounds.target / rounds.logged, rounds.reward
    assert once.difference.value == pytest.approx(float(((w - 1.0) * r).mean()))
    assert (ever.low, ever.high) == sequence.interval(0.95)
    assert ever.low < once.low < once.high < ever.high
    again = judge_pair(total)
    assert again.to_dict() == once.to_dict()
    assert judge_pair(total, margin=-9.0).promoted
    strict = judge_pair(total, margin=-9.0, least=Trust.YES)
    assert strict.promoted == (once.candidate.verdict.trust is Trust.YES)


def test_what_can_not_be_compared_is_refused() -> None:
    single = SHOP.outcomes(50, seed=1)
    with pytest.raises(UnknownEstimatorError, match="tuned for each policy"):
        promote(Tabled(BEST), Uniform(), [single], method="clipped-ips")
    assert promote(Tabled(BEST), Uniform(), [single], method="clipped-ips:5", replicates=5)
    table = Distribution(np.full((6, 1), 1 / 6))
    with pytest.raises(RecloopError, match="slates are filled by policies"):
        promote(table, Uniform(), [LOG])
    with pytest.raises(RecloopError, match="empty"):
        promote(Tabled(BEST), Uniform(), [])


def test_support_of_slates_is_measured_slot_by_slot() -> None:
    """A log that never shows item 2 in its second slot, and a policy that would."""
    kept = LOG.take(LOG.decisions.slates[:, 1] != 2)
    target = np.full((SHOP.segments, SHOP.items), 0.1)
    target[:, 2] = 0.5
    report = evaluate_slates(Tabled(target), [kept], estimators=["SIPS"], replicates=50)
    wanted = 0.0  # of the second slots, after whatever the log shows in the first
    for first in range(SHOP.items):
        share = (kept.decisions.slates[:, 0] == first).mean()
        wanted += share * (0.0 if first == 2 else 0.5 / (1.0 - target[0, first]))
    found = report["SIPS"].diagnostics.unsupported
    assert found == pytest.approx(wanted / 2.0, abs=0.02)
    assert "was never shown in the log" in "; ".join(report["SIPS"].verdict.reasons)
    whole = evaluate_slates(Tabled(target), [LOG], estimators=["SIPS"], replicates=50)
    assert whole["SIPS"].diagnostics.unsupported == 0.0
