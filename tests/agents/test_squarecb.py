"""SquareCB, against the formula and against River alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from river.dummy import NoChangeClassifier
from river.linear_model import LinearRegression, LogisticRegression
from river.neighbors import KNNClassifier
from river.preprocessing import StandardScaler
from river.tree import HoeffdingTreeClassifier, HoeffdingTreeRegressor

from agents import LessonError, OptionError, RecloopError, ShapeError, SquareCB, joint, lessons_of
from agents.contextual.river import is_classifier
from agents.squarecb import inverse_gap
from tests.agents.support import catalogue, experience, requests

if TYPE_CHECKING:
    from agents import Outcomes


def clicks(count: int = 200) -> Outcomes:
    facts = experience(catalogue(5), count)
    return replace(facts, rewards=(facts.rewards > 0.3).astype(np.float32))


def test_inverse_gap_weighting_is_the_paper_formula() -> None:
    predictions = np.array([[0.2, 0.9, 0.5, 0.4], [0.2, 0.9, 0.5, 0.4]])
    open_ = np.array([[True, True, True, True], [True, False, True, True]])
    found = inverse_gap(predictions, open_, 10.0)
    first = [1 / (4 + 10 * 0.7), 0.0, 1 / (4 + 10 * 0.4), 1 / (4 + 10 * 0.5)]
    first[1] = 1 - sum(first)
    second = [1 / (3 + 10 * 0.3), 0.0, 0.0, 1 / (3 + 10 * 0.1)]
    second[2] = 1 - sum(second)
    np.testing.assert_allclose(found, [first, second], rtol=1e-12)
    np.testing.assert_allclose(inverse_gap(predictions, open_, 0.0)[0], 0.25)


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(),
        StandardScaler() | LogisticRegression(),
        StandardScaler() | LinearRegression(),
        HoeffdingTreeClassifier(grace_period=20),
        HoeffdingTreeRegressor(grace_period=20),
    ],
)
def test_it_predicts_as_river_does_alone(model: Any) -> None:
    policy, facts, alone = SquareCB(model=model, gamma=3.0, exponent=0.5), clicks(), model.clone()
    policy.update(facts)
    taught = lessons_of(facts)
    items = facts.requests.items.features
    for request, item, reward in zip(taught.request, taught.item, taught.reward, strict=True):
        x = joint(facts.requests.context[[request]], items[[item]][None], interactions=True)
        y = bool(reward) if is_classifier(model) else float(reward)
        alone.learn_one(dict(enumerate(x[0, 0].tolist())), y)
    asked = requests(facts.requests.items, [[4, 2, 0]], seed=12)
    x = joint(asked.context, items[[4, 2, 0]][None], interactions=True)[0]
    named = [dict(enumerate(row.tolist())) for row in x]
    if is_classifier(model):
        wanted = [alone.predict_proba_one(row)[True] for row in named]
    else:
        wanted = [alone.predict_one(row) for row in named]
    np.testing.assert_array_equal(policy.prepare(asked), [wanted])
    gamma = 3.0 * 200**0.5
    np.testing.assert_allclose(
        policy.distribution(asked),
        inverse_gap(np.array([wanted]), np.ones((1, 3), np.bool_), gamma),
    )


@pytest.mark.parametrize(
    "model", [HoeffdingTreeClassifier(), NoChangeClassifier(), KNNClassifier()]
)
def test_a_classifier_that_has_seen_nothing_prefers_nothing(model: Any) -> None:
    asked = requests(catalogue(4), [[0, 1, 2, 3]])
    np.testing.assert_allclose(SquareCB(model=model).distribution(asked), 0.25)


def test_predictions_that_overflowed_still_make_a_distribution() -> None:
    inf, open_ = np.inf, np.ones((1, 3), dtype=np.bool_)
    for predictions, gamma, wanted in (
        ([inf, inf, 0.0], 10.0, [2 / 3, 1 / 3, 0.0]),
        ([-inf, -inf, -inf], 10.0, [1 / 3, 1 / 3, 1 / 3]),
        ([inf, 0.0, 1.0], 0.0, [1 / 3, 1 / 3, 1 / 3]),
        ([1e308, -1e308, 1e308], 10.0, [2 / 3, 0.0, 1 / 3]),
    ):
        found = inverse_gap(np.array([predictions]), open_, gamma)
        np.testing.assert_allclose(found, [wanted], rtol=1e-12)


def test_the_given_model_never_learns() -> None:
    model = LogisticRegression()
    SquareCB(model=model).update(clicks())
    assert len(model.weights) == 0


def test_the_state_is_the_examples_and_loading_replays_them() -> None:
    facts = clicks()
    policy, again = SquareCB(), SquareCB()
    policy.update(facts)
    state = policy.state_dict()
    taught = lessons_of(facts)
    np.testing.assert_array_equal(state["rewards"], taught.reward)
    np.testing.assert_array_equal(state["context"], facts.requests.context[taught.request])
    np.testing.assert_array_equal(state["items"], facts.requests.items.features[taught.item])
    again.load_state_dict(state)
    asked = requests(facts.requests.items, [[4, 2, 0]])
    np.testing.assert_array_equal(again.distribution(asked), policy.distribution(asked))


def test_a_classifier_refuses_what_is_no_click() -> None:
    policy = SquareCB()
    with pytest.raises(LessonError, match="0 and 1 only"):
        policy.update(experience(catalogue(5), 10))
    assert len(policy.state_dict()["rewards"]) == 0
    SquareCB(model="linear").update(experience(catalogue(5), 10))


def test_features_of_another_width_are_refused() -> None:
    facts = clicks()
    policy = SquareCB()
    policy.update(facts)
    before = policy.state_dict()
    narrow = replace(facts.requests, context=facts.requests.context[:, :2])
    with pytest.raises(ShapeError, match="changed their width"):
        policy.update(replace(facts, requests=narrow))
    with pytest.raises(ShapeError, match="changed their width"):
        policy.decide(narrow)
    np.testing.assert_array_equal(policy.state_dict()["context"], before["context"])


def test_a_state_that_is_refused_changes_nothing() -> None:
    policy, other = SquareCB(), SquareCB(model="linear")
    policy.update(clicks())
    other.update(experience(catalogue(5), 10))
    with pytest.raises(LessonError, match="0 and 1 only"):
        policy.load_state_dict(other.state_dict())
    assert policy.version == 200
    assert len(policy.state_dict()["rewards"]) == 200


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(OptionError, match="logistic, linear, tree"):
        SquareCB(model="forest")
    with pytest.raises(RecloopError, match="River classifier or regressor"):
        SquareCB(model=StandardScaler())
    with pytest.raises(OptionError, match="gamma"):
        SquareCB(gamma=0.0)


def test_gamma_grows_with_what_was_learned() -> None:
    facts = clicks()
    asked = requests(facts.requests.items, [[0, 1, 2, 3, 4]])
    flat, steep = SquareCB(exponent=0.0), SquareCB(exponent=1.0)
    flat.update(facts)
    steep.update(facts)
    assert steep.distribution(asked).max() > flat.distribution(asked).max() > 0.2
