"""Worlds of clicks whose truth is known by enumeration: what coverage is measured on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from agents.streams import derive
from evaluation import Chances, Pair, Rounds, Slates

Array = NDArray[np.float64]
Index = NDArray[np.int64]

SEGMENTS, ITEMS, SLOTS = 5, 10, 3
EXAMINED = np.array([0.9, 0.6, 0.3])
LABELS = np.arange(ITEMS) // 4


def softmax(scores: Array) -> Array:
    """Return chances, row by row."""
    chances = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(chances / chances.sum(axis=-1, keepdims=True))


@dataclass(frozen=True)
class World:
    """Segments of users, items, and three positions that are filled independently."""

    base: float
    spread: float = 1.0

    def table(self, purpose: int, scale: float) -> Array:
        """Return normal numbers [S, N] of this world."""
        return scale * np.random.default_rng([1, purpose]).normal(size=(SEGMENTS, ITEMS))

    @cached_property
    def clicks(self) -> Array:
        """The chance of a click [S, N]."""
        return np.clip(self.base * np.exp(self.table(0, 0.5)), 0.0, 1.0)

    @cached_property
    def logging(self) -> Array:
        """The logging policy [S, N]."""
        return softmax(self.table(1, 0.5))

    @cached_property
    def target(self) -> Array:
        """The evaluated policy [S, N]."""
        return softmax(self.table(2, self.spread))

    @cached_property
    def guess(self) -> Array:
        """A reward model that is wrong by a third [S, N]."""
        return np.minimum(self.clicks * np.exp(self.table(3, 0.3)), 1.0)

    def rounds(self, segment: Index, item: Index, reward: Array) -> Rounds:
        """Return rounds with all views."""
        logging, target, guess = self.logging, self.target, self.guess
        plain = Rounds(
            reward=reward,
            logged=logging[segment, item],
            target=target[segment, item],
            keys=np.arange(len(item), dtype=np.uint64),
            q=guess[segment, item],
            v=(target * guess).sum(axis=1)[segment],
        )
        mates = (LABELS[:, None] == LABELS[None]).astype(float)
        clusters = replace(
            plain,
            logged=(logging @ mates)[segment, item],
            target=(target @ mates)[segment, item],
        )
        other = 0.5 * guess + 0.5 * guess.mean()
        robust = replace(plain, q=other[segment, item], v=(target * other).sum(axis=1)[segment])
        return replace(plain, views={"clusters": clusters, "robust": robust})

    def draw(self, n: int, seed: int) -> Rounds:
        """Return a log."""
        return self._drawn(n, seed)[0]

    def draw_pair(self, n: int, seed: int) -> Pair[Rounds]:
        """Return a log with the logging policy as the incumbent."""
        rounds, segment = self._drawn(n, seed)
        v = (self.logging * self.guess).sum(axis=1)[segment]
        plain = replace(rounds, views={})
        return Pair(plain, replace(plain, target=plain.logged, v=v))

    def _drawn(self, n: int, seed: int) -> tuple[Rounds, Index]:
        rng = self._rng(2, n, seed)
        segment = rng.integers(SEGMENTS, size=n)
        item = choose(self.logging[segment], rng)
        reward = (rng.random(n) < self.clicks[segment, item]).astype(np.float64)
        rounds = self.rounds(segment, item, reward)
        return replace(rounds, keys=derive(rounds.keys, np.full(n, seed, np.uint64))), segment

    def _rng(self, purpose: int, n: int, seed: int) -> np.random.Generator:
        """Return the randomness of one log: no two cells of a table share it."""
        world = [round(1000 * self.base), round(1000 * self.spread)]
        return np.random.default_rng([purpose, n, seed, *world])

    def everything(self) -> tuple[Rounds, Array]:
        """Return every cell of the world as a round of expected reward, and how likely it is."""
        segment, item = (index.ravel() for index in np.indices((SEGMENTS, ITEMS)))
        likely = self.logging[segment, item] / SEGMENTS
        return self.rounds(segment, item, self.clicks[segment, item]), likely

    @cached_property
    def truth(self) -> float:
        """The value of the evaluated policy."""
        return float((self.target * self.clicks).sum(axis=1).mean())

    def slates(self, segment: Index, items: Index, reward: Array) -> Slates:
        """Return slates; slot by slot, what stands before an item does not matter to its chance."""
        logged, target = (table[segment[:, None], items] for table in (self.logging, self.target))
        seen = EXAMINED.sum()
        guess = self.guess[segment[:, None], items] * EXAMINED
        v = (self.target * self.guess).sum(axis=1)[segment][:, None] * EXAMINED
        return Slates(
            reward,
            logged,
            target,
            np.arange(len(items), dtype=np.uint64),
            q=guess,
            v=v,
            chances={
                "slot": Chances(logged, target),
                "exposure": Chances(seen * logged, seen * target),
            },
        )

    def draw_slates(self, n: int, seed: int) -> Slates:
        """Return a log of slates."""
        rng = self._rng(3, n, seed)
        segment = rng.integers(SEGMENTS, size=n)
        items = np.stack([choose(self.logging[segment], rng) for _ in range(SLOTS)], axis=1)
        chance = self.clicks[segment[:, None], items] * EXAMINED
        reward = (rng.random(chance.shape) < chance).astype(np.float64)
        slates = self.slates(segment, items, reward)
        return replace(slates, keys=derive(slates.keys, np.full(n, seed, dtype=np.uint64)))

    @property
    def lead(self) -> float:
        """The value of the evaluated policy minus that of the logging policy."""
        return self.truth - float((self.logging * self.clicks).sum(axis=1).mean())

    @property
    def largest_weight(self) -> float:
        """What no weight exceeds."""
        return float((self.target / self.logging).max())

    @property
    def slate_truth(self) -> float:
        """The value of the evaluated policy's slates."""
        return self.truth * float(EXAMINED.sum())


def choose(chances: Array, rng: np.random.Generator) -> Index:
    """Return an item per row."""
    above = rng.random((len(chances), 1)) > chances.cumsum(axis=1)
    return np.asarray(np.minimum(above.sum(axis=1), chances.shape[1] - 1))
