"""How an evaluation is done once its models are fitted: rows read, summed, merged, reported.

It is the same for single rounds and for slates, here and in every worker that sums a shard.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from evaluation.accumulate import Accumulator
from evaluation.chunks.checks import AnyChunk, Bounds
from evaluation.intervals.guaranteed import bernstein_of, promised
from evaluation.intervals.watching import watch
from evaluation.report import Report, report
from evaluation.support import Support

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agents.api import Floats, Outcomes
    from evaluation.estimators.algebra import Estimator, Moments, Readable
    from evaluation.intervals.guaranteed import Interval
    from evaluation.intervals.sequences import ConfidenceSequence
    from evaluation.passes import Progress

Read = TypeVar("Read", covariant=True)


class Reads(Protocol[Read]):
    """Turns outcomes into what estimators see of them under one policy."""

    @property
    def name(self) -> str:
        """What the policy is reported as."""

    def seen(self, outcomes: Outcomes) -> tuple[Read, Floats, Iterable[Floats]]:
        """Return the rows; their weights slot by slot; and what the policy wants to show.

        Returns
        -------
        Rounds or Slates
        float64 [B, K]
        iterable of float64 [B, M]
            For each slot how likely each candidate is, given the slots before it.
        """


@dataclass(frozen=True, slots=True)
class Settings:
    """What is asked of every interval; see `evaluate`."""

    seed: int = 0
    replicates: int = 1000
    level: float = 0.95
    bounds: Bounds | None = None
    interval: Interval = "bootstrap"
    largest_weight: float = inf


@dataclass(frozen=True, slots=True)
class Plan(Generic[AnyChunk]):
    """How an evaluation is done: the same for all parts of a log.

    Parameters
    ----------
    reader : Reads
    estimators : tuple of Estimator
    settings : Settings
    """

    reader: Reads[AnyChunk]
    estimators: tuple[Readable[AnyChunk], ...]
    settings: Settings

    def over(
        self, chunks: Iterable[Outcomes], progress: Progress | None = None
    ) -> Summed[AnyChunk]:
        """Return what a log, or a part of it, sums to."""
        total = self._nothing()
        for outcomes in chunks:
            rows, weights, wanted = self.reader.seen(outcomes)
            total.accumulator.add(rows)
            for sequence in total.sequences:
                sequence.add(rows)
            total.support.add(outcomes, wanted, weights)
            if progress:
                progress(f"evaluate {self.reader.name}", len(outcomes))
        return total

    def _nothing(self) -> Summed[AnyChunk]:
        asked = self.settings
        accumulator = Accumulator(
            self.estimators,
            seed=asked.seed,
            replicates=asked.replicates,
            level=asked.level,
            bounds=asked.bounds,
        )
        sequences: tuple[ConfidenceSequence[AnyChunk], ...] = ()
        if asked.interval != "bootstrap":
            promise = promised(asked.interval, asked.bounds, asked.largest_weight)
            sequences = tuple(watch(e.honest, promise) for e in self.estimators)
        return Summed(self.reader.name, asked, accumulator, Support(), sequences)


@dataclass(frozen=True, slots=True)
class Summed(Generic[AnyChunk]):
    """What a part of a log sums to; the sums of parts can be merged."""

    policy: str
    settings: Settings
    accumulator: Accumulator[AnyChunk]
    support: Support
    sequences: tuple[ConfidenceSequence[AnyChunk], ...]

    @property
    def rounds(self) -> int:
        """How many rows were summed."""
        return self.accumulator.rounds

    def merge(self, other: Summed[AnyChunk]) -> None:
        """Take in what another part sums to."""
        self.accumulator.merge(other.accumulator)
        self.support.merge(other.support)
        for mine, theirs in zip(self.sequences, other.sequences, strict=True):
            mine.merge(theirs)

    def report(self) -> Report:
        """Return what it says of the policy."""
        kind = self.settings.interval
        ends = None if kind == "bootstrap" else self._ends
        return report(self.policy, self.accumulator.results(self.support, ends), kind)

    def _ends(
        self, at: int, estimator: Estimator[AnyChunk], log: Moments[AnyChunk]
    ) -> tuple[float, float]:
        """Return the ends of an interval with a guarantee."""
        asked = self.settings
        if asked.interval == "sequence":
            return self.sequences[at].interval(asked.level)
        promise = promised(asked.interval, asked.bounds, asked.largest_weight)
        return bernstein_of(estimator, log, promise, asked.level)
