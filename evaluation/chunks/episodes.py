"""Episodes with what was seen at each step: what models of values are fitted to and asked about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from agents.api import ShapeError
from evaluation.chunks.trajectories import Steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Keys, Rows

    States: TypeAlias = NDArray[np.float32]

Acting: TypeAlias = Callable[["States"], "Floats"]
"""A policy of episodes: the chances of all actions, float64 [n, A], in states, float32 [n, S]."""


class ActionValues(Protocol):
    """Something that says what is still to be earned: fitted Q evaluation, or your own."""

    def values(self, episodes: Episodes) -> Floats:
        """Return the value of every action at every step, float64 [n, A], under the target."""


@dataclass(frozen=True, slots=True, eq=False)
class Episodes:
    """n steps of whole episodes, those of an episode one after the other, in order of time.

    Parameters
    ----------
    keys : uint64 [n]
        The episode of each step.
    states : float32 [n, S]
        What was seen before acting.
    actions : int64 [n]
        What was done, counted from 0.
    reward, logged : float64 [n]
        What came of it, and how likely the logging policy was to do it.
    following : float32 [n, S]
        What was seen afterwards; NaN where that is not known. Of no matter where it ended.
    ended : bool [n]
        Whether nothing can be earned after the step. The last step of an episode that was cut off,
        by a time limit say, is no end.
    """

    keys: Keys
    states: States
    actions: Rows
    reward: Floats
    logged: Floats
    following: States
    ended: NDArray[np.bool_]

    def __post_init__(self) -> None:
        n = len(self.keys)
        for name in ("actions", "reward", "logged", "ended"):
            if getattr(self, name).shape != (n,):
                raise ShapeError(f"{name} is {getattr(self, name).shape}, but there are {n} steps")
        if self.states.ndim != 2 or len(self.states) != n:
            raise ShapeError(f"states must be [{n}, S], not {self.states.shape}")
        if self.following.shape != self.states.shape:
            raise ShapeError(f"states are {self.states.shape}, following {self.following.shape}")
        if (self.actions < 0).any():
            raise ShapeError("actions are counted from 0, but one is negative")

    def __len__(self) -> int:
        return len(self.keys)

    def steps(self, target: Acting, model: ActionValues | None = None) -> Steps:
        """Return what the estimators of episodes read; see `Steps.slates`.

        Parameters
        ----------
        target : callable
            The evaluated policy.
        model : ActionValues, optional
            Gives q and v, for DR and DM.
        """
        chances = chances_of(target, self.states)
        if self.actions.max(initial=-1) >= chances.shape[1]:
            raise ShapeError(
                f"the target knows {chances.shape[1]} actions, but the log has action "
                f"{self.actions.max()}"
            )
        rows = np.arange(len(self))
        q = v = None
        if model is not None:
            values = model.values(self)
            q, v = values[rows, self.actions], (chances * values).sum(axis=1)
        return Steps(self.keys, self.reward, self.logged, chances[rows, self.actions], q, v)


def chances_of(target: Acting, states: States) -> Floats:
    """Return what a target says, float64 [n, A], once it is sure that they are distributions."""
    chances = np.asarray(target(states), dtype=np.float64)
    if chances.ndim != 2 or len(chances) != len(states):
        raise ShapeError(f"a target answers {len(states)} states [n, A], not {chances.shape}")
    if not ((chances >= 0.0).all() and np.allclose(chances.sum(axis=1), 1.0)):
        raise ShapeError("in every state a target's chances must be at least 0 and sum to 1")
    return chances
