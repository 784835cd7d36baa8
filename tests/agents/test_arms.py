"""Arms against a dictionary."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import PAD, Catalogue
from agents.arms import Arms
from tests.agents.support import requests

KEYS = st.integers(0, (1 << 64) - 1) | st.integers(0, 40)


@given(st.lists(st.lists(KEYS, max_size=30), max_size=6))
def test_arms_number_items_in_the_order_of_their_coming(batches: list[list[int]]) -> None:
    arms = Arms()
    known: dict[int, int] = {}
    for batch in batches:
        wanted = [known.setdefault(key, len(known)) for key in batch]
        found = arms.admit(np.array(batch, dtype=np.uint64))
        assert found.tolist() == wanted
    assert len(arms) == len(known)
    assert arms.keys.tolist() == list(known)
    again = Arms(arms.keys)
    assert again.admit(arms.keys).tolist() == list(range(len(known)))


def test_candidates_find_their_arms_in_any_catalogue() -> None:
    arms = Arms(np.array([7, 3], dtype=np.uint64))
    keys = np.array([3, 5, 7], dtype=np.uint64)
    items = Catalogue(keys, np.zeros((3, 1), np.float32), np.ones(3, np.bool_))
    found = arms.of(requests(items, [[0, 1, 2, PAD]]))
    np.testing.assert_array_equal(found, [[1, PAD, 0, PAD]])
    assert len(arms) == 2


def test_a_candidate_beyond_the_catalogue_is_an_error_and_no_stray_read() -> None:
    items = Catalogue.of(["a"], np.zeros((1, 1)))
    with pytest.raises(IndexError, match="beyond the catalogue"):
        Arms().of(requests(items, [[0, 1]]))


def test_many_arms() -> None:
    keys = np.arange(50_000, dtype=np.uint64) * np.uint64(1 << 32)
    arms = Arms()
    for part in np.array_split(keys, 7):
        arms.admit(part)
    np.testing.assert_array_equal(arms.admit(keys), np.arange(50_000))
