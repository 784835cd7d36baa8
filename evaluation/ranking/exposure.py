"""Who gets shown: coverage of the catalogue, novelty, concentration, fairness between groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.api import PAD, RecloopError, ShapeError
from evaluation.intervals.sums import Compensated

if TYPE_CHECKING:
    from agents.api import Floats, Rows


class Exposure:
    """How much every item of one catalogue was shown.

    Parameters
    ----------
    items : int
        N, the size of the catalogue.
    examination : float64 [K], optional
        How much each slot is looked at; all alike by default. Exposure is counted in it.
    """

    def __init__(self, items: int, examination: Floats | None = None) -> None:
        self._examination = examination
        self._given = Compensated((items,))

    def add(self, slates: Rows) -> None:
        """Count the items of slates, int64 [B, K], rows of the catalogue; `PAD` is nothing."""
        looked = np.ones(slates.shape[1]) if self._examination is None else self._examination
        if looked.shape != slates.shape[1:]:
            raise ShapeError(f"examination is {looked.shape}, but slates {slates.shape}")
        filled = slates != PAD
        if slates[filled].max(initial=-1) >= len(self._given.high):
            raise ShapeError(f"slates show items beyond the {len(self._given.high)} there are")
        weights = np.broadcast_to(looked, slates.shape)[filled]
        counts = np.zeros_like(self._given.high)
        np.add.at(counts, slates[filled], weights)
        self._given.add(counts)

    def merge(self, other: Exposure) -> None:
        """Take in what another one has counted."""
        self._given.merge(other._given)

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
