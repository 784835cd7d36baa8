"""The estimators for one item shown at a time: what to weigh, and what to let a model say.

w = pi_e / pi_b; q and v are what a model expects of what was shown and of the evaluated policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from agents.api import RecloopError
from evaluation.chunks.rounds import Rounds
from evaluation.estimators.algebra import Estimator, Ratio
from evaluation.estimators.weights import Importance

if TYPE_CHECKING:
    from agents.api import Floats
    from evaluation.estimators.algebra import Kind, Term, Weight

Single: TypeAlias = Estimator[Rounds]

CLUSTERS = "clusters"
"""The view in which an item stands for its cluster."""

ROBUST = "robust"
"""The view with the predictions of the model that is fitted to make DR's variance small."""


class ModelNeededError(RecloopError, ValueError):
    """An estimator that uses a reward model was given rounds without its predictions."""


class ViewNeededError(RecloopError, ValueError):
    """An estimator was given rounds that lack what it looks at."""


@dataclass(frozen=True, slots=True)
class Gain:
    """w r."""

    weight: Weight[Rounds]

    def __call__(self, rounds: Rounds) -> Floats:
        """Return the term of every round."""
        return self.weight(rounds) * rounds.reward


@dataclass(frozen=True, slots=True)
class Modelled:
    """v."""

    def __call__(self, rounds: Rounds) -> Floats:
        """Return the term of every round."""
        return _predictions(rounds)[1]


@dataclass(frozen=True, slots=True)
class Residual:
    """w (r - q): what the reward model got wrong about what was shown."""

    weight: Weight[Rounds]

    def __call__(self, rounds: Rounds) -> Floats:
        """Return the term of every round."""
        return self.weight(rounds) * (rounds.reward - _predictions(rounds)[0])


@dataclass(frozen=True, slots=True)
class Corrected:
    """v + w (r - q)."""

    weight: Weight[Rounds]

    def __call__(self, rounds: Rounds) -> Floats:
        """Return the term of every round."""
        q, v = _predictions(rounds)
        return v + self.weight(rounds) * (rounds.reward - q)


@dataclass(frozen=True, slots=True)
class Seen:
    """A term of the rounds as another view of them has it."""

    view: str
    term: Term[Rounds]

    def __call__(self, rounds: Rounds) -> Floats:
        """Return the term of every round."""
        if self.view not in rounds.views:
            raise ViewNeededError(f"an estimator here looks at {self.view}: {_REMEDY[self.view]}")
        return self.term(rounds.views[self.view])


@dataclass(frozen=True, slots=True)
class SeenWeight(Seen):
    """A weight of the rounds as another view of them has it."""

    @property
    def exact(self) -> Term[Rounds]:
        """Itself: views are made for exact weights only."""
        return self


_REMEDY = {
    CLUSTERS: "say which cluster each item is in, and which policy decided in the log",
    ROBUST: "give a learner for the reward model, so that it can be fitted with weights",
}


def _predictions(rounds: Rounds) -> tuple[Floats, Floats]:
    if rounds.q is None or rounds.v is None:
        raise ModelNeededError(
            "DM, DR and their kin use a reward model, but the rounds carry no predictions of one "
            "(q, v): give a reward model, or choose estimators without"
        )
    return rounds.q, rounds.v


def ips(name: str = "IPS", weight: Weight[Rounds] | None = None) -> Single:
    """Return mean w r (Horvitz & Thompson 1952), with another weight if given."""
    tames, weight = weight is not None, weight or Importance()
    kind: Kind = "other" if tames else "weighted"
    return Estimator(name, (Ratio(Gain(weight)),), weight, Gain(weight), tames=tames, kind=kind)


def snips() -> Single:
    """Return sum w r / sum w (Swaminathan & Joachims 2015)."""
    weight = Importance()
    parts = (Ratio(Gain(weight), weight),)
    return Estimator("SNIPS", parts, weight, Gain(weight), kind="normalised")


def dm() -> Single:
    """Return mean v (Beygelzimer & Langford 2009)."""
    weight = Importance()
    assumes = "the reward model is: the interval takes the model as given, bias, noise and all"
    parts = (Ratio(Modelled()),)
    return Estimator("DM", parts, weight, Gain(weight), True, assumes, kind="modelled")


def dr(name: str = "DR", weight: Weight[Rounds] | None = None) -> Single:
    """Return mean v + w (r - q) (Dudik et al. 2014), with another weight if given."""
    tames, weight = weight is not None, weight or Importance()
    parts = (Ratio(Corrected(weight)),)
    kind: Kind = "other" if tames else "corrected"
    return Estimator(name, parts, weight, Gain(weight), True, tames=tames, kind=kind)


def sndr() -> Single:
    """Return mean v + sum w (r - q) / sum w: DR, its correction self-normalised."""
    weight = Importance()
    parts = (Ratio(Modelled()), Ratio(Residual(weight), weight))
    return Estimator("SNDR", parts, weight, Gain(weight), True)


def mrdr() -> Single:
    """Return DR with a model fitted to make its variance small (Farajtabar et al. 2018)."""
    weight = Importance()
    term = Seen(ROBUST, Corrected(weight))
    return Estimator("MRDR", (Ratio(term),), weight, Gain(weight), True, kind="corrected")


def mips() -> Single:
    """Return mean w r with the weight of the shown item's cluster (Saito & Joachims 2022).

    Unbiased where the cluster says all that the item has to do with the reward.
    """
    weight, gain = SeenWeight(CLUSTERS, Importance()), Seen(CLUSTERS, Gain(Importance()))
    assumes = "a cluster says all that its items have to do with the reward"
    return Estimator("MIPS", (Ratio(gain),), weight, gain, assumes=assumes, kind="weighted")


def offcem() -> Single:
    """Return mean v + w (r - q) with the weight of the item's cluster (Saito et al. 2023).

    Unbiased where the model gets the differences within clusters right; those between are weighed.
    """
    weight, gain = SeenWeight(CLUSTERS, Importance()), Seen(CLUSTERS, Gain(Importance()))
    corrected = Seen(CLUSTERS, Corrected(Importance()))
    assumes = "the reward model is right about the differences within clusters"
    parts = (Ratio(corrected),)
    return Estimator("OffCEM", parts, weight, gain, True, assumes, kind="corrected")
