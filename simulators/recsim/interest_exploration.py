"""InterestExploration: users of two hidden kinds, and documents of which most are for one of them.

The user model of RecSim's `interest_exploration` (Ie et al. 2019, "RecSim: a configurable
simulation platform for recommender systems", arXiv 1909.04847), from its equations:

- A user is of type 0 with probability 0.3, else of type 1, and has an affinity to each of two
  topics, log-normal with log-means (0.1, 0.7) or (0.7, 0.1) by type and log-deviation 0.1. None of
  it is observed, and it does not change.
- At every visit M documents are on offer, of topic 0 with probability 0.2, else of topic 1. Their
  quality is log-normal with log-mean 0.8 or 0.2 by topic and log-deviation 0.1. Both are shown.
- Of a slate, document i is clicked with probability exp(v_i) / (sum_j exp(v_j) + exp(5)), where
  v_i = affinity to its topic + quality; with the rest nothing is. A click is worth 1.
- A user stays for ever.

Nothing that is shown changes the user, so the myopic bound, which knows the affinities, is the best
that can be done.
"""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.jit import compiled
from agents.streams import stream, uniform
from simulators.draws import normal
from simulators.loops import Loops, look_at_nothing
from simulators.records import ANSWER, BIRTH, OFFER, Signal
from simulators.world import BatchedWorld

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Rows
    from simulators.records import Mask

FIRST_TYPE = 0.3
FIRST_TOPIC = 0.2
AFFINITY: Floats = np.array([[0.1, 0.7], [0.7, 0.1]])
QUALITY: Floats = np.array([0.8, 0.2])
SPREAD = 0.1
NO_CLICK = 5.0
TOPICS = 2
HIGHEST = exp(0.8 + 14 * SPREAD)  # normals beyond 14 deviations are never drawn

DOCUMENT = np.dtype([("topic", np.int64), ("quality", np.float64)], align=True)


class InterestExploration(BatchedWorld):
    """The world above, of any size.

    Parameters
    ----------
    num_candidates : int
        M, how many documents are on offer at a visit.
    slate_size : int
        K, how many of them are shown.
    horizon : int, optional
        How many slates a user is shown; None lets users stay for ever, as the source does.
    """

    name = "InterestExploration"
    leaves = False
    signals = (
        Signal("clicked", 0.0, 1.0),
        Signal("quality", 0.0, HIGHEST),
        Signal("topic", -1.0, TOPICS - 1, blank=-1.0),
    )
    context_bounds = (0.0, 1.0)  # always 1: nothing is observed but that there is a user
    item_bounds = (0.0, HIGHEST)
    context_width = 1
    item_width = TOPICS + 1

    def __init__(
        self, num_candidates: int = 10, slate_size: int = 2, *, horizon: int | None = 100
    ) -> None:
        super().__init__(num_candidates=num_candidates, slate_size=slate_size, horizon=horizon)

    def _allocate(self, lanes: int) -> None:
        self.affinities: Floats = np.zeros((lanes, TOPICS))
        self.on_offer: NDArray[Any] = np.zeros((lanes, self.num_candidates), dtype=DOCUMENT)

    def _loops(self) -> Loops:
        return Loops(_begin, _answer, look_at_nothing, _offer, _show)

    def _keeps(self) -> tuple[Any, ...]:
        return self.affinities, self.on_offer

    def appeal(self) -> Floats:
        """Return how likely each document would be clicked, were it shown alone."""
        self.prepare()
        out = np.empty(self.on_offer.shape)
        _appeal(self.affinities, self.on_offer, out)
        return out


@compiled
def _begin(lanes: NDArray[Any], mask: Mask, state: Any) -> None:
    affinities = state[0]
    for b in range(lanes.shape[0]):
        if mask[b]:
            start = stream(lanes[b].user, np.uint64(0), BIRTH)
            kind = 0 if uniform(start, 0) < FIRST_TYPE else 1
            for c in range(TOPICS):
                affinities[b, c] = exp(AFFINITY[kind, c] + SPREAD * normal(start, 1 + c))


@compiled
def _offer(lanes: NDArray[Any], state: Any) -> None:
    on_offer = state[1]
    M = on_offer.shape[1]
    for b in range(lanes.shape[0]):
        start = stream(lanes[b].user, lanes[b].visit, OFFER)
        for j in range(M):
            topic = 0 if uniform(start, j) < FIRST_TOPIC else 1
            on_offer[b, j].topic = topic
            on_offer[b, j].quality = exp(QUALITY[topic] + SPREAD * normal(start, M + j))


@compiled
def _show(state: Any, documents: NDArray[np.float32]) -> None:
    on_offer = state[1]
    for b in range(on_offer.shape[0]):
        for j in range(on_offer.shape[1]):
            for c in range(TOPICS):
                documents[b, j, c] = 0.0
            documents[b, j, on_offer[b, j].topic] = 1.0
            documents[b, j, TOPICS] = on_offer[b, j].quality


@compiled
def _appeal(affinities: Floats, on_offer: NDArray[Any], out: Floats) -> None:
    for b in range(out.shape[0]):
        for j in range(out.shape[1]):
            weight = exp(affinities[b, on_offer[b, j].topic] + on_offer[b, j].quality)
            out[b, j] = weight / (weight + exp(NO_CLICK))


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
    affinities, on_offer = state
    K = choices.shape[1]
    weights = np.empty(K)
    for b in range(lanes.shape[0]):
        lane = lanes[b]
        if lane.ended:
            continue
        total = exp(NO_CLICK)
        for k in range(K):
            j = choices[b, k]
            if j >= 0:
                document = on_offer[b, j]
                weights[k] = exp(affinities[b, document.topic] + document.quality)
                total += weights[k]
        left = total * uniform(stream(lane.user, lane.visit, ANSWER), 0)
        open_ = True
        for k in range(K):
            j = choices[b, k]
            if j < 0:
                continue
            seen[b, k], expected[b, k] = True, weights[k] / total
            told[2, b, k], told[3, b, k] = on_offer[b, j].quality, on_offer[b, j].topic
            left -= weights[k]
            if open_ and left < 0.0:
                told[0, b, k] = told[1, b, k] = 1.0
                open_ = False
