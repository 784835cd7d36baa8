"""What may be wrong with a log, told by row before a single number of it is used.

A wrong propensity does not crash an estimator, it makes it wrong: NaN, 0, 7 or -0.2 all give some
number. So every chunk states its own faults and the accumulators refuse it, naming the rows.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

import numpy as np

from agents.api import RecloopError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from agents.api import Floats, Keys, Rows

ROUNDING = 1e-9
"""By how much a probability may exceed 1: sums of probabilities do, by rounding."""

SHOWN = 10
"""How many faulty rows an error names."""


Bounds: TypeAlias = tuple[float, float]
"""The smallest and the largest value that something can have."""


class FaultyLogError(RecloopError, ValueError):
    """A log that no estimate should be made from."""


class Chunk(Protocol):
    """Some rows of a log, each of them one unit of evidence (a round, a slate, a trajectory)."""

    @property
    def keys(self) -> Keys:
        """What is resampled together, uint64 [B]: the key of the request, or of its user."""

    @property
    def return_(self) -> Floats:
        """What each row earned in all: float64 [B]."""

    def faults(self) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Yield what may be wrong with a row, in words, and bool [B] where it is."""


AnyChunk = TypeVar("AnyChunk", bound=Chunk)


def number_faults(name: str, values: Floats) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield where values are no finite numbers."""
    yield f"{name} is NaN or infinite", ~np.isfinite(values)


def logged_faults(logged: Floats) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield where logged propensities can't be: what was shown had a chance above 0, at most 1."""
    yield "logged propensity is NaN", np.isnan(logged)
    yield "logged propensity is zero", logged == 0.0
    yield "logged propensity is negative", logged < 0.0
    yield "logged propensity is above 1", logged > 1.0 + ROUNDING


def target_faults(target: Floats) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield where the evaluated policy's propensities are no probabilities."""
    yield "target propensity is NaN", np.isnan(target)
    yield "target propensity is negative", target < 0.0
    yield "target propensity is above 1", target > 1.0 + ROUNDING


def check(chunk: Chunk, first: int, bounds: Bounds | None = None) -> None:
    """Refuse a chunk with faulty rows.

    Parameters
    ----------
    chunk : Chunk
    first : int
        The number of the chunk's first row in the whole log, counted from 0.
    bounds : (float, float), optional
        Between which each row's return must lie.

    Raises
    ------
    FaultyLogError
        Naming each kind of fault with its first ten rows.
    """
    found = []
    for words, where in chain(chunk.faults(), _outside(chunk, bounds)):
        rows = np.flatnonzero(where if where.ndim == 1 else where.any(axis=1))
        if len(rows):
            found.append(f"{words} in {rows_in_words(rows, first)}")
    if found:
        raise FaultyLogError(
            f"the log can't be evaluated: {'; '.join(found)} (rows counted from 0). "
            "Mend or drop these rows; a propensity must be the probability that was really used."
        )


def _outside(chunk: Chunk, bounds: Bounds | None) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    if bounds is not None:
        low, high = bounds
        words = f"what was earned is not between {low:g} and {high:g}, as was said,"
        yield words, (chunk.return_ < low) | (chunk.return_ > high)


def rows_in_words(rows: Rows, first: int) -> str:
    """Return the numbers of some rows, the first ten of them and how many more there are.

    Parameters
    ----------
    rows : int64 [n]
        Within a chunk.
    first : int
        The number of the chunk's first row in the whole log.
    """
    named = ", ".join(str(first + int(row)) for row in rows[:SHOWN])
    more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return f"row{'s'[: len(rows) > 1]} {named}{more}"
