r"""Confidence sequences: intervals that hold at all times, while a log grows and is watched.

An interval of 95 % that is looked at every day is wrong on some day much more often than that. Here
a bettor stands against every candidate value: of a statistic y >= 0 with mean m, the capital

.. math:: C_\kappa(m) = \prod_i \frac{1 + \kappa y_i}{1 + \kappa m}, \qquad \kappa \ge 0

is a martingale that starts at 1, so that it ever reaches 1 / alpha with probability alpha at most
(Ville 1939), and every m for which it does is ruled out. This is the betting of Waudby-Smith &
Ramdas (2023, "Estimating means of bounded random variables by betting") with the bet lambda =
kappa / (1 + kappa m): written so, log C is sum log(1 + kappa y) - n log(1 + kappa m), which is all
that has to be kept, for all m together. A fixed mixture over kappa stands for the bet that would
have been best. Sums can be merged in any order, as bets that learn on the way could not.

The statistics follow Karampatziakis, Mineiro & Ramdas (2021, "Off-policy confidence sequences") and
Waudby-Smith et al. (2022, "Anytime-valid off-policy inference for contextual bandits"): w r bounds
the value from below without any bound on w, and w (1 - r) from above, because the mean of w is 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log, nan
from typing import TYPE_CHECKING, Generic

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp

from agents.api import RecloopError
from evaluation.chunks.checks import AnyChunk, check, rows_in_words
from evaluation.intervals.sums import Compensated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agents.api import Floats
    from evaluation.estimators.algebra import Term

BETS = 2.0 ** np.arange(-20, 11)
"""The mixture's kappas, per unit of reward. The best kappa for n rows of spread s is near
3 / (s sqrt(n)): this grid serves up to 10^8 rows of spread 30, and between two of its points costs
at most 5 % of the interval's width."""

SLACK = 1e-9
"""How far below 0 a statistic may fall by rounding."""


class PromiseError(RecloopError, ValueError):
    """A reward, a prediction or a weight outside of what was promised."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What is known of rewards and weights before the log is seen.

    Parameters
    ----------
    low, high : float
        All rewards, and all predictions of them, lie between these.
    largest_weight : float
        No importance weight exceeds this. One over the smallest probability that the logging policy
        gives anything is such a bound; where none is known the upper bounds are wider.
    """

    low: float = 0.0
    high: float = 1.0
    largest_weight: float = inf

    def __post_init__(self) -> None:
        if not (np.isfinite(self.low) and np.isfinite(self.high) and self.low < self.high):
            raise PromiseError(f"rewards need a finite range, not {self.low} to {self.high}")
        if not self.largest_weight >= 1.0:
            raise PromiseError(f"the largest weight is at least 1, not {self.largest_weight}")


@dataclass(frozen=True, slots=True)
class Statistic(Generic[AnyChunk]):
    """A number per row that is never negative, and whose mean is `offset` plus or minus the value.

    Parameters
    ----------
    parts : tuple of (float, Term)
        It is the sum of these terms times their factors, plus `base`.
    base : float
    offset : float
    """

    parts: tuple[tuple[float, Term[AnyChunk]], ...]
    base: float
    offset: float

    def __call__(self, chunk: AnyChunk) -> Floats:
        """Return the statistic of every row."""
        total = np.full(len(chunk.keys), self.base)
        for factor, term in self.parts:
            total += factor * term(chunk)
        return total

    def __add__(self, other: Statistic[AnyChunk]) -> Statistic[AnyChunk]:
        """Return the sum of two: its mean is the sum of theirs."""
        return Statistic(
            self.parts + other.parts, self.base + other.base, self.offset + other.offset
        )


