"""LinUCB with hybrid linear models: what all items share, and what is each item's own.

A linear policy either shares one regression, and cannot learn that an item is better than its
features, or keeps one an item, and learns of every new item from nothing. The hybrid does both.
"""

from __future__ import annotations

from math import isfinite, sqrt
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from agents.api import ShapeError
from agents.features import joint, joint_row, joint_width
from agents.forgetting import NEVER, Memory, Sums, cell_of, weigh_cells, weight_of
from agents.jit import compiled
from agents.lessons import lessons_of
from agents.linear import expect_finite
from agents.options import above, at_least, entry
from agents.packed import add_square, axpy, dot, invert, packed_size, quadratic, times
from agents.registry import register
from agents.ridge import FAR, prior
from agents.slots import ScorePolicy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Keys, Outcomes, Requests, Rows, State

    Kept: TypeAlias = tuple[Rows, Floats, Rows, Floats]
    Derived: TypeAlias = tuple[Floats, Floats, Floats, Floats, Floats]


DERIVED = ("inverse", "projection", "own", "shared_inverse", "beta")
"""What follows from the sums: A^-1, A^-1 B and A^-1 b of every arm, A0^-1, and beta."""


@register("hybrid-linucb")
class HybridLinUCB(ScorePolicy):
    """Shows what could be best, by shared and own weights of every item (Li et al. 2010).

    The expected reward is z' beta + x' theta[item]: z the joint features of request and item, x
    the context and 1. It scores the estimate plus alpha standard deviations. It does not choose at
    random: wrap it in `Explore` before learning from its logs offline.

    Parameters
    ----------
    alpha : float
        How many standard deviations optimism adds.
    l2 : float
        The weight of the ridge prior, of beta and of every theta.
    interactions : bool
        Whether z also holds all products of context and item features.
    half_life, window : float
        Seconds of event time after which an observation counts half, or not at all; see `Memory`.
    seed : int
        Ties are broken by it.
    """

    name = "hybrid-linucb"

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        l2: float = 1.0,
        interactions: bool = True,
        half_life: float = 0.0,
        window: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(seed=seed)
        self.alpha = at_least("alpha", alpha, 0.0)
        self.interactions = interactions
        self.model = HybridRidge(above("l2", l2, 0.0), Memory(half_life, window))

    def estimate(self, requests: Requests) -> tuple[Floats, Floats]:
        """Return estimate and standard deviation (of unit noise): float64 [B, M] each.

        Raises
        ------
        ScoreError
            If a request's context or a candidate's features are not finite numbers.
        """
        D, F = requests.context.shape[1], requests.items.features.shape[1]
        return self.model.posterior(requests, joint_width(D, F, self.interactions))

    def scores(self, requests: Requests) -> Floats:
        """Return the upper confidence bound of every candidate: float64 [B, M]."""
        mean, deviation = self.estimate(requests)
        return mean + self.alpha * deviation

    def update(self, outcomes: Outcomes) -> None:
        """Regress the rewards of all seen slots, one by one and in their order."""
        taught, requests = lessons_of(outcomes), outcomes.requests
        context = requests.context[taught.request]
        items = requests.items.features[taught.item][:, None, :]
        x = np.ones((len(taught), 1 + context.shape[1]))
        x[:, 1:] = context
        z = joint(context, items, self.interactions)[:, 0]
        self.model.learn(taught.key, x, z, taught.reward, requests.time[taught.request])
        super().update(outcomes)

    def state_dict(self) -> State:
        """Return the sums over observations, and what follows from them."""
        return super().state_dict() | self.model.state()

    def load_state_dict(self, state: State) -> None:
        """Take over a state."""
        self.model.load(state)
        super().load_state_dict(state)


