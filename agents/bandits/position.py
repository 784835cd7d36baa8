"""Position-based bandits: an item is clicked if its position is looked at, and the item attracts.

In the position-based model (Richardson et al. 2007) position l is looked at with probability k_l,
whatever stands there, and nobody sees whether it was: P(click) = k_l p, p being the item's
attraction. The log's `seen` must not know more than that the slot was shown; where it tells what
was looked at, policies without positions do better.
"""

from __future__ import annotations

from math import log, sqrt
from typing import TYPE_CHECKING

import numpy as np

from agents.bandits.beliefs import Beliefs, draw_chances
from agents.bandits.items import ItemPolicy
from agents.bandits.thompson import Thompson, within_unit
from agents.forgetting import Memory
from agents.jit import compiled
from agents.lessons import lessons_of
from agents.options import OptionError, at_least
from agents.registry import register
from agents.slots import ScorePolicy
from agents.streams import word

if TYPE_CHECKING:
    from agents.api import Floats, Outcomes, Requests, Rows
    from agents.lessons import Lessons

LEARNED = "learned"
"""The word for chances of being looked at that nobody knows."""

SETTLED = 1e-6
"""When learned chances have stopped moving."""

ROUNDS = 200
"""How often they are moved at most."""

PRIOR = 10.0
"""How many clicks at each position are made up, so that little knowledge moves little."""

DIGITS = 3
"""Learned chances are rounded: what hangs on them is renewed only when they have moved."""


class Examination:
    """How likely each position is looked at: given, or learned from clicks.

    Parameters
    ----------
    written : str
        Chances by position, `1/0.7/0.5` say; positions beyond the last are as the last. Or
        `learned`.
    positions : int
        How many positions are told apart when they are learned.

    Attributes
    ----------
    size : int
        L, how many positions are told apart.
    """

    def __init__(self, written: str, positions: int) -> None:
        self._given = None if written == LEARNED else _chances(written)
        if positions < 1:
            raise OptionError(f"positions must be at least 1, not {positions}")
        self.size = positions if self._given is None else len(self._given)

    def places(self, positions: Rows) -> Rows:
        """Return which of the L positions each display position counts as."""
        return np.clip(positions, 0, self.size - 1)

    def of(self, clicks: Floats, shows: Floats) -> Floats:
        """Return the chance of every position: float64 [L], the highest of learned ones 1.

        Learned ones solve the equations of moments, clicks of a position = k_l sum p shows and
        clicks of an item = p sum k_l shows, by turns, from 1 / (1 + l) on, which counts for
        `PRIOR` clicks. They follow from the sums alone: it is the same whether these were learned
        in one place or in many. Only items that stood at several positions say anything of them.

        Parameters
        ----------
        clicks, shows : float64 [n, L]
            Of every item at every position.
        """
        if self._given is not None:
            return self._given
        chances = 1.0 / np.arange(1.0, self.size + 1.0)
        _solve(clicks, shows, chances.copy(), chances)
        return np.maximum(np.round(chances, DIGITS), 10.0**-DIGITS)


def _chances(written: str) -> Floats:
    try:
        chances = np.array([float(part) for part in written.split("/")])
    except ValueError:
        chances = np.zeros(1)
    if not ((chances > 0.0) & (chances <= 1.0)).all():
        raise OptionError(
            f"examination must be {LEARNED!r}, or chances above 0 and at most 1 with slashes "
            f"between them, 1/0.7/0.5 say, not {written!r}"
        )
    return chances


def read_positions(
    outcomes: Outcomes, examination: Examination, name: str
) -> tuple[Lessons, Floats]:
    """Return what outcomes teach, and per lesson clicks and shows by position: [T, 2 L]."""
    taught = lessons_of(outcomes)
    within_unit(taught.reward, name)
    b, k = np.nonzero(outcomes.seen & (outcomes.decisions.slates >= 0))
    place = examination.places(outcomes.requests.positions[b, k])
    rows, lesson = np.zeros((len(taught), 2 * examination.size)), np.arange(len(taught))
    rows[lesson, place] = taught.reward
    rows[lesson, examination.size + place] = 1.0
    return taught, rows


