"""Logs whose truth is known: contexts, items and reward probabilities drawn once from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np

from agents.api import Catalogue, Decisions, Outcomes, Requests
from agents.slots import SlotPolicy
from agents.streams import derive
from evaluation.chunks.rounds import Rounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Keys, Rows


class Tabled(SlotPolicy["Floats"]):
    """Shows item n to a user of segment s with the chance in a table [S, N]."""

    name = "tabled"

    def __init__(self, table: Floats) -> None:
        super().__init__()
        self.table = table

    def prepare(self, requests: Requests) -> Floats:
        segments = requests.context.argmax(axis=1)
        return np.asarray(self.table[segments[:, None], requests.candidates])

    def slot(self, view: Floats, open_: NDArray[np.bool_]) -> Floats:
        chances = np.where(open_, view, 0.0)
        return np.asarray(chances / chances.sum(axis=1, keepdims=True))


def softmax(scores: Floats) -> Floats:
    chances = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(chances / chances.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class Shop:
    """A shop with S segments of users and N items; all about it is a function of its seed."""

    segments: int = 4
    items: int = 6
    base: float = 0.1
    seed: int = 1

    def _normal(self, purpose: int) -> Floats:
        return np.random.default_rng([self.seed, purpose]).normal(size=(self.segments, self.items))

    @cached_property
    def clicks(self) -> Floats:
        """The true chance of a click [S, N]."""
        return np.clip(self.base * np.exp(0.5 * self._normal(0)), 0.0, 1.0)

    @cached_property
    def logging(self) -> Floats:
        return softmax(0.5 * self._normal(1))

    @cached_property
    def target(self) -> Floats:
        return softmax(self._normal(2))

    @property
    def truth(self) -> float:
        """What the target earns per round, segments being equally frequent."""
        return float((self.target * self.clicks).sum(axis=1).mean())

    @cached_property
    def guess(self) -> Floats:
        """A reward model that is wrong."""
        return self.clicks * np.exp(0.3 * self._normal(3))

    def play(self, n: int, seed: int) -> tuple[Rows, Rows, Floats]:
        """Return segments, items shown and clicks of n rounds under the logging policy."""
        rng = np.random.default_rng([self.seed, 4, seed])
        segment = rng.integers(self.segments, size=n)
        shown = (rng.random((n, 1)) > self.logging[segment].cumsum(axis=1)).sum(axis=1)
        shown = np.minimum(shown, self.items - 1)
        click = (rng.random(n) < self.clicks[segment, shown]).astype(np.float64)
        return segment, shown, click

    def rounds(self, n: int, seed: int) -> Rounds:
        segment, shown, click = self.play(n, seed)
        return Rounds(
            reward=click,
            logged=self.logging[segment, shown],
            target=self.target[segment, shown],
            keys=keys(n, seed),
            q=self.guess[segment, shown],
            v=(self.target * self.guess).sum(axis=1)[segment],
        )

    def requests(self, segment: Rows, seed: int, slots: int = 1) -> Requests:
        n = len(segment)
        return Requests(
            keys=keys(n, seed),
            users=keys(n, seed + 1),
            context=np.eye(self.segments, dtype=np.float32)[segment],
            candidates=np.tile(np.arange(self.items), (n, 1)),
            items=Catalogue.of([f"item {i}" for i in range(self.items)], np.eye(self.items)),
            positions=np.tile(np.arange(slots), (n, 1)),
            time=np.arange(n),
        )

    def pairs(self, n: int, seed: int) -> Outcomes:
        """Slates of two that the logging policy filled; the second slot is clicked half as much."""
        rng = np.random.default_rng([self.seed, 5, seed])
        segment = rng.integers(self.segments, size=n)
        requests = self.requests(segment, seed, slots=2)
        decisions = Tabled(self.logging).decide(requests)
        chance = self.clicks[segment[:, None], decisions.slates] * np.array([1.0, 0.5])
        clicked = (rng.random(chance.shape) < chance).astype(np.float32)
        return Outcomes(requests, decisions, clicked, np.ones((n, 2), np.bool_), np.arange(n))

    def worth(self, table: Floats) -> float:
        """What the pairs of a policy with this table earn, by enumeration."""
        total = 0.0
        for segment, chances in enumerate(table):
            for first, second in permutations(range(self.items), 2):
                drawn = chances[first] * chances[second] / (1.0 - chances[first])
                clicks = self.clicks[segment]
                total += drawn * (clicks[first] + 0.5 * clicks[second])
        return total / self.segments

    def outcomes(self, n: int, seed: int) -> Outcomes:
        segment, shown, click = self.play(n, seed)
        requests = self.requests(segment, seed)
        decisions = Decisions(
            shown[:, None],
            self.logging[segment, shown][:, None],
            np.zeros(n, dtype=np.int64),
            "logging",
        )
        return Outcomes(
            requests,
            decisions,
            click[:, None].astype(np.float32),
            np.ones((n, 1), dtype=np.bool_),
            np.arange(n),
        )


def keys(n: int, seed: int) -> Keys:
    return derive(np.arange(n, dtype=np.uint64), np.full(n, seed, dtype=np.uint64))


def cut(outcomes: Outcomes, size: int) -> list[Outcomes]:
    return [
        outcomes.take(np.arange(start, min(start + size, len(outcomes))))
        for start in range(0, len(outcomes), size)
    ]


def some(rounds: Rounds, index: NDArray[np.int64]) -> Rounds:
    return Rounds(
        rounds.reward[index],
        rounds.logged[index],
        rounds.target[index],
        rounds.keys[index],
        None if rounds.q is None else rounds.q[index],
        None if rounds.v is None else rounds.v[index],
    )
