"""How a slate becomes clicks: the five choice models of the field, as parts of worlds.

With weights w of the slots that are shown, no-click weight w_0, and p = w / (1 + w):

proportional      one is clicked at most, with probability w_i / (sum w + w_0), where
                  w = max(0, utility + lift) (Ie et al. 2019, arXiv 1909.04847)
mnl               the same with w = exp(utility) and w_0 = exp(no_click): the multinomial logit
                  (Luce 1959; McFadden 1974)
cascade           the user goes down the slate, clicks what they reach with probability p and stops;
                  else goes on with probability `patience` (Craswell et al. 2008, "An experimental
                  comparison of click position-bias models", where patience is 1)
dependent-click   the same, but they go on after a click too, with probability `persistence`, and
                  always without one (Guo et al. 2009, "Efficient multiple-click models in web
                  search")
position-based    slot k is looked at with probability k^-eta, counted from 1, and what is looked at
                  is clicked with probability p (Richardson et al. 2007, "Predicting clicks";
                  Joachims et al. 2017 take these propensities)

The first two look at the whole slate; in the others what is not looked at cannot be clicked.
"""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.jit import compiled, inlined
from agents.streams import uniform
from simulators.compose.part import Choice, Number
from simulators.recsim.slates import best_proportional

if TYPE_CHECKING:
    from agents.api import Floats
    from simulators.records import Mask

STEEPEST = 30.0
"""Utilities are taken within this of 0: exp of more says nothing that is not sure already."""


@inlined
def _exponential(utility: float, law: Any) -> float:
    return float(exp(min(STEEPEST, max(-STEEPEST, utility))))


# --- one of all, or nothing


@compiled
def choose_one(
    weights: Floats,
    shown: Mask,
    nothing: float,
    draw: float,
    chances: Floats,
    seen: Mask,
    clicked: Mask,
) -> None:
    """Let one of the slots be clicked, or none, as likely as their weights."""
    total = nothing
    for k in range(len(weights)):
        total += weights[k]  # 0 where nothing is shown
    left, open_ = total * draw, True
    for k in range(len(weights)):
        chances[k] = weights[k] / total if total > 0.0 else 0.0
        seen[k], clicked[k] = shown[k], False
        left -= weights[k]
        if open_ and left < 0.0:
            clicked[k], open_ = True, False


@inlined
def _lifted(utility: float, law: Any) -> float:
    return float(max(0.0, utility + law.lift))


@inlined
def _choose_proportional(
    weights: Floats,
    shown: Mask,
    law: Any,
    start: np.uint64,
    chances: Floats,
    seen: Mask,
    clicked: Mask,
) -> None:
    choose_one(weights, shown, law.no_click_score, uniform(start, 0), chances, seen, clicked)


@inlined
def _alone_proportional(weight: float, law: Any) -> float:
    total = weight + law.no_click_score
    return weight / total if total > 0.0 else 0.0


@inlined
def _best_proportional(weights: Floats, values: Floats, slots: int, law: Any, out: Floats) -> None:
    best_proportional(weights, values, law.no_click_score, 0.0, slots, out)


proportional = Choice(
    name="proportional",
    law={"lift": Number(1.0), "no_click_score": Number(2.0, 1e-9)},
    weigh=_lifted,
    choose=_choose_proportional,
    alone=_alone_proportional,
    best=_best_proportional,
)


@inlined
def _choose_mnl(
    weights: Floats,
    shown: Mask,
    law: Any,
    start: np.uint64,
    chances: Floats,
    seen: Mask,
    clicked: Mask,
) -> None:
    choose_one(weights, shown, exp(law.no_click), uniform(start, 0), chances, seen, clicked)


@inlined
def _alone_mnl(weight: float, law: Any) -> float:
    return weight / (weight + exp(law.no_click))


@inlined
def _best_mnl(weights: Floats, values: Floats, slots: int, law: Any, out: Floats) -> None:
    best_proportional(weights, values, exp(law.no_click), 0.0, slots, out)


mnl = Choice(
    name="mnl",
    law={"no_click": Number(1.0, -STEEPEST, STEEPEST)},
    weigh=_exponential,
    choose=_choose_mnl,
    alone=_alone_mnl,
    best=_best_mnl,
)


# --- down the slate


@compiled
def choose_down(
    weights: Floats,
    shown: Mask,
    skipped: float,
    clicked_on: float,
    start: np.uint64,
    chances: Floats,
    seen: Mask,
    clicked: Mask,
) -> None:
    """Let the user go down the slate, on after a slot with a probability that a click changes."""
    reached, here = 1.0, True
    for k in range(len(weights)):
        seen[k], clicked[k], chances[k] = False, False, 0.0
        if not shown[k]:
            continue
        p = weights[k] / (1.0 + weights[k])
        chances[k] = reached * p
        reached *= (1.0 - p) * skipped + p * clicked_on
        if here:
            seen[k], clicked[k] = True, uniform(start, 2 * k) < p
            here = uniform(start, 2 * k + 1) < (clicked_on if clicked[k] else skipped)


