"""How much a round counts for the evaluated policy, and how estimators tame what counts too much.

A weight that is cut or shrunk trades variance for bias; `exact` is the weight before that, whose
mean tells whether the propensities can be right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from agents.api import RecloopError
from evaluation.chunks.rounds import Rounds

if TYPE_CHECKING:
    from agents.api import Floats
    from evaluation.estimators.algebra import Weight


class EstimatorError(RecloopError, ValueError):
    """An estimator with a parameter that it can't have."""


@dataclass(frozen=True, slots=True)
class Importance:
    """w = pi_e / pi_b of what was shown."""

    @property
    def exact(self) -> Weight[Rounds]:
        """Itself."""
        return self

    def __call__(self, rounds: Rounds) -> Floats:
        """Return the weight of every round."""
        return rounds.target / rounds.logged


@dataclass(frozen=True, slots=True)
class _Tamed:
    """A weight made of the importance weight and one number."""

    limit: float

    def __post_init__(self) -> None:
        if not self.limit >= 0.0:
            raise EstimatorError(f"a weight's parameter must be at least 0, not {self.limit}")

    @property
    def exact(self) -> Weight[Rounds]:
        """The importance weight."""
        return Importance()


@dataclass(frozen=True, slots=True)
class Clipped(_Tamed):
    """min(w, lambda): biased downwards where rewards are not negative (Strehl et al. 2010)."""

    def __call__(self, rounds: Rounds) -> Floats:
        """Return the weight of every round."""
        return np.minimum(rounds.target / rounds.logged, self.limit)


@dataclass(frozen=True, slots=True)
class Switched(_Tamed):
    """w where w <= tau, else 0: there the reward model is left alone (Wang et al. 2017)."""

    def __call__(self, rounds: Rounds) -> Floats:
        """Return the weight of every round."""
        w = rounds.target / rounds.logged
        return np.where(w <= self.limit, w, 0.0)


@dataclass(frozen=True, slots=True)
class Shrunk(_Tamed):
    """lambda w / (w^2 + lambda): the optimistic shrinkage of Su et al. 2020."""

    def __call__(self, rounds: Rounds) -> Floats:
        """Return the weight of every round."""
        w = rounds.target / rounds.logged
        if self.limit == 0.0 or np.isinf(self.limit):
            return w if self.limit else np.zeros_like(w)
        return self.limit * w / (w**2 + self.limit)


@dataclass(frozen=True, slots=True)
class Smoothed(_Tamed):
    """w / (1 - lambda + lambda w), with lambda in [0, 1): sub-Gaussian (Metelli et al. 2021)."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.limit < 1.0:
            raise EstimatorError(f"smoothing needs a share in [0, 1), not {self.limit}")

    def __call__(self, rounds: Rounds) -> Floats:
        """Return the weight of every round."""
        w = rounds.target / rounds.logged
        return w / (1.0 - self.limit + self.limit * w)
