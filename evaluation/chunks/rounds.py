"""One round of a log: one item was shown at one position, and a reward came back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from agents.api import ShapeError
from evaluation.chunks.checks import logged_faults, number_faults, target_faults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from agents.api import Floats, Keys


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
    views : mapping of str to Rounds
        The same rounds seen otherwise, by the name that estimators ask for: "clusters" has the
        propensities of the shown item's cluster, "robust" the predictions of another model.
    """

    reward: Floats
    logged: Floats
    target: Floats
    keys: Keys
    q: Floats | None = None
    v: Floats | None = None
    views: Mapping[str, Rounds] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("logged", "target", "keys", "q", "v"):
            array = getattr(self, name)
            if array is not None and array.shape != self.reward.shape:
                raise ShapeError(f"{name} is {array.shape}, but rewards {self.reward.shape}")
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
        for name, view in self.views.items():
            for words, where in view.faults():
                yield f"{words} ({name})", where
