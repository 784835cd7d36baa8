"""The policies of a loop: each request is decided by whose user it is, and shown to all others.

What the others would have chosen with what probability is kept beside each decision, so that the
log can say of every policy what it would have earned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from agents import Uniform
from agents.api import PAD, Decisions
from agents.streams import uniforms
from streaming.roles import RoleError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from agents.api import Floats, Keys, Policy, Requests, Rows
    from streaming.roles import Roles

_CANARY = 0x0CA7A21
"""The seed by which users are chosen for a canary: the same always, so that its users stay."""

_COIN = 0xC014
"""The purpose of the stream that says which slates are random."""


class Made(NamedTuple):
    """A decision, and what the other policies say of it.

    Parameters
    ----------
    slate : list of int
        Rows of the request's items.
    propensities : list of float
        Of each slot, given those before it, by the policy that decided.
    policy : str
    version : int
    shadow : dict of str to list of float
        The propensities of the same slots by every other policy.
    """

    slate: list[int]
    propensities: list[float]
    policy: str
    version: int
    shadow: dict[str, list[float]]


def in_canary(users: Keys, share: float) -> NDArray[np.bool_]:
    """Return which users are in the canary: bool [B].

    A user who is in a small one is in every larger one.
    """
    return np.asarray(uniforms(_CANARY, users, 1)[:, 0] < share)


class Loosened:
    """A policy whose slate is, with some probability, replaced by a random one.

    Any policy that states its propensities can be loosened. The probability of a slate's first k
    items is (1 - epsilon) times the policy's plus epsilon times that of drawing at random, so the
    propensity of an item given those before it is the mean of the two policies', weighted by how
    likely the items before it came from either.

    Parameters
    ----------
    policy : Policy
    epsilon : float
    """

    def __init__(self, policy: Policy, epsilon: float) -> None:
        self._policy, self._epsilon, self._random = policy, epsilon, Uniform()

    def decide(self, requests: Requests) -> Decisions:
        """Decide, or draw at random."""
        own = self._policy.decide(requests)
        tossed = uniforms(self._random.seed, requests.keys, 1, purpose=_COIN) < self._epsilon
        slates = np.where(tossed, self._random.decide(requests).slates, own.slates)
        return Decisions(slates, self.propensities(requests, slates), own.versions, own.policy)

    def propensities(self, requests: Requests, slates: Rows) -> Floats:
        """Return the probability of each slot's item given those before: float64 [B, K]."""
        own, any_ = (p.propensities(requests, slates) for p in (self._policy, self._random))
        chances = np.empty_like(own)
        random = np.full(len(own), self._epsilon)  # given the items so far: their product is tiny
        for k in range(own.shape[1]):
            drawn = random * any_[:, k]
            chances[:, k] = (1.0 - random) * own[:, k] + drawn
            random = np.divide(drawn, chances[:, k], out=random, where=chances[:, k] > 0.0)
        return chances


class Pool:
    """The policies of a loop.

    Parameters
    ----------
    policies : sequence of Policy

    Raises
    ------
    RoleError
        If two have the same name.
    """

    def __init__(self, policies: Sequence[Policy]) -> None:
        self.policies = {policy.name: policy for policy in policies}
        if len(self.policies) < len(policies):
            names = [policy.name for policy in policies]
            twice = next(name for name in names if names.count(name) > 1)
            raise RoleError(f"two policies are named {twice!r}: logs could not tell them apart")

    def decide(self, requests: Requests, roles: Roles, learned: int = 0) -> list[Made]:
        """Decide for every request.

        Parameters
        ----------
        requests : Requests
        roles : Roles
        learned : int
            How many outcomes there have been.

        Returns
        -------
        list of Made
            One a request.
        """
        epsilon = roles.exploring(learned)
        asked: dict[str, Policy | Loosened] = {**self.policies}
        if epsilon:
            asked = {name: Loosened(policy, epsilon) for name, policy in self.policies.items()}
        if roles.canary is None:
            return _made(roles.champion, asked, requests)
        canary = in_canary(requests.users, roles.share)
        made: dict[int, Made] = {}
        for name, mine in ((roles.champion, ~canary), (roles.canary, canary)):
            rows = np.flatnonzero(mine)
            made |= zip(rows.tolist(), _made(name, asked, requests.take(rows)), strict=True)
        return [made[row] for row in range(len(requests))]


def _made(name: str, asked: dict[str, Policy | Loosened], requests: Requests) -> list[Made]:
    """Return what one policy decides, and what the others say of it."""
    if not len(requests):
        return []
    decisions = asked[name].decide(requests)
    shadows = {
        other: policy.propensities(requests, decisions.slates)
        for other, policy in asked.items()
        if other != name
    }
    tables = {other: table.tolist() for other, table in shadows.items()}
    chances, versions = decisions.propensities.tolist(), decisions.versions.tolist()
    made = []
    for row, slate in enumerate(decisions.slates.tolist()):
        shown = [item for item in slate if item != PAD]
        K = len(shown)
        made.append(
            Made(
                slate=shown,
                propensities=chances[row][:K],
                policy=name,
                version=versions[row],
                shadow={other: table[row][:K] for other, table in tables.items()},
            )
        )
    return made
