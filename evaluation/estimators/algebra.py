r"""What all estimators are: sums of ratios of means over the rows of a log.

.. math:: \hat V = \sum_j \frac{\mathrm{mean}_i\, a_j(i)}{\mathrm{mean}_i\, b_j(i)}

where a_j and b_j are terms (functions of one row) and b_j is 1 unless the estimator normalises
itself. Because that is all they are, one accumulator sums, merges and resamples every estimator,
gives each its standard error (the delta method needs the terms' products, no more), and shares the
sums of a term among all that use it. A resample is always of rows, never of terms that were already
normalised by the whole log.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Generic, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np

from evaluation.chunks.checks import Chunk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agents.api import Floats

C = TypeVar("C", bound=Chunk)
C_contra = TypeVar("C_contra", bound=Chunk, contravariant=True)

Kind: TypeAlias = Literal["weighted", "normalised", "corrected", "modelled", "other"]
"""Whether an estimator is the mean of its gain, the same over the mean weight, the mean of
v + w (r - q), the mean of a model's predictions, or none of these."""

ROUNDING = 1e-12
"""A variance below this share of the squares it is the difference of is 0, but for rounding."""


class Term(Protocol[C_contra]):
    """A number per row: float64 [B]. Terms that compare equal are summed once."""

    def __call__(self, chunk: C_contra, /) -> Floats:
        """Return the term of every row."""


class Weight(Term[C_contra], Protocol[C_contra]):
    """How much a row of the log counts for the evaluated policy."""

    @property
    def exact(self) -> Term[C_contra]:
        """The importance weight this one is made of, whose mean is 1 if all is well."""


class Reading(NamedTuple):
    """An estimate, and the standard deviation of one row's influence on it; or many of both."""

    value: Floats
    spread: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Moments(Generic[C]):
    """Means of terms and of their products, over a log or over each of its resamples.

    Parameters
    ----------
    columns : mapping of Term to int
    means : float64 [T] or [T, R]
    pairs : mapping of (int, int) to int
        Where the product of two columns stands, the smaller first.
    products : float64 [P] or [P, R]
    rows : float64 [] or [R]
        How many rows the means are of.
    """

    columns: Mapping[Term[C], int]
    means: Floats
    pairs: Mapping[tuple[int, int], int]
    products: Floats
    rows: Floats


@dataclass(frozen=True, slots=True)
class Ratio(Generic[C]):
    """mean(over) / mean(under), or mean(over) alone.

    Terms that are not divided belong into one: their sum's variance is then one product away.
    """

    over: Term[C]
    under: Term[C] | None = None


class Readable(Protocol[C]):
    """What an accumulator can sum for and read: an estimator, or one still to be chosen."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def candidates(self) -> tuple[Estimator[C], ...]:
        """The estimators it may turn out to be, given the log."""

    @property
    def honest(self) -> Estimator[C]:
        """The estimator whose interval is given."""

    @property
    def modelled(self) -> bool:
        """Whether it uses a reward model."""

    def settled(self, moments: Moments[C]) -> Estimator[C]:
        """Return the estimator that it is, given the log."""

    def read(self, moments: Moments[C]) -> Reading:
        """Return the estimate, and the standard deviation of a row's influence on it."""


@dataclass(frozen=True, slots=True)
class Estimator(Generic[C]):
    """A sum of ratios of means.

    Parameters
    ----------
    name : str
        What people call it.
    parts : tuple of Ratio
        The ratios that are summed.
    weight : Weight
        What its trustworthiness is judged by.
    gain : Term
        Weight times reward: what the weights leave of the rewards seen.
    modelled : bool
        Whether it uses a reward model.
    assumes : str
        What has to be true of the world for it to be right, beyond right propensities, as the end
        of "it is right only if"; nothing for most.
    tames : bool
        Whether its weight is the exact one, clipped or shrunk.
    kind : Kind
        What a guarantee can be built on; see `intervals.guaranteed`.
    differs : bool
        Whether it is of the difference of two policies' values.
    """

    name: str
    parts: tuple[Ratio[C], ...]
    weight: Weight[C]
    gain: Term[C]
    modelled: bool = False
    assumes: str = ""
    tames: bool = False
    kind: Kind = "other"
    differs: bool = False

    @property
    def candidates(self) -> tuple[Estimator[C], ...]:
        """The estimators it may turn out to be: itself."""
        return (self,)

    @property
    def honest(self) -> Estimator[C]:
        """The estimator whose interval is given: its own."""
        return self

    def settled(self, moments: Moments[C]) -> Estimator[C]:
        """Return the estimator that it is, given the log: itself."""
        return self

    def terms(self) -> tuple[Term[C], ...]:
        """Return the terms of its ratios."""
        parts = (term for part in self.parts for term in (part.over, part.under) if term)
        return tuple(dict.fromkeys(parts))

    def read(self, moments: Moments[C]) -> Reading:
        """Return the estimate, and the standard deviation of a row's influence on it.

        A row sways mean(a) / mean(b) by (a - ratio * b) / mean(b): the delta method.
        """
        columns, means = moments.columns, moments.means
        value = np.zeros(means.shape[1:])
        slopes = {columns[term]: value.copy() for term in self.terms()}
        for part in self.parts:
            over, ratio = columns[part.over], means[columns[part.over]]
            if part.under is None:
                slopes[over] += 1.0
            else:
                under = columns[part.under]
                ratio = ratio / means[under]
                slopes[over] += 1.0 / means[under]
                slopes[under] -= ratio / means[under]
            value = value + ratio
        variance, scale = np.zeros_like(value), np.zeros_like(value)
        for i, j in combinations_with_replacement(sorted(slopes), 2):
            product = moments.products[moments.pairs[i, j]]
            slope = slopes[i] * slopes[j] * (1.0 if i == j else 2.0)
            variance += slope * (product - means[i] * means[j])
            scale += np.abs(slope * product)
        return Reading(value, np.sqrt(np.where(variance < ROUNDING * scale, 0.0, variance)))