class HybridRidge:
    """The joint ridge regression on z, shared by all arms, and on x, of each arm its own.

    For every arm A = l2 I + sum x x', B = sum x z', b = sum r x. With beta known, an arm's weights
    are A^-1 (b - B beta); what is left of z when x has explained what it can is u = z - B' A^-1 x,
    and beta is the regression on these: A0 = l2 I + sum z z' - sum over arms B' A^-1 B. An
    observation changes A0 by u u' / (1 + x' A^-1 x), so that all inverses are renewed by rank-1
    updates: O(d^2 + d k + k^2) for x of d and z of k numbers.

    Parameters
    ----------
    l2 : float
    memory : Memory
    """

    def __init__(self, l2: float, memory: Memory) -> None:
        self.l2, self.memory = l2, memory
        self._begin(0, 0)

    def _begin(self, d: int, k: int) -> None:
        self.d, self.k = d, k
        parts = {"gram": packed_size(d), "cross": d * k, "moment": d}
        self.arms = Sums(parts, self.memory)
        self.shared = Sums({"shared_gram": packed_size(k), "shared_moment": k}, self.memory)
        self.inverse, self.projection = np.zeros((0, packed_size(d))), np.zeros((0, d, k))
        self.own, self.beta = np.zeros((0, d)), np.zeros(k)
        self.shared_inverse = prior(k, self.l2)
        self._clock = NEVER  # of what follows from the sums
        if not self.memory:
            self._clock = self.arms.clock = self.shared.clock = 0

    def _expect(self, d: int, k: int) -> None:
        if (self.d, self.k) not in ((0, 0), (d, k)):
            raise ShapeError(
                f"the policy learned from {self.d} own and {self.k} shared features and cannot "
                f"read {d} and {k}: context or item features have changed their width"
            )

    def learn(
        self, keys: Keys, x: Floats, z: Floats, rewards: Floats, time: NDArray[np.int64]
    ) -> None:
        """Learn T observations in their order: keys [T], x [T, d], z [T, k], rewards [T]."""
        if not len(keys):
            return
        self._expect(x.shape[1], z.shape[1])
        if not self.d:
            self._begin(x.shape[1], z.shape[1])
        arms = self.arms.admit(keys)
        self.shared.admit(np.zeros(1, dtype=np.uint64))
        self._make_room(len(self.arms.values))
        self.arms.clock, self._clock = _learn(
            arms,
            x,
            z,
            rewards,
            self.memory.ticks(time),
            self.arms.clock,
            self._clock,
            self.l2,
            self._sums(),
            self._derived(),
        )
        self.shared.clock = self.arms.clock

    def _make_room(self, room: int) -> None:
        more = room - len(self.own)
        if more:
            blank = np.tile(prior(self.d, self.l2), (more, 1))
            self.inverse = np.concatenate([self.inverse, blank])
            self.projection = np.concatenate([self.projection, np.zeros((more, self.d, self.k))])
            self.own = np.concatenate([self.own, np.zeros((more, self.d))])

    def _sums(self) -> Kept:
        return self.arms.ticks, self.arms.values, self.shared.ticks, self.shared.values

    def _derived(self) -> Derived:
        return self.inverse, self.projection, self.own, self.shared_inverse, self.beta

    def freshen(self) -> None:
        """Bring all that follows from the sums up to the clock."""
        if self._clock != self.arms.clock:
            _renew(self.arms.clock, self.l2, self._sums(), self._derived())
            self._clock = self.arms.clock

    def posterior(self, requests: Requests, k: int) -> tuple[Floats, Floats]:
        """Return mean and deviation of every candidate; see `HybridLinUCB.estimate`."""
        self._expect(1 + requests.context.shape[1], k)
        self.freshen()
        mean, deviation = np.zeros(requests.candidates.shape), np.zeros(requests.candidates.shape)
        known = self if self.d else HybridRidge(self.l2, self.memory)
        if not self.d:
            known._begin(1 + requests.context.shape[1], k)
        strange = _score(
            requests.context,
            requests.items.features,
            requests.candidates,
            known.arms.arms.of(requests),
            self.l2,
            known._derived(),
            mean,
            deviation,
        )
        expect_finite(strange)
        return mean, deviation

    def state(self) -> State:
        """Return sums and all that follows from them."""
        self.freshen()
        n, shared = len(self.arms.arms), self.shared.state()
        state = self.arms.state() | {name: shared[name] for name in self.shared.parts}
        if self.memory:
            state["shared_ticks"] = shared["ticks"]
        arrays = dict(zip(DERIVED, self._derived(), strict=True))
        own = {name: arrays[name][:n].copy() for name in DERIVED[:3]}
        return state | own | {name: arrays[name].copy() for name in DERIVED[3:]}

    def load(self, state: State) -> None:
        """Take over a state that `state` returned."""
        n = len(entry(state, "arms", np.uint64, (None,)))
        d = entry(state, "own", np.float64, (n, None)).shape[1]
        k = len(entry(state, "beta", np.float64, (None,)))
        other = HybridRidge(self.l2, self.memory)
        other._begin(d, k)
        other.arms.load(state)
        shared = {"arms": np.zeros(min(n, 1), dtype=np.uint64)}
        shared |= {name: state[name] for name in other.shared.parts if name in state}
        if "shared_ticks" in state:
            shared["ticks"] = state["shared_ticks"]
        other.shared.load(shared)
        shapes = ((n, packed_size(d)), (n, d, k), (n, d), (packed_size(k),), (k,))
        derived = [
            entry(state, name, np.float64, shape)
            for name, shape in zip(DERIVED, shapes, strict=True)
        ]
        self._begin(d, k)
        self.arms, self.shared = other.arms, other.shared
        self.inverse, self.projection, self.own, self.shared_inverse, self.beta = derived
        self._clock = self.arms.clock


