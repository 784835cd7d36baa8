"""One accumulator for every estimator: add chunks of a log, merge with others, read the results.

Its memory does not depend on the number of rounds, and its results do not depend on how the rounds
were cut into chunks or in which order parts were merged: so the same code runs over an array, a
folder of files, a topic that still grows, and the parts of a log on several machines.
"""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Generic, NamedTuple

import numpy as np

from agents.api import RecloopError
from agents.streams import derive
from evaluation.bootstrap import PER_WORD, resample, studentised
from evaluation.report import Estimate
from evaluation.rounds import AnyChunk, check
from evaluation.sums import Compensated, Distinct
from evaluation.verdict import Diagnostics, judge

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agents.api import Floats
    from evaluation.estimators import Estimator

BLOCK = 1024
"""Rows that are resampled together before their sums join the compensated ones."""

SAME = 1e-9
"""Two means that differ by less than this differ by rounding."""

ROUNDING = 1e-12
"""A variance below this share of the squares it is the difference of is 0, but for rounding."""


class Accumulator(Generic[AnyChunk]):
    """Sums what a set of estimators needs, over chunks of a log.

    Parameters
    ----------
    estimators : sequence of Estimator
    seed : int
        The root of the bootstrap's randomness. Use one seed for policies that will be compared.
    replicates : int
        How many bootstrap resamples, rounded up to a multiple of 4. The ends of a 95 % interval
        rest on 2.5 % of them each.
    level : float
        The coverage of the intervals, in (0, 1).
    """

    def __init__(
        self,
        estimators: Sequence[Estimator[AnyChunk]],
        *,
        seed: int = 0,
        replicates: int = 1000,
        level: float = 0.95,
    ) -> None:
        if not estimators or replicates < 1 or not 0.0 < level < 1.0:
            raise RecloopError(
                "an accumulator needs an estimator, a replicate and a level between 0 and 1, "
                f"not {len(estimators)}, {replicates} and {level}"
            )
        self.estimators = tuple(estimators)
        self.seed, self.level = seed, level
        self.replicates = -(-replicates // PER_WORD) * PER_WORD
        self.rounds, self.rewarded = 0, 0
        terms = [t for e in estimators for t in (*e.terms(), e.weight, e.weight.exact, e.gain)]
        self._column = {term: at for at, term in enumerate(dict.fromkeys(terms))}
        self._product = {pair: at for at, pair in enumerate(dict.fromkeys(self._pairs()))}
        self._sums = Compensated((len(self._column),))
        self._sizes = Compensated((len(self._column),))
        self._products = Compensated((len(self._product),))
        self._largest = np.zeros(len(self._column))
        width = 1 + len(self._column) + len(self._product)
        self._resampled = Compensated((width, self.replicates))
        self._clusters = Distinct()

    def _pairs(self) -> Iterator[tuple[int, int]]:
        """Yield the columns whose products are needed: for variances, and for effective sizes."""
        for estimator in self.estimators:
            columns = sorted(self._column[term] for term in estimator.terms())
            yield from combinations_with_replacement(columns, 2)
            for term in (estimator.weight, estimator.gain):
                yield self._column[term], self._column[term]

    def add(self, chunk: AnyChunk) -> None:
        """Take in a chunk.

        Raises
        ------
        FaultyLogError
            Naming the faulty rows, counted over all chunks added; nothing of the chunk is counted.
        ModelNeededError
            If an estimator uses a reward model, and the chunk has no predictions.
        """
        check(chunk, self.rounds)
        if not len(chunk.keys):
            return
        terms = np.stack([term(chunk) for term in self._column])
        products = np.stack([terms[i] * terms[j] for i, j in self._product])
        sizes = np.abs(terms)
        self._sums.add(terms.sum(axis=1))
        self._sizes.add(sizes.sum(axis=1))
        self._products.add(products.sum(axis=1))
        np.maximum(self._largest, sizes.max(axis=1), out=self._largest)
        both = np.concatenate([terms, products])
        for start in range(0, len(chunk.keys), BLOCK):
            rows = slice(start, start + BLOCK)
            self._resampled.add(
                resample(both[:, rows], chunk.keys[rows], self.seed, self.replicates)
            )
        self._clusters.add(derive(chunk.keys, np.zeros_like(chunk.keys)))
        self.rounds += len(chunk.keys)
        self.rewarded += int(np.count_nonzero(chunk.return_))

    def merge(self, other: Accumulator[AnyChunk]) -> None:
        """Take in what another accumulator of the same estimators and seed has summed.

        Raises
        ------
        RecloopError
            If the two were not set up alike.
        """
        mine = (self.estimators, self.seed, self.replicates, self.level)
        if mine != (other.estimators, other.seed, other.replicates, other.level):
            raise RecloopError(
                "only accumulators with the same estimators, seed, replicates and level can be "
                "merged"
            )
        self._sums.merge(other._sums)
        self._sizes.merge(other._sizes)
        self._products.merge(other._products)
        np.maximum(self._largest, other._largest, out=self._largest)
        self._resampled.merge(other._resampled)
        self._clusters.merge(other._clusters)
        self.rounds += other.rounds
        self.rewarded += other.rewarded

    def results(self, unsupported: float | None = None) -> tuple[Estimate, ...]:
        """Return the estimate of every estimator.

        Parameters
        ----------
        unsupported : float, optional
            The share of what the target would show that the log never shows, where it was measured.

        Raises
        ------
        RecloopError
            If no round was added.
        """
        if not self.rounds:
            raise RecloopError("there is no round to evaluate: the log is empty")
        resampled = self._resampled.value
        with np.errstate(divide="ignore", invalid="ignore"):
            log = _Means(self._sums.value / self.rounds, self._products.value / self.rounds)
            resampled = resampled[1:] / resampled[0]
            again = _Means(resampled[: len(self._column)], resampled[len(self._column) :])
            return tuple(self._estimate(e, log, again, unsupported) for e in self.estimators)

    def _estimate(
        self, estimator: Estimator[AnyChunk], log: _Means, again: _Means, unsupported: float | None
    ) -> Estimate:
        value, spread = self._value(estimator, log)
        replicates, spreads = self._value(estimator, again)
        low, high = studentised(float(value), float(spread), replicates, spreads, self.level)
        found = self._diagnose(estimator, log, again, unsupported)
        return Estimate(
            estimator.name,
            float(value),
            low,
            high,
            self.level,
            judge(found, corrected=estimator.corrected),
            found,
            replicates,
        )

    def _value(self, estimator: Estimator[AnyChunk], means: _Means) -> tuple[Floats, Floats]:
        """Return the sum of ratios, and the standard deviation of a row's influence on it.

        A row sways mean(a) / mean(b) by (a - ratio * b) / mean(b): the delta method.
        """
        value = np.zeros(means.terms.shape[1:])
        slopes: dict[int, Floats] = {self._column[t]: value.copy() for t in estimator.terms()}
        for part in estimator.parts:
            over, ratio = self._column[part.over], means.terms[self._column[part.over]]
            if part.under is None:
                slopes[over] += 1.0
            else:
                under = self._column[part.under]
                ratio = ratio / means.terms[under]
                slopes[over] += 1.0 / means.terms[under]
                slopes[under] -= ratio / means.terms[under]
            value = value + ratio
        variance, scale = np.zeros_like(value), np.zeros_like(value)
        for i, j in combinations_with_replacement(sorted(slopes), 2):
            product = means.products[self._product[i, j]]
            weight = slopes[i] * slopes[j] * (1.0 if i == j else 2.0)
            variance += weight * (product - means.terms[i] * means.terms[j])
            scale += np.abs(weight * product)
        variance[variance < ROUNDING * scale] = 0.0
        return value, np.sqrt(variance)

    def _diagnose(
        self, estimator: Estimator[AnyChunk], log: _Means, again: _Means, unsupported: float | None
    ) -> Diagnostics:
        weight = self._column[estimator.weight]
        exact = self._column[estimator.weight.exact]
        off = float(log.terms[exact]) - 1.0
        error = np.nanstd(again.terms[exact])
        sizes = self._sizes.value
        return Diagnostics(
            rounds=self.rounds,
            clusters=min(self._clusters.count, self.rounds),
            rewarded=self.rewarded,
            effective_size=self._effective(weight),
            effective_rewarded=self._effective(self._column[estimator.gain]),
            largest_share=float(self._largest[weight] / sizes[weight]) if sizes[weight] else 1.0,
            mean_weight=1.0 + off,
            mean_weight_z=0.0 if abs(off) < SAME else float(off / error),
            unsupported=unsupported,
        )

    def _effective(self, column: int) -> float:
        """Return (sum |x|)^2 / sum x^2: how many equal terms would be as informative; 0 of none."""
        squares = self._products.value[self._product[column, column]]
        return float(self._sizes.value[column] ** 2 / squares) if squares else 0.0


class _Means(NamedTuple):
    """Means of the terms, [T] or [T, R], and of the products of terms that are needed, [P, ...]."""

    terms: Floats
    products: Floats
