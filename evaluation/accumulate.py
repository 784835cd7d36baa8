"""One accumulator for every estimator: add chunks of a log, merge with others, read the results.

Its memory does not depend on the number of rounds, and its results do not depend on how the rounds
were cut into chunks or in which order parts were merged: so the same code runs over an array, a
folder of files, a topic that still grows, and the parts of a log on several machines.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations_with_replacement
from math import inf
from typing import TYPE_CHECKING, Generic

import numpy as np

from agents.api import RecloopError
from agents.streams import derive
from evaluation.chunks.checks import AnyChunk, Bounds, check
from evaluation.estimators.algebra import Moments
from evaluation.intervals.bootstrap import PER_WORD, resample, studentised
from evaluation.intervals.sums import Compensated, Distinct
from evaluation.report import Estimate
from evaluation.verdict import Diagnostics, judge

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agents.api import Floats
    from evaluation.estimators.algebra import Estimator, Readable
    from evaluation.intervals.guaranteed import Ends
    from evaluation.support import Support

BLOCK = 1024
"""Rows that are resampled together before their sums join the compensated ones."""

SAME = 1e-9
"""Two means that differ by less than this differ by rounding."""


class Accumulator(Generic[AnyChunk]):
    """Sums what a set of estimators needs, over chunks of a log.

    Parameters
    ----------
    estimators : sequence of Estimator
    seed : int
        The root of the bootstrap's randomness. Use one seed for policies that will be compared.
    replicates : int
        How many bootstrap resamples, rounded up to a multiple of 5. The ends of a 95 % interval
        rest on 2.5 % of them each.
    level : float
        The coverage of the intervals, in (0, 1).
    bounds : (float, float), optional
        Between which each row's return lies, (0, 1) for clicks. A mean of returns lies there too,
        so that intervals are cut to them, which can't make an interval miss the truth; an estimate
        is left where it is, and not trusted outside. Not for estimators of a difference.
    """

    def __init__(
        self,
        estimators: Sequence[Readable[AnyChunk]],
        *,
        seed: int = 0,
        replicates: int = 1000,
        level: float = 0.95,
        bounds: Bounds | None = None,
    ) -> None:
        if bounds is not None and not bounds[0] < bounds[1]:
            raise RecloopError(f"bounds are a smaller and a larger number, not {bounds}")
        if not estimators or replicates < 1 or not 0.0 < level < 1.0:
            raise RecloopError(
                "an accumulator needs an estimator, a replicate and a level between 0 and 1, "
                f"not {len(estimators)}, {replicates} and {level}"
            )
        self.estimators = tuple(estimators)
        self.seed, self.level, self.bounds = seed, level, bounds
        self.replicates = -(-replicates // PER_WORD) * PER_WORD
        self.rounds, self.rewarded = 0, 0
        settled = [candidate for e in estimators for candidate in e.candidates]
        again = [term for e in settled for term in (*e.terms(), e.weight.exact)]
        self._resampled_terms = len(dict.fromkeys(again))
        watched = [term for e in settled for term in (e.weight, e.gain)]
        self._columns = {t: at for at, t in enumerate(dict.fromkeys([*again, *watched]))}
        pairs = (pair for e in settled for pair in self._pairs(e))
        self._products = {pair: at for at, pair in enumerate(dict.fromkeys(pairs))}
        self._largest = np.zeros(len(self._columns))
        self._sums = Compensated((3, len(self._columns)))  # of x, |x| and x^2
        self._product_sums = Compensated((len(self._products),))
        width = 1 + self._resampled_terms + len(self._products)
        self._resampled = Compensated((width, self.replicates))
        self._clusters = Distinct()

    def _pairs(self, estimator: Estimator[AnyChunk]) -> Iterator[tuple[int, int]]:
        """Yield the columns whose products make an estimator's variance."""
        columns = sorted(self._columns[term] for term in estimator.terms())
        yield from combinations_with_replacement(columns, 2)

    def add(self, chunk: AnyChunk) -> None:
        """Take in a chunk.

        Raises
        ------
        FaultyLogError
            Naming the faulty rows, counted over all chunks added; nothing of the chunk is counted.
        ModelNeededError
            If an estimator uses a reward model, and the chunk has no predictions.
        """
        check(chunk, self.rounds, self.bounds)
        if not len(chunk.keys):
            return
        terms = np.stack([term(chunk) for term in self._columns])
        products = np.stack([terms[i] * terms[j] for i, j in self._products])
        sizes = np.abs(terms)
        self._sums.add(np.stack([terms.sum(axis=1), sizes.sum(axis=1), (terms**2).sum(axis=1)]))
        self._product_sums.add(products.sum(axis=1))
        np.maximum(self._largest, sizes.max(axis=1), out=self._largest)
        both = np.concatenate([terms[: self._resampled_terms], products])
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
        if self._settings != other._settings:
            raise RecloopError(
                "only accumulators with the same estimators, seed, replicates, level and bounds "
                "can be merged"
            )
        self._sums.merge(other._sums)
        self._product_sums.merge(other._product_sums)
        np.maximum(self._largest, other._largest, out=self._largest)
        self._resampled.merge(other._resampled)
        self._clusters.merge(other._clusters)
        self.rounds += other.rounds
        self.rewarded += other.rewarded

    def results(
        self,
        support: Support | None = None,
        ends: Ends[AnyChunk] | None = None,
    ) -> tuple[Estimate, ...]:
        """Return the estimate of every estimator.

        Parameters
        ----------
        support : Support, optional
            What the target would show that the log never shows, where it was measured.
        ends : callable, optional
            Says what the intervals are, see `intervals.guaranteed`; else the bootstrap does.

        Raises
        ------
        RecloopError
            If no round was added.
        """
        if not self.rounds:
            raise RecloopError("there is no round to evaluate: the log is empty")
        resampled = self._resampled.value
        at = self._resampled_terms
        with np.errstate(divide="ignore", invalid="ignore"):
            log = self._moments(
                self._sums.value[0], self._product_sums.value, np.array(float(self.rounds))
            )
            again = self._moments(resampled[1 : 1 + at], resampled[1 + at :], resampled[0])
            return tuple(
                self._estimate(at, estimator, log, again, support, ends)
                for at, estimator in enumerate(self.estimators)
            )

    @property
    def _settings(self) -> tuple[object, ...]:
        """What two accumulators must have in common."""
        return self.estimators, self.seed, self.replicates, self.level, self.bounds

    def _moments(self, sums: Floats, products: Floats, rows: Floats) -> Moments[AnyChunk]:
        return Moments(self._columns, sums / rows, self._products, products / rows, rows)

    def _estimate(
        self,
        at: int,
        estimator: Readable[AnyChunk],
        log: Moments[AnyChunk],
        again: Moments[AnyChunk],
        support: Support | None,
        ends: Ends[AnyChunk] | None,
    ) -> Estimate:
        settled, honest = estimator.settled(log), estimator.honest
        value = float(estimator.read(log).value)
        if ends is None:
            centre, spread = honest.read(log)
            low, high = studentised(float(centre), float(spread), *honest.read(again), self.level)
        else:
            low, high = ends(at, honest, log)
        if settled is not honest:
            value = min(max(value, low), high)  # NaN stays NaN
        if np.isfinite(value):
            low, high = float(np.minimum(low, value)), float(np.maximum(high, value))
        least, most = self._range(honest)
        found = replace(
            self._diagnose(honest, log, again, support),
            tamed=self._tamed(settled, log),
            possible=not (value < least or value > most),
            ruled_out=bool(np.isfinite(value) and np.isnan(low)),
        )
        return Estimate(
            settled.name,
            value,
            min(max(low, least), most),
            max(min(high, most), least),
            self.level,
            judge(found, assumes=settled.assumes),
            found,
            estimator.read(again).value,
        )

    def _range(self, estimator: Estimator[AnyChunk]) -> Bounds:
        """Return between what an estimate can lie."""
        least, most = self.bounds or (-inf, inf)
        return (least - most, most - least) if estimator.differs else (least, most)

    def _tamed(self, estimator: Estimator[AnyChunk], log: Moments[AnyChunk]) -> float:
        """Return the share of the exact weight that the estimator leaves out."""
        whole = float(log.means[self._columns[estimator.weight.exact]])
        if not estimator.tames or not whole:
            return 0.0
        return 1.0 - float(log.means[self._columns[estimator.weight]]) / whole

    def _diagnose(
        self,
        estimator: Estimator[AnyChunk],
        log: Moments[AnyChunk],
        again: Moments[AnyChunk],
        support: Support | None,
    ) -> Diagnostics:
        weight, gain = self._columns[estimator.weight], self._columns[estimator.gain]
        exact = self._columns[estimator.weight.exact]
        off = float(log.means[exact]) - 1.0
        error = np.nanstd(again.means[exact])
        sums, sizes, squares = self._sums.value
        size = _effective(sums[weight], squares[weight])
        observed = _effective(sizes[gain], squares[gain])
        return Diagnostics(
            rounds=self.rounds,
            clusters=min(self._clusters.count, self.rounds),
            rewarded=self.rewarded,
            effective_size=size,
            effective_rewarded=min(observed, size * self.rewarded / self.rounds),
            largest_share=float(self._largest[weight] / sizes[weight]) if sizes[weight] else 1.0,
            mean_weight=1.0 + off,
            mean_weight_z=0.0 if abs(off) < SAME else float(off / error),
            unsupported=support.unsupported if support else None,
            unsupported_in_context=support.unsupported_in_context if support else None,
        )


def _effective(total: float, squares: float) -> float:
    """Return total^2 / sum x^2: how many equal terms would be as informative; 0 of none."""
    return float(total**2 / squares) if squares else 0.0
