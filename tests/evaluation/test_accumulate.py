"""Chunking and merging change nothing, and faulty chunks count for nothing."""

from __future__ import annotations

from math import fsum

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.api import RecloopError
from evaluation.accumulate import Accumulator
from evaluation.chunks.checks import FaultyLogError
from evaluation.chunks.rounds import Rounds
from evaluation.estimators.names import named
from evaluation.report import Estimate
from tests.evaluation.logs import Shop, some

ALL = ("IPS", "SNIPS", "DM", "DR")
LOG = Shop().rounds(3000, seed=5)


def accumulate(rounds: Rounds, cuts: list[int], seed: int = 0) -> Accumulator[Rounds]:
    accumulator = Accumulator(named(ALL), seed=seed, replicates=40)
    for part in np.split(np.arange(len(rounds.reward)), sorted(cuts)):
        accumulator.add(some(rounds, part))
    return accumulator


def assert_same(first: tuple[Estimate, ...], second: tuple[Estimate, ...]) -> None:
    for one, other in zip(first, second, strict=True):
        assert one.estimator == other.estimator
        for name in ("value", "low", "high", "replicates"):
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-12)
        assert one.verdict.trust == other.verdict.trust
        assert one.diagnostics.clusters == other.diagnostics.clusters
        assert one.diagnostics.effective_size == pytest.approx(
            other.diagnostics.effective_size, rel=1e-12
        )


WHOLE = accumulate(LOG, []).results()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 3000), max_size=6))
def test_chunks_change_nothing(cuts: list[int]) -> None:
    assert_same(accumulate(LOG, cuts).results(), WHOLE)


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(5)))
def test_order_and_merging_change_nothing(order: list[int]) -> None:
    rows = np.arange(3000)
    np.random.default_rng(order).shuffle(rows)
    parts = [accumulate(some(LOG, part), [100]) for part in np.array_split(rows, 5)]
    total = Accumulator(named(ALL), replicates=40)
    for at in order:
        total.merge(parts[at])
    assert_same(total.results(), WHOLE)


def test_merging_is_associative_from_the_right_too() -> None:
    first, second, third = (accumulate(some(LOG, p), []) for p in np.split(np.arange(3000), 3))
    second.merge(third)
    first.merge(second)
    assert_same(first.results(), WHOLE)


def test_sums_keep_what_plain_sums_lose() -> None:
    n = 20_000
    rng = np.random.default_rng(0)
    reward = rng.normal(size=n) * 10.0 ** rng.integers(-6, 9, size=n)
    log = Rounds(reward, np.full(n, 0.5), np.full(n, 0.5), np.arange(n, dtype=np.uint64))
    accumulator = Accumulator(named(["IPS"]), replicates=4)
    for part in np.array_split(np.arange(n), 2000):
        accumulator.add(some(log, part))
    assert accumulator.results()[0].value == pytest.approx(fsum(reward.tolist()) / n, rel=1e-12)


def test_other_settings_do_not_merge() -> None:
    mine = Accumulator(named(["IPS"]), replicates=40)
    for other in (
        Accumulator(named(["DR"]), replicates=40),
        Accumulator(named(["IPS"]), replicates=40, seed=1),
        Accumulator(named(["IPS"]), replicates=44),
        Accumulator(named(["IPS"]), replicates=40, level=0.9),
    ):
        with pytest.raises(RecloopError, match="merged"):
            mine.merge(other)


def test_rows_are_numbered_over_chunks_and_a_faulty_chunk_counts_for_nothing() -> None:
    accumulator = accumulate(LOG, [])
    bad = some(LOG, np.arange(20))
    bad.logged[[3, 7]] = 0.0
    bad.reward[5] = np.nan
    with pytest.raises(FaultyLogError, match=r"zero in rows 3003, 3007\b.*") as caught:
        accumulator.add(bad)
    assert "reward is NaN or infinite in row 3005" in str(caught.value)
    assert_same(accumulator.results(), WHOLE)


def test_an_empty_log_has_no_result() -> None:
    accumulator = Accumulator(named(["IPS"]))
    with pytest.raises(RecloopError, match="empty"):
        accumulator.results()
    accumulator.add(some(LOG, np.arange(0)))
    with pytest.raises(RecloopError, match="empty"):
        accumulator.results()


def test_clusters_are_counted() -> None:
    for distinct in (1, 17, 255):
        shared = Rounds(LOG.reward, LOG.logged, LOG.target, LOG.keys[np.arange(3000) % distinct])
        accumulator = Accumulator(named(["IPS"]), replicates=4)
        accumulator.add(shared)
        assert accumulator.results()[0].diagnostics.clusters == distinct
    assert WHOLE[0].diagnostics.clusters == pytest.approx(3000, rel=0.2)
