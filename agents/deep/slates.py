"""The slate of highest value, when every choice's weight and long-term value are known.

A user who is shown a slate A takes item i with probability v_i / (v_0 + sum_A v), and nothing with
the rest (conditional logit; v_0 is the weight of nothing). What a slate is worth follows:

    Q(A) = (v_0 q_0 + sum_A v_i q_i) / (v_0 + sum_A v_i)

Three ways to fill the K slots (Ie et al. 2019, arXiv 1905.12767, section 5): the K items of highest
v_i (q_i - q_0) ("top-k"), slot by slot the item that makes Q(A) highest ("greedy"), and the best
slate there is ("exact"). The paper finds the last one by a linear program, since Q(A) is a ratio of
linear functions; the same maximum r is where the K largest v_i (q_i - r) sum to v_0 (r - q_0), to
which iteration climbs in a few rounds (Dinkelbach 1967, "On nonlinear fractional programming").

Where users may take several items, each by itself with probability v_i, a slate is worth
q_0 + sum_A v_i (q_i - q_0), and the K highest v_i (q_i - q_0) are the best there is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.jit import compiled

if TYPE_CHECKING:
    from agents.api import Floats, Rows

TOP_K, GREEDY, EXACT, INDEPENDENT = range(4)
OPTIMISERS = {"top-k": TOP_K, "greedy": GREEDY, "exact": EXACT}
"""The ways to fill a slate, by name."""
SERVINGS = {"TS": TOP_K, "GS": GREEDY, "OS": EXACT}
"""The same by the paper's names, for serving."""

_ROUNDS = 50
"""More than enough: the iteration converges faster than linearly."""


def best_slates(
    weights: Floats, values: Floats, blank: Floats, nothing: Floats, slots: int, optimiser: int
) -> tuple[Rows, Floats]:
    """Return the slates that an optimiser finds, and what they are worth.

    Parameters
    ----------
    weights : float64 [B, M]
        v, how much each candidate attracts; negative where there is no candidate.
    values : float64 [B, M]
        q, what it is worth in the long run that the candidate is taken.
    blank, nothing : float64 [B]
        v_0 and q_0.
    slots : int
        K.
    optimiser : int
        One of `OPTIMISERS`, or `INDEPENDENT`, for which weights are probabilities and there is no
        `blank`.

    Returns
    -------
    slates : int64 [B, K]
        Places among the candidates, best first; -1 where there are fewer than K.
    worth : float64 [B]
        Q(A).
    """
    slates = np.full((len(weights), slots), -1, dtype=np.int64)
    worth = np.empty(len(weights))
    _best_slates(weights, values, blank, nothing, optimiser, slates, worth)
    return slates, worth


def slate_worth(
    weights: Floats, values: Floats, blank: Floats, nothing: Floats, slates: Rows
) -> Floats:
    """Return what given slates are worth: float64 [B]; see `best_slates`."""
    shown = slates >= 0
    v = np.where(shown, np.take_along_axis(weights, slates, axis=1), 0.0)
    q = np.take_along_axis(values, slates, axis=1)
    worth: Floats = (blank * nothing + (v * q).sum(axis=1)) / (blank + v.sum(axis=1))
    return worth


@compiled
def _best_slates(
    weights: Floats,
    values: Floats,
    blank: Floats,
    nothing: Floats,
    optimiser: int,
    slates: Rows,
    worth: Floats,
) -> None:
    for b in range(len(weights)):
        worth[b] = fill_slate(weights[b], values[b], blank[b], nothing[b], optimiser, slates[b])


@compiled
def fill_slate(v: Floats, q: Floats, v_0: float, q_0: float, optimiser: int, slate: Rows) -> float:
    """Write one slate, which is -1 throughout, and return its worth; see `best_slates`."""
    if optimiser == GREEDY:
        return _fill_greedily(v, q, v_0, q_0, slate)
    gains = np.empty(len(v))
    worth = _fill(v, q, v_0, q_0, q_0, gains, slate)
    if optimiser == INDEPENDENT:
        worth = q_0
        for j in slate:
            if j >= 0:
                worth += gains[j]
    if optimiser == EXACT:
        for _ in range(_ROUNDS):
            ratio = worth
            worth = _fill(v, q, v_0, q_0, ratio, gains, slate)
            if worth <= ratio:
                break
    return worth


@compiled
def _fill(
    v: Floats, q: Floats, v_0: float, q_0: float, ratio: float, gains: Floats, slate: Rows
) -> float:
    """Write the slate of the highest v (q - ratio), best first, and return its worth."""
    K, filled = len(slate), 0
    for j in range(len(v)):
        if v[j] < 0.0:
            continue
        gains[j] = v[j] * (q[j] - ratio)
        if filled == K and gains[j] <= gains[slate[K - 1]]:
            continue
        k = filled if filled < K else K - 1
        while k > 0 and gains[slate[k - 1]] < gains[j]:
            slate[k] = slate[k - 1]
            k -= 1
        slate[k] = j
        filled = min(filled + 1, K)
    top, bottom = v_0 * q_0, v_0
    for k in range(filled):
        top += v[slate[k]] * q[slate[k]]
        bottom += v[slate[k]]
    return top / bottom


@compiled
def _fill_greedily(v: Floats, q: Floats, v_0: float, q_0: float, slate: Rows) -> float:
    """Write slot by slot the item that makes the slate's worth highest, and return it."""
    top, bottom = v_0 * q_0, v_0
    for k in range(len(slate)):
        best, chosen = -np.inf, -1
        for j in range(len(v)):
            taken = v[j] < 0.0
            for earlier in range(k):
                taken = taken or slate[earlier] == j
            if not taken and (top + v[j] * q[j]) / (bottom + v[j]) > best:
                best, chosen = (top + v[j] * q[j]) / (bottom + v[j]), j
        if chosen < 0:
            break
        slate[k] = chosen
        top += v[chosen] * q[chosen]
        bottom += v[chosen]
    return top / bottom
