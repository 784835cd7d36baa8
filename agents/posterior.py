"""Kernels that score candidates by linear regressions, and draw from what is known of them.

They run over one request at a time and know nothing of the batch around it. The layout of packed
symmetric matrices is that of `agents.ridge`.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from agents.features import joint_row
from agents.jit import compiled
from agents.ridge import axpy, dot, forward_solve, quadratic
from agents.streams import normal, stream

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
) -> None:
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
    """
    P = context.shape[1] + 1
    x, z = np.empty(P), np.empty(P * (P + 1) // 2)
    x[0] = 1.0
    known = np.empty(arms.shape[1] + 3, dtype=np.int64)
    for b in range(arms.shape[0]):
        x[1:] = context[b]
        _unfold(x, z)
        unknown = sqrt(dot(x, x) * prior)
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
def score_shared(
    context: NDArray[np.float32],
    items: NDArray[np.float32],
    candidates: Rows,
    interactions: bool,
    theta: Floats,
    inverse: Floats,
    mean: Floats,
    deviation: Floats,
) -> None:
    """Score candidates by the one regression on request and item; see `score_disjoint`."""
    x, scratch = np.empty(len(theta)), np.empty(len(theta))
    for b in range(candidates.shape[0]):
        for m in range(candidates.shape[1]):
            row = candidates[b, m]
            if row >= len(items):
                raise IndexError("a candidate's row lies beyond the catalogue")
            if row >= 0:
                joint_row(context[b], items[row], interactions, x)
                mean[b, m] = dot(theta, x)
                deviation[b, m] = sqrt(max(quadratic(inverse, x, scratch), 0.0))


@compiled
def sample_disjoint(
    seed: np.uint64,
    request_keys: Keys,
    item_keys: Keys,
    candidates: Rows,
    mean: Floats,
    deviation: Floats,
    best: Rows,
) -> None:
    """Rank the candidates of every sample; arms are independent, so each has its own stream.

    An arm is asked at one context only, and theta' x is normal there: its samples need no theta.
    """
    B, M = candidates.shape
    starts, values = np.empty(M, dtype=np.uint64), np.empty(M)
    for b in range(B):
        start = stream(seed, request_keys[b], np.uint64(POSTERIOR))
        for m in range(M):
            if candidates[b, m] >= 0:
                starts[m] = stream(start, item_keys[candidates[b, m]], np.uint64(POSTERIOR))
        for s in range(best.shape[1]):
            for m in range(M):
                if candidates[b, m] >= 0:
                    values[m] = mean[b, m] + deviation[b, m] * normal(starts[m], s)
            _rank(values, candidates[b], best[b, s])


@compiled
def sample_shared(
    seed: np.uint64,
    request_keys: Keys,
    context: NDArray[np.float32],
    items: NDArray[np.float32],
    candidates: Rows,
    interactions: bool,
    theta: Floats,
    factor: Floats,
    scale: float,
    best: Rows,
) -> None:
    """Rank the candidates of every sample theta + scale L'^-1 z, with L^-1 x solved only once."""
    M, P = candidates.shape[1], len(theta)
    x, mean, z, values = np.empty((M, P)), np.empty(M), np.empty(P), np.empty(M)
    for b in range(candidates.shape[0]):
        start = stream(seed, request_keys[b], np.uint64(POSTERIOR))
        for m in range(M):
            row = candidates[b, m]
            if row >= len(items):
                raise IndexError("a candidate's row lies beyond the catalogue")
            if row >= 0:
                joint_row(context[b], items[row], interactions, x[m])
                mean[m] = dot(theta, x[m])
                forward_solve(factor, x[m])
        for s in range(best.shape[1]):
            for i in range(P):
                z[i] = normal(start, s * P + i)
            for m in range(M):
                if candidates[b, m] >= 0:
                    values[m] = mean[m] + scale * dot(x[m], z)
            _rank(values, candidates[b], best[b, s])


@compiled
def _rank(values: Floats, candidates: Rows, best: Rows) -> None:
    """Fill `best` with the places of the highest values, best first, earlier before later."""
    held = 0
    for m in range(len(values)):
        if candidates[m] < 0 or (held == len(best) and values[m] <= values[best[held - 1]]):
            continue
        held = min(held + 1, len(best))
        at = held - 1
        while at > 0 and values[m] > values[best[at - 1]]:
            best[at] = best[at - 1]
            at -= 1
        best[at] = m


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
