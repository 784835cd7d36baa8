"""A champion and the challengers in its shadow.

The champion decides. Its challengers are asked about every request too, and what each would have
chosen with what probability is kept beside the decision, so that the log can say of every policy
what it would have earned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from agents.api import PAD, RecloopError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agents.api import Policy, Requests


class RoleError(RecloopError, ValueError):
    """Policies that a log could not tell apart."""


class Made(NamedTuple):
    """A decision, and what the challengers say of it.

    Parameters
    ----------
    slate : list of int
        Rows of the request's items.
    propensities : list of float
        Of each slot, given those before it.
    policy : str
    version : int
    shadow : dict of str to list of float
        The propensities of the same slots by every challenger.
    """

    slate: list[int]
    propensities: list[float]
    policy: str
    version: int
    shadow: dict[str, list[float]]


class Pool:
    """The policies of a loop.

    Parameters
    ----------
    champion : Policy
    challengers : sequence of Policy

    Raises
    ------
    RoleError
        If two have the same name.
    """

    def __init__(self, champion: Policy, challengers: Sequence[Policy] = ()) -> None:
        self._champion, self.challengers = champion, challengers
        names = [policy.name for policy in (champion, *challengers)]
        for name in names:
            if names.count(name) > 1:
                raise RoleError(f"two policies are named {name!r}: logs could not tell them apart")

    def decide(self, requests: Requests) -> list[Made]:
        """Decide for every request, and return one decision a request."""
        decisions = self._champion.decide(requests)
        shadows = {
            challenger.name: challenger.propensities(requests, decisions.slates)
            for challenger in self.challengers
        }
        made = []
        for row, slate in enumerate(decisions.slates.tolist()):
            shown = [item for item in slate if item != PAD]
            K = len(shown)
            made.append(
                Made(
                    slate=shown,
                    propensities=decisions.propensities[row, :K].tolist(),
                    policy=decisions.policy,
                    version=int(decisions.versions[row]),
                    shadow={name: table[row, :K].tolist() for name, table in shadows.items()},
                )
            )
        return made
