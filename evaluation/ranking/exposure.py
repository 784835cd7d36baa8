"""Who gets shown: coverage of the catalogue, novelty, concentration, fairness between groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.api import PAD, RecloopError, ShapeError
from evaluation.intervals.bootstrap import PER_WORD, scatter, spread_around
from evaluation.intervals.sums import Compensated

if TYPE_CHECKING:
    from collections.abc import Callable

    from agents.api import Floats, Keys, Rows


class Exposure:
    """How much every item of one catalogue was shown.

    Parameters
    ----------
    items : int
        N, the size of the catalogue.
    examination : float64 [K], optional
        How much each slot is looked at; all alike by default. Exposure is counted in it.
    seed : int
        The root of the bootstrap's randomness.
    replicates : int
        How many resamples `interval` rests on, rounded up to a multiple of 5; items times as many
        numbers are kept.
    """

    def __init__(
        self,
        items: int,
        examination: Floats | None = None,
        *,
        seed: int = 0,
        replicates: int = 0,
    ) -> None:
        self._examination = examination
        self._given = Compensated((items,))
        self._seed = seed
        self._resampled = np.zeros((items, -(-replicates // PER_WORD) * PER_WORD))

    def add(self, slates: Rows, keys: Keys | None = None) -> None:
        """Count the items of slates, int64 [B, K], rows of the catalogue; `PAD` is nothing.

        Parameters
        ----------
        slates : int64 [B, K]
        keys : uint64 [B], optional
            What is resampled together, of users or requests; needed for intervals.
        """
        looked = np.ones(slates.shape[1]) if self._examination is None else self._examination
        if looked.shape != slates.shape[1:]:
            raise ShapeError(f"examination is {looked.shape}, but slates {slates.shape}")
        filled = slates != PAD
        if slates[filled].max(initial=-1) >= len(self._given.high):
            raise ShapeError(f"slates show items beyond the {len(self._given.high)} there are")
        weights = np.broadcast_to(looked, slates.shape)[filled]
        counts = np.zeros_like(self._given.high)
        np.add.at(counts, slates[filled], weights)
        if self._resampled.size:
            if keys is None or keys.shape != slates.shape[:1]:
                raise ShapeError("intervals need the key of every slate, uint64 [B]")
            spread = np.ascontiguousarray(np.broadcast_to(looked, slates.shape), dtype=np.float64)
            replicates = self._resampled.shape[1]
            scatter(slates, spread, keys, self._seed, replicates, self._resampled)
        self._given.add(counts)

    def merge(self, other: Exposure) -> None:
        """Take in what another one has counted."""
        if self._resampled.shape != other._resampled.shape or self._seed != other._seed:
            raise RecloopError(
                "only exposures of the same items, seed and replicates can be merged"
            )
        self._given.merge(other._given)
        self._resampled += other._resampled

    def interval(
        self, figure: Callable[[Exposure], Floats | float], level: float = 0.95
    ) -> tuple[Floats, Floats]:
        """Return the interval of any figure that this class can tell.

        Parameters
        ----------
        figure : callable
            `lambda e: e.gini`, say, or `lambda e: e.by_group(labels)`: a number or an array.
        level : float
            The coverage, in (0, 1).

        Returns
        -------
        low, high : float64
            In the shape of the figure; see `spread_around`.
        """
        if not self._resampled.size:
            raise RecloopError("intervals need resamples: Exposure(..., replicates=200)")
        found = []
        for resampled in self._resampled.T[self._resampled.any(axis=0)]:
            again = Exposure(len(resampled))
            again._given.add(resampled)
            found.append(np.asarray(figure(again), dtype=np.float64))
        return spread_around(np.asarray(figure(self), dtype=np.float64), np.stack(found), level)

    @property
    def shares(self) -> Floats:
        """Every item's share of all exposure: float64 [N]."""
        total = self._given.value.sum()
        if not total:
            raise RecloopError("nothing has been shown yet")
        return np.asarray(self._given.value / total)

    @property
    def coverage(self) -> float:
        """The share of the catalogue that was shown at all."""
        return float((self.shares > 0.0).mean())

    @property
    def gini(self) -> float:
        """How concentrated exposure is: 0 if all items share alike, near 1 if one has it all.

        sum_ij |x_i - x_j| / (2 N^2 mean x), by the sorted shares.
        """
        shares = np.sort(self.shares)
        ranks = 2.0 * np.arange(1, len(shares) + 1) - len(shares) - 1.0
        return float((ranks * shares).sum() / len(shares))

    def novelty(self, popularity: Floats) -> float:
        """Return the mean surprise of what was shown, in bits: -log2 of an item's popularity.

        Parameters
        ----------
        popularity : float64 [N]
            How likely an item is to be known: its share of earlier interactions, say; above 0.
        """
        shares = self.shares
        if popularity.shape != shares.shape or not (popularity > 0.0).all():
            raise ShapeError(f"popularity must be {shares.shape} numbers above 0")
        return float(-(shares * np.log2(popularity)).sum())

    def by_group(self, labels: Rows) -> Floats:
        """Return every group's exposure per item, over that of the whole catalogue.

        1 for all groups is parity; the smallest over the largest is the disparate impact.

        Parameters
        ----------
        labels : int64 [N]
            The group of every item, counted from 0; each group has an item.

        Returns
        -------
        float64 [G]
        """
        shares = self.shares
        if labels.shape != shares.shape:
            raise ShapeError(f"{len(shares)} items, but labels {labels.shape}")
        sizes = np.bincount(labels)
        if not sizes.all():
            raise ShapeError(f"group {int(np.flatnonzero(sizes == 0)[0])} has no item")
        return np.asarray(np.bincount(labels, weights=shares) / (sizes / len(labels)))


def diversity(features: Floats) -> Floats:
    """Return how unlike the items of each list are: 1 minus the mean cosine of all pairs.

    Parameters
    ----------
    features : float64 [B, K, F]
        Those of the shown items; K >= 2. An item without features, all 0, is like no other.

    Returns
    -------
    float64 [B]
    """
    if features.ndim != 3 or features.shape[1] < 2:
        raise ShapeError(f"diversity needs features [B, K, F] with K >= 2, not {features.shape}")
    length = np.linalg.norm(features, axis=2, keepdims=True)
    units = np.divide(features, length, out=np.zeros_like(features), where=length > 0.0)
    K = features.shape[1]
    pairs = (np.linalg.norm(units.sum(axis=1), axis=1) ** 2 - (units**2).sum(axis=(1, 2))) / 2.0
    return np.asarray(1.0 - pairs / (K * (K - 1) / 2.0))
