"""What is believed of chances: posteriors of numbers between 0 and 1, ready to be drawn from.

Thompson sampling draws from the posterior of every candidate's chance, many times a request. A
posterior is therefore written down once, as a table of its quantiles, and then drawn from by a
normal deviate and a line between two entries. The tables hold log-odds: there the posteriors of
rare and of frequent clicks are alike smooth, and the order of two chances is that of their odds.
"""

from __future__ import annotations

from math import erfc, exp, log, log1p, sqrt
from typing import TYPE_CHECKING

import numpy as np

from agents.jit import compiled
from agents.options import at_least
from agents.posterior import fill, rank
from agents.streams import stream

if TYPE_CHECKING:
    from agents.api import Floats, Keys, Requests, Rows

REACH, STEPS = 6.0, 8
"""Quantiles are tabled for normal deviates from -REACH to REACH, STEPS of them a unit."""

NODES = int(2 * REACH) * STEPS + 1
"""How many entries a table has."""

GRID = 128
"""How many points the density is computed at, between where it is e^-DEPTH of its peak."""

DEPTH = 24.0
"""A normal deviate of REACH leaves e^-20.7 beyond it."""

BELIEF = 3
"""The stream purpose that chances are drawn from."""

_TAILS = np.array([log(0.5 * erfc((REACH - j / STEPS) / sqrt(2.0))) for j in range(NODES // 2 + 1)])
"""The logarithm of the normal distribution function at the nodes up to 0."""


class Beliefs:
    """Tables of the posteriors of all items learned of, renewed when what is known has changed.

    The posterior density of an item's chance p, after clicks and misses under several chances of
    being looked at, is p^(a - 1) (1 - p)^(b - 1) times the product of (1 - k p)^misses over them.

    Parameters
    ----------
    alpha, beta : float
        The prior: that of Beta(alpha, beta), for an item that nothing is known of; at least 0.1.
    """

    def __init__(self, alpha: float, beta: float) -> None:
        self._prior = np.array([at_least("alpha", alpha, 0.1), at_least("beta", beta, 0.1)])
        self._tables = np.zeros((1, NODES))
        self._made_of = np.full((1, 1), np.nan)
        self._looked = np.zeros(0)

    def renew(self, arms: Rows, known: Floats, looked: Floats) -> Floats:
        """Return tables, float64 [n + 1, NODES], in which arm i's is row i + 1 and the prior's 0.

        Parameters
        ----------
        arms : int64 [B, M]
            The arms that are asked for, -1 for none; their tables alone are sure to be right.
        known : float64 [B, M, 2 + L]
            Of each: clicks, certain misses, and misses where it was looked at by chance; 0 if it
            has no arm.
        looked : float64 [L]
            How likely these were looked at.
        """
        room, width = int(arms.max(initial=-1)) + 2, known.shape[2]
        if width != self._made_of.shape[1] or not np.array_equal(looked, self._looked):
            self._made_of = np.full((len(self._tables), width), np.nan)
            self._looked = looked.copy()
        if room > len(self._tables):
            more = max(room, 2 * len(self._tables)) - len(self._tables)
            self._tables = np.concatenate([self._tables, np.zeros((more, NODES))])
            self._made_of = np.concatenate([self._made_of, np.full((more, width), np.nan)])
        _renew(arms, known, self._prior, self._looked, self._made_of, self._tables)
        return self._tables


def draw_chances(
    seed: np.uint64, requests: Requests, arms: Rows, tables: Floats, best: Rows
) -> None:
    """Fill `best`, int64 [B, S, K], with the candidates that lead each of S draws."""
    _draw(seed, requests.keys, requests.candidates, arms, tables, best)


@compiled
def _renew(
    arms: Rows, known: Floats, prior: Floats, looked: Floats, made_of: Floats, tables: Floats
) -> None:
    for b in range(arms.shape[0]):
        for m in range(arms.shape[1]):
            row = arms[b, m] + 1
            same = True
            for c in range(made_of.shape[1]):
                same &= made_of[row, c] == known[b, m, c]
            if not same:
                made_of[row] = known[b, m]
                clicks, misses = prior[0] + known[b, m, 0], prior[1] + known[b, m, 1]
                _tabulate(clicks, misses, looked, known[b, m, 2:], tables[row])


@compiled
def _height(y: float, a: float, b: float, looked: Floats, misses: Floats) -> float:
    """Return the logarithm of the density of the log-odds y, but for a constant."""
    small = exp(-abs(y))
    rest = log1p(small)
    chance = 1.0 / (1.0 + small) if y >= 0.0 else small / (1.0 + small)
    height = -a * (rest + max(-y, 0.0)) - b * (rest + max(y, 0.0))
    for i in range(len(looked)):
        if misses[i] > 0.0:
            height += misses[i] * log1p(-looked[i] * chance)
    return height


@compiled
def _peak(a: float, b: float, looked: Floats, misses: Floats) -> float:
    """Return the log-odds where the density is highest: between all misses certain, and none."""
    more = 0.0
    for i in range(len(misses)):
        more += misses[i]
    low, high = log(a / (b + more)), log(a / b)
    while high - low > 1e-6 * (1.0 + abs(low)):
        middle = 0.5 * (low + high)
        chance = 1.0 / (1.0 + exp(-middle))
        slope = a * (1.0 - chance) - b * chance
        for i in range(len(looked)):
            slope -= misses[i] * looked[i] * chance * (1.0 - chance) / (1.0 - looked[i] * chance)
        if slope > 0.0:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


@compiled
def _edge(peak: float, step: float, a: float, b: float, looked: Floats, misses: Floats) -> float:
    """Return how far from the peak, in the direction of `step`, the density has fallen enough."""
    floor = _height(peak, a, b, looked, misses) - DEPTH
    near, far = 0.0, step
    while _height(peak + far, a, b, looked, misses) > floor:
        near, far = far, 2.0 * far
    for _ in range(6):
        middle = 0.5 * (near + far)
        if _height(peak + middle, a, b, looked, misses) > floor:
            near = middle
        else:
            far = middle
    return far


@compiled
def _tabulate(a: float, b: float, looked: Floats, misses: Floats, table: Floats) -> None:
    """Fill a table with the log-odds that are exceeded as the normal nodes are.

    Masses are added up from either end, so that both tails keep their digits.
    """
    peak = _peak(a, b, looked, misses)
    top = _height(peak, a, b, looked, misses)
    step = sqrt(1.0 / a + 1.0 / b)
    low = peak + _edge(peak, -step, a, b, looked, misses)
    high = peak + _edge(peak, step, a, b, looked, misses)
    step = (high - low) / (GRID - 1)
    below, above = np.empty(GRID), np.empty(GRID)
    for g in range(GRID):
        below[g] = _height(low + g * step, a, b, looked, misses) - top
        above[GRID - 1 - g] = below[g]
    half = len(table) // 2
    _accumulate(below)
    _accumulate(above)
    at = 0
    for j in range(half + 1):
        at, place = _place(below, _TAILS[j], at)
        table[j] = low + place * step
    at = 0
    for j in range(half):
        at, place = _place(above, _TAILS[j], at)
        table[len(table) - 1 - j] = high - place * step


@compiled
def _accumulate(height: Floats) -> None:
    """Turn log densities on a grid into the logarithm of the share of the mass up to each point.

    Between two points the logarithm is taken for a parabola, through them and the next.
    """
    before, share = height[0], exp(height[0])
    total, bend = share, 0.0
    for g in range(1, len(height)):
        here = height[g]
        rise = here - before
        if g < len(height) - 1:
            bend = (height[g + 1] - here - rise) / 12.0
        density = exp(here)
        flat = abs(rise) < 1e-3
        mean = 0.5 * (share + density) if flat else (density - share) / rise
        total += mean * exp(-bend)
        before, share = here, density
        height[g] = log(total)
    height -= height[-1]


@compiled
def _place(mass: Floats, wanted: float, at: int) -> tuple[int, float]:
    """Return where on the grid the mass is as wanted, searching from point `at` on."""
    while at < len(mass) - 2 and mass[at + 1] < wanted:
        at += 1
    rise = mass[at + 1] - mass[at]
    return at, at + (max(wanted - mass[at], 0.0) / rise if rise > 0.0 else 0.0)


@compiled
def _draw(
    seed: np.uint64, request_keys: Keys, candidates: Rows, arms: Rows, tables: Floats, best: Rows
) -> None:
    """Rank the candidates of every sample; normals are shared out as in `sample_disjoint`."""
    M, S = candidates.shape[1], best.shape[1]
    places, rows = np.empty(M, dtype=np.int64), np.empty(M, dtype=np.int64)
    noise, values = np.empty(M + S), np.empty(M)
    for b in range(candidates.shape[0]):
        count = 0
        for m in range(M):
            if candidates[b, m] >= 0:
                places[count], rows[count] = m, arms[b, m] + 1
                count += 1
        fill(stream(seed, request_keys[b], np.uint64(BELIEF)), noise[: count + S])
        for s in range(S):
            for i in range(count):
                values[i] = _quantile(tables[rows[i]], noise[s + i])
            rank(values[:count], places, best[b, s])


@compiled
def _quantile(table: Floats, z: float) -> float:
    """Return the entry of a normal deviate; beyond the nodes the last line goes on."""
    place = (z + REACH) * STEPS
    node = min(max(int(place), 0), len(table) - 2)
    entry: float = table[node] + (table[node + 1] - table[node]) * (place - node)
    return entry
