"""Two policies on one log: an estimator of each, and of the difference, from pairs of rows.

The difference is taken row by row, so that what the two policies share cancels: its noise is that
of the rows on which they differ.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, Literal, NamedTuple, TypeAlias

from evaluation.chunks.checks import AnyChunk
from evaluation.chunks.pairs import Pair
from evaluation.estimators.algebra import Estimator, Ratio

if TYPE_CHECKING:
    from agents.api import Floats
    from evaluation.estimators.algebra import Term, Weight

Side: TypeAlias = Literal["candidate", "incumbent"]


@dataclass(frozen=True, slots=True)
class Of(Generic[AnyChunk]):
    """A term of the rows as one of the two policies has them."""

    side: Side
    term: Term[AnyChunk]

    def __call__(self, pair: Pair[AnyChunk]) -> Floats:
        """Return the term of every row."""
        return self.term(getattr(pair, self.side))


@dataclass(frozen=True, slots=True)
class WeightOf(Generic[AnyChunk]):
    """A weight of the rows as one of the two policies has them."""

    side: Side
    weight: Weight[AnyChunk]

    @property
    def exact(self) -> Term[Pair[AnyChunk]]:
        """The importance weight it is made of."""
        return Of(self.side, self.weight.exact)

    def __call__(self, pair: Pair[AnyChunk]) -> Floats:
        """Return the weight of every row."""
        return self.weight(getattr(pair, self.side))


@dataclass(frozen=True, slots=True)
class Negative(Generic[AnyChunk]):
    """Minus a term."""

    term: Term[AnyChunk]

    def __call__(self, chunk: AnyChunk) -> Floats:
        """Return the term of every row."""
        return -self.term(chunk)


@dataclass(frozen=True, slots=True)
class Less(Generic[AnyChunk]):
    """A term of the candidate's less the same of the incumbent's."""

    term: Term[AnyChunk]

    def __call__(self, pair: Pair[AnyChunk]) -> Floats:
        """Return the term of every row."""
        return self.term(pair.candidate) - self.term(pair.incumbent)


class Compared(NamedTuple, Generic[AnyChunk]):
    """The estimators that a judgement is read from, in this order."""

    candidate: Estimator[Pair[AnyChunk]]
    incumbent: Estimator[Pair[AnyChunk]]
    difference: Estimator[Pair[AnyChunk]]


def compared(estimator: Estimator[AnyChunk]) -> Compared[AnyChunk]:
    """Return an estimator of the candidate, of the incumbent, and of candidate minus incumbent.

    Parameters
    ----------
    estimator : Estimator
        Of single rows of `Rounds`, `Slates` or episodes; none that is tuned, because the two
        policies would be given other parameters.
    """
    plain = [part for part in estimator.parts if part.under is None]
    divided = [part for part in estimator.parts if part.under is not None]
    parts: list[Ratio[Pair[AnyChunk]]] = [Ratio(Less(part.over)) for part in plain]
    for part in divided:
        parts += _of("candidate", part), _negative(_of("incumbent", part))
    mine, theirs = (_seen_by(side, estimator) for side in ("candidate", "incumbent"))
    name = f"{estimator.name} difference"
    return Compared(mine, theirs, replace(mine, name=name, parts=tuple(parts), differs=True))


def _seen_by(side: Side, estimator: Estimator[AnyChunk]) -> Estimator[Pair[AnyChunk]]:
    return Estimator(
        estimator.name,
        tuple(_of(side, part) for part in estimator.parts),
        WeightOf(side, estimator.weight),
        Of(side, estimator.gain),
        estimator.modelled,
        estimator.assumes,
        estimator.tames,
        estimator.kind,
    )


def _of(side: Side, part: Ratio[AnyChunk]) -> Ratio[Pair[AnyChunk]]:
    return Ratio(Of(side, part.over), Of(side, part.under) if part.under else None)


def _negative(part: Ratio[Pair[AnyChunk]]) -> Ratio[Pair[AnyChunk]]:
    return replace(part, over=Negative(part.over))
