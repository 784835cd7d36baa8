"""The joint feature vector, against NumPy's outer product."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.api import PAD, Catalogue, Requests, ShapeError
from agents.features import candidate_features, joint, joint_width, weigh


@pytest.mark.parametrize(
    ("B", "M", "D", "F"), [(3, 4, 2, 5), (1, 1, 1, 1), (2, 3, 0, 2), (0, 3, 2, 2)]
)
def test_joint_is_bias_item_context_and_their_outer_product(B: int, M: int, D: int, F: int) -> None:
    rng = np.random.default_rng(1)
    context = rng.normal(size=(B, D)).astype(np.float32)
    items = rng.normal(size=(B, M, F)).astype(np.float32)
    found = joint(context, items, interactions=True)
    assert found.shape == (B, M, joint_width(D, F, interactions=True))
    for b in range(B):
        for m in range(M):
            outer = np.outer(context[b].astype(float), items[b, m].astype(float)).ravel()
            expected = np.concatenate([[1.0], items[b, m], context[b], outer])
            np.testing.assert_array_equal(found[b, m], expected)
    plain = joint(context, items, interactions=False)
    np.testing.assert_array_equal(plain, found[:, :, : joint_width(D, F, interactions=False)])


def test_joint_refuses_arrays_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match="context"):
        joint(np.zeros((2, 3), np.float32), np.zeros((3, 1, 2), np.float32))


def test_padded_candidates_have_zero_features() -> None:
    items = Catalogue.of(["a", "b"], [[1.0, 2.0], [3.0, 4.0]])
    requests = Requests(
        keys=np.array([1], np.uint64),
        users=np.array([1], np.uint64),
        context=np.zeros((1, 0), np.float32),
        candidates=np.array([[1, PAD, 0]]),
        items=items,
        positions=np.zeros((1, 1), np.int64),
        time=np.zeros(1, np.int64),
    )
    np.testing.assert_array_equal(candidate_features(requests)[0], [[3, 4], [0, 0], [1, 2]])


@given(st.integers(0, 4), st.integers(0, 3), st.integers(1, 6), st.integers(0, 99))
def test_weighted_sums_are_the_same_in_any_batch(B: int, M: int, P: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    features, weights = rng.normal(size=(B, M, P)).astype(np.float32), rng.normal(size=P)
    found = weigh(features, weights)
    np.testing.assert_allclose(found, np.einsum("bmp,p->bm", features, weights), atol=1e-12)
    for b in range(B):
        np.testing.assert_array_equal(weigh(features[b], weights), found[b])


def test_weights_of_another_width_are_refused() -> None:
    with pytest.raises(ShapeError, match="cannot be weighed"):
        weigh(np.zeros((2, 3), np.float32), np.zeros(4))
