"""LongTermSatisfaction: what pays now wears the user out, and what does not builds them up.

The user model of RecSim's `long_term_satisfaction` (Ie et al. 2019, "RecSim: a configurable
simulation platform for recommender systems", arXiv 1909.04847), from its equations:

- A document has a clickbait score c ~ U(0, 1), which is shown. M are on offer at every visit.
- A user has a net positive exposure n, at first (U(0, 1) - 0.5) / 0.3, and makes 60 visits. Their
  satisfaction is sigma(sensitivity * n). Nothing of it is observed.
- The document in the first slot is always clicked; the rest of a slate is never looked at. The
  engagement, which is the reward, is log-normal: exp(N((5 c + 4 (1 - c)) * satisfaction, 1)).
- Then n becomes 0.7 n - 2 (c - 0.5) + N(0, 0.05).

The source's sensitivity is 0.01. With it exposure hardly sways satisfaction, and the most clickbait
is best at once and in the long run: the trade-off that the world is named for does not exist.
With 0.1 it does, and the order of the two extremes flips.

The oracle is the best policy there is: dynamic programming over the exposure and the visits that
are left, with the expectation over what will be on offer.
"""

from __future__ import annotations

from functools import cached_property
from math import exp
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.jit import compiled
from agents.streams import stream, uniform
from simulators.bounds import Privileged
from simulators.draws import normal
from simulators.loops import Loops, look_at_nothing
from simulators.records import ANSWER, BIRTH, OFFER, Signal, WorldError
from simulators.world import BatchedWorld

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents import Policy
    from agents.api import Floats, Rows
    from simulators.records import Mask

VISITS = 60
MEMORY = 0.7
INNOVATION = 0.05
CHOC, KALE = 5.0, 4.0
MOST_ENGAGEMENT = exp(CHOC + 14.0)  # normals beyond 14 deviations are never drawn

EXPOSURES: Floats = np.linspace(-6.0, 6.0, 241)
CLICKBAIT: Floats = np.linspace(0.0025, 0.9975, 200)  # midpoints of 200 equal parts of [0, 1]
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(3)

USER = np.dtype([("exposure", np.float64), ("visits", np.int64)], align=True)


class LongTermSatisfaction(BatchedWorld):
    """The world above, of any size.

    Parameters
    ----------
    num_candidates : int
        M, how many documents are on offer at a visit.
    slate_size : int
        K, how many of them are shown.
    horizon : int, optional
        How many slates a user is shown at most.
    sensitivity : float
        How much exposure sways satisfaction.

    Raises
    ------
    WorldError
        If the sensitivity is negative.
    """

    name = "LongTermSatisfaction"
    signals = (Signal("clicked", 0.0, 1.0), Signal("engagement", 0.0, MOST_ENGAGEMENT))
    context_bounds = (0.0, 1.0)  # always 1: nothing is observed but that there is a user
    item_bounds = (0.0, 1.0)
    context_width = 1
    item_width = 1

    def __init__(
        self,
        num_candidates: int = 10,
        slate_size: int = 1,
        *,
        horizon: int | None = None,
        sensitivity: float = 0.01,
    ) -> None:
        super().__init__(num_candidates=num_candidates, slate_size=slate_size, horizon=horizon)
        if not sensitivity >= 0.0:
            raise WorldError(f"{self.name}: a sensitivity is not negative, as {sensitivity} is")
        self.sensitivity = sensitivity

    def _allocate(self, lanes: int) -> None:
        self.users: NDArray[Any] = np.zeros(lanes, dtype=USER)
        self.clickbait: Floats = np.zeros((lanes, self.num_candidates))

    def _loops(self) -> Loops:
        return Loops(_begin, _answer, look_at_nothing, _offer, _show)

    def _keeps(self) -> tuple[Any, ...]:
        return self.users, self.clickbait, self.sensitivity

    def appeal(self) -> Floats:
        """Return the expected engagement with each document in the first slot."""
        self.prepare()
        return _engagement(self.clickbait, self.users["exposure"][:, None], self.sensitivity)

    # --- the oracle

    @cached_property
    def values(self) -> Floats:
        """What is still to come, by visits left and exposure: float64 [61, len(EXPOSURES)]."""
        here = _engagement(CLICKBAIT[None, :], EXPOSURES[:, None], self.sensitivity)
        after = MEMORY * EXPOSURES[:, None] - 2.0 * (CLICKBAIT[None, :] - 0.5)
        below = np.arange(len(CLICKBAIT) + 1) / len(CLICKBAIT)
        likely = np.diff(below**self.num_candidates)  # that the i-th worst part is the best offered
        values = np.zeros((VISITS + 1, len(EXPOSURES)))
        for left in range(1, VISITS + 1):
            total = here + _later(values[left - 1], after)
            values[left] = np.sort(total, axis=1) @ likely
        return values

    def worth(self) -> Floats:
        """Return the expected engagement from now on, were this document shown: float64 [B, M]."""
        after = MEMORY * self.users["exposure"][:, None] - 2.0 * (self.clickbait - 0.5)
        worth = self.appeal()
        left = VISITS - self.users["visits"]
        if self.horizon is not None:
            left = np.minimum(left, self.horizon - self.users["visits"])
        for visits in np.unique(left[left > 0]):
            rows = left == visits
            worth[rows] += _later(self.values[visits - 1], after[rows])
        return worth

    def bounds(self) -> dict[str, Policy]:
        """Return random, myopic and the optimal policy."""
        return super().bounds() | {"oracle": Privileged(self, "oracle", self.worth)}