@register("pbm-ucb")
class PBMUCB(ItemPolicy["Floats"], ScorePolicy):
    """Orders items by bounds of their attraction, clicks weighed by position (Lagree et al. 2016).

    An item with S clicks, shown n_l times at position l, N = sum n_l and E = sum k_l n_l, scores
    S / E + scale sqrt(N / E) sqrt(ln t / (2 E)); t is how often all items together were shown, and
    one that never was scores infinity. The first slot is taken for the one most looked at. It does
    not choose at random: wrap it in `Explore` before learning from its logs offline.

    Parameters
    ----------
    examination : str
        Chances of being looked at by position, `1/0.7/0.5` say, or `learned` from the clicks.
    positions : int
        How many positions are told apart when they are learned; later ones are as the last.
    scale : float
        Less than 1 is less cautious than the theorem asks for.
    half_life, window : float
        Seconds of event time after which an observation counts half, or not at all; see `Memory`.
    seed : int
        Ties are broken by it.
    """

    name = "pbm-ucb"

    def __init__(
        self,
        *,
        examination: str = LEARNED,
        positions: int = 10,
        scale: float = 1.0,
        half_life: float = 0.0,
        window: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.examination = Examination(examination, positions)
        size = self.examination.size
        super().__init__(Memory(half_life, window), seed, {"clicks": size, "shows": size})
        self.scale = at_least("scale", scale, 0.0)

    def read(self, outcomes: Outcomes) -> tuple[Lessons, Floats]:
        """Return what outcomes teach by position."""
        return read_positions(outcomes, self.examination, self.name)

    def scores(self, requests: Requests) -> Floats:
        """Return the upper confidence bound of every candidate: float64 [B, M]."""
        everything, size = self.sums.now(), self.examination.size
        chances = self.examination.of(everything[:, :size], everything[:, size:])
        shown = max(float(everything[:, size:].sum()), 1.0)
        known = self.sums.of(requests)
        out = np.empty(known.shape[:2])
        _bounds(known, chances, self.scale * sqrt(0.5 * log(shown)), out)
        return out


@register("pbm-ts")
class PBMTS(Thompson):
    """Orders items by draws of their attraction, clicks read by position (Lagree et al. 2016).

    The posterior of an item's attraction p, with S clicks and m_l shows without one at position l,
    is proportional to p^(alpha - 1 + S) (1 - p)^(beta - 1) prod (1 - k_l p)^m_l. Slots are filled
    as `BernoulliTS` does; the first is taken for the one most looked at.

    Parameters
    ----------
    examination, positions
        See `PBMUCB`.
    alpha, beta, samples, floor, half_life, window, seed
        See `BernoulliTS`.
    """

    name = "pbm-ts"

    def __init__(
        self,
        *,
        examination: str = LEARNED,
        positions: int = 10,
        alpha: float = 1.0,
        beta: float = 1.0,
        samples: int = 64,
        floor: float = 0.05,
        half_life: float = 0.0,
        window: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.examination = Examination(examination, positions)
        parts = dict.fromkeys(("clicks", "shows"), self.examination.size)
        super().__init__(samples, floor, Memory(half_life, window), seed, parts)
        self.beliefs = Beliefs(alpha, beta)

    def read(self, outcomes: Outcomes) -> tuple[Lessons, Floats]:
        """Return what outcomes teach by position."""
        return read_positions(outcomes, self.examination, self.name)

    def draw(self, requests: Requests, best: Rows) -> None:
        """Draw attractions."""
        everything, size = self.sums.now(), self.examination.size
        chances = self.examination.of(everything[:, :size], everything[:, size:])
        arms, sums = self.sums.arms.of(requests), self.sums.of(requests)
        known = np.empty((*arms.shape, 2 + size))
        _read(sums, chances, known)
        tables = self.beliefs.renew(arms, known, chances)
        draw_chances(word(self.seed), requests, arms, tables, best)


@compiled
def _solve(clicks: Floats, shows: Floats, prior: Floats, chances: Floats) -> None:
    """Settle the chances of all positions."""
    L = len(chances)
    found, expected = np.empty(L), np.empty(L)
    for _ in range(ROUNDS):
        found[:], expected[:] = PRIOR, PRIOR / prior
        for i in range(len(clicks)):
            won, looked = 0.0, 0.0
            for j in range(L):
                won += clicks[i, j]
                looked += chances[j] * shows[i, j]
            attraction = won / looked if looked > 0.0 else 0.0
            for j in range(L):
                found[j] += clicks[i, j]
                expected[j] += attraction * shows[i, j]
        highest, moved = 0.0, 0.0
        for j in range(L):
            found[j] /= expected[j]
            highest = max(highest, found[j])
        for j in range(L):
            moved = max(moved, abs(found[j] / highest - chances[j]))
            chances[j] = found[j] / highest
        if moved < SETTLED:
            break


@compiled
def _bounds(known: Floats, chances: Floats, width: float, out: Floats) -> None:
    L = len(chances)
    for b in range(out.shape[0]):
        for m in range(out.shape[1]):
            clicks, shown, looked = 0.0, 0.0, 0.0
            for j in range(L):
                clicks += known[b, m, j]
                shown += known[b, m, L + j]
                looked += chances[j] * known[b, m, L + j]
            out[b, m] = np.inf
            if looked > 0.0:
                out[b, m] = clicks / looked + width * sqrt(shown) / looked


@compiled
def _read(sums: Floats, chances: Floats, known: Floats) -> None:
    """Fill in clicks, misses where all look, and misses at the other positions."""
    L = len(chances)
    known[:] = 0.0
    for b in range(sums.shape[0]):
        for m in range(sums.shape[1]):
            for j in range(L):
                known[b, m, 0] += sums[b, m, j]
                missed = max(sums[b, m, L + j] - sums[b, m, j], 0.0)
                known[b, m, 1 if chances[j] == 1.0 else 2 + j] += missed
