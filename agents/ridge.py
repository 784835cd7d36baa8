"""Ridge regressions that learn one observation at a time: the mathematics of linear bandits.

For observations (x, r) of one arm, A = l2 I + sum x x' and b = sum r x; the estimate is A^-1 b, and
x' A^-1 x says how little is known in direction x. Kept are the sums themselves, which add up over
partitions of a log and may fade (`agents.forgetting`), and A^-1, renewed by the rank-1 formula of
Sherman & Morrison (1950); when the clock has moved and sums have faded, A is inverted afresh. A
logistic regression is kept in the same numbers, as the Gaussian that is nearest to its posterior.
Symmetric matrices are packed (`agents.packed`). Kernels take observations one by one, so that
batches don't matter to the bit.
"""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING

import numpy as np

from agents.api import ShapeError
from agents.forgetting import NEVER, Memory, Sums, cell_of, weigh_cells, weight_of
from agents.jit import compiled
from agents.options import entry
from agents.packed import add_square, axpy, diagonal, dot, invert, packed_size, times

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Keys, Rows, State
    from agents.arms import Arms

FAR = 1e6
"""Leverage x' A^-1 x beyond which an observation outweighs all before it so much that the rank-1
formula would lose the digits that matter: A is then inverted afresh."""


class Ridge:
    """One ridge regression for each of a growing number of arms.

    Parameters
    ----------
    l2 : float
        The weight of the prior: A = l2 I before any observation. It does not fade.
    memory : Memory, optional
        How long observations count; for ever when left out.
    logistic : bool
        Whether rewards between 0 and 1 are chances: P(r = 1) = 1 / (1 + exp(-theta' x)). The
        posterior after each observation is replaced by its Laplace approximation.

    Attributes
    ----------
    width : int
        P, the number of features; 0 until the first observation.
    sums : Sums
        Of every arm `gram`, sum x x' (packed, without the prior), and `moment`, b = sum r x. Of a
        logistic regression, those of the Gaussian observations that stand for the chances.
    inverse : float64 [room, P (P + 1) / 2]
        A^-1, packed.
    theta : float64 [room, P]
        A^-1 b.
    """

    def __init__(self, l2: float, memory: Memory | None = None, logistic: bool = False) -> None:
        self.l2, self.memory, self.logistic = l2, memory or Memory(), logistic
        self._begin(0)

    def _begin(self, width: int) -> None:
        """Know nothing, of features this wide."""
        self.width, self.sums = width, self._sums_of(width)
        self.inverse, self.theta = np.zeros((0, packed_size(width))), np.zeros((0, width))
        self._clocks = np.zeros(0, dtype=np.int64)

    def _sums_of(self, width: int) -> Sums:
        return Sums({"gram": packed_size(width), "moment": width}, self.memory)

    @property
    def arms(self) -> Arms:
        """Which arm is whose."""
        return self.sums.arms

    def expect(self, width: int) -> None:
        """Raise `ShapeError` if observations of another width were learned."""
        if self.width not in (0, width):
            raise ShapeError(
                f"the policy learned from {self.width} features and cannot read {width}: context "
                "or item features have changed their width"
            )

    def learn(self, keys: Keys, x: Floats, rewards: Floats, time: NDArray[np.int64]) -> None:
        """Learn T observations in their order.

        Parameters
        ----------
        keys : uint64 [T]
            Whose arm each observation is of.
        x : float64 [T, P]
        rewards : float64 [T]
        time : int64 [T]
            Milliseconds since the epoch.
        """
        if not len(keys):
            return
        self.expect(x.shape[1])
        if not self.width:
            self._begin(x.shape[1])
        sums = self.sums
        arms = sums.admit(keys)
        self._make_room(len(sums.values))
        sums.clock = _learn(
            arms,
            x,
            rewards,
            self.memory.ticks(time),
            sums.clock,
            self.l2,
            self.logistic,
            sums.ticks,
            sums.values,
            self.inverse,
            self.theta,
            self._clocks,
        )

    def _make_room(self, room: int) -> None:
        more = room - len(self.theta)
        if more:
            # Where sums fade, A is inverted afresh before the first observation of an arm.
            clock = NEVER if self.memory else 0
            blank = np.tile(prior(self.width, self.l2), (more, 1))
            self.inverse = np.concatenate([self.inverse, blank])
            self.theta = np.concatenate([self.theta, np.zeros((more, self.width))])
            self._clocks = np.concatenate([self._clocks, np.full(more, clock)])

    def freshen(self) -> None:
        """Bring `inverse` and `theta` of every arm up to the clock, if sums fade."""
        if self.memory:
            self._renew()

    def _renew(self) -> None:
        sums = self.sums
        _freshen(
            len(sums.arms),
            sums.clock,
            self.l2,
            sums.ticks,
            sums.values,
            self.inverse,
            self.theta,
            self._clocks,
        )

    def only(self, width: int) -> tuple[Floats, Floats]:
        """Return theta [P] and A^-1 (packed) of the only arm there is, or of the prior."""
        if self.width:
            self.freshen()
            return self.theta[0], self.inverse[0]
        return np.zeros(width), prior(width, self.l2)

    def state(self) -> State:
        """Return everything learned; `gram` and `moment` add up over logs: see `merged`."""
        self.freshen()
        return self.sums.state() | {"inverse": self.inverse[: len(self.sums.arms)].copy()}

    def load(self, state: State) -> None:
        """Take over a state; one without `inverse` (a sum of others) is inverted afresh."""
        keys = entry(state, "arms", np.uint64, (None,))
        n, cells = len(keys), (self.memory.cells,) if self.memory else ()
        width = entry(state, "moment", np.float64, (n, *cells, None)).shape[-1]
        shape = (n, packed_size(width))
        inverse = entry(state, "inverse", np.float64, shape) if "inverse" in state else None
        sums = self._sums_of(width)
        sums.load(state)
        self._begin(width)
        self.sums = sums
        self._make_room(n)
        if inverse is None:
            self._clocks[:] = NEVER
            self._renew()
        else:
            self.inverse = inverse
            self._clocks[:] = sums.clock
            _estimate(sums.clock, sums.ticks, sums.values, inverse, self.theta)