def _engagement(clickbait: Floats, exposure: Floats, sensitivity: float) -> Floats:
    """Return the mean of the log-normal engagement."""
    satisfaction = 1.0 / (1.0 + np.exp(-sensitivity * exposure))
    engagement: Floats = np.exp((CHOC * clickbait + KALE * (1 - clickbait)) * satisfaction + 0.5)
    return engagement


def _later(values: Floats, exposure: Floats) -> Floats:
    """Return the expected value after the innovation of an exposure."""
    later = np.zeros(exposure.shape)
    for node, weight in zip(NODES, WEIGHTS / WEIGHTS.sum(), strict=True):
        later += weight * np.interp(exposure + INNOVATION * node, EXPOSURES, values)
    return later


@compiled
def _begin(lanes: NDArray[Any], mask: Mask, state: Any) -> None:
    users = state[0]
    for b in range(lanes.shape[0]):
        if mask[b]:
            start = stream(lanes[b].user, np.uint64(0), BIRTH)
            users[b].exposure = (uniform(start, 0) - 0.5) / (1.0 - MEMORY)
            users[b].visits = 0


@compiled
def _offer(lanes: NDArray[Any], state: Any) -> None:
    clickbait = state[1]
    for b in range(lanes.shape[0]):
        start = stream(lanes[b].user, lanes[b].visit, OFFER)
        for j in range(clickbait.shape[1]):
            clickbait[b, j] = uniform(start, j)


@compiled
def _show(state: Any, documents: NDArray[np.float32]) -> None:
    clickbait = state[1]
    for b in range(clickbait.shape[0]):
        for j in range(clickbait.shape[1]):
            documents[b, j, 0] = clickbait[b, j]


@compiled
def _answer(
    lanes: NDArray[Any],
    state: Any,
    choices: Rows,
    told: NDArray[np.float32],
    seen: Mask,
    expected: Floats,
    terminated: Mask,
) -> None:
    users, clickbait, sensitivity = state
    for b in range(lanes.shape[0]):
        lane, user = lanes[b], users[b]
        if lane.ended:
            continue
        if choices[b, 0] >= 0:
            answer = stream(lane.user, lane.visit, ANSWER)
            c = clickbait[b, choices[b, 0]]
            satisfaction = 1.0 / (1.0 + exp(-sensitivity * user.exposure))
            level = (CHOC * c + KALE * (1.0 - c)) * satisfaction
            seen[b, 0], expected[b, 0] = True, exp(level + 0.5)
            told[0, b, 0] = told[2, b, 0] = exp(level + normal(answer, 0))
            told[1, b, 0] = 1.0
            innovation = INNOVATION * normal(answer, 1)
            user.exposure = MEMORY * user.exposure - 2.0 * (c - 0.5) + innovation
        user.visits += 1
        terminated[b] = user.visits >= VISITS
