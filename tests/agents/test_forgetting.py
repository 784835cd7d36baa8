"""Sums that fade, against weights computed observation by observation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import OptionError
from agents.forgetting import Memory, Sums, merged
from tests.agents.support import catalogue, requests

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats

OPTIONS = st.sampled_from([{}, {"half_life": 4.0}, {"window": 4.0}])
SECONDS = st.lists(st.floats(-30, 30), min_size=1, max_size=30)


def weights(
    times: NDArray[np.int64], now: int, half_life: float = 0.0, window: float = 0.0
) -> Floats:
    """Return every observation's weight by the definition, with ticks in whole milliseconds."""
    if not half_life and not window:
        return np.ones(len(times))
    length = (half_life or window) * 1000 / 8
    age = np.floor(now / length) - np.floor(times / length)
    return np.exp2(-age / 8) if half_life else np.where(age < 8, 1.0, 0.0)


@given(OPTIONS, SECONDS, st.integers(0, 10**6))
def test_sums_are_weighted_by_age_whatever_the_order(
    options: dict[str, float], seconds: list[float], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    times = np.array([int(s * 1000) for s in seconds])
    keys, rows = rng.integers(0, 3, len(times)).astype(np.uint64), rng.normal(size=(len(times), 2))
    sums, pieces = (Sums({"a": 1, "b": 1}, Memory(**options)) for _ in range(2))
    sums.add(keys, rows, times)
    for t in range(len(times)):
        pieces.add(keys[t : t + 1], rows[t : t + 1], times[t : t + 1])
    for name, array in sums.state().items():
        np.testing.assert_array_equal(array, pieces.state()[name])
    w = weights(times, times.max(), **options)
    for arm, key in enumerate(sums.arms.keys):
        expected = (w[keys == key, None] * rows[keys == key]).sum(axis=0)
        np.testing.assert_allclose(sums.now()[arm], expected, rtol=1e-12, atol=1e-12)
    asked = requests(catalogue(4), [[0, 1, 2, 3]])
    asked.items.keys[:] = np.arange(4)
    found = sums.of(asked)[0]
    for key in range(4):
        expected = (w[keys == key, None] * rows[keys == key]).sum(axis=0)
        np.testing.assert_allclose(found[key], expected, rtol=1e-12, atol=1e-12)


@given(OPTIONS, SECONDS, st.integers(0, 10**6))
def test_partitions_add_up_to_the_whole(
    options: dict[str, float], seconds: list[float], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    times = np.array([int(s * 1000) for s in seconds])
    keys, rows = rng.integers(0, 3, len(times)).astype(np.uint64), rng.normal(size=(len(times), 3))
    part = rng.integers(0, 2, len(times))
    whole, *parts = (Sums({"a": 2, "b": 1}, Memory(**options)) for _ in range(3))
    whole.add(keys, rows, times)
    for p, sums in enumerate(parts):
        sums.add(keys[part == p], rows[part == p], times[part == p])
    together = Sums({"a": 2, "b": 1}, Memory(**options))
    together.load(merged([sums.state() for sums in parts], ("a", "b")))
    assert together.clock == whole.clock
    found = dict(zip(together.arms.keys.tolist(), together.now(), strict=True))
    for key, expected in zip(whole.arms.keys.tolist(), whole.now(), strict=True):
        np.testing.assert_allclose(found[key], expected, rtol=1e-12, atol=1e-12)


def test_what_nobody_could_mean_is_refused() -> None:
    for wrong in ({"half_life": 1.0, "window": 1.0}, {"half_life": -1.0}, {"window": np.inf}):
        with pytest.raises(OptionError):
            Memory(**wrong)
