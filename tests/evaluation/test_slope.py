"""SLOPE: the choice itself, that it follows noise and bias, and that it is made anew each time."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from evaluation.accumulate import Accumulator
from evaluation.chunks.rounds import Rounds
from evaluation.estimators.names import named
from evaluation.estimators.slope import choose
from evaluation.report import Estimate
from tests.evaluation.logs import Shop, keys, some


def by_hand(values: list[float], spreads: list[float], rows: int) -> int:
    widths = [norm.ppf(0.975) * spread / sqrt(rows) for spread in spreads]
    for i in range(1, len(values)):
        for j in range(i):
            if abs(values[i] - values[j]) > widths[i] + (sqrt(6) - 1) * widths[j]:
                return i - 1
    return len(values) - 1


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 5)), min_size=1, max_size=6))
def test_the_last_candidate_that_agrees_with_all_before_it(
    pairs: list[tuple[float, float]],
) -> None:
    values, spreads = (list(column) for column in zip(*pairs, strict=True))
    chosen = choose(np.array(values), np.array(spreads), np.array(50.0))
    assert int(chosen) == by_hand(values, spreads, 50)
    tiled = choose(
        np.repeat(np.array(values)[:, None], 3, axis=1),
        np.repeat(np.array(spreads)[:, None], 3, axis=1),
        np.full(3, 50.0),
    )
    assert (tiled == chosen).all()


def tuned(rounds: Rounds, name: str) -> Estimate:
    accumulator = Accumulator(named([name]), replicates=200)
    accumulator.add(rounds)
    return accumulator.results()[0]


def heavy(n: int, share: float, seed: int = 0) -> Rounds:
    """Clicks of 30 % everywhere, but never in the rounds, a share of them, that weigh 200."""
    rng = np.random.default_rng(seed)
    large = rng.random(n) < share
    logged = np.where(large, 0.002, 0.5)
    target = np.where(large, 0.4, 0.5)
    reward = np.where(large, 0.0, rng.random(n) < 0.3).astype(np.float64)
    return Rounds(reward, logged, target, keys(n, seed))


def test_a_log_without_large_weights_is_not_tamed_to_a_bias() -> None:
    log = Shop(base=0.3).rounds(20_000, seed=1)
    truth = Shop(base=0.3).truth
    estimate = tuned(log, "clipped-ips")
    assert abs(estimate.value - truth) < 0.03 * truth


def test_noise_is_traded_for_bias_that_is_smaller() -> None:
    """A few rounds of large weights, without reward: clipping costs nothing and is chosen."""
    estimate = tuned(heavy(5_000, 0.002), "clipped-ips")
    assert estimate.estimator != "Clipped-IPS (untamed)"


def test_the_parameter_is_chosen_anew_for_every_target() -> None:
    chosen = {
        tuned(rounds, "clipped-ips").estimator
        for rounds in (heavy(5_000, 0.002), Shop(base=0.3, seed=4).rounds(50_000, seed=1))
    }
    assert len(chosen) == 2


def test_the_interval_is_that_of_the_untamed_candidate() -> None:
    """SLOPE lets the estimate be biased by about the width of its interval."""
    log = Shop(base=0.3).rounds(500, seed=2)
    estimate, untamed = tuned(log, "clipped-ips"), tuned(log, "ips")
    assert (estimate.low, estimate.high) == (untamed.low, untamed.high)
    assert estimate.low <= estimate.value <= estimate.high
    assert estimate.diagnostics.effective_size == untamed.diagnostics.effective_size
    w = log.target / log.logged
    assert estimate.estimator == "Clipped-IPS:1"
    assert estimate.diagnostics.tamed == pytest.approx(1 - np.minimum(w, 1).mean() / w.mean())
    assert "of all weight is cut away" in estimate.verdict.reasons[-1]
    assert tuned(log, "clipped-ips:1000").diagnostics.tamed == untamed.diagnostics.tamed == 0.0


def test_the_replicates_hold_the_choosing_too() -> None:
    """Some resamples choose otherwise: their replicates are of another candidate."""
    log = Shop(base=0.3).rounds(500, seed=2)
    estimate = tuned(log, "clipped-ips")
    fixed = tuned(log, estimate.estimator)
    assert fixed.value < estimate.low == estimate.value  # moved to the honest interval's end
    assert (estimate.replicates != fixed.replicates).any()


def test_chunks_do_not_matter() -> None:
    log = Shop(base=0.3).rounds(2_000, seed=1)
    parts = Accumulator(named(["switch-dr"]), replicates=200)
    for part in np.array_split(np.arange(2_000), 7):
        parts.add(some(log, part))
    np.testing.assert_allclose(
        parts.results()[0].replicates, tuned(log, "switch-dr").replicates, rtol=1e-12
    )
