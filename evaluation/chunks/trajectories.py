"""Trajectories of any length, as slates: a step is a slot whose reward is discounted.

What importance sampling does step by step in an episode is what it does slot by slot in a slate:
the prefix weight of a step is the chance, under both policies, of all decisions up to it. An
episode that has ended earns nothing more and keeps its weight, as if it stayed in an absorbing
state, so that episodes of all lengths stand in one chunk and a normalised step averages over all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from agents.api import RecloopError, ShapeError
from evaluation.chunks.slates import Slates

if TYPE_CHECKING:
    from agents.api import Floats, Keys, Rows


class EpisodeError(RecloopError, ValueError):
    """Steps that do not make whole episodes."""


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """n steps of whole episodes, those of an episode one after the other, in order of time.

    Parameters
    ----------
    episodes : uint64 [n]
        The episode that each step belongs to; also what is resampled together.
    reward, logged, target : float64 [n]
        As in `Rounds`, of what was done at the step.
    q, v : float64 [n], optional
        What a model expects of the discounted rewards from this step on, given what was done at it
        (q) and under the evaluated policy (v).
    """

    episodes: Keys
    reward: Floats
    logged: Floats
    target: Floats
    q: Floats | None = None
    v: Floats | None = None

    def __post_init__(self) -> None:
        for name in ("reward", "logged", "target", "q", "v"):
            array = getattr(self, name)
            if array is not None and array.shape != self.episodes.shape:
                raise ShapeError(f"{name} is {array.shape}, but episodes {self.episodes.shape}")

    def slates(self, horizon: int, discount: float = 1.0) -> Slates:
        """Return the episodes as slates of `horizon` slots, to be read by the estimators of steps.

        The rows that an error about faulty numbers names are then episodes.

        Parameters
        ----------
        horizon : int
            At least as many steps as the longest episode has; the same for all chunks of a log.
        discount : float
            In [0, 1]. The value is the expected sum of discount^t r_t.

        Raises
        ------
        EpisodeError
            If an episode is longer, or its steps are not together.
        """
        if not 0.0 <= discount <= 1.0:
            raise EpisodeError(f"a discount lies between 0 and 1, not at {discount}")
        starts, row, step = self._places()
        keys = self.episodes[starts]
        if len(np.unique(keys)) != len(keys):
            raise EpisodeError(
                "the steps of an episode must stand together: sort the log by episode and time, "
                "and keep whole episodes in a chunk"
            )
        longest = int(step.max(initial=-1)) + 1
        if longest > horizon:
            raise EpisodeError(f"an episode has {longest} steps, more than the horizon {horizon}")
        scale = discount ** step.astype(np.float64)

        def spread(values: Floats | None, empty: float) -> Floats:
            out = np.full((len(keys), horizon), empty)
            if values is not None:
                out[row, step] = values
            return out

        modelled = self.q is not None and self.v is not None
        return Slates(
            reward=spread(self.reward * scale, 0.0),
            logged=spread(self.logged, 1.0),
            target=spread(self.target, 1.0),
            keys=keys,
            q=spread(self.q * scale, 0.0) if modelled and self.q is not None else None,
            v=spread(self.v * scale, 0.0) if modelled and self.v is not None else None,
        )

    def _places(self) -> tuple[Rows, Rows, Rows]:
        """Return where episodes start, and the episode and number of every step."""
        n = len(self.episodes)
        first = np.ones(n, dtype=np.bool_)
        first[1:] = self.episodes[1:] != self.episodes[:-1]
        starts = np.flatnonzero(first)
        row = np.cumsum(first) - 1
        return starts, row, np.arange(n) - starts[row]
