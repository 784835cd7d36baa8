"""The fast normal is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from agents.jit import compiled
from simulators.draws import clip, normal

if TYPE_CHECKING:
    from agents.api import Floats


@compiled
def _fill(start: np.uint64, out: Floats) -> None:
    for i in range(len(out)):
        out[i] = normal(start, i)


def drawn(start: int, count: int) -> Floats:
    out = np.empty(count)
    _fill(np.uint64(start), out)
    return out


def test_draws_are_standard_normal() -> None:
    draws = drawn(7, 1_000_000)
    assert stats.kstest(draws, "norm").pvalue > 1e-3
    for power, expected, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        gap = (draws**power).mean() - expected
        assert abs(gap) < 4 * np.sqrt(variance / len(draws)), power


def test_the_tails_are_as_heavy_as_they_must_be() -> None:
    draws = np.abs(drawn(8, 2_000_000))
    for beyond in (2.0, 3.0, 3.6541528853610088, 4.0):
        expected = 2 * stats.norm.sf(beyond) * len(draws)
        assert abs((draws > beyond).sum() - expected) < 4 * np.sqrt(expected), beyond


def test_bins_hold_what_the_density_gives() -> None:
    """The boxes' edges leave no seam: chi-square over bins narrower than the boxes."""
    edges = np.linspace(-4, 4, 401)
    draws = drawn(9, 1_000_000)
    found = np.histogram(draws, edges)[0]
    expected = np.diff(stats.norm.cdf(edges)) * len(draws)
    statistic = ((found - expected) ** 2 / expected).sum()
    assert stats.chi2.sf(statistic, len(expected)) > 1e-3


def test_neighbouring_draws_and_streams_are_unrelated() -> None:
    first, second = drawn(1, 200_000), drawn(2, 200_000)
    for other in (second, np.roll(first, 1)):
        assert abs(np.corrcoef(first, other)[0, 1]) < 4 / np.sqrt(len(first))


def test_a_draw_is_a_function_of_stream_and_counter() -> None:
    assert np.array_equal(drawn(5, 50), drawn(5, 80)[:50])


def test_clip() -> None:
    assert [clip(x, -1.0, 1.0) for x in (-3.0, 0.5, 2.0)] == [-1.0, 0.5, 1.0]
