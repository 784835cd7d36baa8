"""Items of SARDINE's worlds, drawn by the law by which the published ones were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents import Catalogue

if TYPE_CHECKING:
    from agents.api import Floats


def draw_embeddings(items: int, topics: int, seed: int) -> Floats:
    """Return item embeddings of length 1: U(0, 1) on 2 or 3 of the topics, 0 on the others.

    Parameters
    ----------
    items, topics : int
    seed : int

    Returns
    -------
    float64 [items, topics]
    """
    rng = np.random.default_rng(seed)
    values = rng.random((items, topics))
    places = np.argsort(rng.random((items, topics)), axis=1)  # every set of topics as likely
    kept = places < rng.integers(2, 4, size=(items, 1))
    values[~kept] = 0.0
    values /= np.sqrt((values**2).sum(axis=1, keepdims=True))
    return values


def catalogue_of(embeddings: Floats) -> Catalogue:
    """Return the items as a catalogue whose features are their embeddings."""
    return Catalogue.of([f"item-{row}" for row in range(len(embeddings))], embeddings)
