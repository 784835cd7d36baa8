"""The gate says yes to what is better beyond doubt, and to nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
import pytest

import evaluation
from agents.api import RecloopError
from agents.simple import Uniform
from evaluation.evidence import Evidence, stated_pair
from evaluation.gate import Gate, promote
from evaluation.intervals.sequences import Promise
from evaluation.targets import Distribution
from evaluation.verdict import Trust
from tests.evaluation.logs import Shop, Tabled, cut

if TYPE_CHECKING:
    from agents.api import Floats, Requests, Rows
    from evaluation.evidence import Method

SHOP = Shop(base=0.2)
LOG = SHOP.outcomes(4000, seed=1)
BEST = np.where(SHOP.clicks == SHOP.clicks.max(axis=1, keepdims=True), 0.75, 0.05)
WORST = np.where(SHOP.clicks == SHOP.clicks.min(axis=1, keepdims=True), 0.75, 0.05)
LEAD = float(((BEST - SHOP.logging) * SHOP.clicks).sum(axis=1).mean())
METHODS: list[Method] = ["IPS", "SNIPS", "DR"]


@pytest.mark.parametrize("method", METHODS)
def test_better_is_promoted_worse_and_alike_are_not(method: Method) -> None:
    incumbent = Tabled(SHOP.logging)
    better = promote(Tabled(BEST), incumbent, cut(LOG, 900), method=method)
    assert better.promoted
    assert better.low < LEAD < better.high
    assert "above the margin" in better.reason
    assert not promote(Tabled(WORST), incumbent, [LOG], method=method).promoted
    alike = promote(incumbent, incumbent, [LOG], method=method)
    assert not alike.promoted
    assert alike.difference.value == pytest.approx(0.0, abs=1e-12)


def test_the_difference_is_paired() -> None:
    """The policies hardly differ: so does their difference, though both are noisy."""
    nearly = 0.9 * SHOP.target + 0.1 * SHOP.logging
    found = promote(Tabled(nearly), Tabled(SHOP.target), [LOG], method="IPS")
    single = found.candidate.high - found.candidate.low
    assert found.high - found.low < 0.2 * single
    expected = found.candidate.replicates - found.incumbent.replicates
    np.testing.assert_allclose(found.difference.replicates, expected, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_the_difference_by_hand(method: Method) -> None:
    found = promote(Tabled(BEST), Tabled(SHOP.target), [LOG], method=method)
    assert found.difference.value == pytest.approx(
        found.candidate.value - found.incumbent.value, rel=1e-9
    )
    alone = evaluation.evaluate(Tabled(SHOP.target), [LOG], estimators=[method])
    assert found.incumbent.value == pytest.approx(alone[method].value, rel=1e-9)
    assert found.incumbent.low == pytest.approx(alone[method].low, rel=1e-9)


def test_the_margin_must_be_cleared() -> None:
    found = promote(Tabled(BEST), Tabled(SHOP.logging), [LOG], margin=0.0)
    assert promote(Tabled(BEST), Tabled(SHOP.logging), [LOG], margin=found.low - 1e-6).promoted
    refused = promote(Tabled(BEST), Tabled(SHOP.logging), [LOG], margin=found.low + 1e-6)
    assert not refused.promoted
    assert "not all of it above the margin" in refused.reason


def test_what_can_not_be_trusted_is_not_promoted() -> None:
    """An item that the log never shows, and a candidate that shows little else."""
    kept = LOG.take(LOG.decisions.slates[:, 0] != 2)
    only = Distribution(np.array([[0.2, 0.0, 0.8, 0.0, 0.0, 0.0]]).T, "only")
    for candidate, incumbent, who in (
        (only, Uniform(), "candidate"),
        (Uniform(), only, "incumbent"),
    ):
        found = promote(candidate, incumbent, [kept], method="IPS", margin=-9.0)
        assert not found.promoted
        assert f"the estimate of the {who} says do not trust" in found.reason


def test_how_much_trust_is_needed_can_be_said() -> None:
    few = LOG.take(np.arange(1200))
    careful = promote(Tabled(BEST), Tabled(SHOP.logging), [few], method="IPS", margin=-9.0)
    assert careful.promoted
    assert careful.candidate.verdict.trust == "trust with care"
    strict = promote(
        Tabled(BEST), Tabled(SHOP.logging), [few], method="IPS", margin=-9.0, least=Trust.YES
    )
    assert not strict.promoted


@pytest.mark.parametrize("promise", [None, Promise()])
def test_gates_merge(promise: Promise | None) -> None:
    def gate() -> Gate:
        return Gate(
            Tabled(BEST), Tabled(SHOP.logging), method="IPS", promise=promise, replicates=40
        )

    whole, first, second = gate(), gate(), gate()
    whole.add(LOG)
    first.add(LOG.take(np.arange(1000)))
    second.add(LOG.take(np.arange(1000, 4000)))
    second.merge(first)
    one, other = whole.judge(), second.judge()
    np.testing.assert_allclose((one.low, one.high), (other.low, other.high), rtol=1e-9)
    assert one.candidate.diagnostics.unsupported == other.candidate.diagnostics.unsupported


def test_a_gate_that_is_asked_again_and_again_lets_no_equal_through() -> None:
    """Two equal policies, asked after every 250 rounds: at 80 %, one in ten logs may slip by."""
    logs, slipped = 40, 0
    other = SHOP.logging[:, ::-1]
    clicks = np.full_like(SHOP.clicks, 0.2)
    shop = Shop(base=0.2)
    shop.__dict__["clicks"] = clicks
    for seed in range(logs):
        gate = Gate(
            Tabled(other),
            Tabled(shop.logging),
            method="IPS",
            promise=Promise(),
            level=0.8,
            replicates=4,
        )
        for chunk in cut(shop.outcomes(1000, seed), 250):
            gate.add(chunk)
            if gate.judge(least=Trust.NO).promoted:
                slipped += 1
                break
    assert slipped / logs < 0.1 + 3.0 * sqrt(0.1 * 0.9 / logs)


def test_with_a_promise_the_interval_is_the_sequences() -> None:
    found = promote(Tabled(BEST), Tabled(SHOP.logging), [LOG], method="IPS", promise=Promise())
    assert found.low < found.difference.low < found.difference.high < found.high
    with pytest.raises(RecloopError, match="independent"):
        promote(Tabled(BEST), Uniform(), [LOG], method="IPS", promise=Promise(), unit="user")
    with pytest.raises(RecloopError, match="with a promise and one without"):
        Gate(Uniform(), Uniform(), method="IPS").merge(
            Gate(Uniform(), Uniform(), method="IPS", promise=Promise())
        )


def test_it_is_json_and_tells_progress() -> None:
    told: list[tuple[str, int]] = []
    found = promote(
        Tabled(BEST), Uniform(), cut(LOG, 2000), progress=lambda *what: told.append(what)
    )
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["promoted"] is True
    assert told == [("read rewards", 2000)] * 2 + [("compare", 2000)] * 2


def test_public_names_are_there_and_no_others() -> None:
    for name in evaluation.__all__:
        assert getattr(evaluation, name) is not None
    assert dir(evaluation) == sorted(evaluation.__all__)
    with pytest.raises(AttributeError, match="magic"):
        evaluation.magic  # noqa: B018


def test_replacing_changes_nothing_in_the_log() -> None:
    before = LOG.decisions.propensities.copy()
    promote(Tabled(BEST), Uniform(), [replace(LOG)], method="SNIPS", replicates=4)
    np.testing.assert_array_equal(LOG.decisions.propensities, before)


def test_a_model_that_leaves_the_promised_range_is_kept_in_it() -> None:
    class Wild:
        def expected(self, requests: Requests, rows: Rows) -> Floats:
            return np.where(rows % 2 == 0, -3.0, 5.0)

    found = promote(
        Tabled(BEST), Tabled(SHOP.logging), [LOG], promise=Promise(), reward_model=Wild()
    )
    assert found.low < LEAD < found.high


def test_evidence_of_stated_propensities_is_the_gates() -> None:
    """A live loop has no policy to ask: it logged what the policies said."""
    promise = Promise(0.0, 1.0, 10.0)
    gate = Gate(Tabled(BEST), Tabled(SHOP.logging), method="SNIPS", promise=promise)
    evidence = [Evidence(method="SNIPS", promise=promise) for _ in range(2)]
    for n, part in enumerate(cut(LOG, 900)):
        gate.add(part)
        slates = part.decisions.slates
        best, old = (Tabled(t).propensities(part.requests, slates) for t in (BEST, SHOP.logging))
        rewards = part.rewards.astype(np.float64)
        keys = part.requests.keys
        evidence[n % 2].add(stated_pair(rewards, part.decisions.propensities, best, old, keys))
    evidence[0].merge(evidence[1])
    mine, theirs = evidence[0].judge(0.01), gate.judge(0.01)
    assert evidence[0].rounds == gate.rounds
    assert mine.promoted == theirs.promoted
    assert mine.low == pytest.approx(theirs.low, rel=1e-9)
    assert mine.high == pytest.approx(theirs.high, rel=1e-9)
