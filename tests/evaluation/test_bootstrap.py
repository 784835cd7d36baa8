"""The resampling counts are Poisson(1) and belong to keys; the intervals cover what they say."""

from __future__ import annotations

from math import exp, factorial, sqrt

import numpy as np
import pytest

from evaluation.accumulate import Accumulator
from evaluation.chunks.rounds import Rounds
from evaluation.estimators.names import named
from evaluation.intervals.bootstrap import percentile, resample, studentised
from tests.evaluation.logs import Shop, keys


def counts(row_keys: np.ndarray, seed: int = 0, replicates: int = 400) -> np.ndarray:
    """Each row's counts [n, R]: the term of row i alone is 1."""
    n = len(row_keys)
    return resample(np.eye(n), row_keys, seed, replicates)[1:]


def test_counts_are_poisson_of_mean_one() -> None:
    found = counts(keys(500, 0))
    n = found.size
    for k in range(6):
        chance = exp(-1.0) / factorial(k)
        assert abs((found == k).mean() - chance) < 4.0 * sqrt(chance / n) + 0.5 / 4096
    assert found.max() == 6
    assert abs(found.mean() - 1.0) < 4.0 / sqrt(n)
    assert abs(found.var() - 1.0) < 4.0 * sqrt(3.0 / n)


def test_rows_and_replicates_are_independent() -> None:
    found = counts(keys(300, 0), replicates=400) - 1.0
    for other in (found[1:] * found[:-1], found[:, 1:] * found[:, :-1]):
        assert abs(other.mean()) < 4.0 / sqrt(other.size)


def test_counts_are_a_function_of_key_seed_and_replicate() -> None:
    row_keys = keys(50, 0)
    whole = counts(row_keys)
    np.testing.assert_array_equal(counts(row_keys[::-1].copy())[::-1], whole)
    np.testing.assert_array_equal(counts(row_keys, replicates=40), whole[:, :40])
    assert (counts(row_keys, seed=1) != whole).any(axis=1).all()


def test_rows_of_one_key_are_resampled_together() -> None:
    twins = np.repeat(keys(20, 0), 2)
    found = counts(twins)
    np.testing.assert_array_equal(found[::2], found[1::2])


def test_replicates_are_what_the_counts_make_of_the_rows() -> None:
    """SNIPS normalises within the resample: sum c w r / sum c w."""
    log = Shop().rounds(300, seed=2)
    accumulator = Accumulator(named(["IPS", "SNIPS"]), replicates=100, seed=9)
    accumulator.add(log)
    ips, snips = accumulator.results()
    c, w = counts(log.keys, seed=9, replicates=100), log.target / log.logged
    np.testing.assert_allclose(ips.replicates, (c.T @ (w * log.reward)) / c.sum(axis=0))
    np.testing.assert_allclose(snips.replicates, (c.T @ (w * log.reward)) / (c.T @ w))


def test_studentised_intervals_measure_each_replicate_by_its_own_spread() -> None:
    rng = np.random.default_rng(0)
    replicates, spreads = rng.normal(2.0, 0.1, size=999), rng.uniform(0.5, 1.5, size=999)
    low, high = studentised(2.0, 3.0, replicates, spreads, 0.9)
    t = np.sort((replicates - 2.0) / spreads)
    assert low == pytest.approx(2.0 - 3.0 * t[949])  # the 950th of 999 has 95 % below it
    assert high == pytest.approx(2.0 - 3.0 * t[49])
    assert low < 2.0 < high


def test_there_is_no_interval_without_spread_and_none_around_nan() -> None:
    assert studentised(2.0, 0.0, np.full(8, 2.0), np.zeros(8), 0.95) == (2.0, 2.0)
    assert all(np.isnan(studentised(np.nan, 1.0, np.full(8, np.nan), np.ones(8), 0.95)))
    assert all(np.isnan(percentile(np.full(8, np.nan), 0.95)))


LOGS = 400
NOISE = 3.0 * sqrt(0.95 * 0.05 / LOGS)
"""Three standard errors of a coverage of 95 % found on that many logs."""


def covered(shop: Shop, n: int, logs: int = LOGS) -> dict[str, float]:
    names = ["IPS", "SNIPS", "DR"]
    hits = dict.fromkeys(names, 0)
    for seed in range(logs):
        accumulator = Accumulator(named(names), seed=seed, replicates=400)
        accumulator.add(shop.rounds(n, seed))
        for estimate in accumulator.results():
            hits[estimate.estimator] += estimate.low <= shop.truth <= estimate.high
    return {name: count / logs for name, count in hits.items()}


@pytest.mark.parametrize("base", [0.01, 0.2], ids=["rare clicks", "frequent clicks"])
def test_intervals_of_95_percent_cover_95_percent(base: float) -> None:
    for share in covered(Shop(base=base), 1500).values():
        assert 0.95 - NOISE < share < 0.95 + NOISE


def test_clusters_widen_the_interval_as_much_as_they_should() -> None:
    """A log in which every round stands ten times is no better than the log itself."""
    log = Shop(base=0.2).rounds(400, seed=1)
    again = np.repeat(np.arange(400), 10)
    tenfold = Rounds(log.reward[again], log.logged[again], log.target[again], log.keys[again])
    widths = []
    for rounds in (log, tenfold):
        accumulator = Accumulator(named(["IPS", "SNIPS"]), replicates=400)
        accumulator.add(rounds)
        widths.append([e.high - e.low for e in accumulator.results()])
    np.testing.assert_allclose(widths[0], widths[1], rtol=1e-9)
