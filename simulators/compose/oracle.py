"""The oracle of composed worlds: it knows every user and every law, and looks ahead by them.

What a user is worth over the next visits is fitted to simulated users (`simulators.compose.value`),
who are served by the oracle as it was fitted before: approximate policy iteration (Bertsekas 2011,
"Approximate policy iteration: a survey and some new methods"). Of all values that were tried, the
one under which users were worth most is kept; among them is the value of nothing, under which the
oracle sees no further than the slate.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from simulators.compose.value import fitted

if TYPE_CHECKING:
    from agents.api import Floats
    from simulators.compose.world import Blueprint, ComposedWorld
    from simulators.records import Mask

AHEAD = 20
"""For how many visits a user's value counts."""
USERS, VISITS, FITS = 256, 2 * AHEAD, 3
STRAY = 0.3
"""The share of slates that are random while a value is fitted, so that it knows of other users than
those whom the oracle makes."""
SEED = 1 << 40


@lru_cache(maxsize=64)
def value_of(blueprint: Blueprint) -> Floats:
    """Return the weights of the value of users in a world; see `simulators.compose.value`."""
    world = replace(blueprint, horizon=None).build()
    values = [np.zeros(world.num_products)]
    for _ in range(FITS):
        states, rewards, present = _played(world, values[-1], STRAY)
        begun = len(rewards) - AHEAD
        worth = np.array([rewards[t : t + AHEAD].sum(axis=0) for t in range(begun)])
        known = present[:begun]
        values.append(fitted(states[:begun][known], world.fields, worth[known]))
    earned = [_played(world, value, 0.0)[1].sum() for value in values]
    return values[int(np.argmax(earned))]


def _played(world: ComposedWorld, value: Floats, stray: float) -> tuple[Floats, Floats, Mask]:
    """Return users' states, what they were expected to pay, and whether they were still there.

    Returns
    -------
    states : float64 [visits, users, S]
    rewards : float64 [visits, users]
    present : bool [visits, users]
    """
    rng = np.random.default_rng(0)
    states, rewards, present = [], [], []
    world.reset(np.arange(SEED, SEED + USERS, dtype=np.uint64))
    for _ in range(VISITS):
        scores = world.worth(value)
        random = rng.random(USERS) < stray
        scores[random] = rng.random((int(random.sum()), scores.shape[1]))
        states.append(world.state.copy())
        best = np.argsort(-scores, axis=1)[:, : world.slate_size]
        feedback = world.step(np.ascontiguousarray(best))
        rewards.append(feedback.expected.sum(axis=1))
        present.append(feedback.asked)
    return np.array(states), np.array(rewards), np.array(present)
