"""What an estimator sees of a log: one chunk of rounds, checked before a single number is used.

A wrong propensity does not crash an estimator, it makes it wrong: NaN, 0, 7 or -0.2 all give some
number. So every chunk states its own faults and the accumulators refuse it, naming the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from agents.api import RecloopError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from agents.api import Floats, Keys

ROUNDING = 1e-9
"""By how much a probability may exceed 1: sums of probabilities do, by rounding."""

SHOWN = 10
"""How many faulty rows an error names."""


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


@dataclass(frozen=True, slots=True, eq=False)
class Rounds:
    """B rounds in which one item was shown at one position and a reward came back.

    Parameters
    ----------
    reward : float64 [B]
    logged : float64 [B]
        The probability with which the logging policy chose what was shown: in (0, 1].
    target : float64 [B]
        The probability with which the evaluated policy would have shown the same: in [0, 1].
    keys : uint64 [B]
        What is resampled together: request keys, or user keys where a user's rounds hang together.
    q : float64 [B], optional
        A model's expected reward of what was shown.
    v : float64 [B], optional
        The same model's expected reward under the evaluated policy: sum_a pi_e(a|x) q(x, a).
    """

    reward: Floats
    logged: Floats
    target: Floats
    keys: Keys
    q: Floats | None = None
    v: Floats | None = None

    def __post_init__(self) -> None:
        for field in ("logged", "target", "keys", "q", "v"):
            array = getattr(self, field)
            if array is not None and array.shape != self.reward.shape:
                raise ShapeError(f"{field} is {array.shape}, but rewards {self.reward.shape}")
        if self.reward.ndim != 1:
            raise ShapeError(f"rounds have one reward each: rewards [B], not {self.reward.shape}")

    @property
    def return_(self) -> Floats:
        """What each round earned: its reward."""
        return self.reward

    def faults(self) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Yield what may be wrong with a round; see `Chunk`."""
        yield from number_faults("reward", self.reward)
        yield from logged_faults(self.logged)
        yield from target_faults(self.target)
        for name, array in (("q", self.q), ("v", self.v)):
            if array is not None:
                yield from number_faults(name, array)


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


def check(chunk: Chunk, first: int) -> None:
    """Refuse a chunk with faulty rows.

    Parameters
    ----------
    chunk : Chunk
    first : int
        The number of the chunk's first row in the whole log, counted from 0.

    Raises
    ------
    FaultyLogError
        Naming each kind of fault with its first ten rows.
    """
    found = []
    for words, where in chunk.faults():
        rows = np.flatnonzero(where if where.ndim == 1 else where.any(axis=1))
        if len(rows):
            named = ", ".join(str(first + int(row)) for row in rows[:SHOWN])
            more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
            found.append(f"{words} in row{'s'[: len(rows) > 1]} {named}{more}")
    if found:
        raise FaultyLogError(
            f"the log can't be evaluated: {'; '.join(found)} (rows counted from 0). "
            "Mend or drop these rows; a propensity must be the probability that was really used."
        )
