"""The event contract: what may come in on `feedback` and `items`, checked field by field.

The four events are Metarank's, so that whoever feeds Metarank can feed this loop: `item`, `user`,
`ranking`, `interaction`. Ours adds optional fields to a ranking, for logs of other policies that
are replayed: which policy decided, which version of it, and for every slot its propensity, display
position and whether it was seen. A ranking that shows one of our own recommendations needs none of
them: its id says which.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TypeAlias

import msgspec

from agents.api import RecloopError

Value: TypeAlias = bool | float | str | list[str | float]


class BadEventError(RecloopError):
    """An event that breaks the contract; the message is the dead letter's reason."""


class Field(msgspec.Struct, frozen=True):
    """A named value: bool, number, string, list of strings or list of numbers."""

    name: str
    value: Value


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """What every event has."""

    id: str
    timestamp: str | int

    @property
    def time(self) -> int:
        """Event time in milliseconds since the epoch."""
        return milliseconds(self.timestamp)


class ItemEvent(_Event, frozen=True, kw_only=True, tag="item"):
    """What is known of an item, from now on."""

    item: str
    fields: list[Field] = []


class UserEvent(_Event, frozen=True, kw_only=True, tag="user"):
    """What is known of a user, from now on."""

    user: str
    fields: list[Field] = []


class RankedItem(msgspec.Struct, frozen=True):
    """One slot of a ranking."""

    id: str
    propensity: float | None = None
    position: int | None = None
    seen: bool = True


class RankingEvent(_Event, frozen=True, kw_only=True, tag="ranking"):
    """A slate was shown. `decision` names the recommendation shown; without it, `id` does."""

    user: str
    items: list[RankedItem]
    session: str | None = None
    fields: list[Field] = []
    decision: str | None = None
    policy: str | None = None
    version: int = 0


class InteractionEvent(_Event, frozen=True, kw_only=True, tag="interaction"):
    """A user did something with an item of a ranking; `value` weighs it (seconds watched, say)."""

    user: str
    item: str
    type: str
    ranking: str
    session: str | None = None
    value: float = 1.0
    fields: list[Field] = []


Event: TypeAlias = ItemEvent | UserEvent | RankingEvent | InteractionEvent

_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_encoder = msgspec.json.Encoder()


def milliseconds(timestamp: str | int) -> int:
    """Return a timestamp (epoch milliseconds as a number or text, or ISO 8601) in milliseconds.

    Raises
    ------
    BadEventError
        If it is neither. An ISO time without an offset is taken as UTC.
    """
    try:
        return int(timestamp)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(str(timestamp))
    except ValueError:
        raise BadEventError(
            f"timestamp {str(timestamp)[:40]!r} is neither epoch milliseconds nor ISO 8601"
        ) from None
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)


def decode(value: bytes) -> Event:
    """Return the event that a message holds.

    Raises
    ------
    BadEventError
        If it is not JSON, names no known event, lacks a field, has one of the wrong type, or holds
        a number that is not finite or a propensity outside (0, 1].
    """
    try:
        event = _decoder.decode(value)
    except msgspec.ValidationError as error:
        raise BadEventError(f"not in the contract: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadEventError(f"not JSON: {error}") from None
    _check(event)
    return event


def encode(event: Event) -> bytes:
    """Return an event as JSON."""
    return _encoder.encode(event)


def _check(event: Event) -> None:
    """Refuse what types alone cannot: times, numbers and probabilities out of range."""
    _ = event.time
    match event:
        case InteractionEvent(value=value) if not math.isfinite(value):
            raise BadEventError(f"value must be finite, not {value}")
        case RankingEvent(items=items):
            _check_slots(items)
        case _:
            pass


def _check_slots(items: list[RankedItem]) -> None:
    if not items:
        raise BadEventError("a ranking needs at least one item")
    if len({item.id for item in items}) != len(items):
        raise BadEventError("a ranking shows an item twice")
    for item in items:
        if item.propensity is not None and not 0.0 < item.propensity <= 1.0:
            raise BadEventError(
                f"propensity of {item.id!r} must be in (0, 1], not {item.propensity}"
            )
        if item.position is not None and item.position < 0:
            raise BadEventError(f"position of {item.id!r} must be 0 or more, not {item.position}")
