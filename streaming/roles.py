"""Who decides: a champion, for a share of users a canary, and the orders that change it.

Orders are what people, the gate and the watch over drift ask for. What becomes of one is a pure
function of the roles as they are, so whoever folds the same orders arrives at the same roles. One
that states a `revision` is meant for those roles alone, and refused by any other: what was
concluded from one champion's outcomes must not befall the next.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from agents.api import RecloopError
from streaming.records import SCHEMA, read

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEAST = 0.005
"""Exploration that has decayed to less than this is over."""


class RoleError(RecloopError, ValueError):
    """Roles that no policy of the loop can take, or policies that a log could not tell apart."""


class Raised(msgspec.Struct, frozen=True):
    """Exploration that was raised, and decays.

    Parameters
    ----------
    epsilon : float
        With what probability a slate was chosen at random to begin with.
    at : int
        How many outcomes there had been then.
    half_life : int
        After how many outcomes the probability is halved, and again.
    """

    epsilon: float
    at: int
    half_life: int

    def now(self, learned: int) -> float:
        """Return the probability when there have been so many outcomes.

        It falls in steps, so that slates need not be published anew with every outcome.
        """
        left = self.epsilon * 0.5 ** (max(learned - self.at, 0) // self.half_life)
        return left if left >= _LEAST else 0.0


class Roles(msgspec.Struct, frozen=True, kw_only=True):
    """Who decides now, and why.

    Parameters
    ----------
    champion : str
        The name of the policy that decides.
    before : str or None
        The champion before it: who takes over on a rollback.
    canary : str or None
        The challenger that decides for a share of the users.
    share : float
        That share, between 0 and 1.
    raised : Raised or None
        By how much everyone explores more than they are made to.
    since : int
        How many outcomes there had been when the champion last changed.
    reason : str
        Why anything last changed.
    revision : int
        How many orders have changed anything.
    obeyed : int
        The offset in `orders` after the last order that was obeyed or refused.
    refused : dict of int to str
        Why orders were refused, by their offsets in `orders`: of those that were read last.
    policies : list of str
        All policies of the loop: those that can be given a role.
    """

    champion: str
    before: str | None = None
    canary: str | None = None
    share: float = 0.0
    raised: Raised | None = None
    since: int = 0
    reason: str = ""
    revision: int = 0
    obeyed: int = 0
    refused: dict[int, str] = {}
    policies: list[str] = []
    schema: int = SCHEMA

    def exploring(self, learned: int) -> float:
        """Return with what probability a slate is random when there are so many outcomes."""
        return self.raised.now(learned) if self.raised else 0.0

    def serving(self, policies: Sequence[str]) -> Roles:
        """Return these roles in a loop that has these policies, the first being who begins.

        Raises
        ------
        RoleError
            If it does not have the champion, and that was not simply who began.
        """
        roles = msgspec.structs.replace(self, policies=list(policies))
        if self.revision == 0:
            roles = msgspec.structs.replace(roles, champion=policies[0])
        if roles.champion not in policies:
            raise RoleError(
                f"the champion of this loop is {roles.champion!r} ({roles.reason}), and it is not "
                f"among the policies given ({', '.join(policies)}): give it as a challenger, then "
                "promote another"
            )
        if roles.canary is not None and roles.canary not in policies:
            reason = f"the canary {roles.canary} is not served any more"
            roles = msgspec.structs.replace(roles, canary=None, share=0.0, reason=reason)
        return roles

    def changed(self, reason: str, **roles: object) -> Roles:
        """Return other roles, by one more order."""
        revision = self.revision + 1
        return msgspec.structs.replace(self, revision=revision, reason=reason, **roles)

    def meant(self, revision: int | None) -> None:
        """Raise `RoleError` if something was concluded from other roles than these."""
        if revision not in (None, self.revision):
            raise RoleError("the roles have changed since that was concluded")

    def challenger(self, name: str) -> str:
        """Return the name of a policy that is not the champion, or raise `RoleError`."""
        if name not in self.policies:
            near = get_close_matches(name, self.policies, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise RoleError(
                f"no policy of this loop is named {name!r}: {hint}"
                f"There are {', '.join(self.policies)}"
            )
        if name == self.champion:
            raise RoleError(f"{name} is the champion already")
        return name


class Promote(msgspec.Struct, frozen=True, kw_only=True, tag_field="order", tag="promote"):
    """Let a challenger decide for all users; the champion becomes a challenger."""

    policy: str
    reason: str = "by command"
    revision: int | None = None

    def obeyed(self, roles: Roles, learned: int) -> Roles:
        """Return the roles after it, or raise `RoleError`."""
        roles.meant(self.revision)
        name = roles.challenger(self.policy)
        return roles.changed(
            self.reason,
            champion=name,
            before=roles.champion,
            since=learned,
            canary=None,
            share=0.0,
        )


class Canary(msgspec.Struct, frozen=True, kw_only=True, tag_field="order", tag="canary"):
    """Let a challenger decide for a share of the users; for none, if the share is 0."""

    policy: str
    share: float
    reason: str = "by command"
    revision: int | None = None

    def obeyed(self, roles: Roles, learned: int) -> Roles:
        """Return the roles after it, or raise `RoleError`."""
        roles.meant(self.revision)
        name = roles.challenger(self.policy)
        if not 0.0 <= self.share <= 1.0:
            raise RoleError(f"a canary is a share of users between 0 and 1, not {self.share:g}")
        if self.share == 0.0:
            if roles.canary != name:
                raise RoleError(f"{name} is no canary")
            return roles.changed(self.reason, canary=None, share=0.0)
        return roles.changed(self.reason, canary=name, share=self.share)


class Rollback(msgspec.Struct, frozen=True, kw_only=True, tag_field="order", tag="rollback"):
    """Take back the latest change: the canary, or if there is none, the promotion."""

    reason: str = "by command"
    revision: int | None = None

    def obeyed(self, roles: Roles, learned: int) -> Roles:
        """Return the roles after it, or raise `RoleError`."""
        roles.meant(self.revision)
        if roles.canary is not None:
            return roles.changed(self.reason, canary=None, share=0.0)
        if roles.before is None:
            raise RoleError(
                f"there is nothing to roll back to: {roles.champion} has no champion before it"
            )
        name = roles.challenger(roles.before)
        return roles.changed(self.reason, champion=name, before=None, since=learned)


class Explore(msgspec.Struct, frozen=True, kw_only=True, tag_field="order", tag="explore"):
    """Show a random slate with this probability, which is halved after so many outcomes."""

    epsilon: float
    half_life: int = 1000
    reason: str = "by command"

    def obeyed(self, roles: Roles, learned: int) -> Roles:
        """Return the roles after it, or raise `RoleError`."""
        if not 0.0 <= self.epsilon <= 1.0 or self.half_life < 1:
            raise RoleError(
                "exploration is raised to a probability, for one outcome or more, not to "
                f"{self.epsilon:g} for {self.half_life}"
            )
        raised = Raised(self.epsilon, learned, self.half_life) if self.epsilon else None
        return roles.changed(self.reason, raised=raised)


Order: TypeAlias = Promote | Canary | Rollback | Explore

_roles: msgspec.json.Decoder[Roles] = msgspec.json.Decoder(Roles)
_order: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)


def decode_roles(value: bytes) -> Roles:
    """Return the roles that a message holds, or raise `RecordError`."""
    return read(_roles, value, "who decides")


def decode_order(value: bytes) -> Order:
    """Return the order that a message holds, or raise `RecordError`."""
    return read(_order, value, "an order")
