"""SLOPE: an estimator's parameter chosen from the log it estimates from, anew for every policy.

Candidates are ordered from the least biased to the least noisy. While the next one's interval still
agrees with all before it, its bias can't be told from their noise, and it is preferred for having
less of that (Su, Srinath & Krishnamurthy 2020; the constant is Tucker & Lee's, 2021). No truth is
needed, and the error is within a constant factor of the best candidate's.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Generic

import numpy as np
from scipy.special import ndtri

from evaluation.estimators.algebra import C, Estimator, Moments, Reading

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats

LEVEL = 0.95
"""The level of the intervals that are held against each other."""


@dataclass(frozen=True, slots=True)
class Tuned(Generic[C]):
    """An estimator whose parameter is chosen by SLOPE.

    SLOPE lets the candidate be wrong by about the width of its interval, which therefore misses the
    truth at will; and without knowing the bias no interval can be much shorter than that of the
    untamed estimator (Armstrong & Kolesar 2018). So the estimate is the chosen candidate's, and the
    interval is the first one's. The replicates choose anew in every resample.

    Parameters
    ----------
    name : str
    candidates : tuple of Estimator
        From the least biased (the parameter that tames nothing) to the most.
    """

    name: str
    candidates: tuple[Estimator[C], ...]

    @property
    def modelled(self) -> bool:
        """Whether a candidate uses a reward model."""
        return any(candidate.modelled for candidate in self.candidates)

    @property
    def honest(self) -> Estimator[C]:
        """The estimator whose interval is given: the least biased candidate."""
        return self.candidates[0]

    def settled(self, moments: Moments[C]) -> Estimator[C]:
        """Return the candidate that the log chooses."""
        return self.candidates[int(choose(*self._readings(moments), moments.rows))]

    def read(self, moments: Moments[C]) -> Reading:
        """Return the reading of the chosen candidate, chosen in each resample by itself."""
        values, spreads = self._readings(moments)
        chosen = choose(values, spreads, moments.rows)[None]
        value, spread = (np.take_along_axis(of, chosen, axis=0)[0] for of in (values, spreads))
        return Reading(value, spread)

    def _readings(self, moments: Moments[C]) -> tuple[Floats, Floats]:
        readings = [candidate.read(moments) for candidate in self.candidates]
        return np.stack([r.value for r in readings]), np.stack([r.spread for r in readings])


def choose(values: Floats, spreads: Floats, rows: Floats) -> NDArray[np.int64]:
    """Return the last candidate that agrees with all before it, each before it doing so too.

    Parameters
    ----------
    values, spreads : float64 [G] or [G, R]
        Estimates of the candidates, and the standard deviations of one row's influence on them.
    rows : float64 [] or [R]
        How many rows they are made of.

    Returns
    -------
    int64 [] or [R]
    """
    widths = ndtri((1.0 + LEVEL) / 2.0) * spreads / np.sqrt(rows)
    agrees = np.ones(values.shape[1:], dtype=np.bool_)
    chosen = np.zeros(values.shape[1:], dtype=np.int64)
    for i in range(1, len(values)):
        apart = np.abs(values[i] - values[:i])
        agrees = agrees & (apart <= widths[i] + (sqrt(6.0) - 1.0) * widths[:i]).all(axis=0)
        chosen = np.where(agrees, i, chosen)
    return chosen
