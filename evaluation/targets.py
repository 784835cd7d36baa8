"""What is evaluated: a policy, or a plain table of how likely each item is at each position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from agents.api import PAD, Policy, ShapeError
from agents.slots import first_slot

if TYPE_CHECKING:
    from agents.api import Floats, Requests, Rows


class Target(Protocol):
    """Something that says how likely it would have been to show what a log shows."""

    @property
    def name(self) -> str:
        """What it is reported as."""

    def propensities(self, requests: Requests, slates: Rows) -> Floats:
        """Return the probability of each slot's item given those before it: float64 [B, K]."""

    def chances(self, requests: Requests) -> Floats:
        """Return how likely each candidate is for the first slot: float64 [B, M]."""


@dataclass(frozen=True, slots=True)
class Deciding:
    """A policy as a target, its learning stopped where it stands."""

    policy: Policy

    @property
    def name(self) -> str:
        """The policy's name."""
        return self.policy.name

    def propensities(self, requests: Requests, slates: Rows) -> Floats:
        """Return the probability of each slot's item; see `Target`."""
        return self.policy.propensities(requests, slates)

    def chances(self, requests: Requests) -> Floats:
        """Return how likely each candidate is for the first slot; see `Target`."""
        return first_slot(self.policy, requests)


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """A table of probabilities as a target: the same for everyone, whatever the context.

    Parameters
    ----------
    table : float64 [N, P]
        How likely the item in row n of the catalogue is at position p. Columns sum to 1.
    name : str
        What it is reported as.

    Raises
    ------
    ShapeError
        If the table is no table, or a column no distribution.
    """

    table: Floats
    name: str = "distribution"

    def __post_init__(self) -> None:
        if self.table.ndim != 2 or not len(self.table):
            raise ShapeError(
                f"a distribution is a table [items, positions], not {self.table.shape}"
            )
        if not ((self.table >= 0.0).all() and np.allclose(self.table.sum(axis=0), 1.0)):
            raise ShapeError("at every position the items' chances must be at least 0 and sum to 1")

    def propensities(self, requests: Requests, slates: Rows) -> Floats:
        """Return the chance of each slot's item at its position; see `Target`."""
        self._fit(requests)
        return np.where(slates == PAD, 1.0, self.table[slates, requests.positions])

    def chances(self, requests: Requests) -> Floats:
        """Return the chance of every candidate at the first slot's position; see `Target`."""
        self._fit(requests)
        at = self.table[requests.candidates, requests.positions[:, :1]]
        return np.where(requests.candidates == PAD, 0.0, at)

    def _fit(self, requests: Requests) -> None:
        items, positions = self.table.shape
        if len(requests.items) != items or requests.positions.max(initial=0) >= positions:
            raise ShapeError(
                f"the distribution knows {items} items and {positions} positions, but the log has "
                f"{len(requests.items)} items and positions up to {requests.positions.max()}"
            )


def target_of(policy: Policy | Target) -> Target:
    """Return what is evaluated as a `Target`."""
    return Deciding(policy) if isinstance(policy, Policy) else policy


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """Items that stand for each other, and the policy that decided between them in the log.

    Parameters
    ----------
    labels : int64 [N]
        The cluster of the item in row n of the catalogue, counted from 0.
    logging : Policy or Target
        What decided in the log: a log tells how likely the shown item was, but not its cluster.
    """

    labels: Rows
    logging: Policy | Target

    def chances(self, requests: Requests, slates: Rows, of_items: Floats) -> Floats:
        """Return how likely the shown item's cluster was for the first slot.

        Parameters
        ----------
        requests : Requests
        slates : int64 [B, K]
        of_items : float64 [B, M]
            How likely each candidate was.

        Returns
        -------
        float64 [B]
            1 for a padded slot.
        """
        if len(requests.items) != len(self.labels):
            raise ShapeError(f"{len(self.labels)} labels, but {len(requests.items)} items")
        shown, candidates = slates[:, :1], requests.candidates
        same = (self.labels[candidates] == self.labels[shown]) & (candidates != PAD)
        return np.where(shown[:, 0] == PAD, 1.0, (of_items * same).sum(axis=1))
