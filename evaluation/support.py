"""What the evaluated policy would show that the log never shows: anywhere, or to users alike.

Importance weights can't see it: an action that was never logged has no weight. So the target's
chances are counted up per item and position, beside what the log shows there; and once more apart
for segments of like contexts, since a log may show everything to somebody and half of it to nobody
whom the target would show it to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.api import PAD
from agents.features import weigh
from agents.streams import normals

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from agents.api import Catalogue, Floats, Outcomes, Rows

PLANES = 6
"""Contexts on the same side of as many random planes are alike: 64 segments at most."""

CELLS = 1 << 18
"""How many pairs of segment and item are counted at most; large catalogues have fewer segments."""

DOUBT = 2.0
"""How many standard errors of what chance alone leaves out are deducted."""


class Support:
    """Counts, per segment, item and position, what a log shows and what a target wants to show.

    It needs a catalogue that stays the same over the log; where it changes, as in worlds whose
    documents are ephemeral, nothing is measured. Segments are cut by random planes near the origin
    (Charikar 2002), the same for every log: contexts of unit scale are told apart best.
    """

    def __init__(self) -> None:
        self._items: Catalogue | None = None
        self._fixed = True
        self._planes = 0
        self._shown, self._weight, self._wanted = (np.zeros((0, 0, 0)) for _ in range(3))

    def add(self, outcomes: Outcomes, wanted: Iterable[Floats], weights: Floats) -> None:
        """Count some outcomes, slot by slot.

        Parameters
        ----------
        outcomes : Outcomes
        wanted : iterable of float64 [B, M]
            For each slot how likely the target is to show each candidate there, given what the log
            shows in the slots before it.
        weights : float64 [B, K]
            The importance weights of what was shown, each slot's own.
        """
        requests, slates = outcomes.requests, outcomes.decisions.slates
        if not self._same(requests.items):
            return
        self._widen(int(requests.positions.max(initial=-1)) + 1)
        segment = _segments(requests.context, self._planes)
        b, m = np.nonzero(requests.candidates != PAD)
        for k, chances in enumerate(wanted):
            position, filled = requests.positions[:, k], slates[:, k] != PAD
            cells = segment[filled], slates[filled, k], position[filled]
            np.add.at(self._shown, cells, 1.0)
            np.add.at(self._weight, cells, weights[filled, k])
            at = segment[b], requests.candidates[b, m], position[b]
            np.add.at(self._wanted, at, np.where(filled[:, None], chances, 0.0)[b, m])

    def merge(self, other: Support) -> None:
        """Take in what another one has counted."""
        self._fixed = self._fixed and other._fixed
        if other._items is None or not self._same(other._items):
            return
        positions = other._shown.shape[2]
        self._widen(positions)
        self._shown[:, :, :positions] += other._shown
        self._weight[:, :, :positions] += other._weight
        self._wanted[:, :, :positions] += other._wanted

    @property
    def unsupported(self) -> float | None:
        """The share of what the target wants to show that the log never shows in that position.

        Even a log that could show everything does not; what it misses by chance of what the target
        wants is about the weight of the items seen exactly once (Good 1953, with importance
        weights). That and two standard errors of it are deducted, with one item more, as heavy as
        any, because none may have been seen once by luck. None if the catalogue did not stay the
        same.
        """
        return self._missed(self._shown.sum(0), self._weight.sum(0), self._wanted.sum(0))

    @property
    def unsupported_in_context(self) -> float | None:
        """The same share of what the log never shows in that position to users alike."""
        return self._missed(self._shown, self._weight, self._wanted)

    def _missed(self, shown: Floats, weight: Floats, wanted: Floats) -> float | None:
        if not self._fixed or not wanted.any():
            return None
        once = weight[shown == 1.0]
        largest = np.divide(weight, shown, out=np.zeros_like(weight), where=shown > 0.0).max()
        by_chance = once.sum() + DOUBT * np.sqrt((once**2).sum() + largest**2)
        return max(0.0, float((wanted[shown == 0.0].sum() - by_chance) / wanted.sum()))

    def _same(self, items: Catalogue) -> bool:
        """Return whether the catalogue is still the one that was counted first."""
        if self._items is None:
            self._items = items
            self._planes = min(PLANES, (CELLS // max(1, len(items))).bit_length() - 1)
            self._planes = max(0, self._planes)
            empty = (2**self._planes, len(items), 0)
            self._shown, self._weight, self._wanted = (np.zeros(empty) for _ in range(3))
        elif items is not self._items:
            self._fixed = self._fixed and np.array_equal(items.keys, self._items.keys)
        return self._fixed

    def _widen(self, positions: int) -> None:
        """Make room for this many positions."""
        missing = positions - self._shown.shape[2]
        if missing > 0:
            room = np.zeros((*self._shown.shape[:2], missing))
            self._shown, self._weight, self._wanted = (
                np.concatenate([held, room], axis=2)
                for held in (self._shown, self._weight, self._wanted)
            )


def _segments(context: NDArray[np.float32], planes: int) -> Rows:
    """Return the segment of every context, int64 [B]: on which side of each plane it lies."""
    ordinals = np.arange(planes, dtype=np.uint64)
    found = np.zeros(len(context), dtype=np.int64)
    for plane in normals(0, ordinals, 1 + context.shape[1]):
        found = 2 * found + (weigh(context, plane[1:]) + plane[0] > 0.0)
    return found