@compiled
def best_down(
    weights: Floats, values: Floats, skipped: float, clicked_on: float, slots: int, out: Floats
) -> None:
    """Write numbers of which the highest, best first, are the best slate for who goes down it.

    An item i is worth p_i v_i where it is reached, and passes on g_i = (1 - p_i) skipped + p_i
    clicked_on of whoever reached it. Exchanging neighbours shows that whatever the set, the larger
    p v / (1 - g) stands first; so the best set comes of one pass over the items in ascending order,
    with the best value of every number of slots.

    Parameters
    ----------
    weights, values : float64 [M]
    skipped, clicked_on : float
        How likely the user goes on without a click, and after one.
    slots : int
        K.
    out : float64 [M]
    """
    M = len(values)
    index = np.empty(M)
    for j in range(M):
        p = weights[j] / (1.0 + weights[j])
        stops = p * (1.0 - clicked_on) + (1.0 - p) * (1.0 - skipped)
        index[j] = p * values[j] / max(stops, 1e-12)
    order = np.argsort(index)
    best = np.full((M + 1, slots + 1), -np.inf)
    best[0, 0] = 0.0
    for i in range(M):
        j = order[i]
        p = weights[j] / (1.0 + weights[j])
        on = (1.0 - p) * skipped + p * clicked_on
        for k in range(slots + 1):
            best[i + 1, k] = best[i, k]
            if k > 0:
                best[i + 1, k] = max(best[i, k], p * values[j] + on * best[i, k - 1])
    left = slots  # a slate is full: an item that does harm goes where it does least
    for i in range(M - 1, -1, -1):
        out[order[i]] = 0.0
        if left > 0 and best[i + 1, left] > best[i, left]:
            out[order[i]] = left
            left -= 1


@inlined
def _alone_down(weight: float, law: Any) -> float:
    return weight / (1.0 + weight)


@inlined
def _choose_cascade(
    weights: Floats,
    shown: Mask,
    law: Any,
    start: np.uint64,
    chances: Floats,
    seen: Mask,
    clicked: Mask,
) -> None:
    choose_down(weights, shown, law.patience, 0.0, start, chances, seen, clicked)


@inlined
def _best_cascade(weights: Floats, values: Floats, slots: int, law: Any, out: Floats) -> None:
    best_down(weights, values, law.patience, 0.0, slots, out)


cascade = Choice(
    name="cascade",
    law={"patience": Number(0.9, 0.0, 1.0)},
    weigh=_exponential,
    choose=_choose_cascade,
    alone=_alone_down,
    best=_best_cascade,
)


@inlined
def _choose_dependent(
    weights: Floats,
    shown: Mask,
    law: Any,
    start: np.uint64,
    chances: Floats,
    seen: Mask,
    clicked: Mask,
) -> None:
    choose_down(weights, shown, 1.0, law.persistence, start, chances, seen, clicked)


@inlined
def _best_dependent(weights: Floats, values: Floats, slots: int, law: Any, out: Floats) -> None:
    best_down(weights, values, 1.0, law.persistence, slots, out)


dependent_click = Choice(
    name="dependent-click",
    law={"persistence": Number(0.6, 0.0, 1.0)},
    weigh=_exponential,
    choose=_choose_dependent,
    alone=_alone_down,
    best=_best_dependent,
)


# --- each slot for itself


@compiled
def choose_each(
    weights: Floats,
    shown: Mask,
    eta: float,
    start: np.uint64,
    chances: Floats,
    seen: Mask,
    clicked: Mask,
) -> None:
    """Let every slot be looked at by its position, and clicked by its item."""
    for k in range(len(weights)):
        look, p = (k + 1.0) ** -eta, weights[k] / (1.0 + weights[k])
        chances[k] = look * p
        seen[k] = shown[k] and uniform(start, 2 * k) < look
        clicked[k] = seen[k] and uniform(start, 2 * k + 1) < p


@inlined
def _choose_position(
    weights: Floats,
    shown: Mask,
    law: Any,
    start: np.uint64,
    chances: Floats,
    seen: Mask,
    clicked: Mask,
) -> None:
    choose_each(weights, shown, law.eta, start, chances, seen, clicked)


@inlined
def _best_position(weights: Floats, values: Floats, slots: int, law: Any, out: Floats) -> None:
    for j in range(len(weights)):
        out[j] = values[j] * weights[j] / (1.0 + weights[j])


position_based = Choice(
    name="position-based",
    law={"eta": Number(1.0, 0.0)},
    weigh=_exponential,
    choose=_choose_position,
    alone=_alone_down,
    best=_best_position,
)

CHOICES = (proportional, mnl, cascade, dependent_click, position_based)
"""All of them."""