def prior(width: int, l2: float) -> Floats:
    """Return A^-1, packed, of an arm without observations."""
    inverse = np.zeros(packed_size(width))
    inverse[diagonal(width)] = 1.0 / l2
    return inverse


@compiled
def _learn(
    arms: Rows,
    x: Floats,
    rewards: Floats,
    tick: Rows,
    clock: int,
    l2: float,
    logistic: bool,
    ticks: Rows,
    values: Floats,
    inverse: Floats,
    theta: Floats,
    clocks: Rows,
) -> int:
    """Learn observations in their order and return the clock after them."""
    P = x.shape[1]
    square = len(inverse[0])
    y, precision = np.empty(P), 1.0
    stale = np.zeros(len(values), dtype=np.bool_)
    for t in range(len(arms)):
        arm, clock = arms[t], max(clock, tick[t])
        if clocks[arm] != clock:
            _invert(arm, clock, l2, ticks, values, inverse, theta)
            clocks[arm] = clock
        cell, weight = cell_of(tick[t], ticks[arm], values[arm])
        now = weight_of(clock - tick[t], ticks.shape[1])
        times(inverse[arm], x[t], y)
        leverage, gain = dot(x[t], y), rewards[t]
        if logistic:
            gain, precision = _laplace(dot(theta[arm], x[t]), leverage, now, rewards[t])
        add_square(values[arm, cell, :square], x[t], weight * precision)
        axpy(weight * gain, x[t], values[arm, cell, square:])
        leverage *= now * precision
        if leverage < FAR:
            add_square(inverse[arm], y, -now * precision / (1.0 + leverage))
        else:
            _invert(arm, clock, l2, ticks, values, inverse, theta)
        if logistic:
            _solve(clock, ticks[arm], values[arm], inverse[arm], theta[arm])
        stale[arm] = not logistic
    for t in range(len(arms)):
        arm = arms[t]
        if stale[arm] and clocks[arm] == clock:
            _solve(clock, ticks[arm], values[arm], inverse[arm], theta[arm])
            stale[arm] = False
    return clock


@compiled
def _laplace(mean: float, variance: float, weight: float, reward: float) -> tuple[float, float]:
    """Return what one observation of a chance adds to b and A, along x, for N(mean, variance).

    The posterior's mode m solves m = mean + variance weight (reward - p(m)): by Newton's method on
    an increasing function, held between the values that p = 0 and p = 1 give.
    """
    reach = variance * weight
    low, high = mean + reach * (reward - 1.0), mean + reach * reward
    m = mean
    for _ in range(50):
        p = 1.0 / (1.0 + exp(-m))
        error = m - mean - reach * (reward - p)
        if error > 0.0:
            high = m
        else:
            low = m
        step = m - error / (1.0 + reach * p * (1.0 - p))
        if not low < step < high:
            step = 0.5 * (low + high)
        if abs(step - m) <= 1e-12 * (1.0 + abs(m)):
            break
        m = step
    p = 1.0 / (1.0 + exp(-m))
    precision = p * (1.0 - p)
    return precision * m + reward - p, precision


@compiled
def _invert(
    arm: int,
    clock: int,
    l2: float,
    ticks: Rows,
    values: Floats,
    inverse: Floats,
    theta: Floats,
) -> None:
    """Bring an arm up to the clock, from its sums alone."""
    sums = np.empty(values.shape[2])
    weigh_cells(clock, ticks[arm], values[arm], sums)
    square = inverse.shape[1]
    invert(sums[:square], l2, theta.shape[1], inverse[arm])
    times(inverse[arm], sums[square:], theta[arm])


@compiled
def _solve(clock: int, ticks: Rows, values: Floats, inverse: Floats, theta: Floats) -> None:
    """Fill an arm's theta from its inverse, which is up to the clock."""
    square = len(inverse)
    moment = np.zeros(len(theta))
    for cell in range(len(ticks)):
        weight = weight_of(clock - ticks[cell], len(ticks))
        axpy(weight, values[cell, square:], moment)
    times(inverse, moment, theta)


@compiled
def _freshen(
    count: int,
    clock: int,
    l2: float,
    ticks: Rows,
    values: Floats,
    inverse: Floats,
    theta: Floats,
    clocks: Rows,
) -> None:
    for arm in range(count):
        if clocks[arm] != clock:
            _invert(arm, clock, l2, ticks, values, inverse, theta)
            clocks[arm] = clock


@compiled
def _estimate(clock: int, ticks: Rows, values: Floats, inverse: Floats, theta: Floats) -> None:
    for arm in range(len(theta)):
        _solve(clock, ticks[arm], values[arm], inverse[arm], theta[arm])
