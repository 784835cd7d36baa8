"""A log in shards says what it says as a whole, whoever sums them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from joblib import parallel_config
from river.linear_model import LogisticRegression

from agents.api import Outcomes, RecloopError
from agents.simple import Uniform
from evaluation import ShardError, Shards, evaluate, evaluate_slates, promote
from simulators import Log, LogWriter
from tests.evaluation.logs import Shop, Tabled, cut

SHOP = Shop(base=0.2)
LOG = SHOP.outcomes(3000, seed=1)
NAMES = ("IPS", "SNIPS", "DR", "Switch-DR", "MRDR")


def same(shards: Sequence[Iterable[Outcomes]], jobs: int | None) -> None:
    whole = evaluate(Uniform(), [LOG], estimators=NAMES, replicates=50)
    found = evaluate(Uniform(), Shards(shards, jobs), estimators=NAMES, replicates=50)
    for one, other in zip(whole.estimates, found.estimates, strict=True):
        assert other.value == pytest.approx(one.value, rel=1e-12)
        assert (other.low, other.high) == pytest.approx((one.low, one.high), rel=1e-12)
        assert other.verdict == one.verdict
        assert other.diagnostics.unsupported == pytest.approx(one.diagnostics.unsupported)


def test_here() -> None:
    same([cut(part, 200) for part in cut(LOG, 1100)], None)


def test_in_other_processes() -> None:
    with parallel_config(backend="loky"):
        same([[part] for part in cut(LOG, 1100)], 2)


def test_parquet_shards(tmp_path: Path) -> None:
    for at, part in enumerate(cut(LOG, 1100)):
        with LogWriter(tmp_path / str(at)) as writer:
            writer.write(part)
    shards = [Log(folder) for folder in sorted(tmp_path.iterdir())]
    assert len(shards) == 3
    same(shards, 2)


def test_more_shards_than_are_summed_at_once() -> None:
    same([[part] for part in cut(LOG, 30)], None)


def test_slates_and_the_gate_are_read_in_shards_too() -> None:
    parts = Shards([[part] for part in cut(LOG, 700)], 2)
    names = ("SIPS", "SNRIPS")
    whole = evaluate_slates(Uniform(), [LOG], estimators=names, replicates=50)
    found = evaluate_slates(Uniform(), parts, estimators=names, replicates=50)
    for one, other in zip(whole.estimates, found.estimates, strict=True):
        assert (other.value, other.low) == pytest.approx((one.value, one.low), rel=1e-12)
    target = Tabled(SHOP.target)
    lead, again = promote(target, Uniform(), [LOG]), promote(target, Uniform(), parts)
    assert (again.low, again.high) == pytest.approx((lead.low, lead.high), rel=1e-9)
    assert again.reason == lead.reason


def test_confidence_sequences_are_merged() -> None:
    def ends(log: Iterable[Outcomes]) -> list[float]:
        names = ("IPS", "SNIPS", "DR")
        report = evaluate(
            Uniform(), log, estimators=names, interval="sequence", bounds=(0.0, 1.0), replicates=5
        )
        return [end for e in report.estimates for end in (e.low, e.high)]

    assert ends(Shards([[part] for part in cut(LOG, 700)])) == pytest.approx(ends([LOG]), rel=1e-9)


def test_a_faulty_shard_is_named() -> None:
    first, second = cut(LOG, 1500)
    propensities = second.decisions.propensities.copy()
    propensities[7] = -0.1
    faulty = replace(second, decisions=replace(second.decisions, propensities=propensities))
    with pytest.raises(ShardError, match=r"shard 1: .* negative in row 7 "):
        evaluate(Uniform(), Shards([[first], [faulty]]), estimators=["IPS"], replicates=5)


def test_progress_is_told_by_shards() -> None:
    told: list[int] = []
    evaluate(
        Uniform(),
        Shards([[part] for part in cut(LOG, 1300)]),
        estimators=["IPS"],
        replicates=5,
        progress=lambda what, rows: told.append(rows),
    )
    assert told == [1300, 1300, 400]


def test_what_can_not_be_read_side_by_side_is_refused() -> None:
    with pytest.raises(RecloopError, match="in the order of the log"):
        evaluate(Uniform(), Shards([[LOG]]), reward_model=LogisticRegression())
    with pytest.raises(RecloopError, match="more than once"):
        Shards([iter([LOG])])
    with pytest.raises(RecloopError, match="no round to evaluate"):
        evaluate(Uniform(), Shards([]), estimators=["IPS"])
    found = evaluate(Uniform(), Shards([[LOG], []]), replicates=5)
    assert np.isfinite(found["IPS"].value)
