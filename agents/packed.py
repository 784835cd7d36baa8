"""Linear algebra on packed symmetric matrices: the upper triangle, row by row.

Kernels for one small matrix at a time. They add up the terms of a sum in a fixed order, so that the
same numbers come out in any batch, and they allocate nothing.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from agents.jit import compiled, inlined

if TYPE_CHECKING:
    from agents.api import Floats, Rows


def packed_size(width: int) -> int:
    """Return how many numbers a packed matrix of this width has."""
    return width * (width + 1) // 2


def diagonal(width: int) -> Rows:
    """Return where the diagonal of a packed matrix stands: int64 [P]."""
    steps = np.arange(width, 1, -1, dtype=np.int64)
    return np.cumsum(np.concatenate([np.zeros(min(width, 1), np.int64), steps]))


@compiled
def dot(x: Floats, y: Floats) -> float:
    """Return the sum of products: four partial sums in a fixed order, which hides the latency."""
    s0 = s1 = s2 = s3 = 0.0
    whole = len(x) - len(x) % 4
    for i in range(0, whole, 4):
        s0 += x[i] * y[i]
        s1 += x[i + 1] * y[i + 1]
        s2 += x[i + 2] * y[i + 2]
        s3 += x[i + 3] * y[i + 3]
    for i in range(whole, len(x)):
        s0 += x[i] * y[i]
    return (s0 + s1) + (s2 + s3)


@inlined
def axpy(a: float, x: Floats, y: Floats) -> None:
    """Add a x to y: on slices, which spares the loop the bounds that keep it from SIMD."""
    for i in range(len(x)):
        y[i] += a * x[i]


@compiled
def times(packed: Floats, x: Floats, out: Floats) -> None:
    """Multiply a packed symmetric matrix with a vector."""
    P = len(x)
    out[:] = 0.0
    at = 0
    for i in range(P):
        out[i] += dot(packed[at : at + P - i], x[i:])
        axpy(x[i], packed[at + 1 : at + P - i], out[i + 1 :])
        at += P - i


@compiled
def quadratic(packed: Floats, x: Floats, scratch: Floats) -> float:
    """Return x' S x of a packed symmetric matrix S; features that are 0 cost nothing."""
    P = len(x)
    scratch[:] = 0.0
    total, at = 0.0, 0
    for i in range(P):
        if x[i] != 0.0:
            total += packed[at] * x[i] * x[i]
            axpy(x[i], packed[at + 1 : at + P - i], scratch[i + 1 :])
        at += P - i
    return total + 2.0 * dot(scratch, x)


@compiled
def add_square(packed: Floats, x: Floats, scale: float) -> None:
    """Add `scale` x x' to a packed symmetric matrix; features that are 0 cost nothing."""
    P = len(x)
    at = 0
    for i in range(P):
        if x[i] != 0.0:
            axpy(scale * x[i], x[i:], packed[at : at + P - i])
        at += P - i


@compiled
def cholesky(gram: Floats, l2: float, P: int, out: Floats) -> None:
    """Factor l2 I + gram into L L'; column i of L fills row i of the packed `out`."""
    out[:] = gram
    at = 0
    for i in range(P):
        # Without rounding no pivot is below l2: the rest of a positive matrix is never negative.
        root = sqrt(max(out[at] + l2, l2))
        column = out[at : at + P - i]
        column[0] = root
        for j in range(1, P - i):
            column[j] = column[j] / root if root > 0.0 else 0.0
        at += P - i
        below = at
        for j in range(1, P - i):
            axpy(-column[j], column[j:], out[below : below + P - i - j])
            below += P - i - j


@compiled
def forward_solve(factor: Floats, x: Floats) -> None:
    """Replace x by the solution u of L u = x, for a packed factor: |u|^2 = x' A^-1 x."""
    P = len(x)
    at = 0
    for i in range(P):
        if x[i] != 0.0:
            x[i] /= factor[at]
            axpy(-x[i], factor[at + 1 : at + P - i], x[i + 1 :])
        at += P - i


@compiled
def back_solve(factor: Floats, x: Floats, first: int) -> None:
    """Replace x, from element `first` on, by the solution u of L' u = x, for a packed factor."""
    P = len(x)
    at = len(factor)
    for i in range(P - 1, first - 1, -1):
        at -= P - i
        x[i] = (x[i] - dot(factor[at + 1 : at + P - i], x[i + 1 :])) / factor[at]


@compiled
def invert(gram: Floats, l2: float, P: int, out: Floats) -> None:
    """Invert l2 I + gram, column by column of the identity, through Cholesky's factor."""
    factor = np.empty_like(out)
    cholesky(gram, l2, P, factor)
    column = np.empty(P)
    at = 0
    for i in range(P):
        # L y = e_i, then L' u = y: from element i on, u is row i of the inverse's upper triangle.
        column[:] = 0.0
        column[i] = 1.0
        forward_solve(factor, column)
        back_solve(factor, column, i)
        out[at : at + P - i] = column[i:]
        at += P - i
