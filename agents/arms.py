"""Arms: a dense number for every item that a per-item policy has learned of.

A policy that keeps numbers per item needs rows to keep them in. An item's row number is its address
within one catalogue only, so the policy numbers the items itself, by their keys, in the order in
which it learned of them; an item that leaves the catalogue keeps its arm and what was learned, and
one that was never learned of has none. The table is an open-addressing hash table that kernels can
read: nothing is cached for a catalogue, and a batch that brings ten thousand new documents costs no
more than its lookups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.api import PAD
from agents.jit import compiled
from agents.streams import mix

if TYPE_CHECKING:
    from agents.api import Keys, Requests, Rows


class Arms:
    """The items learned of so far, each with a number: 0 for the first, then 1, 2, ...

    Parameters
    ----------
    keys : uint64 [n], optional
        Distinct item keys in the order of their arms, as `keys` returned them.
    """

    def __init__(self, keys: Keys | None = None) -> None:
        self._count = 0
        self._keys = np.empty(8, dtype=np.uint64)
        self._table = np.full(16, PAD, dtype=np.int64)
        if keys is not None:
            self.admit(keys)

    def __len__(self) -> int:
        return self._count

    @property
    def keys(self) -> Keys:
        """The items' keys, uint64 [n], in the order of their arms."""
        return self._keys[: self._count].copy()

    def of(self, requests: Requests) -> Rows:
        """Return the arm of every candidate: int64 [B, M], `PAD` where there is none."""
        out = np.empty(requests.candidates.shape, dtype=np.int64)
        _find(self._table, self._keys, requests.items.keys, requests.candidates, out)
        return out

    def admit(self, keys: Keys) -> Rows:
        """Return the arm of every key, int64 [T]; those that have none get the next ones."""
        room = self._count + len(keys)
        if room > len(self._keys):
            self._grow(room)
        out = np.empty(len(keys), dtype=np.int64)
        self._count = _admit(self._table, self._keys, self._count, keys, out)
        return out

    def _grow(self, room: int) -> None:
        known = self.keys
        size = 1 << int(room - 1).bit_length()
        self._keys = np.empty(size, dtype=np.uint64)
        self._table = np.full(2 * size, PAD, dtype=np.int64)
        self._count = _admit(self._table, self._keys, 0, known, np.empty(len(known), np.int64))


@compiled
def _place(table: Rows, arm_keys: Keys, key: np.uint64) -> np.uint64:
    """Return where in the table a key stands, or where it would go."""
    mask = np.uint64(len(table) - 1)
    place = mix(key) & mask
    while table[place] >= 0 and arm_keys[table[place]] != key:
        place = (place + np.uint64(1)) & mask
    return place


@compiled
def _find(table: Rows, arm_keys: Keys, item_keys: Keys, rows: Rows, out: Rows) -> None:
    for b in range(rows.shape[0]):
        for m in range(rows.shape[1]):
            row = rows[b, m]
            if row >= len(item_keys):
                raise IndexError("a candidate's row lies beyond the catalogue")
            out[b, m] = -1 if row < 0 else table[_place(table, arm_keys, item_keys[row])]


@compiled
def _admit(table: Rows, arm_keys: Keys, count: int, keys: Keys, out: Rows) -> int:
    for t in range(len(keys)):
        place = _place(table, arm_keys, keys[t])
        if table[place] < 0:
            table[place] = count
            arm_keys[count] = keys[t]
            count += 1
        out[t] = table[place]
    return count
