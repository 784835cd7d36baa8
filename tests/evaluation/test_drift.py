"""The filter bubble as one number: late minus early, users resampled as wholes."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from agents.api import ShapeError
from evaluation import Accumulator, Dated, FaultyLogError, drift
from tests.evaluation.logs import keys


def lists(seed: int, users: int = 60, fall: float = 0.1) -> Dated:
    """Ten lists per user, each user with a diversity of its own that falls half way."""
    rng = np.random.default_rng(seed)
    late = np.tile(np.arange(10) >= 5, users)
    own = np.repeat(rng.normal(0.6, 0.2, size=users), 10)
    values = own - fall * late + 0.05 * rng.normal(size=10 * users)
    return Dated(values, late, np.repeat(keys(users, seed), 10))


def test_by_hand_and_in_any_chunks() -> None:
    given = lists(0)
    whole, parts = Accumulator(drift(), replicates=50), Accumulator(drift(), replicates=50)
    whole.add(given)
    for rows in np.array_split(np.arange(600), 7):
        parts.add(Dated(given.values[rows], given.late[rows], given.keys[rows]))
    early, late, fall = whole.results()
    assert early.value == pytest.approx(given.values[~given.late].mean(), rel=1e-12)
    assert late.value == pytest.approx(given.values[given.late].mean(), rel=1e-12)
    assert fall.value == pytest.approx(late.value - early.value, rel=1e-9)
    assert [e.estimator for e in (early, late, fall)] == [
        "early diversity",
        "late diversity",
        "diversity drift",
    ]
    for one, other in zip(whole.results(), parts.results(), strict=True):
        np.testing.assert_allclose(one.replicates, other.replicates, rtol=1e-10)


def test_intervals_hold_the_fall_and_are_paired_by_user() -> None:
    """Users differ by 0.2, their falls do not: the drift's interval knows only the latter."""
    hits, logs = 0, 100
    for seed in range(logs):
        accumulator = Accumulator(drift(), seed=seed, replicates=200)
        accumulator.add(lists(seed))
        early, _, fall = accumulator.results()
        hits += fall.low <= -0.1 <= fall.high
        assert fall.high - fall.low < 0.4 * (early.high - early.low)
    assert hits / logs > 0.95 - 3.0 * sqrt(0.95 * 0.05 / logs)


def test_what_does_not_fit_is_refused() -> None:
    good = lists(0)
    with pytest.raises(ShapeError, match="dated lists need"):
        Dated(good.values[:5], good.late, good.keys)
    values = good.values.copy()
    values[0] = np.nan
    with pytest.raises(FaultyLogError, match="value is NaN or infinite in row 0 "):
        Accumulator(drift()).add(Dated(values, good.late, good.keys))
