"""Accuracy of ranked lists at k, with intervals, whole or by segment.

The metrics are estimators like all others, a mean over the lists for which they are defined, so
that they are summed, merged and resampled by the same accumulator: every figure has its interval.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from agents.api import RecloopError, ShapeError
from evaluation.accumulate import Accumulator
from evaluation.chunks.checks import number_faults
from evaluation.estimators.algebra import Estimator, Ratio

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from agents.api import Floats, Keys
    from evaluation.estimators.algebra import Term
    from evaluation.report import Estimate


class UnknownMetricError(RecloopError, LookupError):
    """A metric that does not exist, or that does not say at which k."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """B ranked lists and what they were worth.

    Parameters
    ----------
    gains : float64 [B, K]
        The worth of the item at each rank, 0 if it is not relevant.
    best : float64 [B, L]
        The worth of the most relevant items that there were, shown or not, in descending order and
        filled up with 0. Its positive entries are the relevant items.
    keys : uint64 [B]
        What is resampled together.
    """

    gains: Floats
    best: Floats
    keys: Keys

    def __post_init__(self) -> None:
        rows = self.keys.shape
        if self.gains.ndim != 2 or self.best.ndim != 2 or len(rows) != 1:
            raise ShapeError("ranked lists need gains [B, K], best [B, L] and keys [B]")
        if not self.gains.shape[:1] == self.best.shape[:1] == rows:
            raise ShapeError(
                f"gains {self.gains.shape}, best {self.best.shape} and {rows[0]} keys do not fit"
            )

    @property
    def return_(self) -> Floats:
        """What each list earned: the sum of its gains."""
        return np.asarray(self.gains.sum(axis=1))

    def faults(self) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Yield what may be wrong with a list; see `Chunk`."""
        for name, array in (("gain", self.gains), ("best gain", self.best)):
            yield from number_faults(name, array)
            yield f"{name} is negative", array < 0.0
        yield "best gains are not in descending order", np.diff(self.best, axis=1) > 0.0
        more = (self.gains > 0.0).sum(axis=1) > (self.best > 0.0).sum(axis=1)
        yield "more relevant items are shown than there are", more

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Ranked:
        """Return some of the lists."""
        return Ranked(self.gains[index], self.best[index], self.keys[index])


@dataclass(frozen=True, slots=True)
class One:
    """1 for every list: lists are not weighed."""

    @property
    def exact(self) -> Term[Ranked]:
        """Itself."""
        return self

    def __call__(self, lists: Ranked) -> Floats:
        """Return the term of every list."""
        return np.ones(len(lists.keys))


