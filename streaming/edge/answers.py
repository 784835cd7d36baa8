"""What the edge answers, as it stands in the OpenAPI document."""

from __future__ import annotations

from typing import Literal

import msgspec

from streaming.records import Slot


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """The slate to show. When it was shown, send a ranking whose `id` or `decision` is this `id`.

    Parameters
    ----------
    user, id : str
    items : list of Slot
        Best first, each with the probability that it was chosen, given those before it.
    policy : str
    version : int
        How many outcomes the policy had learned from.
    expires : int
        When it must no longer be shown, in milliseconds since the epoch.
    source : str
        `policy`: decided by the worker; `exploration`: by chance, for a user who is not known yet
        or whose slate has expired.
    """

    user: str
    id: str
    items: list[Slot]
    policy: str
    version: int
    expires: int
    source: Literal["policy", "exploration"]


class Refusal(msgspec.Struct, frozen=True):
    """An event that was not taken in: its place in the list, and what is wrong with it."""

    index: int
    reason: str


class Receipt(msgspec.Struct, frozen=True):
    """How many events were written, and which were not."""

    accepted: int
    refused: list[Refusal] = []


class Effect(msgspec.Struct, frozen=True):
    """How much an item's score falls when a feature is set to 0."""

    feature: str
    value: float
    effect: float


class ExplainedItem(msgspec.Struct, frozen=True, kw_only=True):
    """Why an item stands where it does.

    Parameters
    ----------
    id : str
    position : int
    propensity : float
        As it was logged when the slate was decided.
    propensity_now : float
        As the model of now would choose it, given the items before it.
    score : float
    uncertainty : float or None
        The standard deviation of the score, where the policy knows it.
    effects : list of Effect
        The features that matter most, the largest first.
    """

    id: str
    position: int
    propensity: float
    propensity_now: float
    score: float
    uncertainty: float | None
    effects: list[Effect]


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """Why a user's slate is what it is.

    Parameters
    ----------
    user, id : str
    source : str
    policy : str
    version : int
        How many outcomes the policy had learned from when it decided.
    learned : int
        How many it has learned from now, when it is asked.
    measure : str
        What the scores are.
    items : list of ExplainedItem
    """

    user: str
    id: str
    source: Literal["policy", "exploration"]
    policy: str
    version: int
    learned: int
    measure: str
    items: list[ExplainedItem]


class Accepted(msgspec.Struct, frozen=True):
    """That something was written and will be done."""

    accepted: bool = True


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the edge is fit to serve, and if not, why.

    Parameters
    ----------
    status : str
    reason : str
    users, items : int
        How many users have a recommendation, and how many items can be shown.
    """

    status: Literal["ok", "unwell"]
    reason: str = ""
    users: int
    items: int


class Problem(msgspec.Struct, frozen=True):
    """What was wrong with a request, and what to do."""

    error: str
