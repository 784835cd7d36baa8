"""What an evaluation says: estimates with interval and verdict, and whether they agree."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from itertools import combinations
from math import isfinite
from typing import TYPE_CHECKING, Any

from evaluation.intervals.bootstrap import percentile
from evaluation.verdict import Diagnostics, Trust, Verdict

if TYPE_CHECKING:
    from agents.api import Floats
    from evaluation.intervals.guaranteed import Interval

AGREEMENT = 0.99
"""The level at which two estimators are said to differ: several pairs are compared at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """One estimator's answer.

    Parameters
    ----------
    estimator : str
    value : float
        The estimated mean reward per round; NaN if the log leaves it undefined.
    low, high : float
        The interval that covers the true value at this level.
    level : float
        The coverage, 0.95 say.
    verdict : Verdict
    diagnostics : Diagnostics
    replicates : float64 [R]
        The estimate in every bootstrap resample: replicate r of two estimates made with one seed
        on one log is of the same resample.
    """

    estimator: str
    value: float
    low: float
    high: float
    level: float
    verdict: Verdict
    diagnostics: Diagnostics
    replicates: Floats = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return it as what JSON can hold; numbers that are not finite are None."""
        return {
            "estimator": self.estimator,
            "value": _plain(self.value),
            "low": _plain(self.low),
            "high": _plain(self.high),
            "level": self.level,
            "verdict": str(self.verdict.trust),
            "reasons": list(self.verdict.reasons),
            "diagnostics": {
                name: _plain(value) if isinstance(value, float) else value
                for name, value in asdict(self.diagnostics).items()
            },
        }


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Two estimators that differ by more than the same log's noise.

    Parameters
    ----------
    first, second : str
        The estimators' names.
    low, high : float
        The paired bootstrap interval of first minus second, which excludes 0.
    """

    first: str
    second: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Report:
    """What an evaluation says of one policy.

    Parameters
    ----------
    policy : str
    estimates : tuple of Estimate
    disagreements : tuple of Disagreement
        Pairs of estimators that differ beyond chance.
    interval : str
        What the intervals are made by: "bootstrap", "bernstein" or "sequence".
    """

    policy: str
    estimates: tuple[Estimate, ...]
    disagreements: tuple[Disagreement, ...]
    interval: Interval = "bootstrap"

    def __getitem__(self, estimator: str) -> Estimate:
        """Return the estimate of this name."""
        for estimate in self.estimates:
            if estimate.estimator == estimator:
                return estimate
        raise KeyError(estimator)

    @property
    def trust(self) -> Trust:
        """The best verdict among the estimates: what is left to rely on."""
        ranks = list(Trust)
        return min((e.verdict.trust for e in self.estimates), key=ranks.index)

    @property
    def agreement(self) -> str:
        """Whether the estimators agree, in words."""
        if len(self.estimates) < 2:
            return "one estimator alone: nothing to compare it with"
        if not self.disagreements:
            return "the estimators differ by no more than the noise of the log"
        return "; ".join(
            f"{pair.first} and {pair.second} differ beyond the noise of the log "
            f"({pair.first} - {pair.second} is between {pair.low:.3g} and {pair.high:.3g})"
            for pair in self.disagreements
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        return {
            "policy": self.policy,
            "interval": self.interval,
            "estimates": [estimate.to_dict() for estimate in self.estimates],
            "agreement": self.agreement,
            "disagreements": [asdict(pair) for pair in self.disagreements],
        }


def report(
    policy: str, estimates: tuple[Estimate, ...], interval: Interval = "bootstrap"
) -> Report:
    """Return the report on estimates that were made with one seed on one log."""
    found = []
    for first, second in combinations(estimates, 2):
        low, high = percentile(first.replicates - second.replicates, AGREEMENT)
        if low > 0.0 or high < 0.0:
            found.append(Disagreement(first.estimator, second.estimator, low, high))
    return Report(policy, estimates, tuple(found), interval)


def _plain(value: float) -> float | None:
    return value if isfinite(value) else None
