"""A world fitted to a log is the law that the log was made by, and admits where it is not."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from agents import Catalogue, Outcomes, Uniform
from simulators import (
    Fidelity,
    FitError,
    LoggedWorld,
    WorldError,
    load_obd,
    regression,
    rollout,
    summarise,
)
from simulators.clicks import Blocks, Recipe, search
from simulators.fidelity import area
from simulators.impressions import Impressions
from simulators.regression import ridge
from tests.simulators.support import Truth, seeds, small_logged

if TYPE_CHECKING:
    from agents.api import Floats


@pytest.fixture(scope="module")
def truth() -> Truth:
    return Truth.drawn()


@pytest.fixture(scope="module")
def world(truth: Truth) -> LoggedWorld:
    return LoggedWorld.fit(truth.log(4000), seed=0)


def true_chances(truth: Truth, log: Outcomes) -> Floats:
    return np.array(
        [
            [truth.chance(context, int(item), k) for k, item in enumerate(slate)]
            for context, slate in zip(log.requests.context, log.decisions.slates, strict=True)
        ]
    )


def test_it_recovers_the_law_of_the_clicks(truth: Truth, world: LoggedWorld) -> None:
    fresh = truth.log(1500, seed=99)
    right = true_chances(truth, fresh)
    found = world.expected(fresh.requests, fresh.decisions.slates)
    constant = np.abs(right - right.mean()).mean()
    assert np.abs(found - right).mean() < 0.15 * constant
    assert np.corrcoef(found.ravel(), right.ravel())[0, 1] > 0.98
    assert np.allclose(np.diff(world.model.positions), -0.7, atol=0.25)


def test_its_report_says_so(truth: Truth, world: LoggedWorld) -> None:
    report = world.fidelity
    assert report is not None
    assert report.trustworthy
    assert "calibrated as far as the log can tell" in report.verdict
    assert report.impressions == 12_000
    assert report.model > report.items_only > report.constant
    assert report.gain == pytest.approx(report.model - report.constant)
    assert sum(b.impressions for b in report.by_position) == 12_000
    assert sum(b.clicks for b in report.by_decile) == report.clicks
    for b in report.by_position + report.by_decile:
        assert abs(b.clicks - b.predicted) < 4 * b.se
    assert {"item", "position", "products"} <= set(report.recipe.spreads)
    assert Fidelity.from_dict(json.loads(json.dumps(report.to_dict()))) == report


def test_held_out_gain_is_near_what_the_truth_would_gain(truth: Truth, world: LoggedWorld) -> None:
    log = truth.log(4000)
    clicks, right = log.rewards.astype(np.float64), true_chances(truth, log)
    rate = clicks.mean()
    best = (clicks * np.log(right) + (1 - clicks) * np.log(1 - right)).sum()
    best -= (clicks * np.log(rate) + (1 - clicks) * np.log(1 - rate)).sum()
    assert world.fidelity is not None
    assert 0.9 * best < world.fidelity.gain < 1.05 * best


def test_users_are_the_logs_with_their_frequencies(truth: Truth, world: LoggedWorld) -> None:
    world.reset(seeds(4000))
    contexts = world.requests().context
    log = truth.log(4000).requests.context
    assert {tuple(c) for c in contexts} <= {tuple(c) for c in log}
    for d in range(2):
        gap = contexts[:, d].mean() - log[:, d].mean()
        assert abs(gap) < 4 * log[:, d].std() / np.sqrt(4000)
    world.respond(Uniform().decide(world.requests()))
    assert np.array_equal(world.requests().context, contexts)


def test_clicks_come_as_often_as_expected() -> None:
    world = small_logged()
    world.reset(seeds(500))
    summary = summarise(rollout(world, Uniform(), 20))
    gap = summary.per_visit.mean - summary.expected_per_visit.mean
    assert abs(gap) < 4 * summary.per_visit.se


def test_a_log_that_says_nothing_is_not_trusted() -> None:
    noise = Truth.drawn(spread=0.0)
    flat = replace(noise, taste=np.zeros((2, 2)), drop=np.zeros(3))
    log = flat.log(700)
    rng = np.random.default_rng(0)
    log = replace(log, rewards=(rng.random(log.rewards.shape) < 0.02).astype(np.float32))
    world = LoggedWorld.fit(log)
    assert world.fidelity is not None
    assert not world.fidelity.trustworthy
    assert "too small" in world.fidelity.verdict
    assert np.ptp(world.model.weights[:, 0]) > 0  # and its items are not all the same


def test_a_model_that_is_off_is_called_uncalibrated(world: LoggedWorld) -> None:
    assert world.fidelity is not None
    first, *rest = world.fidelity.by_decile
    off = replace(first, predicted=first.clicks + 6 * first.se)
    report = replace(world.fidelity, by_decile=(off, *rest))
    assert not report.trustworthy
    assert "not calibrated (decile 1)" in report.verdict


def test_an_earlier_period_is_believed_as_far_as_it_helps() -> None:
    truth = Truth.drawn(items=12, spread=1.5)
    seen = Impressions.of(truth.log(500))
    shuffled = truth.bias[np.random.default_rng(1).permutation(12)]
    right, wrong = (
        search(Blocks(seen, prior), np.random.default_rng(0)) for prior in (truth.bias, shuffled)
    )
    assert right.strength >= 0.5
    assert wrong.strength <= 0.25


def test_an_earlier_period_needs_clicks_and_misses_of_every_item(truth: Truth) -> None:
    for prior in ((np.ones(3), np.ones(3)), (np.zeros(6), np.ones(6))):
        with pytest.raises(FitError, match="each of the 6 items"):
            LoggedWorld.fit(truth.log(50), prior=prior)


def test_the_real_log_is_too_small_and_the_report_admits_it() -> None:
    log = load_obd("random", "all")
    seen = Impressions.of(log)
    assert seen.clicks.sum() == 38
    assert len(seen.contexts) == len(np.unique(log.requests.users))
    assert seen.counts.sum() == 10_000


def test_the_same_seed_fits_the_same_world(truth: Truth) -> None:
    log = truth.log(150)
    one, other = LoggedWorld.fit(log, seed=3), LoggedWorld.fit(log, seed=3)
    assert np.array_equal(one.model.weights, other.model.weights)
    assert one.fidelity == other.fidelity


def test_chunks_are_fitted_as_the_whole(truth: Truth) -> None:
    log = truth.log(300)
    parts = [log.take(np.arange(100)), log.take(np.arange(100, 300))]
    one, other = Impressions.of(log), Impressions.of(parts)
    for field in ("contexts", "counts", "context", "items", "positions", "clicks"):
        assert np.array_equal(getattr(one, field), getattr(other, field))
    unseen = replace(log, seen=np.zeros_like(log.seen))
    unseen.seen[:, 0] = True
    assert (Impressions.of(unseen).positions == 0).all()


@pytest.mark.parametrize("few", [0, 64])
def test_the_regression_is_the_penalised_optimum(few: int, monkeypatch: Any) -> None:
    """Its gradient, written out, is zero, whichever way the Hessian is used."""
    monkeypatch.setattr(regression, "FEW", few)
    rng = np.random.default_rng(0)
    log = Truth.drawn().log(200)
    blocks = Blocks(Impressions.of(log))
    design, spreads = blocks.design(Recipe(0.0, {"item": 0.7, "products": 0.3}))
    offset = rng.normal(size=design.shape[0])
    bias, coefficients = ridge(design, blocks.seen.clicks, offset, spreads)
    table = design.toarray()
    chances = 1 / (1 + np.exp(-(bias + table @ coefficients + offset)))
    error = blocks.seen.clicks - chances
    assert abs(error.sum()) < 1e-4
    assert np.allclose(table.T @ error, coefficients / spreads**2, atol=1e-3)


def test_area_under_the_curve_by_counting_pairs() -> None:
    rng = np.random.default_rng(1)
    odds, clicks = np.round(rng.normal(size=60), 1), (rng.random(60) < 0.4).astype(np.float64)
    pairs = [
        1.0 if p > n else 0.5 if p == n else 0.0
        for p in odds[clicks == 1]
        for n in odds[clicks == 0]
    ]
    found, se = area(odds, clicks)
    assert found == pytest.approx(np.mean(pairs))
    resampled = []
    for _ in range(2000):
        rows = rng.integers(0, 60, size=60)
        if 1 < clicks[rows].sum() < 59:
            resampled.append(area(odds[rows], clicks[rows])[0])
    assert se == pytest.approx(np.std(resampled), rel=0.2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda log: log.take(np.arange(0)), "empty log"),
        (lambda log: replace(log, rewards=log.rewards * 2), "rewards of 0 and 1; the log has 2"),
        (lambda log: replace(log, rewards=log.rewards * 0), "nothing to tell apart"),
    ],
)
def test_what_cannot_be_fitted_is_said(truth: Truth, change: Any, words: str) -> None:
    with pytest.raises(FitError, match=words):
        LoggedWorld.fit(change(truth.log(50)))


def test_items_that_do_not_stay_cannot_be_fitted(truth: Truth) -> None:
    log = truth.log(50)
    stranger = Catalogue.of([f"other {n}" for n in range(6)], np.zeros((6, 2)))
    other = replace(log, requests=replace(log.requests, items=stranger))
    with pytest.raises(FitError, match="one catalogue"):
        LoggedWorld.fit([log, other])


# --- true values


def test_the_true_value_of_one_slot_is_the_sum_over_items(truth: Truth, world: LoggedWorld) -> None:
    log = truth.log(40)
    one = replace(log.requests, positions=log.requests.positions[:, 1:2])
    values = world.true_value(Uniform(), one)
    for b in range(40):
        rows = np.arange(6)[:, None]
        asked = one.take(np.full(6, b))
        right = world.expected(asked, rows).mean()
        assert values[b] == pytest.approx(right)


def test_the_true_value_of_slates_is_the_sum_over_slates(world: LoggedWorld, truth: Truth) -> None:
    requests = truth.log(5).requests
    values = world.true_value(Uniform(), requests)
    right = np.zeros(5)
    for slate in permutations(range(6), 3):
        slates = np.tile(slate, (5, 1))
        right += world.expected(requests, slates).sum(axis=1) / 120
    assert np.allclose(values, right)


def test_the_true_value_is_what_decisions_average_to() -> None:
    world = small_logged()
    world.reset(seeds(1))
    requests = world.requests().take(np.zeros(4000, dtype=np.int64))
    asked = replace(requests, keys=np.arange(4000, dtype=np.uint64))
    exact = world.true_value(Uniform(), asked.take([0]))[0]
    uniform = world.expected(asked, Uniform().decide(asked).slates).sum(axis=1)
    assert abs(uniform.mean() - exact) < 4 * uniform.std() / np.sqrt(4000)


def test_a_certain_policy_is_worth_its_slates() -> None:
    world = small_logged()
    world.reset(seeds(20))
    requests = world.requests()
    myopic = world.bounds()["myopic"]
    slates = myopic.decide(requests).slates
    right = world.expected(requests, slates).sum(axis=1)
    assert np.array_equal(world.true_value(myopic, requests), right)
    assert (right >= world.true_value(Uniform(), requests) - 1e-12).all()


def test_too_many_slates_are_not_summed_over() -> None:
    log = Truth.drawn(items=40).log(30)
    many = LoggedWorld.fit(log)
    with pytest.raises(WorldError, match="too many"):
        many.true_value(Uniform(), log.requests)


def test_what_the_model_does_not_know_it_refuses(world: LoggedWorld, truth: Truth) -> None:
    requests = truth.log(2).requests
    far = replace(requests, positions=requests.positions + 5)
    with pytest.raises(WorldError, match="3 positions, not a position 7"):
        world.expected(far, np.array([[0, 1, 2], [0, 1, 2]]))
    stranger = Catalogue.of([f"other {n}" for n in range(6)], np.zeros((6, 2)))
    with pytest.raises(WorldError, match="does not have all these items"):
        world.expected(replace(requests, items=stranger), np.array([[0, 1, 2], [0, 1, 2]]))


# --- keeping it


def test_a_saved_world_is_the_same_world(world: LoggedWorld, tmp_path: Path) -> None:
    world.resized(slate_size=2, horizon=6).save(tmp_path)
    kept = LoggedWorld.load(tmp_path)
    assert (kept.slate_size, kept.horizon, kept.start) == (2, 6, world.start)
    assert kept.fidelity == world.fidelity
    assert kept.catalogue is not None
    assert world.catalogue is not None
    assert kept.catalogue.names == world.catalogue.names
    other = world.resized(slate_size=2, horizon=6)
    for each in (kept, other):
        each.reset(seeds(5))
    for one, two in zip(rollout(kept, Uniform(), 9), rollout(other, Uniform(), 9), strict=True):
        assert np.array_equal(one.outcomes.rewards, two.outcomes.rewards)
        assert np.array_equal(one.expected, two.expected)


def test_what_is_no_saved_world_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="no saved world"):
        LoggedWorld.load(tmp_path)
    small_logged().save(tmp_path)
    words = tmp_path / "world.json"
    words.write_text(words.read_text().replace('"format": 1', '"format": 7'))
    with pytest.raises(WorldError, match="format 7"):
        LoggedWorld.load(tmp_path)
    (tmp_path / "world.safetensors").write_bytes(b"\0" * 20)
    with pytest.raises(WorldError, match="no saved world"):
        LoggedWorld.load(tmp_path)
