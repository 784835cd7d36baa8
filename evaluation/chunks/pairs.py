"""The same rows of a log under two policies: what their difference is estimated from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from agents.api import ShapeError
from evaluation.chunks.checks import AnyChunk

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from agents.api import Floats, Keys


@dataclass(frozen=True, slots=True, eq=False)
class Pair(Generic[AnyChunk]):
    """Rows with the candidate as target, and the same rows with the incumbent.

    Parameters
    ----------
    candidate, incumbent : Rounds or Slates
        Alike but for `target` and what a model expects under it.
    """

    candidate: AnyChunk
    incumbent: AnyChunk

    def __post_init__(self) -> None:
        mine, theirs = len(self.candidate.keys), len(self.incumbent.keys)
        if mine != theirs:
            raise ShapeError(f"a pair is of the same rows, not of {mine} and {theirs}")

    @property
    def keys(self) -> Keys:
        """What is resampled together: uint64 [B]."""
        return self.candidate.keys

    @property
    def return_(self) -> Floats:
        """What each row earned."""
        return self.candidate.return_

    def faults(self) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Yield what may be wrong with a row; see `Chunk`."""
        yield from self.candidate.faults()
        for words, where in self.incumbent.faults():
            yield f"{words} (incumbent)", where
