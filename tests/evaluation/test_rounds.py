"""What is refused, and how it is said."""

from __future__ import annotations

import numpy as np
import pytest

from agents.api import ShapeError
from evaluation.chunks.checks import FaultyLogError, check
from evaluation.chunks.rounds import Rounds
from tests.evaluation.logs import Shop, some


def log() -> Rounds:
    return some(Shop().rounds(100, seed=1), np.arange(100))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("logged", np.nan, "logged propensity is NaN"),
        ("logged", 0.0, "logged propensity is zero"),
        ("logged", -0.2, "logged propensity is negative"),
        ("logged", 7.0, "logged propensity is above 1"),
        ("target", np.nan, "target propensity is NaN"),
        ("target", -0.2, "target propensity is negative"),
        ("target", 7.0, "target propensity is above 1"),
        ("reward", np.nan, "reward is NaN or infinite"),
        ("reward", -np.inf, "reward is NaN or infinite"),
        ("q", np.nan, "q is NaN or infinite"),
        ("v", np.inf, "v is NaN or infinite"),
    ],
)
def test_each_fault_is_named_with_its_row(field: str, value: float, words: str) -> None:
    rounds = log()
    getattr(rounds, field)[42] = value
    with pytest.raises(FaultyLogError, match=f"{words} in row 1042 "):
        check(rounds, 1000)


def test_ten_rows_are_named_and_the_others_counted() -> None:
    rounds = log()
    rounds.logged[5:30] = 0.0
    with pytest.raises(FaultyLogError) as caught:
        check(rounds, 0)
    assert "in rows 5, 6, 7, 8, 9, 10, 11, 12, 13, 14 and 15 more" in str(caught.value)


def test_all_faults_are_told_at_once() -> None:
    rounds = log()
    rounds.logged[1], rounds.reward[2], rounds.logged[3] = 0.0, np.nan, 2.0
    with pytest.raises(FaultyLogError) as caught:
        check(rounds, 0)
    assert all(f"in row {row}" in str(caught.value) for row in (1, 2, 3))


def test_what_can_be_is_not_refused() -> None:
    rounds = log()
    rounds.target[0], rounds.target[1], rounds.logged[1] = 0.0, 1.0, 1.0
    rounds.logged[2] = np.nextafter(1.0, 2.0)  # a sum of probabilities that rounds upwards
    rounds.reward[3] = -5.0
    check(rounds, 0)


def test_arrays_must_fit() -> None:
    with pytest.raises(ShapeError, match="target"):
        Rounds(np.ones(3), np.ones(3), np.ones(4), np.zeros(3, dtype=np.uint64))
    table = np.ones((3, 2))
    with pytest.raises(ShapeError, match="one reward each"):
        Rounds(table, table, table, np.zeros((3, 2), dtype=np.uint64))
