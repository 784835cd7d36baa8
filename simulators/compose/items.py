"""The items of a composed world: what they are, and when they come and go.

A world has a pool of N items, drawn once. Each is of a domain and of one of its topics, and has
numbers that parts may read. Items may come and go: the world's calendar is a circle of `span`
hours, on which an item is available for `life` hours from its arrival on. What has gone comes back
a whole span later, so that no user meets a world that runs empty, whenever they come.

At a visit the user is offered M of the items of their domain that are available then, all as likely
and in any order; where there are fewer, the rest of the candidates is padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from agents import PAD, Catalogue
from agents.jit import compiled
from agents.streams import stream, uniform
from simulators.records import OFFER, WorldError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Rows

ITEM = np.dtype(
    [
        ("topic", np.int64),  # counted over all domains
        ("domain", np.int64),
        ("region", np.int64),
        ("quality", np.float64),  # in [-1, 1], hidden: how good it is
        ("allure", np.float64),  # in [-1, 1]: how good it looks
        ("length", np.float64),  # in minutes
        ("price", np.float64),  # in [0, 1]
        ("level", np.float64),  # in [-1, 1]: how hard it is
        ("arrival", np.int64),  # the hour of the calendar at which it comes
        ("life", np.int64),  # hours that it stays
    ]
)


@dataclass(frozen=True, slots=True)
class Items:
    """What a world's items are drawn by.

    Parameters
    ----------
    num_items : int
        N, in all domains together.
    topics, domains, regions : int
        How many there are; topics in each domain.
    life : float
        The mean number of hours that an item is available, geometric; 0: for ever.
    span : int
        The hours of the calendar.
    length : float
        The mean length in minutes, from half to one and a half times of which lengths are drawn.
    honesty : float
        The correlation of allure and quality, -1 to 1.
    item_seed : int

    Raises
    ------
    WorldError
        If these numbers cannot be.
    """

    num_items: int = 200
    topics: int = 8
    domains: int = 1
    regions: int = 1
    life: float = 0.0
    span: int = 24 * 28
    length: float = 1.0
    honesty: float = 0.5
    item_seed: int = 0

    def __post_init__(self) -> None:
        if min(self.topics, self.domains, self.regions, self.span) < 1:
            raise WorldError(
                "topics, domains, regions and span count from 1, not "
                f"{self.topics}, {self.domains}, {self.regions} and {self.span}"
            )
        if self.num_items < self.domains:
            raise WorldError(f"{self.num_items} items do not fill {self.domains} domains")
        if self.life != 0.0 and not 1.0 <= self.life <= self.span:
            raise WorldError(
                f"an item's mean life is from 1 to {self.span} hours, the calendar's span, "
                f"or 0 for ever; not {self.life}"
            )
        if not (self.length > 0.0 and -1.0 <= self.honesty <= 1.0):
            raise WorldError(
                f"the mean length is positive and honesty a correlation, "
                f"not {self.length} and {self.honesty}"
            )


class Shop(NamedTuple):
    """What `Items` come to. Worlds of the same items share it; nobody writes to it.

    Parameters
    ----------
    pool : ITEM [N]
    catalogue : Catalogue
        What policies see: topic and region one-hot, allure, length, price, level and, where items
        go, the angle of their arrival on the calendar.
    rows : int64 [...]
        Which items are available, shelf after shelf, one per domain and hour of the calendar; there
        is one hour where nothing ever goes.
    starts : int64 [domains * hours + 1]
        Where shelf domain * hours + hour begins.
    longest : int
        How many items the fullest shelf has.
    """

    pool: NDArray[Any]
    catalogue: Catalogue
    rows: Rows
    starts: Rows
    longest: int


@lru_cache(maxsize=32)
def stock(items: Items) -> Shop:
    """Draw the items of a world."""
    pool = _pool(items)
    names = [f"item-{row}" for row in range(len(pool))]
    catalogue, (rows, starts) = Catalogue.of(names, _features(items, pool)), _shelves(items, pool)
    return Shop(pool, catalogue, rows, starts, int(np.diff(starts).max()))


def _pool(items: Items) -> NDArray[Any]:
    rng, N = np.random.default_rng(items.item_seed), items.num_items
    pool = np.zeros(N, dtype=ITEM)
    pool["domain"] = np.arange(N) % items.domains
    pool["topic"] = pool["domain"] * items.topics + rng.integers(items.topics, size=N)
    pool["region"] = rng.integers(items.regions, size=N)
    pool["quality"] = rng.uniform(-1, 1, N)
    same = rng.random(N) < abs(items.honesty)  # a mixture has this correlation, and stays within
    other = rng.uniform(-1, 1, N)
    pool["allure"] = np.where(same, np.sign(items.honesty) * pool["quality"], other)
    pool["length"] = items.length * rng.uniform(0.5, 1.5, N)
    pool["price"] = rng.random(N)
    pool["level"] = rng.uniform(-1, 1, N)
    pool["arrival"] = rng.integers(items.span, size=N)
    pool["life"] = items.span
    if items.life:
        pool["life"] = np.minimum(rng.geometric(1 / items.life, size=N), items.span)
    return pool


def _features(items: Items, pool: NDArray[Any]) -> Floats:
    parts = [np.eye(items.domains * items.topics)[pool["topic"]]]
    if items.regions > 1:
        parts.append(np.eye(items.regions)[pool["region"]])
    length = pool["length"] / (1.5 * items.length)
    parts.append(np.column_stack([pool["allure"], length, pool["price"], pool["level"]]))
    if items.life:
        angle = 2 * np.pi * pool["arrival"] / items.span
        parts.append(np.column_stack([np.cos(angle), np.sin(angle)]))
    return np.concatenate(parts, axis=1)


def _shelves(items: Items, pool: NDArray[Any]) -> tuple[Rows, Rows]:
    hours = items.span if items.life else 1
    age = (np.arange(hours)[:, None] - pool["arrival"]) % items.span
    rows, counts = [], []
    for domain in range(items.domains):
        there = (age < pool["life"]) & (pool["domain"] == domain)
        rows.append(np.nonzero(there)[1])
        counts.append(there.sum(axis=1))
    starts = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    return np.concatenate(rows), starts.astype(np.int64)


@compiled
def offer(lanes: NDArray[Any], state: Any) -> None:
    """Draw what is on offer at the present visits: int64 [B, M], rows of the pool, or PAD."""
    (_, _, heres, _), (_, candidates, _, shelves), _ = state
    rows, starts, order, domains, span = shelves
    M, hours = candidates.shape[1], (len(starts) - 1) // domains
    swaps = np.empty(M, dtype=np.int64)
    for b in range(len(lanes)):
        start = stream(lanes[b].user, lanes[b].visit, OFFER)
        shelf = heres[b].domain * hours + (int(heres[b].phase * span) if hours > 1 else 0)
        first, n = starts[shelf], starts[shelf + 1] - starts[shelf]
        drawn = min(n, M)
        for j in range(drawn):  # Fisher-Yates, undone below: no lane knows of another
            swaps[j] = j + int((n - j) * uniform(start, j))
            order[j], order[swaps[j]] = order[swaps[j]], order[j]
            candidates[b, j] = rows[first + order[j]]
        for j in range(drawn, M):
            candidates[b, j] = PAD
        for j in range(drawn - 1, -1, -1):
            order[j], order[swaps[j]] = order[swaps[j]], order[j]


@compiled
def show(state: Any, documents: NDArray[np.float32]) -> None:
    """Write the features of what is on offer, zeros for padding: float32 [B, M, F]."""
    _, candidates, features, _ = state[1]
    for b in range(candidates.shape[0]):
        for j in range(candidates.shape[1]):
            row = candidates[b, j]
            if row >= 0:
                for f in range(features.shape[1]):
                    documents[b, j, f] = features[row, f]
            else:
                for f in range(features.shape[1]):
                    documents[b, j, f] = 0.0


@compiled
def places(slates: Rows, candidates: Rows, found: Rows) -> None:
    """Write the places of slates' rows among the candidates, M for what is none: int64 [B, K]."""
    M = candidates.shape[1]
    for b in range(slates.shape[0]):
        for k in range(slates.shape[1]):
            found[b, k] = PAD if slates[b, k] == PAD else M
            for j in range(M):
                if slates[b, k] != PAD and candidates[b, j] == slates[b, k]:
                    found[b, k] = j
