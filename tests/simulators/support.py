"""Worlds and logs whose truth is known, made in a few words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from agents import Catalogue, Decisions, Outcomes, Requests
from agents.streams import word
from simulators import ClickModel, LoggedWorld, make_world, world_names, world_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from agents.api import Floats, Keys
    from simulators import BatchedWorld


def seeds(count: int, first: int = 0) -> Keys:
    return np.array([word(first + i) for i in range(count)], dtype=np.uint64)


@dataclass(frozen=True)
class Truth:
    """A shop of N items in which clicks follow a known law.

    Users have two features, a number and a mark; items have two numbers.
    """

    items: Catalogue
    bias: Floats
    taste: Floats
    drop: Floats

    @classmethod
    def drawn(cls, items: int = 6, positions: int = 3, spread: float = 0.8, seed: int = 0) -> Truth:
        rng = np.random.default_rng(seed)
        features = rng.normal(size=(items, 2))
        return cls(
            items=Catalogue.of([f"i{n}" for n in range(items)], features),
            bias=-1.5 + spread * rng.normal(size=items),
            taste=np.array([[0.8, -0.6], [0.5, 0.0]]),
            drop=-0.7 * np.arange(positions, dtype=np.float64),
        )

    def chance(self, context: Floats, item: int, position: int) -> float:
        """P(click), in plain Python."""
        odds = self.bias[item] + self.drop[position]
        for d in range(2):
            for f in range(2):
                odds += self.taste[d, f] * context[d] * float(self.items.features[item, f])
        odds += 0.4 * context[1]
        return float(1.0 / (1.0 + np.exp(-odds)))

    def log(self, rows: int, seed: int = 1) -> Outcomes:
        """A log of `rows` requests, slates of all positions drawn uniformly."""
        rng = np.random.default_rng(seed)
        K, N = len(self.drop), len(self.items)
        context = np.column_stack([np.round(rng.normal(size=rows), 1), rng.random(rows) < 0.3])
        slates = np.argsort(rng.random((rows, N)), axis=1)[:, :K]
        chances = np.array(
            [[self.chance(context[b], slates[b, k], k) for k in range(K)] for b in range(rows)]
        )
        requests = Requests(
            keys=np.arange(rows, dtype=np.uint64),
            users=np.arange(rows, dtype=np.uint64),
            context=context.astype(np.float32),
            candidates=np.tile(np.arange(N), (rows, 1)),
            items=self.items,
            positions=np.tile(np.arange(K), (rows, 1)),
            time=np.arange(rows) * 1000,
        )
        propensities = np.tile(1.0 / (N - np.arange(K)), (rows, 1))
        decisions = Decisions(slates, propensities, np.zeros(rows, dtype=np.int64), "uniform")
        clicks = (rng.random((rows, K)) < chances).astype(np.float32)
        return Outcomes(requests, decisions, clicks, np.ones((rows, K), np.bool_), requests.time)


def small_logged(horizon: int | None = None, slate_size: int | None = None) -> LoggedWorld:
    """A fitted world that was not fitted: eight items, one of them gone, two kinds of users."""
    rng = np.random.default_rng(5)
    catalogue = Catalogue.of([f"i{n}" for n in range(8)], rng.normal(size=(8, 3)))
    return LoggedWorld(
        ClickModel(rng.normal(size=(8, 3)), np.array([0.0, -0.5, -1.0])),
        catalogue.without(catalogue.keys[2:3]),
        np.array([[0.0, 1.0], [1.5, 0.0]], dtype=np.float32),
        np.array([3, 1]),
        slate_size=slate_size,
        horizon=horizon,
    )


def small(name: str, **options: Any) -> BatchedWorld:
    """A registered world with six items and slates of at most three."""
    size = {"num_candidates": 6, "slate_size": 1 if single_item(name) else 3}
    return make_world(name, **size | options)


def single_item(name: str) -> bool:
    return bool(world_options(name)["slate_size"] == 1)


WORLDS: dict[str, Callable[[], BatchedWorld]] = {
    **{name: partial(small, name) for name in world_names()},
    "InterestEvolution, cut": lambda: small("InterestEvolution", slate_size=2, horizon=9),
    "SlateTopK-BoredInf, other modes": lambda: small(
        "SlateTopK-BoredInf", boredom="loss", influence="scalar", horizon=20
    ),
    "logged": lambda: small_logged(horizon=5),
    "logged, endless": lambda: small_logged(slate_size=2),
}
