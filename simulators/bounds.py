"""The privileged policies that a score in a world is measured by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from agents import ScorePolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from agents.api import Floats, Requests


class Knowing(Protocol):
    """A world that knows things about its present users that nobody else does."""

    def appeal(self) -> Floats:
        """Return the true expected reward of every candidate, alone in the first slot."""

    def known(self, table: Callable[[], Floats], requests: Requests) -> Floats:
        """Return what a table of the present users says of some of their requests."""


class Privileged(ScorePolicy):
    """The candidates that a world itself scores highest, from what it knows of its present users.

    Parameters
    ----------
    world : Knowing
        The world whose present users it decides for.
    name : str
    table : callable
        Returns a score for every candidate of every present user: float64 [B, M].
    seed : int
        What ties are broken by, with the request keys.
    """

    def __init__(
        self, world: Knowing, name: str, table: Callable[[], Floats], *, seed: int = 0
    ) -> None:
        super().__init__(seed=seed)
        self.world, self.name, self.table = world, name, table

    def scores(self, requests: Requests) -> Floats:
        """Ask the world."""
        return self.world.known(self.table, requests)


class Myopic(Privileged):
    """The candidates with the highest true immediate reward: privileged, and blind to the future.

    Parameters
    ----------
    world : Knowing
    seed : int
        See `Privileged`.
    """

    def __init__(self, world: Knowing, *, seed: int = 0) -> None:
        super().__init__(world, "myopic", world.appeal, seed=seed)
