"""Many small bandits side by side in one policy: lane w plays among its own items alone.

A policy that keeps its sums item by item plays every lane as if it were alone, so that one loop
over the rounds measures regret over hundreds of worlds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from agents import Catalogue, Outcomes, Requests
from agents.streams import derive

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from agents import Policy
    from agents.api import Floats, Rows

    Answer = Callable[[int, Rows], tuple[Floats, NDArray[np.bool_]]]


def lanes(count: int, arms: int, slots: int = 1) -> Requests:
    """Return a request of every lane for items of its own."""
    items = Catalogue.of([str(i) for i in range(count * arms)], np.zeros((count * arms, 0)))
    return Requests(
        keys=np.arange(count, dtype=np.uint64),
        users=np.arange(count, dtype=np.uint64),
        context=np.zeros((count, 0), dtype=np.float32),
        candidates=np.arange(count * arms).reshape(count, arms),
        items=items,
        positions=np.tile(np.arange(slots), (count, 1)),
        time=np.zeros(count, dtype=np.int64),
    )


def play(policy: Policy, asked: Requests, rounds: int, answer: Answer, late: int = 0) -> Rows:
    """Return the slates, as arms, of all rounds and lanes: int64 [rounds, count, K].

    Parameters
    ----------
    answer : callable
        Given the round and the slates [count, K], returns rewards and what was seen.
    late : int
        How many rounds outcomes take to arrive.
    """
    arms, waiting = asked.candidates.shape[1], []
    slates = np.empty((rounds, *asked.positions.shape), dtype=np.int64)
    for t in range(rounds):
        keys = derive(asked.keys, np.full(len(asked), t, dtype=np.uint64))
        now = replace(asked, keys=keys, time=np.full(len(asked), 1000 * t))
        decided = policy.decide(now)
        slates[t] = decided.slates % arms
        rewards, seen = answer(t, slates[t])
        facts = Outcomes(now, decided, rewards.astype(np.float32), seen, now.time)
        waiting.append(facts)
        if len(waiting) > late:
            policy.update(waiting.pop(0))
    return slates


def bernoulli(rates: Floats, seed: int) -> Answer:
    """Return clicks on single items by their rates: float64 [count, arms]."""
    rng = np.random.default_rng(seed)

    def answer(t: int, slates: Rows) -> tuple[Floats, NDArray[np.bool_]]:
        chances = np.take_along_axis(rates, slates, axis=1)
        return (rng.random(slates.shape) < chances).astype(float), np.ones(slates.shape, np.bool_)

    return answer
