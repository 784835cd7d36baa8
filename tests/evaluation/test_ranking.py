"""Ranking metrics, exposure, diversity and scores against scikit-learn and plain Python."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss, ndcg_score, roc_auc_score

from agents.api import PAD, RecloopError, ShapeError
from evaluation.accumulate import Accumulator
from evaluation.chunks.checks import FaultyLogError
from evaluation.ranking.exposure import Exposure, diversity
from evaluation.ranking.lists import Ranked, Segmented, UnknownMetricError, metrics
from evaluation.ranking.scores import Scores
from tests.evaluation.logs import keys

NAMES = ("precision", "recall", "f1", "hit-rate", "mrr", "map", "ndcg")


def values(lists: Ranked, *specs: str) -> dict[str, float]:
    accumulator = Accumulator(metrics(specs), replicates=4)
    accumulator.add(lists)
    return {estimate.estimator: estimate.value for estimate in accumulator.results()}


def one(gains: list[float], best: list[float]) -> Ranked:
    return Ranked(np.array([gains]), np.array([best]), keys(1, 0))


def by_hand(gains: list[float], best: list[float], k: int) -> dict[str, float]:
    relevant = sum(x > 0 for x in best)
    hits = [x > 0 for x in gains[:k]]
    found = sum(hits)
    precision = found / k
    values = {"precision": precision, "hit-rate": float(found > 0)}
    values["mrr"] = 1 / (1 + hits.index(True)) if found else 0.0
    if relevant:
        recall = found / relevant
        total = precision + recall
        values |= {"recall": recall, "f1": 2 * precision * recall / total if total else 0.0}
        values["map"] = sum(
            sum(hits[: i + 1]) / (i + 1) for i, hit in enumerate(hits) if hit
        ) / min(relevant, k)
        ideal = sum(x / log2(2 + i) for i, x in enumerate(best[:k]))
        values["ndcg"] = sum(x / log2(2 + i) for i, x in enumerate(gains[:k])) / ideal
    return {f"{name}@{k}": value for name, value in values.items()}


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 0.0, 1.0, 2.5]), min_size=1, max_size=6),
    st.lists(st.sampled_from([1.0, 2.5, 3.0]), max_size=3),
    st.integers(1, 8),
)
def test_every_metric_by_hand(gains: list[float], missed: list[float], k: int) -> None:
    best = sorted([*gains, *missed], reverse=True)
    wanted = by_hand(gains, best, k)
    assert values(one(gains, best), *wanted) == pytest.approx(wanted, rel=1e-9)


def test_ndcg_as_scikit_learn_has_it() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, size=(50, 8)).astype(np.float64)
    truth[:, 0] = 1.0  # so that every list has something to find
    score = rng.random((50, 8))
    shown = np.take_along_axis(truth, np.argsort(-score, axis=1), axis=1)
    lists = Ranked(shown, -np.sort(-truth, axis=1), keys(50, 0))
    for k in (1, 3, 8):
        assert values(lists, f"ndcg@{k}")[f"ndcg@{k}"] == pytest.approx(
            ndcg_score(truth, score, k=k), rel=1e-9
        )


def test_lists_with_nothing_to_find_are_left_out_where_nothing_can_be_said() -> None:
    both = Ranked(np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[1.0], [0.0]]), keys(2, 0))
    found = values(both, *(f"{name}@2" for name in NAMES))
    for name, wanted in zip(NAMES, (0.25, 1.0, 2 / 3, 0.5, 0.5, 1.0, 1.0), strict=True):
        assert found[f"{name}@2"] == pytest.approx(wanted), name


def test_intervals_cover_the_mean_of_the_population() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for seed in range(100):
        gains = (rng.random((200, 5)) < 0.2).astype(np.float64)
        lists = Ranked(gains, -np.sort(-gains, axis=1), keys(200, seed))
        accumulator = Accumulator(metrics(["hit-rate@5"]), seed=seed, replicates=200)
        accumulator.add(lists)
        (estimate,) = accumulator.results()
        hits += estimate.low <= 1 - 0.8**5 <= estimate.high
    assert 0.95 - 3 * np.sqrt(0.95 * 0.05 / 100) < hits / 100


def test_segments_are_their_own_and_merge() -> None:
    rng = np.random.default_rng(2)
    gains = (rng.random((300, 4)) < 0.3).astype(np.float64)
    lists = Ranked(gains, -np.sort(-gains, axis=1), keys(300, 0))
    segments = rng.choice(["new", "regular"], size=300)
    whole, first, second = (Segmented(["mrr@4"], replicates=40) for _ in range(3))
    whole.add(lists, segments)
    first.add(lists.take(np.arange(100)), segments[:100])
    second.add(lists.take(np.arange(100, 300)), segments[100:])
    second.merge(first)
    assert list(whole.results()) == ["new", "regular"]
    for name, (estimate,) in whole.results().items():
        alone = values(lists.take(segments == name), "mrr@4")["mrr@4"]
        assert estimate.value == pytest.approx(alone)
        np.testing.assert_allclose(second.results()[name][0].replicates, estimate.replicates)
    with pytest.raises(ShapeError, match="segments"):
        whole.add(lists, segments[:5])


def test_names_and_faults() -> None:
    with pytest.raises(UnknownMetricError, match="did you mean ndcg@10"):
        metrics(["ndgc@5"])
    with pytest.raises(UnknownMetricError, match="write recall@10"):
        metrics(["recall"])
    for gains, best, words in (
        ([np.nan], [1.0], "gain is NaN"),
        ([-1.0], [1.0], "gain is negative"),
        ([1.0], [1.0, 2.0], "not in descending order"),
        ([1.0, 1.0], [1.0], "more relevant items are shown"),
    ):
        with pytest.raises(FaultyLogError, match=words):
            values(one(gains, best), "precision@1")
    with pytest.raises(ShapeError, match="fit"):
        Ranked(np.ones((2, 1)), np.ones((3, 1)), keys(2, 0))


def test_exposure_by_hand() -> None:
    slates = np.array([[0, 1], [0, 2], [0, PAD]])
    exposure = Exposure(4, examination=np.array([1.0, 0.5]))
    exposure.add(slates)
    np.testing.assert_allclose(exposure.shares, [0.75, 0.125, 0.125, 0.0])
    assert exposure.coverage == 0.75
    shares = exposure.shares
    apart = sum(abs(a - b) for a in shares for b in shares) / (2 * 4**2 * shares.mean())
    assert exposure.gini == pytest.approx(apart)
    popularity = np.array([0.5, 0.25, 0.125, 0.125])
    assert exposure.novelty(popularity) == pytest.approx(0.75 * 1 + 0.125 * 2 + 0.125 * 3)
    np.testing.assert_allclose(exposure.by_group(np.array([0, 0, 1, 1])), [1.75, 0.25])


def test_exposure_of_all_alike_and_of_one_alone() -> None:
    alike, alone = Exposure(5), Exposure(5)
    alike.add(np.arange(5)[:, None])
    alone.add(np.full((9, 1), 3))
    assert alike.gini == pytest.approx(0.0)
    assert alone.gini == pytest.approx(0.8)
    np.testing.assert_allclose(alike.by_group(np.array([0, 0, 0, 1, 1])), 1.0)
    alone.merge(alike)
    assert alone.coverage == 1.0


def test_exposure_refuses_what_it_can_not_count() -> None:
    exposure = Exposure(3)
    with pytest.raises(RecloopError, match="nothing has been shown"):
        _ = exposure.coverage
    with pytest.raises(ShapeError, match="beyond the 3"):
        exposure.add(np.array([[3]]))
    exposure.add(np.array([[0]]))
    with pytest.raises(ShapeError, match="above 0"):
        exposure.novelty(np.zeros(3))
    with pytest.raises(ShapeError, match="group 1 has no item"):
        exposure.by_group(np.array([0, 2, 2]))
    with pytest.raises(ShapeError, match="examination"):
        Exposure(3, examination=np.ones(2)).add(np.array([[0]]))


def test_diversity_by_hand() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(4, 3, 5))
    features[2, 0] = 0.0
    found = diversity(features)
    for row, value in zip(features, found, strict=True):
        cosines = []
        for i in range(3):
            for j in range(i):
                length = np.linalg.norm(row[i]) * np.linalg.norm(row[j])
                cosines.append(float(row[i] @ row[j] / length) if length else 0.0)
        assert value == pytest.approx(1 - np.mean(cosines))
    assert diversity(np.ones((1, 4, 2)))[0] == pytest.approx(0.0)
    with pytest.raises(ShapeError, match="K >= 2"):
        diversity(np.ones((1, 1, 2)))


def test_scores_as_scikit_learn_has_them() -> None:
    rng = np.random.default_rng(3)
    odds = np.round(rng.normal(-4.0, 1.0, size=4000), 1)  # many ties, all of them exact
    predicted = 1 / (1 + np.exp(-odds))
    outcome = (rng.random(4000) < predicted).astype(np.float64)
    whole, first, second = Scores(), Scores(), Scores()
    whole.add(predicted, outcome)
    first.add(predicted[:1000], outcome[:1000])
    second.add(predicted[1000:], outcome[1000:])
    second.merge(first)
    assert whole.auc == pytest.approx(roc_auc_score(outcome, predicted), rel=1e-9)
    assert whole.log_loss == pytest.approx(log_loss(outcome, predicted), rel=1e-9)
    assert second.auc == pytest.approx(whole.auc, rel=1e-12)
    assert second.log_loss == pytest.approx(whole.log_loss, rel=1e-12)
    mean, came, size = whole.calibration(5)
    assert size.sum() == 4000
    assert (np.diff(mean) > 0).all()
    assert (size * mean).sum() == pytest.approx(predicted.sum())
    assert (size * came).sum() == pytest.approx(outcome.sum())
    assert (np.abs(mean - came) < 4 * np.sqrt(mean / size)).all()
    wrong = Scores()
    wrong.add(predicted / 2, outcome)
    assert wrong.calibration_error() > 2 * whole.calibration_error()


def test_scores_refuse_what_is_no_probability_and_say_nothing_of_nothing() -> None:
    scores = Scores()
    with pytest.raises(RecloopError, match="no prediction"):
        _ = scores.log_loss
    for predicted, outcome in (([1.5], [1.0]), ([np.nan], [1.0]), ([0.5], [0.3])):
        with pytest.raises(RecloopError):
            scores.add(np.array(predicted), np.array(outcome))
    with pytest.raises(ShapeError):
        scores.add(np.ones(2), np.ones(3))
    scores.add(np.array([0.0, 1.0, 1.0]), np.array([0.0, 1.0, 1.0]))
    assert scores.auc == 1.0
    assert scores.log_loss == 0.0
    lone = Scores()
    lone.add(np.array([0.5]), np.array([1.0]))
    assert np.isnan(lone.auc)
