r"""Estimators as data: each is a sum of ratios of means over the rows of a log.

.. math:: \hat V = \sum_j \frac{\mathrm{mean}_i\, a_j(i)}{\mathrm{mean}_i\, b_j(i)}

where a_j and b_j are terms (functions of one row) and b_j is 1 unless the estimator normalises
itself. Because that is all they are, one accumulator sums, merges and resamples every estimator,
gives each its standard error (the delta method needs the terms' products, no more), and shares the
sums of a term among all that use it. A resample is always of rows, never of terms that were already
normalised by the whole log.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Generic, Protocol, TypeAlias, TypeVar

from agents.api import RecloopError
from evaluation.rounds import Chunk, Rounds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agents.api import Floats

C_contra = TypeVar("C_contra", bound=Chunk, contravariant=True)
C = TypeVar("C", bound=Chunk)


NO_MODEL = (
    "DM, DR and their kin use a reward model, but the rounds carry no predictions of one (q, v): "
    "give a reward model, or choose estimators without"
)


class ModelNeededError(RecloopError, ValueError):
    """An estimator that uses a reward model was given rounds without its predictions."""


class UnknownEstimatorError(RecloopError, LookupError):
    """An estimator that does not exist."""


class Term(Protocol[C_contra]):
    """A number per row: float64 [B]. Terms that compare equal are summed once."""

    def __call__(self, chunk: C_contra, /) -> Floats:
        """Return the term of every row."""


class Weight(Term[C_contra], Protocol[C_contra]):
    """How much a row of the log counts for the evaluated policy."""

    @property
    def exact(self) -> Term[C_contra]:
        """The importance weight this one is made of, whose mean is 1 if all is well."""


@dataclass(frozen=True, slots=True)
class Ratio(Generic[C]):
    """mean(over) / mean(under), or mean(over) alone.

    Terms that are not divided belong into one: their sum's variance is then one product away.
    """

    over: Term[C]
    under: Term[C] | None = None


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
    corrected : bool
        Whether the weighted rewards enter it at all; if not, it is the model's word alone.
    """

    name: str
    parts: tuple[Ratio[C], ...]
    weight: Weight[C]
    gain: Term[C]
    modelled: bool = False
    corrected: bool = True

    def terms(self) -> tuple[Term[C], ...]:
        """Return the terms of its ratios."""
        parts = (term for part in self.parts for term in (part.over, part.under) if term)
        return tuple(dict.fromkeys(parts))


RoundEstimator: TypeAlias = Estimator[Rounds]


@dataclass(frozen=True, slots=True)
class Importance:
    """w = pi_e / pi_b of what was shown."""

    @property
    def exact(self) -> Term[Rounds]:
        """Itself."""
        return self

    def __call__(self, rounds: Rounds) -> Floats:
        """Return the weight of every round."""
        return rounds.target / rounds.logged


@dataclass(frozen=True, slots=True)
class Gain:
    """Weight times reward."""

    weight: Weight[Rounds]

    def __call__(self, rounds: Rounds) -> Floats:
        """Return the term of every round."""
        return self.weight(rounds) * rounds.reward


@dataclass(frozen=True, slots=True)
class Corrected:
    """v + w (r - q): what the reward model expects, and what it got wrong about what was shown."""

    weight: Weight[Rounds]

    def __call__(self, rounds: Rounds) -> Floats:
        """Return the term of every round."""
        if rounds.q is None or rounds.v is None:
            raise ModelNeededError(NO_MODEL)
        return rounds.v + self.weight(rounds) * (rounds.reward - rounds.q)


@dataclass(frozen=True, slots=True)
class Modelled:
    """What the reward model expects of the evaluated policy."""

    def __call__(self, rounds: Rounds) -> Floats:
        """Return the term of every round."""
        if rounds.v is None:
            raise ModelNeededError(NO_MODEL)
        return rounds.v


def ips(name: str = "IPS", weight: Weight[Rounds] | None = None) -> RoundEstimator:
    """Return mean w r (Horvitz & Thompson 1952)."""
    weight = weight or Importance()
    return Estimator(name, (Ratio(Gain(weight)),), weight, Gain(weight))


def snips(name: str = "SNIPS", weight: Weight[Rounds] | None = None) -> RoundEstimator:
    """Return sum w r / sum w (Swaminathan & Joachims 2015)."""
    weight = weight or Importance()
    return Estimator(name, (Ratio(Gain(weight), weight),), weight, Gain(weight))


def dm() -> RoundEstimator:
    """Return mean sum_a pi_e q (Beygelzimer & Langford 2009)."""
    weight = Importance()
    return Estimator("DM", (Ratio(Modelled()),), weight, Gain(weight), True, corrected=False)


def dr(name: str = "DR", weight: Weight[Rounds] | None = None) -> RoundEstimator:
    """Return DM + mean w (r - q) (Dudik, Erhan, Langford & Li 2014)."""
    weight = weight or Importance()
    return Estimator(name, (Ratio(Corrected(weight)),), weight, Gain(weight), True)


_KNOWN: dict[str, Callable[[], RoundEstimator]] = {"IPS": ips, "SNIPS": snips, "DM": dm, "DR": dr}


def named(names: Sequence[str]) -> tuple[RoundEstimator, ...]:
    """Return estimators by name, in any case of letters.

    Raises
    ------
    UnknownEstimatorError
        If there is none of that name; the message suggests the nearest.
    """
    folded = {name.casefold(): make for name, make in _KNOWN.items()}
    found = []
    for name in names:
        if name.casefold() not in folded:
            near = get_close_matches(name.casefold(), folded, n=1)
            known = {name.casefold(): name for name in _KNOWN}
            hint = f"did you mean {known[near[0]]}? " if near else ""
            raise UnknownEstimatorError(
                f"there is no estimator {name!r}: {hint}There are {', '.join(_KNOWN)}"
            )
        found.append(folded[name.casefold()]())
    return tuple(found)
