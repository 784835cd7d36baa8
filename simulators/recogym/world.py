"""RecoGym: users who go between a shop, which they look around in, and pages that advertise it.

The simulator of Rohde et al. 2018, "RecoGym: a reinforcement learning environment for the problem
of product recommendation in online advertising" (arXiv 1808.00720), from its equations:

- P products have a latent vector g ~ N(0, 1)^5 and a popularity m ~ N(0, 3). A user has a latent
  vector w ~ N(0, 1)^5. An organic event is a view of product p with probability softmax(g w + m).
- A bandit event shows one product, which is clicked with probability f(b w + n), where
  f(x) = s(5 s(2 s(0.3 x) - 2) - 6) with s the logistic function. Products' b and n are g and m;
  with `flips`, pairs of the most similar products have exchanged theirs.
- A user begins with organic events. After one the next is bandit with probability 0.25, the user
  leaves with probability 0.01, or looks on. After a bandit event the next is organic with
  probability 0.05, the user leaves with probability 0.01, or sees another. A click always leads to
  organic events, even where the user would have left.
- Whenever the chain itself moves to an organic event, w moves by N(0, 0.1)^5.

The published transition table has the organic probability of leaving in the bandit row too: a bug,
which shows as soon as the two differ. It is kept unless `corrected`.

A request is a bandit event. What is observed are the views of every product, all and those since
the last request, up to 1,000. Users who leave before their first bandit event are never met.

A click is worth more than what it may cut off later (it leads to the shop, where 4 % leave), and
which product is shown sways nothing else: the myopic bound is the best that can be done.
"""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING, Any

import numpy as np

from agents import Catalogue
from agents.jit import compiled
from agents.streams import stream, uniform
from simulators.draws import normal
from simulators.loops import Loops
from simulators.records import ANSWER, BIRTH, Signal, WorldError
from simulators.world import BatchedWorld

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Rows
    from simulators.records import Mask

LATENT = 5
POPULARITY = 3.0
DRIFT = 0.1
MOST_VIEWS = 1000.0
ORGANIC, BANDIT, GONE = 0, 1, 2


class RecoGym(BatchedWorld):
    """The world above.

    Parameters
    ----------
    num_candidates : int
        P, how many products there are; all of them are candidates, always.
    slate_size : int
        1: an advertisement is of one product.
    horizon : int, optional
        How many advertisements a user sees at most.
    to_bandit, leave_organic : float
        After an organic event.
    to_organic, leave_bandit : float
        After a bandit event.
    corrected : bool
        Whether users leave after bandit events with `leave_bandit`, not with `leave_organic`.
    flips : int
        How many pairs of products have exchanged what sways clicks.
    product_seed : int
        What the products are drawn with.

    Raises
    ------
    WorldError
        If the probabilities are none, a slate is to have more slots, or there are too few products
        for so many flips.
    """

    name = "RecoGym"
    signals = (Signal("clicked", 0.0, 1.0),)
    context_bounds = (0.0, MOST_VIEWS)
    item_width = 0

    def __init__(
        self,
        num_candidates: int = 10,
        slate_size: int = 1,
        *,
        horizon: int | None = None,
        to_bandit: float = 0.25,
        leave_organic: float = 0.01,
        to_organic: float = 0.05,
        leave_bandit: float = 0.01,
        corrected: bool = False,
        flips: int = 0,
        product_seed: int = 0,
    ) -> None:
        if slate_size != 1:
            raise WorldError(f"{self.name} advertises one product at a time, not {slate_size}")
        leaves = leave_bandit if corrected else leave_organic
        chances = (to_bandit, leave_organic, to_organic, leaves)
        if min(chances) < 0 or to_bandit + leave_organic > 1 or to_organic + leaves > 1:
            raise WorldError(f"{self.name}: {chances} are no probabilities of going elsewhere")
        if to_bandit == 0 or max(leave_organic, leaves) == 0:
            raise WorldError(f"{self.name}: with {chances} users never ask, or never leave")
        if not 0 <= 2 * flips <= num_candidates:
            raise WorldError(f"{self.name}: {flips} flips need {2 * flips} products")
        super().__init__(
            num_candidates=num_candidates,
            slate_size=slate_size,
            horizon=horizon,
            catalogue=Catalogue.of(
                [f"product-{row}" for row in range(num_candidates)], np.zeros((num_candidates, 0))
            ),
        )
        rng = np.random.default_rng(product_seed)
        self.organic: Floats = rng.normal(size=(num_candidates, LATENT + 1))  # the last is m
        self.organic[:, LATENT] *= POPULARITY
        self.bandit: Floats = self.organic[_exchanged(self.organic[:, :LATENT], flips)]
        self.chain: Floats = np.array(
            [
                [1.0 - to_bandit - leave_organic, to_bandit, leave_organic],
                [to_organic, 1.0 - to_organic - leaves, leaves],
            ]
        )

    @property
    def context_width(self) -> int:
        """D."""
        return 2 * self.num_candidates

    def _allocate(self, lanes: int) -> None:
        self.users: Floats = np.zeros((lanes, LATENT))
        self.views: Rows = np.zeros((lanes, 2, self.num_candidates), dtype=np.int64)

    def _loops(self) -> Loops:
        return Loops(_begin, _answer, _look)

    def _keeps(self) -> tuple[Any, ...]:
        return self.users, self.views, self.organic, self.bandit, self.chain

    def appeal(self) -> Floats:
        """Return how likely a click on each product is: float64 [B, P]."""
        out = np.empty((len(self), self.num_candidates))
        _appeal(self.users, self.bandit, out)
        return out