@dataclass(frozen=True, slots=True)
class Defined:
    """1 for lists that have any relevant item to find, else 0."""

    def __call__(self, lists: Ranked) -> Floats:
        """Return the term of every list."""
        return np.asarray((lists.best > 0.0).any(axis=1), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class AtK:
    """One metric of every list, cut at rank k; 0 where it is not defined."""

    metric: str
    k: int

    def __call__(self, lists: Ranked) -> Floats:
        """Return the term of every list."""
        hits = lists.gains[:, : self.k] > 0.0
        relevant = (lists.best > 0.0).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            values = _METRICS[self.metric][0](lists, hits, relevant, self.k)
        return np.asarray(np.where(np.isfinite(values), values, 0.0), dtype=np.float64)


Metric: TypeAlias = Callable[[Ranked, "NDArray[np.bool_]", "NDArray[np.int64]", int], "Floats"]


def _precision(_: Ranked, hits: NDArray[np.bool_], relevant: NDArray[np.int64], k: int) -> Floats:
    return np.asarray(hits.sum(axis=1) / k)


def _recall(_: Ranked, hits: NDArray[np.bool_], relevant: NDArray[np.int64], k: int) -> Floats:
    return np.asarray(hits.sum(axis=1) / relevant)


def _f1(_: Ranked, hits: NDArray[np.bool_], relevant: NDArray[np.int64], k: int) -> Floats:
    return np.asarray(2.0 * hits.sum(axis=1) / (k + relevant))


def _hit_rate(_: Ranked, hits: NDArray[np.bool_], relevant: NDArray[np.int64], k: int) -> Floats:
    return np.asarray(hits.any(axis=1), dtype=np.float64)


def _reciprocal_rank(
    _: Ranked, hits: NDArray[np.bool_], relevant: NDArray[np.int64], k: int
) -> Floats:
    ranks = 1.0 + hits.argmax(axis=1)
    return np.asarray(hits.any(axis=1) / ranks, dtype=np.float64)


def _average_precision(
    _: Ranked, hits: NDArray[np.bool_], relevant: NDArray[np.int64], k: int
) -> Floats:
    precision = hits.cumsum(axis=1) / (1.0 + np.arange(hits.shape[1]))
    return np.asarray((precision * hits).sum(axis=1) / np.minimum(relevant, k))


def _ndcg(lists: Ranked, hits: NDArray[np.bool_], relevant: NDArray[np.int64], k: int) -> Floats:
    return np.asarray(_discounted(lists.gains[:, :k]) / _discounted(lists.best[:, :k]))


def _discounted(gains: Floats) -> Floats:
    return np.asarray((gains / np.log2(2.0 + np.arange(gains.shape[1]))).sum(axis=1))


_METRICS: dict[str, tuple[Metric, bool]] = {
    "precision": (_precision, False),
    "recall": (_recall, True),
    "f1": (_f1, True),
    "hit-rate": (_hit_rate, False),
    "mrr": (_reciprocal_rank, False),
    "map": (_average_precision, True),
    "ndcg": (_ndcg, True),
}
"""Each metric, and whether it is undefined for lists with nothing relevant to find."""


def metrics(specs: Sequence[str]) -> tuple[Estimator[Ranked], ...]:
    """Return metrics by name and rank, as `ndcg@10`.

    precision, recall, f1, hit-rate, mrr, map (average precision over the smaller of k and the
    number of relevant items) and ndcg (gains as given, discounted by log2(1 + rank); Jarvelin &
    Kekalainen 2002). Lists with nothing relevant to find count as 0 for precision, hit rate and
    mrr, and are left out by the others.

    Raises
    ------
    UnknownMetricError
        If there is no such metric, the message suggesting the nearest; or k is missing.
    """
    return tuple(map(_metric, specs))


def _metric(spec: str) -> Estimator[Ranked]:
    found = re.fullmatch(r"\s*([\w-]+)@([1-9]\d*)\s*", spec)
    name = found[1].lower() if found else spec.partition("@")[0].strip().lower()
    if name not in _METRICS:
        near = get_close_matches(name, _METRICS, n=1)
        hint = f"did you mean {near[0]}@10? " if near else ""
        raise UnknownMetricError(f"no metric {spec!r}: {hint}There are {', '.join(_METRICS)}")
    if not found:
        raise UnknownMetricError(f"{spec!r} does not say at which rank: write {name}@10, say")
    k = int(found[2])
    term = AtK(name, k)
    part: Ratio[Ranked] = Ratio(term, Defined() if _METRICS[name][1] else None)
    return Estimator(f"{name}@{k}", (part,), One(), term)


class Segmented:
    """Metrics for each segment of users, of time, or whatever lists can be told apart by.

    Parameters
    ----------
    specs : sequence of str
        See `metrics`.
    seed, replicates, level
        See `Accumulator`.
    """

    def __init__(
        self, specs: Sequence[str], *, seed: int = 0, replicates: int = 1000, level: float = 0.95
    ) -> None:
        self._metrics = metrics(specs)
        self._options = (seed, replicates, level)
        self._parts: dict[str, Accumulator[Ranked]] = {}

    def add(self, lists: Ranked, segments: NDArray[np.str_]) -> None:
        """Take in lists and the segment of each: str [B]."""
        if segments.shape != lists.keys.shape:
            raise ShapeError(f"{len(lists.keys)} lists, but segments {segments.shape}")
        for segment in np.unique(segments):
            self._part(str(segment)).add(lists.take(segments == segment))

    def merge(self, other: Segmented) -> None:
        """Take in what another one of the same metrics has seen."""
        for segment, part in other._parts.items():
            self._part(segment).merge(part)

    def results(self) -> dict[str, tuple[Estimate, ...]]:
        """Return the metrics of every segment, the segments sorted by name."""
        return {segment: self._parts[segment].results() for segment in sorted(self._parts)}

    def _part(self, segment: str) -> Accumulator[Ranked]:
        if segment not in self._parts:
            seed, replicates, level = self._options
            self._parts[segment] = Accumulator(
                self._metrics, seed=seed, replicates=replicates, level=level
            )
        return self._parts[segment]
