"""The privileged policies that a score in a world is measured by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from agents import ScorePolicy

if TYPE_CHECKING:
    from agents.api import Floats, Requests


class Appealing(Protocol):
    """A world that knows the true immediate reward of what it offers."""

    def appeal_of(self, requests: Requests) -> Floats:
        """Return the true expected reward of every candidate, alone in the first slot."""


class Myopic(ScorePolicy):
    """The candidates with the highest true immediate reward: privileged, and blind to the future.

    Parameters
    ----------
    world : Appealing
        The world whose present users it decides for.
    seed : int
        What ties are broken by, with the request keys.
    """

    name = "myopic"

    def __init__(self, world: Appealing, *, seed: int = 0) -> None:
        super().__init__(seed=seed)
        self.world = world

    def scores(self, requests: Requests) -> Floats:
        """Ask the world."""
        return self.world.appeal_of(requests)
