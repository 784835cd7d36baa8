"""Sums that do not remember in which order, or in how many pieces, they were summed.

Plain floating-point sums of the same numbers in other chunks differ by about n * 1e-16. A second
number that collects what each addition lost (Neumaier 1974) keeps results equal to 1e-15 of the
sum of absolute values, for any chunking and merge order, at the price of one addition per chunk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from agents.api import Floats, Keys

CLOSEST = 256
"""How many of the smallest key hashes are kept to count distinct keys: exact below that."""

SLICE = 4096
"""Hashes that are looked at together: few of a slice are among the smallest of those before it."""


class Compensated:
    """An array of running sums, each with what rounding has cost it so far.

    Parameters
    ----------
    shape : tuple of int
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.high, self.low = np.zeros(shape), np.zeros(shape)

    @property
    def value(self) -> Floats:
        """The sums: float64, in the given shape."""
        return self.high + self.low

    def add(self, numbers: Floats) -> None:
        """Add an array of the same shape, elementwise."""
        total = self.high + numbers
        seen = total - self.high
        self.low += (self.high - (total - seen)) + (numbers - seen)
        self.high = total

    def merge(self, other: Compensated) -> None:
        """Add what another one holds."""
        self.add(other.high)
        self.low += other.low


class Distinct:
    """How many distinct keys were seen: exact below `CLOSEST`, within about 6 % above it.

    It keeps the smallest hashes; the k-th smallest of n uniform numbers lies near k / n (Bar-Yossef
    et al. 2002, "Counting distinct elements in a data stream").
    """

    def __init__(self) -> None:
        self.smallest = np.zeros(0, dtype=np.uint64)

    def add(self, hashes: Keys) -> None:
        """Take in the hashes, uint64 [B], of some keys; equal keys have equal hashes."""
        for start in range(0, len(hashes), SLICE):
            part = hashes[start : start + SLICE]
            if len(self.smallest) == CLOSEST:
                part = part[part < self.smallest[-1]]
            if len(part):
                self.smallest = np.unique(np.concatenate([self.smallest, part]))[:CLOSEST]

    def merge(self, other: Distinct) -> None:
        """Take in what another one has seen."""
        self.add(other.smallest)

    @property
    def count(self) -> int:
        """The number of distinct keys."""
        if len(self.smallest) < CLOSEST:
            return len(self.smallest)
        return round((CLOSEST - 1) / (float(self.smallest[-1]) / 2.0**64))
