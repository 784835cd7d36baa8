"""The slate with the highest expected value, exactly, when the value of every choice is known.

Both ways of choosing allow it without trying all slates. Values are of the choices that a user may
make, nothing included; they may be negative.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.jit import compiled

if TYPE_CHECKING:
    from agents.api import Floats

_ROUNDS = 30


@compiled
def best_proportional(
    scores: Floats, values: Floats, blank: float, nothing: float, slots: int, out: Floats
) -> None:
    """Write numbers of which the highest belong to the best slate of proportional choice.

    The expected value of a slate, (sum s v + blank nothing) / (sum s + blank), is a ratio. Its
    maximum r is where the K largest s (v - r) sum to -blank (nothing - r), which iteration finds
    (Dinkelbach 1967, "On nonlinear fractional programming").

    Parameters
    ----------
    scores, values : float64 [M]
    blank, nothing : float
        Score and value of choosing nothing.
    slots : int
        K.
    out : float64 [M]
    """
    ratio = min(nothing, values.min())  # below the maximum, from where every round goes up
    for _ in range(_ROUNDS):
        for j in range(len(scores)):
            out[j] = scores[j] * (values[j] - ratio)
        floor = np.sort(out)[len(out) - slots]
        tied = slots - (out > floor).sum()  # so many of those that tie at the end have room
        top, bottom = blank * nothing, blank
        for j in range(len(scores)):
            if out[j] > floor or (out[j] == floor and tied > 0):
                top += scores[j] * values[j]
                bottom += scores[j]
                tied -= out[j] == floor
        if top / bottom <= ratio:
            break
        ratio = top / bottom


@compiled
def best_cascade(chances: Floats, values: Floats, nothing: float, slots: int, out: Floats) -> None:
    """Write numbers of which the highest, best first, are the best slate of a cascade.

    Whatever the set, the better document stands before the worse one; so the best set comes of one
    pass over the documents in ascending value, with the best value of every number of slots.

    Parameters
    ----------
    chances, values : float64 [M]
        How likely a document is chosen when it is reached, and what that is worth.
    nothing : float
        What it is worth that the user reaches the end.
    slots : int
        K.
    out : float64 [M]
    """
    M = len(values)
    order = np.argsort(values)
    best = np.full((M + 1, slots + 1), -np.inf)
    best[0, 0] = nothing
    for i in range(M):
        j = order[i]
        for k in range(slots + 1):
            best[i + 1, k] = best[i, k]
            if k > 0:
                taken = chances[j] * values[j] + (1.0 - chances[j]) * best[i, k - 1]
                best[i + 1, k] = max(best[i, k], taken)
    left = slots
    for i in range(M - 1, -1, -1):
        out[order[i]] = 0.0
        if left > 0 and best[i + 1, left] > best[i, left]:
            out[order[i]] = left
            left -= 1
