"""Slates as a Gymnasium action space, in which nothing is shown twice."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.spaces import MultiDiscrete
from gymnasium.vector.utils import batch_space

from agents.ranks import ranks_from, ranks_of, slates_from
from simulators import WorldError, first_fault

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Rows


__all__ = ["ActionError", "SlateSpace", "ranks_from", "ranks_of", "slates_from"]

INT64 = np.dtype(np.int64)


class ActionError(WorldError):
    """An action that is no slate. The environment is as it was before."""


class SlateSpace(MultiDiscrete[np.int64]):
    """Slates of K distinct places among M candidates, as int64 [K]; for B users as int64 [B, K].

    Parameters
    ----------
    num_candidates : int
        M.
    slate_size : int
        K.
    lanes : int, optional
        B, where the space is one of batches.
    seed : int or numpy Generator, optional
        What slates are drawn with.
    """

    def __init__(
        self,
        num_candidates: int,
        slate_size: int,
        lanes: int | None = None,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        self.num_candidates, self.slate_size, self.lanes = num_candidates, slate_size, lanes
        shape = (slate_size,) if lanes is None else (lanes, slate_size)
        super().__init__(np.full(shape, num_candidates), seed=seed)

    def sample(self, mask: Any = None, probability: Any = None) -> NDArray[np.int64]:
        """Return a slate, all of them as likely.

        Raises
        ------
        ValueError
            If a mask or probabilities are given: slates have neither.
        """
        if mask is not None or probability is not None:
            raise ValueError("a SlateSpace draws all slates alike: it takes no mask or probability")
        ranks = self.np_random.integers(
            ranks_of(self.num_candidates, self.slate_size), size=self.shape
        )
        return slates_from(ranks.reshape(-1, self.slate_size)).reshape(self.shape)

    def contains(self, x: Any) -> bool:
        """Return whether something is a slate: integers in range, none of them twice."""
        try:
            self.read(x)
        except ActionError:
            return False
        return True

    def read(self, action: Any) -> Rows:
        """Return an action as slates: int64 [B, K], where one user is a batch of one.

        Raises
        ------
        ActionError
            If it is no slate.
        """
        slates = self.shaped(action)
        fault = first_fault(slates, self.num_candidates, False)
        if fault >= 0:
            where = "" if self.lanes is None else f" (environment {fault})"
            raise ActionError(
                f"{slates[fault].tolist()}{where} is no slate: it needs distinct places "
                f"among the candidates, 0 to {self.num_candidates - 1}"
            )
        return slates

    def shaped(self, action: Any) -> Rows:
        """Return what has the shape and type of an action: int64 [B, K].

        Raises
        ------
        ActionError
            If it has not. Whether its places are distinct and in range is not looked at.
        """
        slates = np.asarray(action)
        if slates.dtype is not INT64:
            if slates.dtype.kind not in "iu":
                raise ActionError(f"a slate is made of integers, not of {slates.dtype}: {action!r}")
            slates = slates.astype(INT64)
        if slates.shape != self._shape:
            raise ActionError(f"a slate here has the shape {self.shape}, not {slates.shape}")
        return slates[None] if self.lanes is None else slates

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SlateSpace) and super().__eq__(other)

    def __repr__(self) -> str:
        lanes = "" if self.lanes is None else f", lanes={self.lanes}"
        return f"SlateSpace({self.num_candidates}, {self.slate_size}{lanes})"


@batch_space.register(SlateSpace)
def _batch(space: SlateSpace, n: int = 1) -> SlateSpace:
    """Return the space of batches of slates; Gymnasium would make a Box of it."""
    return SlateSpace(space.num_candidates, space.slate_size, n, seed=deepcopy(space.np_random))
