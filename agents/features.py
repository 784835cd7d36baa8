"""The joint features of a request and an item: one way to build them, wherever a model needs them.

A shared linear policy, SquareCB, a reward model offline and the click model of a fitted world all
regress a reward on who asks and what is shown. They build that vector here, so that a coefficient
learned in one place means the same in another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from agents.api import PAD, ShapeError
from agents.jit import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Requests, Rows


def joint_width(D: int, F: int, interactions: bool) -> int:
    """Return P, the width of the joint feature vector of D context and F item features."""
    return 1 + F + D + (D * F if interactions else 0)


def joint(
    context: NDArray[np.float32], items: NDArray[np.float32], interactions: bool = False
) -> Floats:
    """Return the joint feature vector of every request and each of its items.

    It is (1, item, context) and, with interactions, all products context[i] * item[j] after that,
    i-major: the bilinear features of Li et al. 2010 ("A contextual-bandit approach to personalized
    news article recommendation", section 5), that let a linear model prefer an item for some users.

    Parameters
    ----------
    context : float32 [B, D]
    items : float32 [B, M, F]
        The features of each request's items; see `candidate_features`.
    interactions : bool
        Whether the products are wanted.

    Returns
    -------
    float64 [B, M, P]
        P = `joint_width(D, F, interactions)`.

    Raises
    ------
    ShapeError
        If the arrays are not 2-d and 3-d with the same B.
    """
    if context.ndim != 2 or items.ndim != 3 or len(context) != len(items):
        raise ShapeError(
            f"joint features need context [B, D] and items [B, M, F], "
            f"not {context.shape} and {items.shape}"
        )
    B, M, F = items.shape
    out = np.empty((B, M, joint_width(context.shape[1], F, interactions)))
    _joint(context, items, interactions, out)
    return out


def candidate_features(requests: Requests) -> NDArray[np.float32]:
    """Return the features of every candidate: float32 [B, M, F], zeros where a row is padded."""
    return features_at(requests, requests.candidates)


def features_at(requests: Requests, rows: Rows) -> NDArray[np.float32]:
    """Return the features of the items in these rows of `requests.items`.

    Parameters
    ----------
    requests : Requests
    rows : int64 [B, K]
        Candidates, or slates.

    Returns
    -------
    float32 [B, K, F]
        Zeros where a row is padded.
    """
    out = np.zeros((*rows.shape, requests.items.features.shape[1]), dtype=np.float32)
    filled = rows != PAD
    out[filled] = requests.items.features[rows[filled]]
    return out


def weigh(features: NDArray[np.floating[Any]], weights: Floats) -> Floats:
    """Return the weighted sum of every feature vector: a linear score, the same in any batch.

    `features @ weights` may round differently in a batch of one and of many, because BLAS picks its
    order of summation by the shape; a decision that hangs on it would not replay.

    Parameters
    ----------
    features : float [..., P]
    weights : float64 [P]

    Returns
    -------
    float64 [...]
    """
    table = np.ascontiguousarray(features, dtype=np.float64)
    if weights.shape != table.shape[-1:]:
        raise ShapeError(f"features {table.shape} cannot be weighed by weights {weights.shape}")
    out = np.empty(table.shape[:-1])
    flat = table.reshape(out.size, table.shape[-1])
    _weigh(flat, np.asarray(weights, dtype=np.float64), out.reshape(-1))
    return out


@compiled
def _weigh(features: Floats, weights: Floats, out: Floats) -> None:
    for i in range(len(out)):
        total = 0.0
        for j in range(len(weights)):
            total += features[i, j] * weights[j]
        out[i] = total


@compiled
def joint_row(
    context: NDArray[np.float32], item: NDArray[np.float32], interactions: bool, out: Floats
) -> None:
    """Fill the joint features of one request and one item: the kernel behind `joint`."""
    D, F = len(context), len(item)
    out[0] = 1.0
    out[1 : 1 + F] = item
    out[1 + F : 1 + F + D] = context
    if interactions:
        at = 1 + F + D
        for i in range(D):
            for j in range(F):
                out[at + j] = np.float64(context[i]) * np.float64(item[j])
            at += F


@compiled
def _joint(
    context: NDArray[np.float32], items: NDArray[np.float32], interactions: bool, out: Floats
) -> None:
    for b in range(out.shape[0]):
        for m in range(out.shape[1]):
            joint_row(context[b], items[b, m], interactions, out[b, m])
