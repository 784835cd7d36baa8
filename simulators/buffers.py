"""Large arrays that are handed out again once nobody holds them.

A step of 65,536 users writes some fifty megabytes of observations. Asking the system for fresh
memory every time costs more than writing it: each page is zeroed and mapped on first touch. A
receiver may keep what it was given for as long as it likes, since an array is handed out again only
when the last reference to it, or to any view of it, is gone.
"""

from __future__ import annotations

from sys import getrefcount
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

SMALLEST = 1 << 16
"""Arrays of fewer bytes are made anew: that is cheaper than looking for one."""
KEPT = 4
"""How many arrays of a name are kept; whoever holds more has the rest made anew."""


class Buffers:
    """Arrays by name, of one owner and for one thread."""

    def __init__(self) -> None:
        self._kept: dict[str, list[NDArray[Any]]] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array that nobody else holds. What is in it is anything.

        Parameters
        ----------
        name : str
            What it is for; arrays of a name are kept while their shape and type stay the same.
        shape : tuple of int
        dtype : dtype
        """
        kept = self._kept.get(name)
        if kept is None or kept[0].shape != shape or kept[0].dtype != dtype:
            array = np.empty(shape, dtype)
            if array.nbytes >= SMALLEST:
                self._kept[name] = [array]
            return array
        for array in kept:
            if getrefcount(array) == _ALONE:
                return array
        array = np.empty(shape, dtype)
        if len(kept) < KEPT:
            kept.append(array)
        return array


def _references() -> int:
    """Return how many references a loop over a list sees to an array that only the list holds."""
    counts = [0]
    for array in [np.empty(0)]:
        counts[0] = getrefcount(array)
    return counts[0]


_ALONE = _references()
