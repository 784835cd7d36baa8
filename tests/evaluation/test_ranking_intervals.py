"""Intervals of AUC, calibration, coverage, Gini and fairness: they cover, merge and cluster."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from agents.api import RecloopError, ShapeError
from evaluation import Exposure, Scores
from tests.evaluation.logs import keys

LOGS = 80
ERROR = 3.0 * sqrt(0.95 * 0.05 / LOGS)
LABELS = np.array([0, 0, 0, 1, 1, 1, 1, 1])


def shown(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    chances = np.array([0.4, 0.3, 0.15, 0.06, 0.04, 0.03, 0.015, 0.005])
    rng = np.random.default_rng([9, seed])
    return rng.choice(8, size=(n, 2), p=chances), keys(n, seed)


def scored(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng([8, seed])
    chance = rng.uniform(0.05, 0.6, size=n)
    return chance, (rng.random(n) < chance).astype(np.float64), keys(n, seed)


def test_gini_and_exposure_of_groups_are_covered() -> None:
    truth = Exposure(8)
    truth._given.add(np.array([0.4, 0.3, 0.15, 0.06, 0.04, 0.03, 0.015, 0.005]))
    hits = np.zeros(3)
    for seed in range(LOGS):
        exposure = Exposure(8, replicates=100)
        exposure.add(*shown(400, seed))
        low, high = exposure.interval(lambda e: e.gini)
        hits[0] += low <= truth.gini <= high
        low, high = exposure.interval(lambda e: e.by_group(LABELS))
        hits[1:] += (low <= truth.by_group(LABELS)) & (truth.by_group(LABELS) <= high)
    assert (np.abs(hits / LOGS - 0.95) < ERROR).all()


def test_coverage_of_the_catalogue_lies_in_its_interval_however_resamples_miss_items() -> None:
    exposure = Exposure(8, replicates=100)
    exposure.add(*shown(60, 3))
    low, high = exposure.interval(lambda e: e.coverage)
    assert low < exposure.coverage < high


def test_auc_is_covered() -> None:
    whole = Scores()
    chance, outcome, _ = scored(400_000, 0)
    whole.add(chance, outcome)
    truth, hits = whole.auc, 0
    for seed in range(1, LOGS + 1):
        scores = Scores(replicates=50)
        scores.add(*scored(400, seed))
        low, high = scores.interval(lambda s: s.auc)
        hits += low <= truth <= high
    assert abs(hits / LOGS - 0.95) < ERROR + 0.01  # 50 resamples know their spread to 10 %


def test_log_loss_and_calibration_have_intervals_too() -> None:
    scores = Scores(replicates=100)
    chance, outcome, row_keys = scored(2000, 1)
    scores.add(chance, outcome, row_keys)
    low, high = scores.interval(lambda s: s.log_loss)
    losses = -np.log(np.where(outcome == 1.0, chance, 1.0 - chance))
    expected = 2 * 1.96 * losses.std() / sqrt(2000)
    assert low < losses.mean() < high
    assert high - low == pytest.approx(expected, rel=0.3)
    low, high = scores.interval(lambda s: s.calibration_error(5))
    assert low < scores.calibration_error(5) < high


def test_parts_merge_and_rows_of_a_user_hang_together() -> None:
    slates, row_keys = shown(300, 1)
    whole, first, second = (Exposure(8, replicates=100) for _ in range(3))
    whole.add(slates, row_keys)
    first.add(slates[:100], row_keys[:100])
    second.add(slates[100:], row_keys[100:])
    second.merge(first)
    np.testing.assert_allclose(
        second.interval(lambda e: e.gini), whole.interval(lambda e: e.gini), rtol=1e-12
    )
    tenfold = Exposure(8, replicates=100)
    tenfold.add(np.repeat(slates, 10, axis=0), np.repeat(row_keys, 10))
    np.testing.assert_allclose(
        tenfold.interval(lambda e: e.gini), whole.interval(lambda e: e.gini), rtol=1e-12
    )


def test_what_intervals_need_is_told() -> None:
    slates, _ = shown(10, 1)
    with pytest.raises(RecloopError, match="replicates=200"):
        Exposure(8).interval(lambda e: e.gini)
    with pytest.raises(RecloopError, match="replicates=200"):
        Scores().interval(lambda s: s.auc)
    with pytest.raises(ShapeError, match="key of every slate"):
        Exposure(8, replicates=5).add(slates)
    with pytest.raises(ShapeError, match="key of every prediction"):
        Scores(replicates=5).add(np.array([0.5]), np.array([1.0]))
    with pytest.raises(RecloopError, match="merged"):
        Exposure(8, replicates=5).merge(Exposure(8))
    with pytest.raises(RecloopError, match="merged"):
        Scores(replicates=5).merge(Scores())
