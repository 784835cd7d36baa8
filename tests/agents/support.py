"""Requests and outcomes for the tests of policies, made in a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents import PAD, Catalogue, Decisions, Outcomes, Requests

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def catalogue(count: int, width: int = 2, seed: int = 0) -> Catalogue:
    features = np.random.default_rng(seed).normal(size=(count, width))
    return Catalogue.of([f"i{n}" for n in range(count)], features)


def requests(
    items: Catalogue,
    candidates: ArrayLike,
    *,
    slots: int = 1,
    width: int = 3,
    seed: int = 0,
) -> Requests:
    """Return one request for every row of candidates, with a context drawn by the seed."""
    rng = np.random.default_rng(seed)
    rows = np.atleast_2d(np.asarray(candidates, dtype=np.int64))
    count = len(rows)
    return Requests(
        keys=rng.integers(0, 1 << 63, count).astype(np.uint64),
        users=np.arange(count, dtype=np.uint64),
        context=rng.normal(size=(count, width)).astype(np.float32),
        candidates=rows,
        items=items,
        positions=np.tile(np.arange(slots), (count, 1)),
        time=np.zeros(count, dtype=np.int64),
    )


def outcomes(asked: Requests, slates: ArrayLike, rewards: ArrayLike) -> Outcomes:
    """Return outcomes in which every filled slot was seen."""
    shown = np.asarray(slates, dtype=np.int64)
    decisions = Decisions(
        shown, np.ones(shown.shape), np.zeros(len(shown), dtype=np.int64), "somebody"
    )
    won = np.asarray(rewards, dtype=np.float32)
    return Outcomes(asked, decisions, won, shown != PAD, asked.time)


def experience(items: Catalogue, count: int, *, width: int = 3, seed: int = 0) -> Outcomes:
    """Return `count` outcomes of single items shown at random, with normal rewards."""
    rng = np.random.default_rng([seed, 1])
    asked = requests(items, np.tile(np.arange(len(items)), (count, 1)), width=width, seed=seed)
    return outcomes(asked, rng.integers(0, len(items), (count, 1)), rng.normal(size=(count, 1)))
