"""What the learner measures, against the same figures computed plainly, and its fold's laws."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from streaming.clicks import ROLLING
from streaming.knowledge import GapError, Weights
from streaming.learner import POINT_EVERY, Learner
from tests.streaming.support import OrderPolicy, same_state
from tests.streaming.test_records import outcome

if TYPE_CHECKING:
    from streaming.records import OutcomeRecord


def outcomes(count: int, start: int = 0, rate: float = 0.3) -> list[OutcomeRecord]:
    """Return outcomes whose clicks hang on the context."""
    rng = np.random.default_rng([count, start])
    found = []
    for seq in range(start, start + count):
        x = float(np.float32(rng.normal()))
        chance = 1.0 / (1.0 + math.exp(-2.0 * x)) * 2.0 * rate
        rewards = (rng.random(2) < chance).astype(float).tolist()
        seen = [True, bool(rng.random() < 0.7)]
        found.append(outcome(seq, context=[x, 1.0], rewards=rewards, seen=seen, predictions=[]))
    return found


def test_predictions_are_made_before_learning_and_judged_over_the_latest_seen_slots() -> None:
    learner = Learner(Weights(OrderPolicy()))
    told = learner.learn(outcomes(4000))
    seen = [
        (clicked > 0, chance)
        for record in told
        for clicked, chance, looked in zip(
            record.rewards, record.predictions, record.seen, strict=True
        )
        if looked
    ][-ROLLING:]
    y, p = np.array([pair[0] for pair in seen]), np.array([pair[1] for pair in seen])
    assert len(y) == ROLLING
    loss = -np.mean(np.where(y, np.log(p), np.log(1 - p)))
    assert learner.clicks.log_loss == pytest.approx(loss, rel=1e-6)
    assert learner.clicks.auc == pytest.approx(roc_auc_score(y, p), abs=0.01)
    assert learner.clicks.auc > 0.7
    assert learner.clicks.click_rate == np.mean(y)
    assert told[0].predictions == [0.5, 0.5]


def test_one_by_one_in_batches_and_in_any_cut_is_the_same_fold() -> None:
    story = outcomes(200)
    one, other = Learner(Weights(OrderPolicy())), Learner(Weights(OrderPolicy()))
    told = one.learn(story)
    again = other.learn(story[:1]) + other.learn(story[1:137]) + other.learn(story[137:])
    assert again == told
    assert same_state(one.policy.state_dict(), other.policy.state_dict())
    assert (one.clicks.log_loss, one.clicks.auc, one.learned) == (
        other.clicks.log_loss,
        other.clicks.auc,
        200,
    )


def test_nothing_is_known_before_anything_was_learned() -> None:
    learner = Learner(Weights(OrderPolicy()))
    assert math.isnan(learner.clicks.log_loss)
    assert math.isnan(learner.clicks.auc)
    assert math.isnan(learner.clicks.click_rate)
    learner.learn([outcome(0, rewards=[0.0, 0.0])])
    assert learner.clicks.click_rate == 0.0
    assert math.isnan(learner.clicks.auc)


def test_gaps_and_repetitions_are_refused_and_teach_nothing() -> None:
    learner = Learner(Weights(OrderPolicy()))
    story = outcomes(5)
    learner.learn(story[:2])
    before = learner.policy.state_dict()
    with pytest.raises(GapError, match="outcome 2 is missing"):
        learner.learn(story[3:])
    with pytest.raises(GapError, match="outcome 1 comes twice"):
        learner.learn(story[1:])
    assert same_state(learner.policy.state_dict(), before)
    assert learner.learned == 2


def test_the_curve_counts_what_was_seen_and_clicked() -> None:
    learner = Learner(Weights(OrderPolicy()))
    story = outcomes(POINT_EVERY + 10)
    learner.learn(story)
    (point,) = learner.curve
    first = story[:POINT_EVERY]
    rewards = [r for o in first for r, seen in zip(o.rewards, o.seen, strict=True) if seen]
    assert (point.outcomes, point.time) == (POINT_EVERY, first[-1].closed)
    assert (point.slots, point.clicks) == (len(rewards), sum(rewards))
    assert point.reward == pytest.approx(np.mean(rewards))


def test_another_click_model_may_take_its_place() -> None:
    class Constant:
        def predict_proba_one(self, x: dict[str, float]) -> dict[Any, float]:
            assert set(x) == {"c0", "c1", "i0", "position"}
            return {True: 0.25, False: 0.75}

        def learn_one(self, x: dict[str, float], y: bool) -> None:
            pass

    (told,) = Learner(Weights(OrderPolicy()), Constant).learn([outcome(0)])
    assert told.predictions == [0.25, 0.25]
