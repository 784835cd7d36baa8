"""What a policy would have done in a log's slots: the probabilities that slate estimators need.

A policy states its probability of slot k's item given the slots before it. What it would put into
slot k given what was shown before it, and how likely it puts an item there whatever stands before,
follow from that: the first exactly, the second by averaging over slates that the policy draws.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from agents.api import PAD
from agents.slots import SlotPolicy, first_slot
from agents.streams import derive, word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agents.api import Floats, Policy, Requests, Rows

CELLS = 1 << 20
"""How many slots are put into one call of `propensities`."""


def along(policy: Policy, requests: Requests, slates: Rows) -> Iterator[Floats]:
    """Yield for each slot how likely each candidate is for it, given the slots before it.

    A `SlotPolicy` is asked once for all slots; of others every candidate's probability is asked.

    Parameters
    ----------
    policy : Policy
    requests : Requests
    slates : int64 [B, K]

    Yields
    ------
    float64 [B, M]
        0 for padded candidates and for those that stand before the slot.
    """
    slots = range(slates.shape[1])
    if not isinstance(policy, SlotPolicy):
        yield from (next_slot(policy, requests, slates, k) for k in slots)
        return
    view, open_ = policy.prepare(requests), requests.candidates != PAD
    for k in slots:
        yield np.asarray(policy.slot(view, open_), dtype=np.float64)
        open_ = open_ & (requests.candidates != slates[:, k : k + 1])


def next_slot(policy: Policy, requests: Requests, slates: Rows, k: int) -> Floats:
    """Return how likely each candidate is for slot k, given the slots before it.

    Parameters
    ----------
    policy : Policy
    requests : Requests
    slates : int64 [B, K]
    k : int

    Returns
    -------
    float64 [B, M]
        0 for padded candidates and for those that stand before slot k.
    """
    if k == 0:
        return first_slot(policy, requests)
    out = np.zeros(requests.candidates.shape)
    which, column = np.nonzero(requests.candidates != PAD)
    step = max(1, CELLS // slates.shape[1])
    for start in range(0, len(which), step):
        b, m = which[start : start + step], column[start : start + step]
        asked = np.full((len(b), slates.shape[1]), PAD, dtype=np.int64)
        asked[:, :k] = slates[b, :k]
        asked[:, k] = requests.candidates[b, m]
        out[b, m] = policy.propensities(requests.take(b), asked)[:, k]
    return out


def in_slots(policy: Policy, requests: Requests, slates: Rows, draws: int, seed: int) -> Floats:
    """Return how likely a policy puts every item of a slate into every slot.

    The policy draws slates, and the probabilities of the item given their beginnings are averaged:
    unbiased, with much less noise than counting, and exact for the first slot of a policy whose
    probabilities do not hang on the request's key.

    Parameters
    ----------
    policy : Policy
    requests : Requests
    slates : int64 [B, K]
    draws : int
        How many slates are drawn per request.
    seed : int
        The root of the draws, with the request keys.

    Returns
    -------
    float64 [B, K, K]
        [b, i, j]: how likely the item in slot i of slate b is for slot j, whatever stands before
        it. A padded slot has probability 1 for its own place and 0 elsewhere.
    """
    B, K = slates.shape
    out = np.zeros((B, K, K))
    for draw in range(draws):
        ordinals = np.full(B, word(seed * draws + draw))
        again = replace(requests, keys=derive(requests.keys, ordinals))
        drawn = policy.decide(again).slates
        for i in range(K):
            for j in range(K):
                asked = np.full((B, K), PAD, dtype=np.int64)
                asked[:, :j], asked[:, j] = drawn[:, :j], slates[:, i]
                out[:, i, j] += policy.propensities(again, asked)[:, j]
    return np.where((slates == PAD)[:, :, None], np.eye(K), out / draws)
