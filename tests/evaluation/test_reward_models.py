"""Reward models: fitted on other folds, whatever the order of chunks, in bounded memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsRegressor

from agents.api import PAD, Outcomes
from evaluation.models.cross_fitted import CrossFitted, ModelError
from tests.evaluation.logs import Shop, cut

LOG = Shop(base=0.3).outcomes(1200, seed=1)


def rewarded(outcomes: Outcomes, rewards: np.ndarray) -> Outcomes:
    return replace(outcomes, rewards=rewards[:, None].astype(np.float32))


def predicted(model: CrossFitted, outcomes: Outcomes) -> np.ndarray:
    return model.expected(outcomes.requests, outcomes.decisions.slates)[:, 0]


def test_no_round_is_predicted_by_a_model_that_saw_it() -> None:
    """The nearest neighbour would find the round itself, and give its reward away."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=1200)
    unique = replace(
        LOG.requests, context=rng.normal(size=LOG.requests.context.shape).astype(np.float32)
    )
    outcomes = rewarded(replace(LOG, requests=unique), noise)
    model = CrossFitted(KNeighborsRegressor(n_neighbors=1)).fit([outcomes])
    assert abs(np.corrcoef(predicted(model, outcomes), noise)[0, 1]) < 4.0 / np.sqrt(1200)


def test_rounds_of_one_user_share_a_fold_if_asked() -> None:
    """Two rounds of a user have the same context and the same reward: a neighbour would tell."""
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(600), 2)
    context = rng.normal(size=(600, 4)).astype(np.float32)[user]
    requests = replace(LOG.requests, users=user.astype(np.uint64), context=context)
    decisions = replace(LOG.decisions, slates=np.zeros((1200, 1), dtype=np.int64))
    noise = rng.normal(size=600)[user]
    outcomes = rewarded(replace(LOG, requests=requests, decisions=decisions), noise)
    told = {}
    for unit in ("request", "user"):
        model = CrossFitted(KNeighborsRegressor(n_neighbors=1), unit=unit)
        told[unit] = np.corrcoef(predicted(model.fit([outcomes]), outcomes), noise)[0, 1]
    assert told["request"] > 0.5
    assert abs(told["user"]) < 4.0 / np.sqrt(600)


def test_a_known_linear_world_is_learned() -> None:
    truth = 0.2 + 0.1 * LOG.decisions.slates[:, 0] - 0.3 * LOG.requests.context[:, 1]
    outcomes = rewarded(LOG, truth)
    model = CrossFitted(LinearRegression()).fit([outcomes])
    expected = model.expected(outcomes.requests, outcomes.requests.candidates)
    wanted = 0.2 + 0.1 * np.arange(6) - 0.3 * LOG.requests.context[:, 1:2]
    np.testing.assert_allclose(expected, wanted, atol=1e-5)


def test_positions_are_told_apart() -> None:
    position = np.arange(1200) % 3
    outcomes = rewarded(
        replace(LOG, requests=replace(LOG.requests, positions=position[:, None])), position * 1.0
    )
    model = CrossFitted(LinearRegression()).fit([outcomes])
    np.testing.assert_allclose(predicted(model, outcomes), position, atol=1e-5)


def test_chunks_and_their_order_do_not_matter() -> None:
    whole = CrossFitted(limit=500).fit([LOG])
    parts = CrossFitted(limit=500).fit(cut(LOG, 70)[::-1])
    np.testing.assert_array_equal(predicted(whole, LOG), predicted(parts, LOG))


def test_a_sample_of_a_long_log_is_a_fair_one() -> None:
    outcomes = rewarded(LOG, 1.0 * (np.arange(1200) >= 600))
    model = CrossFitted(LinearRegression(), limit=300).fit(cut(outcomes, 50))
    assert abs(predicted(model, LOG).mean() - 0.5) < 4.0 * np.sqrt(0.25 / 300)


def test_clicks_are_learned_as_probabilities() -> None:
    for learner in (None, LogisticRegression()):
        expected = CrossFitted(learner).fit([LOG]).expected(LOG.requests, LOG.requests.candidates)
        assert ((expected > 0.0) & (expected < 1.0)).all()


def test_a_class_that_never_occurs_is_never_predicted() -> None:
    model = CrossFitted(LogisticRegression()).fit([rewarded(LOG, np.zeros(1200))])
    assert (predicted(model, LOG) == 0.0).all()


def test_padded_candidates_are_no_trouble() -> None:
    candidates = LOG.requests.candidates.copy()
    candidates[:, -1] = PAD
    model = CrossFitted().fit([LOG])
    expected = model.expected(replace(LOG.requests, candidates=candidates), candidates)
    assert np.isfinite(expected[:, :-1]).all()


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(ModelError, match="give a regressor"):
        CrossFitted(LogisticRegression()).fit([rewarded(LOG, np.arange(1200) * 0.5)])
    unknown = np.full_like(LOG.requests.context, np.nan)
    with pytest.raises(ModelError, match="NaN or infinite features"):
        CrossFitted().fit([replace(LOG, requests=replace(LOG.requests, context=unknown))])
    with pytest.raises(ModelError, match="no round"):
        CrossFitted().fit([])
    with pytest.raises(ModelError, match="fit the reward model"):
        CrossFitted().expected(LOG.requests, LOG.decisions.slates)
    with pytest.raises(ModelError, match="two folds"):
        CrossFitted(folds=1)
    with pytest.raises(ModelError, match="too few keys"):
        CrossFitted(unit="user").fit(
            [replace(LOG, requests=replace(LOG.requests, users=np.zeros(1200, dtype=np.uint64)))]
        )
