"""What the evaluated policy would show that the log never shows.

Importance weights can't see it: an action that was never logged has no weight. So the target's
chances are counted up per item and position, beside what the log shows there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.api import PAD

if TYPE_CHECKING:
    from agents.api import Catalogue, Floats, Requests, Rows


class Support:
    """Counts, per item and position, what a log shows and how much a target wants to show it.

    It needs a catalogue that stays the same over the log; where it changes, as in worlds whose
    documents are ephemeral, nothing is measured.
    """

    def __init__(self) -> None:
        self._items: Catalogue | None = None
        self._fixed = True
        self._shown, self._wanted = np.zeros((0, 0)), np.zeros((0, 0))

    def add(self, requests: Requests, slates: Rows, chances: Floats) -> None:
        """Count some rounds of one slot.

        Parameters
        ----------
        requests : Requests
        slates : int64 [B, 1]
        chances : float64 [B, M]
            How likely the target is to show each candidate.
        """
        if not self._same(requests.items):
            return
        position = requests.positions[:, 0]
        self._widen(int(position.max(initial=-1)) + 1)
        filled = slates[:, 0] != PAD
        np.add.at(self._shown, (slates[filled, 0], position[filled]), 1.0)
        b, m = np.nonzero(requests.candidates != PAD)
        np.add.at(self._wanted, (requests.candidates[b, m], position[b]), chances[b, m])

    def merge(self, other: Support) -> None:
        """Take in what another one has counted."""
        self._fixed = self._fixed and other._fixed
        if other._items is None or not self._same(other._items):
            return
        self._widen(other._shown.shape[1])
        self._shown[:, : other._shown.shape[1]] += other._shown
        self._wanted[:, : other._wanted.shape[1]] += other._wanted

    @property
    def unsupported(self) -> float | None:
        """The share of what the target wants to show that the log never shows there.

        Even a log of the target's own decisions does not show everything that it might; the share
        it misses is about that of the items seen exactly once (Good 1953), and is deducted. None
        if the catalogue did not stay the same.
        """
        if not self._fixed or not self._wanted.any():
            return None
        missed = float(self._wanted[self._shown == 0.0].sum() / self._wanted.sum())
        by_chance = float((self._shown == 1.0).sum() / max(self._shown.sum(), 1.0))
        return max(0.0, missed - by_chance)

    def _same(self, items: Catalogue) -> bool:
        """Return whether the catalogue is still the one that was counted first."""
        if self._items is None:
            self._items = items
            self._shown, self._wanted = np.zeros((len(items), 0)), np.zeros((len(items), 0))
        elif items is not self._items:
            self._fixed = self._fixed and np.array_equal(items.keys, self._items.keys)
        return self._fixed

    def _widen(self, positions: int) -> None:
        """Make room for this many positions."""
        missing = positions - self._shown.shape[1]
        if missing > 0:
            room = np.zeros((len(self._shown), missing))
            self._shown = np.concatenate([self._shown, room], axis=1)
            self._wanted = np.concatenate([self._wanted, room], axis=1)
