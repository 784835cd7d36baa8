"""Which policy decides for whom: a champion, challengers in its shadow, and a canary.

All policies of a loop are asked about every request. The champion decides, but for the share of
users that is the canary a challenger does; what the others would have chosen with what probability
is kept beside each decision, so that the log can say of every policy what it would have earned.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from agents import Explore, Scored
from agents.api import PAD, RecloopError
from agents.streams import uniforms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agents.api import Outcomes, Policy, Requests

_CANARY = 0x0CA7A21
"""The seed by which users are chosen for the canary: the same in every loop, so that it grows."""


class RoleError(RecloopError, ValueError):
    """Roles that no policy of the loop can take."""


class Roles(msgspec.Struct, frozen=True, kw_only=True):
    """Who decides now.

    Parameters
    ----------
    champion : str
        The name of the policy that decides.
    before : str or None
        The champion before it: who takes over on a rollback.
    challenger : str or None
        The policy that decides for the canary.
    canary : float
        The share of users for whom it does, between 0 and 1.
    reason : str
        Why it is so.
    """

    champion: str
    before: str | None = None
    challenger: str | None = None
    canary: float = 0.0
    reason: str = ""

    def promoted(self, challenger: str, reason: str) -> Roles:
        """Return the roles in which a challenger has become the champion of all users."""
        return Roles(champion=challenger, before=self.champion, reason=reason)

    def rolled_back(self, reason: str) -> Roles:
        """Return the roles without canary, or if there is none, with the champion before this one.

        Raises
        ------
        RoleError
            If there is nothing to go back to.
        """
        if self.canary > 0.0:
            return msgspec.structs.replace(self, challenger=None, canary=0.0, reason=reason)
        if self.before is None:
            raise RoleError(
                f"{self.champion} has been the champion from the beginning: there is nothing to "
                "roll back to"
            )
        return Roles(champion=self.before, reason=reason)


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


@dataclass(slots=True)
class Pool:
    """The policies of a loop.

    Parameters
    ----------
    policies : sequence of Policy
        The first is the champion until it is said otherwise. Their names must differ.
    raised : float
        While above 0, the champion explores with this epsilon at least.

    Raises
    ------
    RoleError
        If two have the same name.
    """

    policies: Sequence[Policy]
    raised: float = 0.0
    _named: dict[str, Policy] = field(init=False)

    def __post_init__(self) -> None:
        self._named = {policy.name: policy for policy in self.policies}
        if len(self._named) < len(self.policies):
            names = [policy.name for policy in self.policies]
            twice = next(name for name in names if names.count(name) > 1)
            raise RoleError(f"two policies are named {twice!r}: logs could not tell them apart")

    @property
    def first(self) -> Roles:
        """The roles at the beginning."""
        return Roles(champion=self.policies[0].name)

    def check(self, roles: Roles) -> None:
        """Refuse roles for policies that are not here.

        Raises
        ------
        RoleError
            If one is not; or the canary is no share, or nobody's.
        """
        for name in (roles.champion, roles.challenger):
            if name is not None and name not in self._named:
                near = get_close_matches(name, self._named, n=1)
                hint = (
                    f"did you mean {near[0]!r}?" if near else f"there are {', '.join(self._named)}"
                )
                raise RoleError(f"no policy of this loop is named {name!r}; {hint}")
        if not 0.0 <= roles.canary <= 1.0 or (roles.canary > 0.0 and roles.challenger is None):
            raise RoleError(
                f"a canary needs a challenger and a share between 0 and 1, not {roles.canary}"
            )

    def update(self, outcomes: Outcomes) -> None:
        """Let every policy learn."""
        for policy in self.policies:
            policy.update(outcomes)

    def decide(self, requests: Requests, roles: Roles) -> list[Made]:
        """Decide for every request, each by the policy whose user it is.

        Parameters
        ----------
        requests : Requests
        roles : Roles

        Returns
        -------
        list of Made
            One a request.
        """
        in_canary = uniforms(_CANARY, requests.users, 1)[:, 0] < roles.canary
        made: list[Made | None] = [None] * len(requests)
        for name, rows in (
            (roles.champion, np.flatnonzero(~in_canary)),
            (roles.challenger, np.flatnonzero(in_canary)),
        ):
            if name is not None and len(rows):
                asked = requests if len(rows) == len(requests) else requests.take(rows)
                for row, one in zip(rows.tolist(), self._made(name, asked), strict=True):
                    made[row] = one
        return [one for one in made if one is not None]

    def _made(self, name: str, requests: Requests) -> list[Made]:
        policy = self._exploring(self._named[name])
        decisions = policy.decide(requests)
        others = {
            other: shadow.propensities(requests, decisions.slates)
            for other, shadow in self._named.items()
            if other != name
        }
        made = []
        for row, slate in enumerate(decisions.slates.tolist()):
            shown = [item for item in slate if item != PAD]
            K = len(shown)
            made.append(
                Made(
                    slate=shown,
                    propensities=decisions.propensities[row, :K].tolist(),
                    policy=name,
                    version=int(decisions.versions[row]),
                    shadow={other: table[row, :K].tolist() for other, table in others.items()},
                )
            )
        return made

    def _exploring(self, policy: Policy) -> Policy:
        """Return the policy as it explores now."""
        if not self.raised:
            return policy
        seed = getattr(policy, "seed", 0)
        if isinstance(policy, Explore):
            if policy.temperature is not None or policy.epsilon >= self.raised:
                return policy
            policy = policy.policy
        elif not isinstance(policy, Scored):
            return policy
        return Explore(policy, epsilon=self.raised, seed=seed)
