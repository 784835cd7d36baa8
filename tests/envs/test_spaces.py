"""The space of slates, and its bijection with ranks."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gymnasium.spaces import MultiDiscrete
from gymnasium.vector.utils import batch_space
from hypothesis import given, settings
from hypothesis import strategies as st

from envs import ActionError, SlateSpace, ranks_from, slates_from

if TYPE_CHECKING:
    from numpy.typing import NDArray


@given(
    st.integers(1, 12), st.data(), st.integers(0, 2**32), st.one_of(st.none(), st.integers(1, 5))
)
@settings(deadline=None)  # the first example compiles
def test_samples_are_slates(m: int, data: st.DataObject, seed: int, lanes: int | None) -> None:
    k = data.draw(st.integers(1, m))
    space = SlateSpace(m, k, lanes, seed=seed)
    slates = space.sample()
    assert slates.shape == ((k,) if lanes is None else (lanes, k))
    assert slates in space
    for slate in slates.reshape(-1, k):
        assert len(set(slate.tolist())) == k
        assert set(slate.tolist()) <= set(range(m))
    assert np.array_equal(slates, SlateSpace(m, k, lanes, seed=seed).sample())


def test_all_slates_are_as_likely() -> None:
    space = SlateSpace(4, 2, 6000, seed=1)
    slates, counts = np.unique(space.sample(), axis=0, return_counts=True)
    assert {tuple(s) for s in slates.tolist()} == set(permutations(range(4), 2))
    assert ((counts - 500) ** 2 / 500).sum() < 37  # chi-square, 11 degrees: p = 1e-4


def test_ranks_and_slates_are_the_same_thing() -> None:
    """Every vector of ranks stands for one slate, and every slate for one vector."""
    ranks = np.array([(a, b, c) for a in range(5) for b in range(4) for c in range(3)])
    slates = slates_from(ranks)
    assert {tuple(s) for s in slates.tolist()} == set(permutations(range(5), 3))
    assert np.array_equal(ranks_from(slates), ranks)
    left = [list(range(5)) for _ in ranks]
    for rank, slate, rest in zip(ranks.tolist(), slates.tolist(), left, strict=True):
        assert [rest.pop(r) for r in rank] == slate


SPACE = SlateSpace(5, 3)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ([0, 1, 1], r"\[0, 1, 1\] is no slate"),
        ([0, 1, 5], "0 to 4"),
        ([-1, 1, 2], "is no slate"),
        ([0, 1], r"shape \(3,\), not \(2,\)"),
        ([[0, 1, 2]], r"not \(1, 3\)"),
        ([0.0, 1.0, 2.0], "integers, not of float64"),
        (["a", "b", "c"], "integers, not of <U1"),
        ([True, False, True], "integers, not of bool"),
        (None, "integers, not of object"),
        (2, r"not \(\)"),
        (np.array([2**63, 1, 2], dtype=np.uint64), "is no slate"),
    ],
)
def test_what_is_no_slate_is_not_in_the_space_and_is_refused_in_one_line(
    action: Any, words: str
) -> None:
    assert action not in SPACE
    with pytest.raises(ActionError, match=words) as caught:
        SPACE.read(action)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("action", [[4, 0, 2], (1, 2, 3), np.array([0, 1, 2], dtype=np.uint8)])
def test_what_is_a_slate_is_in_the_space(action: Any) -> None:
    assert action in SPACE
    read: NDArray[np.int64] = SPACE.read(action)
    assert read.tolist() == [list(action)]


def test_a_batch_names_the_environment_that_is_wrong() -> None:
    with pytest.raises(ActionError, match="environment 1"):
        SlateSpace(5, 2, 3).read([[0, 1], [2, 2], [0, 1]])


def test_batches_are_slates_too() -> None:
    space = batch_space(SlateSpace(5, 3, seed=4), 7)
    assert space == SlateSpace(5, 3, 7)
    assert space != SlateSpace(5, 3)
    assert space != MultiDiscrete(np.full((7, 3), 5))
    assert space.sample() in space
    assert repr(space) == "SlateSpace(5, 3, lanes=7)"


def test_a_mask_has_no_meaning() -> None:
    with pytest.raises(ValueError, match="no mask"):
        SPACE.sample(mask=np.ones(5, dtype=np.int8))