class ConfidenceSequence(Generic[AnyChunk]):
    """An interval for a value that may be looked at after every row.

    Parameters
    ----------
    below : sequence of Statistic
        With mean offset + value: they bound the value from below. Their capitals are averaged.
    above : sequence of Statistic
        With mean offset - value: they bound it from above.
    scale : float
        The unit of reward, by which bets are measured.
    """

    def __init__(
        self,
        below: Sequence[Statistic[AnyChunk]],
        above: Sequence[Statistic[AnyChunk]],
        scale: float = 1.0,
    ) -> None:
        self._sides = (tuple(below), tuple(above))
        self._statistics = (*below, *above)
        self.rounds = 0
        self._bets = BETS / scale
        self._logs = Compensated((len(self._statistics), len(BETS)))
        self._sums = Compensated((len(self._statistics),))

    def add(self, chunk: AnyChunk) -> None:
        """Take in a chunk.

        Raises
        ------
        FaultyLogError
            Naming faulty rows, counted over all chunks added.
        PromiseError
            If a reward, a prediction or a weight is outside of what was promised.
        """
        check(chunk, self.rounds)
        values = np.stack([statistic(chunk) for statistic in self._statistics])
        broken = np.flatnonzero((values < -SLACK * np.abs(values).max(initial=1.0)).any(axis=0))
        if len(broken):
            raise PromiseError(
                "a reward, a prediction or a weight is outside of the promised range in "
                f"{rows_in_words(broken, self.rounds)} (counted from 0): without the promise the "
                "confidence sequence holds nothing"
            )
        values = np.maximum(values, 0.0)
        self._logs.add(np.stack([np.log1p(values * bet).sum(axis=1) for bet in self._bets], axis=1))
        self._sums.add(values.sum(axis=1))
        self.rounds += values.shape[1]

    def merge(self, other: ConfidenceSequence[AnyChunk]) -> None:
        """Take in what another one of the same statistics has seen."""
        if self._statistics != other._statistics or not np.array_equal(self._bets, other._bets):
            raise RecloopError("only confidence sequences of the same statistics can be merged")
        self._logs.merge(other._logs)
        self._sums.merge(other._sums)
        self.rounds += other.rounds

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the interval: with probability `level` it holds the value now and at all times.

        Parameters
        ----------
        level : float
            In (0, 1), and chosen before looking.

        Returns
        -------
        low, high : float
            Infinite where nothing can be ruled out; NaN if every value is, which happens with
            probability 1 - level at most, or because propensities or the promise are wrong.
        """
        needed = _needed(level)
        low, high = self._bound(0, needed), -self._bound(1, needed)
        return (low, high) if low <= high else (nan, nan)

    def rules_out(self, value: float, level: float = 0.95) -> bool:
        """Return whether the interval excludes a value; quicker than computing its ends."""
        needed = _needed(level)
        return self._capital(0, value) >= needed or self._capital(1, -value) >= needed

    def _capital(self, side: int, signed: float) -> float:
        """Return the log of a side's mean capital against a signed value.

        A statistic's mean is its offset plus the signed value: plus the value below, minus above.
        """
        first = side * len(self._sides[0])
        logs = self._logs.value[first : first + len(self._sides[side])]
        means = np.maximum([s.offset + signed for s in self._sides[side]], 0.0)
        grown = logs - self.rounds * np.log1p(means[:, None] * self._bets)
        return float(logsumexp(grown)) - log(grown.size)

    def _bound(self, side: int, needed: float) -> float:
        """Return the smallest signed value that the bettors of a side do not rule out."""
        if not self.rounds:
            return -inf
        first = side * len(self._sides[0])
        sums = self._sums.value[first : first + len(self._sides[side])]
        offsets = np.array([statistic.offset for statistic in self._sides[side]])
        floor = float(-offsets.min())
        ceiling = float((sums / self.rounds - offsets).max())

        def left(signed: float) -> float:
            return self._capital(side, signed) - needed

        if ceiling <= floor or left(floor) < 0.0:
            return floor
        while left(ceiling) >= 0.0:
            ceiling += abs(ceiling - floor)
        return float(brentq(left, floor, ceiling, xtol=1e-15, rtol=1e-12))


def _needed(level: float) -> float:
    """Return the log of the capital that rules a value out, each side having half of the doubt."""
    if not 0.0 < level < 1.0:
        raise RecloopError(f"a level lies between 0 and 1, not at {level}")
    return log(2.0 / (1.0 - level))