@compiled
def _learn(
    arms: Rows,
    x: Floats,
    z: Floats,
    rewards: Floats,
    tick: Rows,
    clock: int,
    current: int,
    l2: float,
    sums: Kept,
    derived: Derived,
) -> tuple[int, int]:
    """Learn observations in their order; return the clock, and the clock of what is derived."""
    ticks, values, shared_ticks, shared_values = sums
    inverse, projection, own, shared_inverse, beta = derived
    d, k = x.shape[1], z.shape[1]
    y, shared_y = np.empty(d), np.empty(k)
    u = np.empty(k)
    for t in range(len(arms)):
        arm, clock = arms[t], max(clock, tick[t])
        if current != clock:
            _renew(clock, l2, sums, derived)
            current = clock
        _add(x[t], z[t], rewards[t], tick[t], ticks[arm], values[arm])
        cell, weight = cell_of(tick[t], shared_ticks[0], shared_values[0])
        square = len(shared_inverse)
        add_square(shared_values[0, cell, :square], z[t], weight)
        axpy(weight * rewards[t], z[t], shared_values[0, cell, square:])
        now = weight_of(clock - tick[t], ticks.shape[1])
        times(inverse[arm], x[t], y)
        _rest(projection[arm], x[t], z[t], u)
        leverage = now * dot(x[t], y)
        gain = now / (1.0 + leverage)
        times(shared_inverse, u, shared_y)
        shared_leverage = gain * dot(u, shared_y)
        if leverage > FAR or shared_leverage > FAR:
            _renew(clock, l2, sums, derived)
            continue
        miss = rewards[t] - dot(own[arm], x[t])
        shared_gain = gain / (1.0 + shared_leverage)
        axpy(shared_gain * (miss - dot(beta, u)), shared_y, beta)
        add_square(shared_inverse, shared_y, -shared_gain)
        add_square(inverse[arm], y, -gain)
        axpy(gain * miss, y, own[arm])
        for i in range(d):
            axpy(gain * y[i], u, projection[arm, i])
    return clock, current


@compiled
def _add(x: Floats, z: Floats, reward: float, tick: int, ticks: Rows, values: Floats) -> None:
    """Add an observation to its arm's sums: gram, cross and moment, one after the other."""
    d, k = len(x), len(z)
    cell, weight = cell_of(tick, ticks, values)
    square = d * (d + 1) // 2
    add_square(values[cell, :square], x, weight)
    for i in range(d):
        start = square + i * k
        axpy(weight * x[i], z, values[cell, start : start + k])
    axpy(weight * reward, x, values[cell, square + d * k :])


@compiled
def _rest(projection: Floats, x: Floats, z: Floats, u: Floats) -> None:
    """Fill u with z - (A^-1 B)' x: what x does not explain of z."""
    u[:] = z
    for i in range(len(x)):
        axpy(-x[i], projection[i], u)


@compiled
def _renew(
    clock: int,
    l2: float,
    sums: Kept,
    derived: Derived,
) -> None:
    """Derive everything from the sums, as they weigh at this clock."""
    ticks, values, shared_ticks, shared_values = sums
    inverse, projection, own, shared_inverse, beta = derived
    d, k = own.shape[1], len(beta)
    square, now = d * (d + 1) // 2, np.empty(values.shape[2])
    total = np.empty(shared_values.shape[2])
    weigh_cells(clock, shared_ticks[0], shared_values[0], total)
    size = len(shared_inverse)
    gram, moment = total[:size], total[size:]
    column, solved = np.empty(d), np.empty(d)
    for arm in range(len(own)):
        if ticks[arm].max() == NEVER:
            continue
        weigh_cells(clock, ticks[arm], values[arm], now)
        cross = now[square : square + d * k].reshape(d, k)
        invert(now[:square], l2, d, inverse[arm])
        times(inverse[arm], now[square + d * k :], own[arm])
        for p in range(k):
            column[:] = cross[:, p]
            times(inverse[arm], column, solved)
            projection[arm, :, p] = solved
        for i in range(d):
            axpy(-own[arm, i], cross[i], moment)
            at = 0
            for p in range(k):
                axpy(-cross[i, p], projection[arm, i, p:], gram[at : at + k - p])
                at += k - p
    invert(gram, l2, k, shared_inverse)
    times(shared_inverse, moment, beta)


@compiled
def _score(
    context: NDArray[np.float32],
    items: NDArray[np.float32],
    candidates: Rows,
    arms: Rows,
    l2: float,
    derived: Derived,
    mean: Floats,
    deviation: Floats,
) -> int:
    """Fill mean and deviation; return the first row that cannot be scored, or -1."""
    inverse, projection, own, shared_inverse, beta = derived
    d, k = own.shape[1], len(beta)
    interactions = k > d + items.shape[1]
    x, z, u = np.empty(d), np.empty(k), np.empty(k)
    scratch, shared_scratch = np.empty(d), np.empty(k)
    x[0] = 1.0
    for b in range(candidates.shape[0]):
        x[1:] = context[b]
        for m in range(candidates.shape[1]):
            row, arm = candidates[b, m], arms[b, m]
            if row < 0:
                continue
            joint_row(context[b], items[row], interactions, z)
            if arm >= 0:
                _rest(projection[arm], x, z, u)
                mean[b, m] = dot(own[arm], x) + dot(beta, u)
                spread = quadratic(inverse[arm], x, scratch)
            else:
                u[:] = z
                mean[b, m] = dot(beta, z)
                spread = dot(x, x) / l2
            spread += quadratic(shared_inverse, u, shared_scratch)
            deviation[b, m] = sqrt(max(spread, 0.0))
            if not isfinite(mean[b, m]):
                return b
    return -1
