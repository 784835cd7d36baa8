"""Ridge regressions that learn one observation at a time: the mathematics of linear bandits.

For observations (x, r) of one arm, A = l2 I + sum x x' and b = sum r x; the estimate is A^-1 b, and
x' A^-1 x says how little is known in direction x. Kept are the sums themselves, which add up over
partitions of a log, and A^-1, renewed by the rank-1 formula of Sherman & Morrison (1950). All
symmetric matrices are packed: the upper triangle row by row, P (P + 1) / 2 numbers. Kernels take
observations one by one and add up the terms of a sum in a fixed order, so that batches don't
matter to the bit.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from agents.api import ShapeError
from agents.arms import Arms
from agents.jit import compiled, inlined
from agents.options import StateError, entry

if TYPE_CHECKING:
    from agents.api import Floats, Keys, Rows, State

FAR = 1e6
"""Leverage x' A^-1 x beyond which an observation outweighs all before it so much that the rank-1
formula would lose the digits that matter: A is then inverted afresh."""


class Ridge:
    """One ridge regression for each of a growing number of arms.

    Parameters
    ----------
    l2 : float
        The weight of the prior: A = l2 I before any observation.

    Attributes
    ----------
    arms : Arms
        Which arm is whose.
    width : int
        P, the number of features; 0 until the first observation.
    gram : float64 [n, P (P + 1) / 2]
        sum x x', packed, without the prior.
    moment : float64 [n, P]
        b = sum r x.
    inverse : float64 [n, P (P + 1) / 2]
        A^-1, packed.
    theta : float64 [n, P]
        A^-1 b.
    """

    def __init__(self, l2: float) -> None:
        self.l2 = l2
        self._take(Arms(), 0, np.zeros((0, 0)), np.zeros((0, 0)), np.zeros((0, 0)))

    def _take(self, arms: Arms, width: int, gram: Floats, moment: Floats, inverse: Floats) -> None:
        self.arms, self.width = arms, width
        self.gram, self.moment, self.inverse = gram, moment, inverse
        self._factor: Floats | None = None
        self.theta = np.zeros_like(moment)
        _estimate(inverse, moment, self.theta)

    def expect(self, width: int) -> None:
        """Raise `ShapeError` if observations of another width were learned."""
        if self.width not in (0, width):
            raise ShapeError(
                f"the policy learned from {self.width} features and cannot read {width}: context "
                "or item features have changed their width"
            )

    def learn(self, keys: Keys, x: Floats, rewards: Floats) -> None:
        """Learn T observations in their order.

        Parameters
        ----------
        keys : uint64 [T]
            Whose arm each observation is of.
        x : float64 [T, P]
        rewards : float64 [T]
        """
        if not len(keys):
            return
        self.expect(x.shape[1])
        if not self.width:
            self._take(Arms(), x.shape[1], *blank(0, x.shape[1], self.l2))
        arms = self.arms.admit(keys)
        if len(self.arms) > len(self.gram):
            self._grow(max(len(self.arms), 2 * len(self.gram)))
        self._factor = None
        _learn(arms, x, rewards, self.l2, self.gram, self.moment, self.inverse, self.theta)

    def _grow(self, room: int) -> None:
        more = blank(room - len(self.gram), self.width, self.l2)
        self.gram = np.concatenate([self.gram, more[0]])
        self.moment = np.concatenate([self.moment, more[1]])
        self.inverse = np.concatenate([self.inverse, more[2]])
        self.theta = np.concatenate([self.theta, more[1]])

    def only(self, width: int) -> tuple[Floats, Floats]:
        """Return theta [P] and A^-1 (packed) of the only arm there is, or of the prior."""
        if self.width:
            return self.theta[0], self.inverse[0]
        _, moment, inverse = blank(1, width, self.l2)
        return moment[0], inverse[0]

    def factor(self, width: int) -> Floats:
        """Return Cholesky's factor of A of the only arm there is, packed; see `cholesky`."""
        if self._factor is None or not self.width:
            gram = self.gram[0] if self.width else blank(1, width, self.l2)[0][0]
            self._factor = np.empty_like(gram)
            cholesky(gram, self.l2, width, self._factor)
        return self._factor

    def state(self) -> State:
        """Return everything learned; `gram` and `moment` add up over logs, arm by arm."""
        n = len(self.arms)
        return {
            "arms": self.arms.keys,
            "gram": self.gram[:n].copy(),
            "moment": self.moment[:n].copy(),
            "inverse": self.inverse[:n].copy(),
        }

    def load(self, state: State) -> None:
        """Take over a state; one without `inverse` (a sum of others) is inverted afresh."""
        keys = entry(state, "arms", np.uint64, (None,))
        moment = entry(state, "moment", np.float64, (len(keys), None))
        width = moment.shape[1]
        shape = (len(keys), width * (width + 1) // 2)
        gram = entry(state, "gram", np.float64, shape)
        if "inverse" in state:
            inverse = entry(state, "inverse", np.float64, shape)
        else:
            inverse = np.empty_like(gram)
            for arm in range(len(keys)):
                invert(gram[arm], self.l2, width, inverse[arm])
        arms = Arms(keys)
        if len(arms) != len(keys):
            raise StateError("an item has two arms in the state: it was not written by a policy")
        self._take(arms, width, gram, moment, inverse)


def blank(arms: int, width: int, l2: float) -> tuple[Floats, Floats, Floats]:
    """Return gram, moment and inverse of arms without observations."""
    gram = np.zeros((arms, width * (width + 1) // 2))
    inverse = gram.copy()
    diagonal = np.cumsum(np.r_[0, np.arange(width, 1, -1)]) if width else np.zeros(0, np.int64)
    inverse[:, diagonal] = 1.0 / l2
    return gram, np.zeros((arms, width)), inverse


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
    """Add `scale` x x' to a packed symmetric matrix."""
    P = len(x)
    at = 0
    for i in range(P):
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
            column[j] /= root
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


@compiled
def _learn(
    arms: Rows,
    x: Floats,
    rewards: Floats,
    l2: float,
    gram: Floats,
    moment: Floats,
    inverse: Floats,
    theta: Floats,
) -> None:
    P = x.shape[1]
    y = np.empty(P)
    stale = np.zeros(len(gram), dtype=np.bool_)
    for t in range(len(arms)):
        arm = arms[t]
        stale[arm] = True
        times(inverse[arm], x[t], y)
        leverage = dot(x[t], y)
        add_square(gram[arm], x[t], 1.0)
        axpy(rewards[t], x[t], moment[arm])
        if leverage < FAR:
            add_square(inverse[arm], y, -1.0 / (1.0 + leverage))
        else:
            invert(gram[arm], l2, P, inverse[arm])
    for t in range(len(arms)):
        if stale[arms[t]]:
            times(inverse[arms[t]], moment[arms[t]], theta[arms[t]])
            stale[arms[t]] = False


@compiled
def _estimate(inverse: Floats, moment: Floats, theta: Floats) -> None:
    for arm in range(len(theta)):
        times(inverse[arm], moment[arm], theta[arm])
