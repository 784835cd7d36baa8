"""A River model predicts what it has not learned from, in blocks that no chunk can move."""

from __future__ import annotations

import numpy as np
import pytest
from river import dummy, linear_model, preprocessing, stats, tree

from evaluation import ModelError, Progressive, evaluate, evaluate_slates, promote
from tests.evaluation.logs import Shop, Tabled, cut

SHOP = Shop(base=0.2)
LOG = SHOP.outcomes(3000, seed=1)
TARGET = Tabled(SHOP.target)


def logistic() -> object:
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()


def test_it_makes_dr_better_than_ips_in_one_pass() -> None:
    found = evaluate(TARGET, iter(cut(LOG, 700)), reward_model=logistic(), replicates=400)
    assert found["DR"].low < SHOP.truth < found["DR"].high
    assert found["DR"].high - found["DR"].low < found["IPS"].high - found["IPS"].low
    assert "the reward model is" in found["DM"].verdict.reasons[0]


@pytest.mark.parametrize("every", [1, 250])
def test_a_round_is_predicted_from_earlier_blocks_alone(every: int) -> None:
    """The mean of all rewards so far, zero before any: by hand it is a running mean."""
    log = LOG.take(slice(0, 600))
    rewards = log.rewards[:, 0].astype(np.float64)
    before = (np.arange(600) // every) * every
    sums = np.concatenate([[0.0], rewards.cumsum()])
    expected = np.mean(sums[before] / np.maximum(before, 1))
    model = Progressive(dummy.StatisticRegressor(stats.Mean()), every=every)
    for chunks in ([log], cut(log, 130)):
        found = evaluate(TARGET, chunks, estimators=["DM"], reward_model=model, replicates=5)
        assert found["DM"].value == pytest.approx(expected, rel=1e-9)


def test_chunks_do_not_matter_and_every_evaluation_begins_anew() -> None:
    model = Progressive(logistic(), every=100)
    one, other, again = (
        evaluate(TARGET, chunks, estimators=["DR"], reward_model=model, replicates=5)["DR"]
        for chunks in ([LOG], cut(LOG, 333), [LOG])
    )
    np.testing.assert_allclose(one.replicates, other.replicates, rtol=1e-9)
    np.testing.assert_array_equal(one.replicates, again.replicates)


def test_trees_slates_and_the_gate_take_them_too() -> None:
    few = LOG.take(slice(0, 400))
    found = evaluate(TARGET, [few], reward_model=tree.HoeffdingTreeClassifier(), replicates=5)
    assert 0.0 < found["DM"].value < 1.0
    slates = evaluate_slates(
        TARGET, [few], estimators=["Cascade-DR"], reward_model=logistic(), replicates=5
    )
    rounds = evaluate(TARGET, [few], estimators=["DR"], reward_model=logistic(), replicates=5)
    assert slates["Cascade-DR"].value == pytest.approx(rounds["DR"].value, rel=1e-9)
    judgement = promote(TARGET, Tabled(SHOP.logging), iter([few]), reward_model=logistic())
    assert judgement.candidate.value == pytest.approx(rounds["DR"].value, rel=1e-9)


def test_what_can_not_be_learned_is_refused() -> None:
    with pytest.raises(ModelError, match="StandardScaler is no River"):
        Progressive(preprocessing.StandardScaler())
    with pytest.raises(ModelError, match="at least one row"):
        Progressive(logistic(), every=0)
    counted = [
        type(part)(part.requests, part.decisions, part.rewards * 3, part.seen, part.time)
        for part in cut(LOG, 500)
    ]
    with pytest.raises(ModelError, match="rewards of 0 and 1"):
        evaluate(TARGET, counted, reward_model=logistic(), replicates=5)
