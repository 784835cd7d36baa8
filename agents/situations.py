"""Small made-up worlds in which `check_policy` watches a policy: everything follows from a seed.

They hold what trips policies up: rows with fewer candidates than slots and with none, pads, items
that are new, that left, or that stand in other rows, many requests in one and the same situation,
rewards for some of the slots only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from agents.api import PAD, Catalogue, Decisions, Outcomes, Requests
from agents.simple import Uniform

ITEMS, WIDTH = 9, 3
CANDIDATES, SLOTS, CONTEXT = 6, 3, 4


@dataclass(frozen=True)
class Situations:
    """Requests and outcomes that follow from a seed."""

    seed: int

    def catalogue(self) -> Catalogue:
        """Return nine items with three features."""
        rng = np.random.default_rng([self.seed, 1])
        names = [f"item-{i}" for i in range(ITEMS)]
        return Catalogue.of(names, rng.normal(size=(ITEMS, WIDTH)))

    def requests(self, count: int, *, part: int = 0, situations: int | None = None) -> Requests:
        """Return requests with their own keys.

        Parameters
        ----------
        count : int
        part : int
            Another part has other requests.
        situations : int, optional
            How many different users, contexts and candidate sets there are; as many as requests
            when left out.
        """
        rng = np.random.default_rng([self.seed, 2, part])
        kinds = situations or count
        kind = np.arange(count) % kinds
        candidates = np.full((kinds, CANDIDATES), PAD, dtype=np.int64)
        for i in range(kinds):
            # Seven in ten rows are full; every tenth has nothing to show.
            n = CANDIDATES if i % 10 < 7 else (i % 10 - 7) * 2 if situations is None else SLOTS
            candidates[i, :n] = rng.permutation(ITEMS)[:n]
        return Requests(
            keys=rng.integers(0, 1 << 63, count).astype(np.uint64),
            users=rng.integers(0, 1 << 63, kinds).astype(np.uint64)[kind],
            context=rng.normal(size=(kinds, CONTEXT)).astype(np.float32)[kind],
            candidates=candidates[kind],
            items=self.catalogue(),
            positions=np.tile(np.arange(SLOTS), (count, 1)),
            time=1_700_000_000_000 + 1000 * np.arange(count),  # a second apart: some forget
        )

    def outcomes(self, count: int, *, part: int = 1) -> Outcomes:
        """Return what came of decisions that another, uniform policy took: rewards 0 and 1."""
        requests = self.requests(count, part=part)
        return self.answer(requests, Uniform(seed=self.seed).decide(requests), part=part)

    def answer(self, requests: Requests, decisions: Decisions, *, part: int) -> Outcomes:
        """Return what came of given decisions; the taste of users is linear in their context."""
        rng = np.random.default_rng([self.seed, 3, part])
        taste = np.random.default_rng([self.seed, 4]).normal(size=(CONTEXT, WIDTH))
        features = requests.items.features[decisions.slates]
        liking = np.einsum("bd,df,bkf->bk", requests.context, taste, features)
        filled = decisions.slates != PAD
        clicked = filled & (rng.random(liking.shape) < 1.0 / (1.0 + np.exp(-liking)))
        return Outcomes(
            requests,
            decisions,
            rewards=clicked.astype(np.float32),
            seen=filled & (rng.random(liking.shape) < 0.7),
            time=requests.time + 1000,
        )


def renumbered(requests: Requests, order: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Requests:
    """Return the same requests over a catalogue whose rows stand in another order."""
    items, place = requests.items, np.argsort(order)
    moved = Catalogue(items.keys[order], items.features[order], items.available[order])
    rows = np.where(requests.candidates == PAD, PAD, place[requests.candidates])
    return replace(requests, candidates=rows, items=moved)


def widened(requests: Requests) -> Requests:
    """Return the same requests with more padding behind their candidates."""
    pad = np.full((len(requests), 3), PAD, dtype=np.int64)
    return replace(requests, candidates=np.concatenate([requests.candidates, pad], axis=1))
