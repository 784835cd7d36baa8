"""What a network learns from again: the ring, its links and its sample."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import PAD, ShapeError, StateError
from agents.deep.memory import Memory
from tests.agents.support import catalogue, outcomes, requests

if TYPE_CHECKING:
    from agents import Outcomes


def visits(users: list[int]) -> Outcomes:
    """Visits of these users, one after the other."""
    n = len(users)
    asked = requests(catalogue(5), np.tile(np.arange(5), (n, 1)), slots=2)
    asked = replace(asked, users=np.array(users, dtype=np.uint64))
    return outcomes(asked, np.tile([1, 3], (n, 1)), np.arange(2.0 * n).reshape(n, 2))


def keep(memory: Memory, facts: Outcomes) -> Memory:
    for row in memory.fit(facts).tolist():
        memory.add(facts, row)
    return memory


def remembered(users: list[int], size: int, sample: int = 2) -> Memory:
    return keep(Memory(size, sample, 0), visits(users))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(1, 12))
def test_every_visit_is_linked_to_the_users_next(users: list[int], size: int) -> None:
    memory = remembered(users, size)
    assert memory.count == len(users)
    for number in range(max(0, len(users) - size), len(users)):
        later = [n for n in range(number + 1, len(users)) if users[n] == users[number]]
        assert memory.users[number % size] == users[number]
        assert memory.after[number % size] == (later[0] if later else PAD)
        np.testing.assert_array_equal(memory.rewards[number % size], [2 * number, 2 * number + 1])


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.integers(1, 9))
def test_a_memory_taken_over_goes_on_alike(users: list[int], size: int) -> None:
    facts, half = visits(users), len(users) // 2
    first = keep(Memory(size, 2, 0), facts.take(slice(0, half)))
    again = keep(Memory.load(first.state(), size, 2, 0), facts.take(slice(half, None)))
    wanted = remembered(users, size).state()
    for name, array in again.state().items():
        np.testing.assert_array_equal(array, wanted[name], err_msg=name)


def test_the_sample_stands_for_all_that_was_not_shown() -> None:
    items = catalogue(9)
    asked = requests(items, np.tile(np.arange(9), (400, 1)), slots=2)
    facts = outcomes(asked, np.tile([8, PAD], (400, 1)), np.zeros((400, 2)))
    memory = keep(Memory(400, 3, 0), facts)
    np.testing.assert_array_equal(memory.offered[:, 0], np.tile(items.features[8], (400, 1)))
    np.testing.assert_allclose(memory.weights, np.tile([1, 0, 8 / 3, 8 / 3, 8 / 3], (400, 1)))
    counts = [(memory.offered[:, 2:] == items.features[i]).all(axis=2).sum() for i in range(9)]
    assert counts[8] == 0
    assert sum(counts) == 1200
    error = (400 * 3 / 8 * 5 / 8) ** 0.5  # each of 8 others is in with probability 3/8
    assert max(abs(count - 150) for count in counts[:8]) < 4 * error


def test_all_others_are_kept_where_they_fit() -> None:
    memory = remembered([1, 2], 4, sample=6)
    features = catalogue(5).features
    assert sorted(map(tuple, memory.offered[0][memory.weights[0] > 0])) == sorted(
        map(tuple, features)
    )
    assert set(memory.weights[0]) == {0.0, 1.0}


def test_what_does_not_fit_changes_nothing() -> None:
    memory = remembered([1, 2], 4)
    before = memory.state()
    facts = outcomes(requests(catalogue(5), [[0, 1, 2, 3, 4]]), [[1]], [[1.0]])
    with pytest.raises(ShapeError, match="slots"):
        memory.fit(facts)
    for name, array in memory.state().items():
        np.testing.assert_array_equal(array, before[name])
    with pytest.raises(StateError, match=r"memory\.users"):
        Memory.load(before | {"memory.users": before["memory.users"][:1]}, 4, 2, 0)
