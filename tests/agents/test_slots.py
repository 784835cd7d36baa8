"""Drawing slates slot by slot, and what is refused on the way."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from agents import PAD, EpsilonGreedy, Requests, ScorePolicy, ShapeError, Uniform, first_slot
from agents.explore import softmax
from agents.slots import ScoreError, greedy
from agents.squarecb import inverse_gap
from tests.agents.support import catalogue, experience, requests

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Decisions, Floats, Outcomes, Rows, State

SCORES = hnp.arrays(np.float64, (3, 5), elements=st.floats(-1e6, 1e6, width=32))
OPEN = hnp.arrays(np.bool_, (3, 5))


def is_distribution(chances: Floats, open_: NDArray[np.bool_]) -> bool:
    sums = chances.sum(axis=1)
    right = np.where(open_.any(axis=1), np.isclose(sums, 1.0, rtol=0, atol=1e-12), sums == 0.0)
    return bool(right.all() and (chances >= 0).all() and (chances[~open_] == 0).all())


@given(SCORES, OPEN, st.floats(0, 1))
def test_greedy_is_a_distribution_over_open_candidates(
    scores: Floats, open_: NDArray[np.bool_], epsilon: float
) -> None:
    chances = greedy(scores, open_, epsilon)
    assert is_distribution(chances, open_)
    for row, mask, values in zip(chances, open_, scores, strict=True):
        if mask.any():
            best = values[mask].max()
            ties = int((values[mask] == best).sum())
            wanted = epsilon / mask.sum() + (1 - epsilon) * (values == best) / ties
            np.testing.assert_allclose(row[mask], wanted[mask], rtol=1e-12)


@given(SCORES, OPEN, st.floats(1e-3, 1e3))
def test_softmax_is_a_distribution_over_open_candidates(
    scores: Floats, open_: NDArray[np.bool_], temperature: float
) -> None:
    chances = softmax(scores, open_, temperature)
    assert is_distribution(chances, open_)
    order = np.argsort(np.where(open_, scores, -np.inf), axis=1)
    assert (np.diff(np.take_along_axis(chances, order, axis=1), axis=1) >= 0).all()


@given(SCORES, OPEN, st.floats(0, 1e6))
def test_inverse_gap_is_a_distribution_over_open_candidates(
    scores: Floats, open_: NDArray[np.bool_], gamma: float
) -> None:
    assert is_distribution(inverse_gap(scores, open_, gamma), open_)


def test_uniform_slates_are_all_equally_likely() -> None:
    asked = requests(catalogue(4), [0, 2, 3, PAD], slots=2)
    policy = Uniform()
    for slate in itertools.permutations([0, 2, 3], 2):
        found = policy.propensities(asked, np.array([slate]))
        np.testing.assert_allclose(found, [[1 / 3, 1 / 2]])


class Scores(ScorePolicy):
    name = "scores"

    def __init__(self, values: object) -> None:
        super().__init__()
        self.values = values

    def scores(self, requests: Requests) -> Floats:
        return np.asarray(self.values)


def test_a_score_that_is_no_number_is_refused() -> None:
    asked = requests(catalogue(3), [[0, 1], [1, 2]])
    with pytest.raises(ScoreError, match=r"request 1 .* NaN"):
        Scores([[1.0, 2.0], [3.0, np.nan]]).decide(asked)


def test_a_pad_may_score_anything() -> None:
    asked = requests(catalogue(3), [[0, 1], [1, PAD]])
    decided = Scores([[1.0, 2.0], [3.0, np.nan]]).decide(asked)
    np.testing.assert_array_equal(decided.slates, [[1], [1]])


def test_scores_of_another_shape_are_refused() -> None:
    with pytest.raises(ScoreError, match=r"\(1, 2\).*\(2,\)"):
        Scores([1.0, 2.0]).decide(requests(catalogue(3), [0, 1]))


def test_infinite_scores_are_ranked() -> None:
    asked = requests(catalogue(4), [0, 1, 2], slots=3)
    decided = Scores([[-np.inf, np.inf, 0.0]]).decide(asked)
    np.testing.assert_array_equal(decided.slates, [[1, 2, 0]])
    np.testing.assert_array_equal(decided.propensities, [[1, 1, 1]])
    chances = softmax(np.array([[-np.inf, np.inf, np.inf]]), np.ones((1, 3), np.bool_), 1.0)
    np.testing.assert_array_equal(chances, [[0, 0.5, 0.5]])


def test_slates_of_another_size_than_was_asked_for_are_refused() -> None:
    with pytest.raises(ShapeError, match="1 requests for 2 slots"):
        Uniform().propensities(requests(catalogue(4), [0, 1, 2], slots=2), np.array([[0, 1, 2]]))


def test_a_slot_of_another_shape_is_refused() -> None:
    class Narrow(Uniform):
        def slot(self, view: None, open_: NDArray[np.bool_]) -> Floats:
            return np.ones((1, 1))

    with pytest.raises(ShapeError, match="Narrow"):
        Narrow().decide(requests(catalogue(4), [0, 1, 2]))


class Foreign:
    """A policy that knows nothing of SlotPolicy, and offers no `distribution`."""

    name = "foreign"

    def __init__(self, inner: EpsilonGreedy) -> None:
        self.inner = inner
        self.asked = 0

    def decide(self, requests: Requests) -> Decisions:
        return self.inner.decide(requests)

    def propensities(self, requests: Requests, slates: Rows) -> Floats:
        self.asked = max(self.asked, len(requests))
        return self.inner.propensities(requests, slates)

    def update(self, outcomes: Outcomes) -> None:
        self.inner.update(outcomes)

    def state_dict(self) -> State:
        return self.inner.state_dict()

    def load_state_dict(self, state: State) -> None:
        self.inner.load_state_dict(state)


def test_the_first_slot_of_any_policy_in_calls_of_bounded_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    items = catalogue(5)
    policy = EpsilonGreedy(epsilon=0.3)
    policy.update(experience(items, 50))
    asked = requests(items, [[0, 1, 2, 4], [3, 1, PAD, PAD], [PAD] * 4] * 3, slots=2)
    monkeypatch.setattr("agents.slots.FIRST_CHUNK", 20)
    foreign = Foreign(policy)
    found = first_slot(foreign, asked)
    np.testing.assert_array_equal(found, policy.distribution(asked))
    np.testing.assert_array_equal(first_slot(policy, asked), found)
    assert foreign.asked == 5
