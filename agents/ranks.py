"""Slates as ranks: what is drawn slot by slot and independently can be shown, nothing twice.

An algorithm whose action is several independent parts would put an item into two slots. A rank is
an item's place among the candidates that no earlier slot has taken, so that any ranks are a slate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.jit import compiled

if TYPE_CHECKING:
    from agents.api import Rows


def ranks_of(num_candidates: int, slate_size: int) -> Rows:
    """Return how many candidates are left for each slot: int64 [K]."""
    return num_candidates - np.arange(slate_size)


def slates_from(ranks: Rows) -> Rows:
    """Return the slates that ranks stand for: int64 [B, K].

    A slot's rank is the place of its item among the candidates that no slot before it has taken, so
    that ranks with rank_k < M - k and slates are the same thing: whatever is drawn slot by slot
    from MultiDiscrete([M, M - 1, ...]) is a slate.
    """
    slates = np.empty(ranks.shape, dtype=np.int64)
    _slates_from(np.ascontiguousarray(ranks, dtype=np.int64), slates)
    return slates


def ranks_from(slates: Rows) -> Rows:
    """Return the ranks that stand for slates: the inverse of `slates_from`."""
    earlier = np.tril(np.ones((slates.shape[1], slates.shape[1]), dtype=np.bool_), -1)
    lower = slates[:, None, :] < slates[:, :, None]
    ranks: Rows = slates - (lower & earlier).sum(axis=2)
    return ranks


@compiled
def _slates_from(ranks: Rows, slates: Rows) -> None:
    K = ranks.shape[1]
    taken = np.empty(K, dtype=np.int64)  # in ascending order
    for b in range(ranks.shape[0]):
        for k in range(K):
            place, i = ranks[b, k], 0
            while i < k and taken[i] <= place:
                place += 1
                i += 1
            for j in range(k, i, -1):
                taken[j] = taken[j - 1]
            taken[i] = place
            slates[b, k] = place
