"""Logistic regression with normal priors of any spread and an offset, which no library offers.

A click model is chosen by fitting it thousands of times (every block, spread and fold), so the
passes over the rows are compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log1p
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy import sparse
from scipy.optimize import minimize

from agents.jit import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Rows

    Columns = NDArray[np.int32]

Design: TypeAlias = "sparse.csr_array"

FEW = 64
"""Up to so many coefficients the Hessian is written out; with more, only its products are."""


def log_likelihood(odds: Floats, clicks: Floats) -> Floats:
    """Return log P(click or not) of every row, in nats."""
    return clicks * odds - np.logaddexp(0.0, odds)


def ridge(
    design: Design,
    clicks: Floats,
    offset: Floats,
    spreads: Floats,
    start: tuple[float, Floats] | None = None,
    slope: float = 1e-5,
) -> tuple[float, Floats]:
    """Return bias and coefficients of the logistic regression with normal priors.

    They maximise  sum_i log P(clicks_i) - 1/2 sum_j (coefficient_j / spread_j)^2. The bias is free.

    Parameters
    ----------
    design : sparse float64 [n, p]
    clicks, offset : float64 [n]
    spreads : float64 [p]
    start : (float, float64 [p]), optional
        Bias and coefficients of a regression much like this one, where the search for the maximum
        begins; where it ends is the same.
    slope : float
        How steep it may still be where the search ends, in nats per spread of the coefficients:
        then half the slope's square is left to be gained at most.
    """
    scaled = sparse.csr_array(design @ sparse.diags_array(spreads))
    rows = (
        scaled.indptr.astype(np.int64),
        scaled.indices.astype(np.int32),  # half of the memory, which is what a pass waits for
        np.asarray(scaled.data, dtype=np.float64),
    )
    weights, weighed = np.empty(len(clicks)), np.full(len(spreads) + 1, np.nan)

    def loss(v: Floats) -> tuple[float, Floats]:
        gradient = np.empty(len(v))
        return _loss(*rows, clicks, offset, v, gradient), gradient

    def curvature(v: Floats, direction: Floats) -> Floats:
        if not np.array_equal(v, weighed):  # many directions are asked for at one place
            weighed[:] = v
            _weigh(*rows, offset, v, weights)
        out = np.empty(len(v))
        _curvature(*rows, weights, direction, out)
        return out

    def hessian(v: Floats) -> Floats:
        _weigh(*rows, offset, v, weights)
        out = np.diag(np.concatenate([[0.0], np.ones(len(spreads))]))
        _hessian(*rows, weights, out)
        return out

    first = np.zeros(len(spreads) + 1)
    first[0] = np.log(clicks.mean() / (1.0 - clicks.mean()))
    if start is not None:
        first[0], first[1:] = start[0], start[1] / spreads
    if len(first) <= FEW:
        found = newton(loss, hessian, first)
    else:
        found = minimize(
            loss,
            first,
            jac=True,
            hessp=curvature,
            method="trust-ncg",
            options={"gtol": slope, "initial_trust_radius": 30.0},
        ).x
    return float(found[0]), found[1:] * spreads


def newton(
    loss: Callable[[Floats], tuple[float, Floats]],
    hessian: Callable[[Floats], Floats],
    start: Floats,
) -> Floats:
    """Return where a smooth and strictly convex loss is least, by damped Newton steps.

    scipy's `minimize` does the same, at twenty times the cost where the problem is small; and here
    small problems are solved by the thousand.
    """
    v = start
    value, gradient = loss(v)
    for _ in range(100):
        step = np.linalg.solve(hessian(v), gradient)
        promised = float(gradient @ step)
        if promised < 1e-10:
            break
        size = 1.0
        ahead, slope = loss(v - step)
        while ahead > value - 1e-4 * size * promised and size > 1e-6:
            size /= 2.0
            ahead, slope = loss(v - size * step)
        v, value, gradient = v - size * step, ahead, slope
    return v


@compiled
def _odds(
    starts: Rows, columns: Columns, values: Floats, offset: Floats, v: Floats, i: int
) -> float:
    odds: float = offset[i] + v[0]
    for at in range(starts[i], starts[i + 1]):
        odds += values[at] * v[1 + columns[at]]
    return odds


@compiled
def _loss(
    starts: Rows,
    columns: Columns,
    values: Floats,
    clicks: Floats,
    offset: Floats,
    v: Floats,
    gradient: Floats,
) -> float:
    """Return the negative penalised log-likelihood, and write its gradient."""
    loss = 0.0
    gradient[0] = 0.0
    for j in range(1, len(v)):
        loss += 0.5 * v[j] * v[j]
        gradient[j] = v[j]
    for i in range(len(clicks)):
        odds = _odds(starts, columns, values, offset, v, i)
        loss += max(odds, 0.0) + log1p(exp(-abs(odds))) - clicks[i] * odds
        error = 1.0 / (1.0 + exp(-odds)) - clicks[i]
        gradient[0] += error
        for at in range(starts[i], starts[i + 1]):
            gradient[1 + columns[at]] += error * values[at]
    return loss


@compiled
def _weigh(
    starts: Rows, columns: Columns, values: Floats, offset: Floats, v: Floats, weights: Floats
) -> None:
    """Write every row's weight in the Hessian: p (1 - p)."""
    for i in range(len(weights)):
        chance = 1.0 / (1.0 + exp(-_odds(starts, columns, values, offset, v, i)))
        weights[i] = chance * (1.0 - chance)


@compiled
def _curvature(
    starts: Rows, columns: Columns, values: Floats, weights: Floats, direction: Floats, out: Floats
) -> None:
    """Write the Hessian's product with a direction."""
    out[0] = 0.0
    for j in range(1, len(out)):
        out[j] = direction[j]
    for i in range(len(weights)):
        along = direction[0]
        for at in range(starts[i], starts[i + 1]):
            along += values[at] * direction[1 + columns[at]]
        along *= weights[i]
        out[0] += along
        for at in range(starts[i], starts[i + 1]):
            out[1 + columns[at]] += along * values[at]


@compiled
def _hessian(starts: Rows, columns: Columns, values: Floats, weights: Floats, out: Floats) -> None:
    """Add the rows' part to the Hessian."""
    for i in range(len(weights)):
        out[0, 0] += weights[i]
        for at in range(starts[i], starts[i + 1]):
            j, x = 1 + columns[at], weights[i] * values[at]
            out[0, j] += x
            out[j, 0] += x
            for other in range(starts[i], starts[i + 1]):
                out[j, 1 + columns[other]] += x * values[other]
