"""Slates of a log: K items were shown together, and a reward came back from each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from agents.api import ShapeError
from evaluation.chunks.checks import logged_faults, number_faults, target_faults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from agents.api import Floats, Keys


class Chances(NamedTuple):
    """How likely the logging and the evaluated policy were, float64 [B, K] each."""

    logged: Floats
    target: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Slates:
    """B slates of K slots.

    Parameters
    ----------
    reward : float64 [B, K]
        The reward of every slot, 0 in padded slots.
    logged, target : float64 [B, K]
        The probability of slot k's item given the slots before it, under the logging policy and
        under the evaluated one; 1 in padded slots.
    keys : uint64 [B]
        What is resampled together; see `Rounds`.
    q : float64 [B, K], optional
        A model's expected reward of every slot's item.
    v : float64 [B, K], optional
        The same model's expected reward of slot k when the evaluated policy fills it, the slots
        before it being those shown.
    chances : mapping of str to Chances
        Other probabilities, by the name that estimators ask for. "slot": that slot k holds its
        item, whatever stands before it. "exposure": how often the item is looked at in whatever
        slot, sum_j theta_j P(item in slot j), with theta the chance that a slot is looked at.
    """

    reward: Floats
    logged: Floats
    target: Floats
    keys: Keys
    q: Floats | None = None
    v: Floats | None = None
    chances: Mapping[str, Chances] = field(default_factory=dict)

    def __post_init__(self) -> None:
        arrays = {name: getattr(self, name) for name in ("logged", "target", "q", "v")}
        for kind, pair in self.chances.items():
            arrays |= {f"logged {kind}": pair.logged, f"target {kind}": pair.target}
        for name, array in arrays.items():
            if array is not None and array.shape != self.reward.shape:
                raise ShapeError(f"{name} is {array.shape}, but rewards {self.reward.shape}")
        if self.reward.ndim != 2 or self.keys.shape != self.reward.shape[:1]:
            raise ShapeError(
                f"slates need rewards [B, K] and keys [B], "
                f"not {self.reward.shape} and {self.keys.shape}"
            )

    @property
    def return_(self) -> Floats:
        """What each slate earned: the sum of its slots' rewards."""
        return np.asarray(self.reward.sum(axis=1))

    def faults(self) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Yield what may be wrong with a slate; see `Chunk`."""
        yield from number_faults("reward", self.reward)
        yield from logged_faults(self.logged)
        yield from target_faults(self.target)
        for name, array in (("q", self.q), ("v", self.v)):
            if array is not None:
                yield from number_faults(name, array)
        for kind, pair in self.chances.items():
            yield f"{kind}: logged chance is not above 0", ~(pair.logged > 0.0)
            yield f"{kind}: target chance is negative or NaN", ~(pair.target >= 0.0)
