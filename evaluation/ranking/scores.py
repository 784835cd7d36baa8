"""How good predicted probabilities are: AUC, log-loss and calibration, in one pass and mergeable.

Predictions are counted in bins of log-odds, a hundredth wide, because click rates differ by factors
and not by differences: bins of equal width would put all of a shop's predictions into one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logit, xlogy

from agents.api import RecloopError, ShapeError
from evaluation.intervals.bootstrap import PER_WORD, scatter, spread_around
from evaluation.intervals.sums import Compensated

if TYPE_CHECKING:
    from collections.abc import Callable

    from agents.api import Floats, Keys, Rows

STEP, EDGE = 0.01, 20.0
"""The width of a bin, and the log-odds beyond which predictions count as if they were there."""


class Scores:
    """Predicted probabilities of a binary outcome, and what came.

    Parameters
    ----------
    seed : int
        The root of the bootstrap's randomness.
    replicates : int
        How many resamples `interval` rests on, rounded up to a multiple of 5; each takes 64 kB.
    """

    def __init__(self, *, seed: int = 0, replicates: int = 0) -> None:
        bins = round(2.0 * EDGE / STEP) + 1
        self._seed = seed
        self._resampled = np.zeros((2 * bins, -(-replicates // PER_WORD) * PER_WORD))
        self._counts = Compensated((2, bins))  # of outcomes 0 and 1
        self._predicted = Compensated((bins,))
        self._loss = Compensated(())

    def add(self, predicted: Floats, outcome: Floats, keys: Keys | None = None) -> None:
        """Take in predictions and what came.

        Parameters
        ----------
        predicted : float64 [B]
            In [0, 1].
        outcome : float64 [B]
            0 or 1.
        keys : uint64 [B], optional
            What is resampled together, of users or requests; needed for intervals.
        """
        if predicted.ndim != 1 or predicted.shape != outcome.shape:
            raise ShapeError(f"predictions {predicted.shape}, but outcomes {outcome.shape}")
        if not ((predicted >= 0.0) & (predicted <= 1.0)).all():
            raise RecloopError("a predicted probability is NaN or outside of 0 to 1")
        if not np.isin(outcome, (0.0, 1.0)).all():
            raise RecloopError("outcomes must be 0 or 1")
        bins = self._predicted.high.size
        odds = np.clip(logit(predicted), -EDGE, EDGE)
        at = np.rint((odds + EDGE) / STEP).astype(np.int64)
        ones = _binned(at, outcome, bins)
        if self._resampled.size:
            if keys is None or keys.shape != predicted.shape:
                raise ShapeError("intervals need the key of every prediction, uint64 [B]")
            cells = (at + bins * outcome.astype(np.int64))[:, None]
            replicates = self._resampled.shape[1]
            weights = np.ones(cells.shape)
            scatter(cells, weights, keys, self._seed, replicates, self._resampled)
        self._counts.add(np.stack([_binned(at, 1.0 - outcome, bins), ones]))
        self._predicted.add(_binned(at, predicted, bins))
        loss = -xlogy(outcome, predicted) - xlogy(1.0 - outcome, 1.0 - predicted)
        self._loss.add(np.asarray(loss.sum()))

    def merge(self, other: Scores) -> None:
        """Take in what another one has seen."""
        self._counts.merge(other._counts)
        self._predicted.merge(other._predicted)
        self._loss.merge(other._loss)
        if self._resampled.shape != other._resampled.shape or self._seed != other._seed:
            raise RecloopError("only scores of the same seed and replicates can be merged")
        self._resampled += other._resampled

    def interval(
        self, figure: Callable[[Scores], float], level: float = 0.95
    ) -> tuple[float, float]:
        """Return the interval of any figure that this class can tell.

        Parameters
        ----------
        figure : callable
            `lambda s: s.auc`, say, or `lambda s: s.calibration_error(5)`. In a resample every
            prediction counts as the mean of those that share its bin.
        level : float
            The coverage, in (0, 1).

        Returns
        -------
        low, high : float
            See `spread_around`.
        """
        if not self._resampled.size:
            raise RecloopError("intervals need resamples: Scores(replicates=200)")
        rows = self._counts.value.sum(axis=0)
        mean = np.divide(self._predicted.value, rows, out=np.zeros_like(rows), where=rows > 0.0)
        found = []
        for resampled in self._resampled.T[self._resampled.any(axis=0)]:
            again, counts = Scores(), resampled.reshape(2, -1)
            again._counts.add(counts)
            again._predicted.add(counts.sum(axis=0) * mean)
            loss = -xlogy(counts[1], mean) - xlogy(counts[0], 1.0 - mean)
            again._loss.add(np.asarray(loss.sum()))
            found.append(figure(again))
        low, high = spread_around(np.asarray(figure(self)), np.array(found), level)
        return float(low), float(high)

    @property
    def auc(self) -> float:
        """The chance that a 1 was given more than a 0, ties counting half; NaN without either.

        Predictions whose log-odds differ by less than a hundredth are ties.
        """
        zeros, ones = self._counts.value
        if not zeros.sum() or not ones.sum():
            return float("nan")
        below = zeros.cumsum() - zeros / 2.0
        return float((ones * below).sum() / (zeros.sum() * ones.sum()))

    @property
    def log_loss(self) -> float:
        """The mean of -log of the probability given to what came, in nats."""
        return float(self._loss.value / self._rows())

    def calibration(self, groups: int = 10) -> tuple[Floats, Floats, Floats]:
        """Return mean prediction, mean outcome and number of rows, by groups of predictions.

        Parameters
        ----------
        groups : int
            How many; with nearly the same number of rows each, as far as ties allow.

        Returns
        -------
        float64 [G], float64 [G], float64 [G]
            G <= groups: from the lowest predictions to the highest, none empty.
        """
        counts = self._counts.value
        rows = counts.sum(axis=0)
        middle = rows.cumsum() - rows / 2.0
        group = np.minimum((middle / self._rows() * groups).astype(np.int64), groups - 1)
        size, predicted, ones = (
            _binned(group, of, groups) for of in (rows, self._predicted.value, counts[1])
        )
        kept = size > 0.0
        return predicted[kept] / size[kept], ones[kept] / size[kept], size[kept]

    def calibration_error(self, groups: int = 10) -> float:
        """Return the mean distance between prediction and outcome over groups, rows weighed."""
        predicted, came, size = self.calibration(groups)
        return float((size * np.abs(predicted - came)).sum() / size.sum())

    def _rows(self) -> float:
        rows = float(self._counts.value.sum())
        if not rows:
            raise RecloopError("no prediction was added yet")
        return rows


def _binned(at: Rows, values: Floats, bins: int) -> Floats:
    """Return the sum of values in every bin: float64 [bins]."""
    return np.bincount(at, weights=values, minlength=bins).astype(np.float64)