def _exchanged(latent: Floats, flips: int) -> Rows:
    """Return whose numbers every product has after the flips: int64 [P]."""
    likeness = latent @ latent.T
    np.fill_diagonal(likeness, 0.0)
    whose = np.arange(len(latent))
    free = np.ones(len(latent), dtype=np.bool_)
    for place in np.argsort(likeness, axis=None)[::-1]:
        one, other = divmod(int(place), len(latent))
        if flips > 0 and one != other and free[one] and free[other]:
            whose[[one, other]] = other, one
            free[[one, other]] = False
            flips -= 1
    return whose


@compiled
def _affinity(users: Floats, b: int, product: Floats) -> float:
    total = float(product[LATENT])
    for i in range(LATENT):
        total += product[i] * users[b, i]
    return total


@compiled
def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + exp(-x))


@compiled
def _click_chance(users: Floats, b: int, product: Floats) -> float:
    x = _affinity(users, b, product)
    return _sigmoid(5.0 * _sigmoid(2.0 * _sigmoid(0.3 * x) - 2.0) - 6.0)


@compiled
def _next(chain: Floats, state: int, draw: float) -> int:
    if draw < chain[state, ORGANIC]:
        return ORGANIC
    return BANDIT if draw < chain[state, ORGANIC] + chain[state, BANDIT] else GONE


@compiled
def _drift(users: Floats, b: int, start: np.uint64, draw: int) -> int:
    """Move a user's taste, and return the next free draw of the stream."""
    for i in range(LATENT):
        users[b, i] += DRIFT * normal(start, draw + i)
    return draw + LATENT


@compiled
def _shop(
    users: Floats,
    b: int,
    views: Rows,
    organic: Floats,
    chain: Floats,
    start: np.uint64,
    draw: int,
) -> tuple[int, int]:
    """Let a user look around until they do not; return where they are then, and the next draw."""
    P, state = len(organic), ORGANIC
    weights = np.empty(P)
    while state == ORGANIC:
        top = -np.inf
        for p in range(P):
            weights[p] = _affinity(users, b, organic[p])
            top = max(top, weights[p])
        total = 0.0
        for p in range(P):
            weights[p] = exp(weights[p] - top)
            total += weights[p]
        left, seen = total * uniform(start, draw), P - 1
        for p in range(P):
            left -= weights[p]
            if left < 0.0:
                seen = p
                break
        views[b, 0, seen] += 1
        views[b, 1, seen] += 1
        state = _next(chain, ORGANIC, uniform(start, draw + 1))
        draw += 2
        if state == ORGANIC:
            draw = _drift(users, b, start, draw)
    return state, draw


@compiled
def _begin(lanes: NDArray[Any], mask: Mask, state: Any) -> None:
    users, views, organic, _, chain = state
    for b in range(lanes.shape[0]):
        if not mask[b]:
            continue
        start = stream(lanes[b].user, np.uint64(0), BIRTH)
        state, draw = GONE, 0
        while state == GONE:  # before they saw an advertisement: another user comes in their place
            for i in range(LATENT):
                users[b, i] = normal(start, draw + i)
            for p in range(len(organic)):
                views[b, 0, p] = views[b, 1, p] = 0
            state, draw = _shop(users, b, views, organic, chain, start, draw + LATENT)


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
    users, views, organic, bandit, chain = state
    for b in range(lanes.shape[0]):
        lane = lanes[b]
        if lane.ended:
            continue
        answer = stream(lane.user, lane.visit, ANSWER)
        clicked = False
        if choices[b, 0] >= 0:
            chance = _click_chance(users, b, bandit[choices[b, 0]])
            clicked = uniform(answer, 0) < chance
            seen[b, 0], expected[b, 0] = True, chance
            told[0, b, 0], told[1, b, 0] = clicked, clicked
        for p in range(len(organic)):
            views[b, 1, p] = 0
        state, draw = _next(chain, BANDIT, uniform(answer, 1)), 2
        if state == ORGANIC:
            draw = _drift(users, b, answer, draw)
        if clicked:
            state = ORGANIC
        if state == ORGANIC:
            state, draw = _shop(users, b, views, organic, chain, answer, draw)
        terminated[b] = state == GONE


@compiled
def _look(state: Any, context: NDArray[np.float32]) -> None:
    views = state[1]
    P = views.shape[2]
    for b in range(views.shape[0]):
        for i in range(2):
            for p in range(P):
                context[b, i * P + p] = min(float(views[b, i, p]), MOST_VIEWS)


@compiled
def _appeal(users: Floats, bandit: Floats, out: Floats) -> None:
    for b in range(out.shape[0]):
        for p in range(out.shape[1]):
            out[b, p] = _click_chance(users, b, bandit[p])
