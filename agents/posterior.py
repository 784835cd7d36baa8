"""Kernels that score candidates by linear regressions, and draw from what is known of them.

They run over one request at a time and know nothing of the batch around it. The layout of packed
symmetric matrices is that of `agents.packed`.
"""

from __future__ import annotations

from math import cos, isfinite, log, pi, sin, sqrt
from typing import TYPE_CHECKING

import numpy as np

from agents.jit import compiled
from agents.packed import axpy, cholesky, dot, quadratic
from agents.streams import normal, stream, uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Keys, Rows

POSTERIOR = 2
"""The stream purpose that posterior samples are drawn from."""


@compiled
def score_disjoint(
    context: NDArray[np.float32],
    candidates: Rows,
    arms: Rows,
    prior: float,
    theta: Floats,
    inverse: Floats,
    mean: Floats,
    deviation: Floats,
) -> int:
    """Score candidates by their own arms; x x' is unfolded once a request, into z.

    Parameters
    ----------
    context : float32 [B, D]
    candidates, arms : int64 [B, M]
        Rows and arms of the candidates; -1 where there is none.
    prior : float
        The variance of a unit feature's weight before any observation.
    theta : float64 [n, P]
    inverse : float64 [n, P (P + 1) / 2]
    mean, deviation : float64 [B, M]
        Filled; both stay 0 for pads.

    Returns
    -------
    int
        The first row with a candidate whose estimate is no finite number, or -1.
    """
    P = context.shape[1] + 1
    x, z = np.empty(P), np.empty(P * (P + 1) // 2)
    x[0] = 1.0
    known = np.empty(arms.shape[1] + 3, dtype=np.int64)
    for b in range(arms.shape[0]):
        x[1:] = context[b]
        _unfold(x, z)
        unknown = sqrt(dot(x, x) * prior)
        if not isfinite(unknown):
            return b
        count = 0
        for m in range(arms.shape[1]):
            if arms[b, m] >= 0:
                known[count] = m
                count += 1
            elif candidates[b, m] >= 0:
                deviation[b, m] = unknown
        known[count : count + 3] = known[max(count - 1, 0)]
        for i in range(0, count, 4):
            m0, m1, m2, m3 = known[i], known[i + 1], known[i + 2], known[i + 3]
            a0, a1, a2, a3 = arms[b, m0], arms[b, m1], arms[b, m2], arms[b, m3]
            q0, q1, q2, q3 = _four(theta[a0], theta[a1], theta[a2], theta[a3], x)
            mean[b, m0], mean[b, m1], mean[b, m2], mean[b, m3] = q0, q1, q2, q3
            q0, q1, q2, q3 = _four(inverse[a0], inverse[a1], inverse[a2], inverse[a3], z)
            deviation[b, m0], deviation[b, m1] = sqrt(max(q0, 0.0)), sqrt(max(q1, 0.0))
            deviation[b, m2], deviation[b, m3] = sqrt(max(q2, 0.0)), sqrt(max(q3, 0.0))
    return -1


@compiled
def _unfold(x: Floats, z: Floats) -> None:
    """Fill z so that x' S x = sum(packed S * z)."""
    P = len(x)
    z[:] = 0.0
    at = 0
    for i in range(P):
        z[at] = x[i] * x[i]
        axpy(2.0 * x[i], x[i + 1 :], z[at + 1 : at + P - i])
        at += P - i


@compiled
def _four(
    u0: Floats, u1: Floats, u2: Floats, u3: Floats, z: Floats
) -> tuple[float, float, float, float]:
    """Return four sums of products at once: four times faster than one by one, the same bits."""
    s0 = s1 = s2 = s3 = 0.0
    for p in range(len(z)):
        s0 += u0[p] * z[p]
        s1 += u1[p] * z[p]
        s2 += u2[p] * z[p]
        s3 += u3[p] * z[p]
    return s0, s1, s2, s3


@compiled
def fold(
    context: NDArray[np.float32],
    interactions: bool,
    theta: Floats,
    inverse: Floats,
    mean: Floats,
    covariance: Floats,
) -> None:
    """Fold a regression on joint features into one on an item's alone, at one context.

    The joint features (`agents.features.joint`) are linear in g = (1, item features), every one
    being a number of the context times one of g. So theta' x = mean' g and x' A^-1 x =
    g' covariance g: whatever interactions cost is paid once a request, not once a candidate.

    Parameters
    ----------
    context : float32 [D]
    interactions : bool
    theta : float64 [P]
    inverse : float64 [P (P + 1) / 2]
    mean : float64 [1 + F]
        Filled.
    covariance : float64 [(1 + F) (2 + F) / 2]
        Filled; packed.
    """
    G, D, P = len(mean), len(context), len(theta)
    square = np.zeros((G, G))
    mean[:] = 0.0
    at = 0
    for p in range(P):
        value, column = _part(p, context, G)
        row = inverse[at - p : at - p + P]  # row[q] is entry (p, q), for q >= p
        at += P - p
        if value == 0.0:
            continue
        mean[column] += value * theta[p]
        square[column, column] += value * value * row[p]
        across, twice = square[column], 2.0 * value
        first = p + 1
        if first < G:
            axpy(twice, row[first:G], across[first:])
        first = max(p + 1, G)
        if first < G + D:
            across[0] += twice * _weighed(context[first - G :], row[first : G + D])
        for i in range(D if interactions else 0):
            start = G + D + i * (G - 1)
            first = max(p + 1, start)
            if first < start + G - 1 and context[i] != 0.0:
                axpy(twice * context[i], row[first : start + G - 1], across[1 + first - start :])
    at = 0
    for i in range(G):
        covariance[at] = square[i, i]
        for j in range(i + 1, G):
            covariance[at + j - i] = 0.5 * (square[i, j] + square[j, i])
        at += G - i


@compiled
def _part(p: int, context: NDArray[np.float32], G: int) -> tuple[float, int]:
    """Return which number of g joint feature p is a multiple of, after the multiple."""
    D = len(context)
    if p < G:
        return 1.0, p
    if p < G + D:
        return np.float64(context[p - G]), 0
    return np.float64(context[(p - G - D) // (G - 1)]), 1 + (p - G - D) % (G - 1)


@compiled
def _weighed(context: NDArray[np.float32], row: Floats) -> float:
    total = 0.0
    for i in range(len(row)):
        total += context[i] * row[i]
    return total


@compiled
def score_shared(
    context: NDArray[np.float32],
    items: NDArray[np.float32],
    candidates: Rows,
    interactions: bool,
    theta: Floats,
    inverse: Floats,
    mean: Floats,
    deviation: Floats,
) -> int:
    """Score candidates by the one regression on request and item; see `score_disjoint`."""
    G = 1 + items.shape[1]
    g, scratch, at_context = np.empty(G), np.empty(G), np.empty(G)
    covariance = np.empty(G * (G + 1) // 2)
    g[0] = 1.0
    for b in range(candidates.shape[0]):
        fold(context[b], interactions, theta, inverse, at_context, covariance)
        for m in range(candidates.shape[1]):
            row = candidates[b, m]
            if row >= len(items):
                raise IndexError("a candidate's row lies beyond the catalogue")
            if row >= 0:
                g[1:] = items[row]
                mean[b, m] = dot(at_context, g)
                deviation[b, m] = sqrt(max(quadratic(covariance, g, scratch), 0.0))
                if not isfinite(mean[b, m]):
                    return b
    return -1


@compiled
def sample_disjoint(
    seed: np.uint64,
    request_keys: Keys,
    candidates: Rows,
    mean: Floats,
    deviation: Floats,
    scale: float,
    best: Rows,
) -> None:
    """Rank the candidates of every sample, when each has an arm of its own.

    An arm is asked at one context only, and theta' x is normal there: its samples need no theta.
    Sample s of the n-th candidate takes normal s + n of the request's stream. Within a sample every
    candidate has its own, so each sample is a draw of the whole posterior; that a normal serves
    another candidate in the next sample spares all but one in a hundred of them.
    """
    B, M = candidates.shape
    S = best.shape[1]
    places, noise, values = np.empty(M, dtype=np.int64), np.empty(M + S), np.empty(max(M, S))
    middle, spread, first = np.empty(M), np.empty(M), np.empty(S, dtype=np.int64)
    for b in range(B):
        count = 0
        for m in range(M):
            if candidates[b, m] >= 0:
                places[count], middle[count], spread[count] = m, mean[b, m], scale * deviation[b, m]
                count += 1
        start = stream(seed, request_keys[b], np.uint64(POSTERIOR))
        fill(start, noise[: count + S])
        if best.shape[2] == 1:
            first[:] = -1
            _winners(middle[:count], spread[:count], noise, values, first)
            for s in range(S):
                best[b, s, 0] = places[first[s]] if first[s] >= 0 else -1
            continue
        drawn = values[:count]
        for s in range(S):
            for i in range(count):
                drawn[i] = middle[i] + spread[i] * noise[s + i]
            rank(drawn, places, best[b, s])


@compiled
def _winners(mean: Floats, deviation: Floats, noise: Floats, top: Floats, best: Rows) -> None:
    """Fill `best` with the first of the highest of every sample: samples go side by side."""
    top[:] = -np.inf
    for i in range(len(mean)):
        for s in range(len(best)):
            value = mean[i] + deviation[i] * noise[s + i]
            if value > top[s]:
                top[s], best[s] = value, i


@compiled
def fill(start: np.uint64, out: Floats) -> None:
    """Fill `out` with the normals of a stream: two from each of its pairs of uniforms."""
    for i in range(0, len(out), 2):
        radius = sqrt(-2.0 * log(1.0 - uniform(start, i)))
        angle = 2.0 * pi * uniform(start, i + 1)
        out[i] = radius * cos(angle)
        if i + 1 < len(out):
            out[i + 1] = radius * sin(angle)


@compiled
def sample_shared(
    seed: np.uint64,
    request_keys: Keys,
    context: NDArray[np.float32],
    items: NDArray[np.float32],
    candidates: Rows,
    interactions: bool,
    theta: Floats,
    inverse: Floats,
    scale: float,
    best: Rows,
) -> int:
    """Rank the candidates of every sample: all draw one vector of weights of item features.

    Returns
    -------
    int
        The first row with a candidate whose estimate is no finite number, or -1.
    """
    M, G = candidates.shape[1], 1 + items.shape[1]
    places, values, g = np.empty(M, dtype=np.int64), np.empty(M), np.empty((M, G))
    mean, drawn, z = np.empty(G), np.empty(G), np.empty(G)
    covariance, factor = np.empty(G * (G + 1) // 2), np.empty(G * (G + 1) // 2)
    g[:, 0] = 1.0
    for b in range(candidates.shape[0]):
        start = stream(seed, request_keys[b], np.uint64(POSTERIOR))
        fold(context[b], interactions, theta, inverse, mean, covariance)
        cholesky(covariance, 0.0, G, factor)
        count = 0
        for m in range(M):
            row = candidates[b, m]
            if row >= len(items):
                raise IndexError("a candidate's row lies beyond the catalogue")
            if row >= 0:
                places[count], g[count, 1:] = m, items[row]
                if not isfinite(dot(mean, g[count])):
                    return b
                count += 1
        for s in range(best.shape[1]):
            for i in range(G):
                z[i] = normal(start, s * G + i)
            drawn[:] = mean
            _add_product(factor, z, scale, drawn)
            for i in range(count):
                values[i] = dot(drawn, g[i])
            rank(values[:count], places, best[b, s])
    return -1


@compiled
def _add_product(factor: Floats, z: Floats, scale: float, out: Floats) -> None:
    """Add scale L z to out, for a packed factor L (`cholesky`)."""
    G, at = len(z), 0
    for i in range(G):
        axpy(scale * z[i], factor[at : at + G - i], out[i:])
        at += G - i


@compiled
def rank(values: Floats, places: Rows, best: Rows) -> None:
    """Fill `best` with the places of the highest values, best first, earlier before later."""
    if len(best) == 1 and len(values):
        best[0] = places[_highest(values)]
        return
    held, bar = 0, -np.inf
    for i in range(len(values)):
        if values[i] <= bar:
            continue
        held = min(held + 1, len(best))
        at = held - 1
        while at > 0 and values[i] > values[best[at - 1]]:
            best[at] = best[at - 1]
            at -= 1
        best[at] = i
        if held == len(best):
            bar = values[best[held - 1]]
    for at in range(held):
        best[at] = places[best[at]]


@compiled
def _highest(values: Floats) -> int:
    """Return the first place of the highest value: four at a time, which hides the latency."""
    a = b = c = d = -np.inf
    whole = len(values) - len(values) % 4
    for i in range(0, whole, 4):
        a = values[i] if values[i] > a else a
        b = values[i + 1] if values[i + 1] > b else b
        c = values[i + 2] if values[i + 2] > c else c
        d = values[i + 3] if values[i + 3] > d else d
    top = max(max(a, b), max(c, d))
    for i in range(whole, len(values)):
        top = values[i] if values[i] > top else top
    for i in range(len(values)):
        if values[i] == top:
            return i
    return 0


@compiled
def vote(best: Rows, open_: NDArray[np.bool_], floor: float, out: Floats) -> None:
    """Fill out with the share of samples that each open candidate leads, mixed with the floor."""
    B, S, K = best.shape
    for b in range(B):
        count = 0
        for m in range(open_.shape[1]):
            count += open_[b, m]
        for s in range(S):
            for i in range(K):
                if best[b, s, i] >= 0 and open_[b, best[b, s, i]]:
                    out[b, best[b, s, i]] += 1.0
                    break
        for m in range(open_.shape[1]):
            if open_[b, m]:
                out[b, m] = (1.0 - floor) * out[b, m] / S + floor / count
