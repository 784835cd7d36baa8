"""The event contract: what may come in on `feedback` and `items`, checked field by field.

The four events are Metarank's, so that whoever feeds Metarank can feed this loop: `item`, `user`,
`ranking`, `interaction`. Ours adds optional fields to a ranking, for logs of other policies that
are replayed: which policy decided, which version of it, and for every slot its propensity, display
position and whether it was seen. A ranking that shows one of our own recommendations needs none of
them: its id says which.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from agents.api import RecloopError

Value: TypeAlias = bool | float | str | list[str | float]
LONGEST_NAME = 256
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]
Position: TypeAlias = Annotated[int, Meta(ge=0, le=1_000_000)]
Version: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]

LATEST = 32_503_680_000_000
"""Milliseconds from 1970 to the year 3000. Times beyond it are in another unit, or noise."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST = 3.4028234663852886e38


class BadEventError(RecloopError):
    """An event that breaks the contract; the message is the dead letter's reason."""


class Field(msgspec.Struct, frozen=True, gc=False):
    """A named value: bool, number, string, list of strings or list of numbers."""

    name: Name
    value: Value


class _Event(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="event"):
    """What every event has."""

    id: Name
    timestamp: str | int

    @property
    def time(self) -> int:
        """Event time in milliseconds since the epoch."""
        timestamp = self.timestamp
        if type(timestamp) is int and 0 <= timestamp < LATEST:
            return timestamp
        return milliseconds(timestamp)


class ItemEvent(_Event, frozen=True, kw_only=True, tag="item"):
    """What is known of an item, from now on."""

    item: Name
    fields: list[Field] = []

    def check(self) -> None:
        """Refuse what types alone cannot: times and numbers out of range, lists of mixed types."""
        _ = self.time
        _check_fields(self.fields)


class UserEvent(_Event, frozen=True, kw_only=True, tag="user"):
    """What is known of a user, from now on."""

    user: Name
    fields: list[Field] = []

    def check(self) -> None:
        """See `ItemEvent`."""
        _ = self.time
        _check_fields(self.fields)


class RankedItem(msgspec.Struct, frozen=True, gc=False):
    """One slot of a ranking."""

    id: Name
    propensity: float | None = None
    position: Position | None = None
    seen: bool = True


class RankingEvent(_Event, frozen=True, kw_only=True, tag="ranking"):
    """A slate was shown. `decision` names the recommendation shown; without it, `id` does."""

    user: Name
    items: list[RankedItem]
    session: Name | None = None
    fields: list[Field] = []
    decision: Name | None = None
    policy: Name | None = None
    version: Version = 0

    def check(self) -> None:
        """See `ItemEvent`."""
        _ = self.time
        _check_fields(self.fields)
        _check_slots(self.items)


class InteractionEvent(_Event, frozen=True, kw_only=True, tag="interaction"):
    """A user did something with an item of a ranking; `value` weighs it (seconds watched, say)."""

    user: Name
    item: Name
    type: Name
    ranking: Name
    session: Name | None = None
    value: float = 1.0
    fields: list[Field] = []

    def check(self) -> None:
        """See `ItemEvent`."""
        _ = self.time
        if self.fields:
            _check_fields(self.fields)
        if not -_LARGEST <= self.value <= _LARGEST:
            raise BadEventError(f"value {self.value} does not fit float32")


class Erasure(msgspec.Struct, frozen=True):
    """That a user is to be forgotten: on the topic a record without a value, keyed by the user."""

    user: Name


Feedback: TypeAlias = UserEvent | RankingEvent | InteractionEvent
Event: TypeAlias = ItemEvent | UserEvent | RankingEvent | InteractionEvent

_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_encoder = msgspec.json.Encoder()


def milliseconds(timestamp: str | int) -> int:
    """Return a timestamp (epoch milliseconds as a number or text, or ISO 8601) in milliseconds.

    Raises
    ------
    BadEventError
        If it is neither, or not between the years 1970 and 3000. An ISO time without an offset is
        taken as UTC.
    """
    if isinstance(timestamp, int):
        time = timestamp
    elif timestamp.isascii() and timestamp.isdecimal():
        time = int(timestamp.lstrip("0")[: len(str(LATEST)) + 1] or "0")
    else:
        time = _from_iso(timestamp)
    if not 0 <= time < LATEST:
        raise BadEventError(
            f"timestamp {str(timestamp)[:40]!r} is not between the years 1970 and 3000 "
            "(epoch timestamps are in milliseconds)"
        )
    return time


def _from_iso(timestamp: str) -> int:
    try:
        moment = datetime.fromisoformat(timestamp)
    except ValueError:
        raise BadEventError(
            f"timestamp {timestamp[:40]!r} is neither epoch milliseconds nor ISO 8601"
        ) from None
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - _EPOCH) // timedelta(milliseconds=1)


def decode(value: bytes) -> Event:
    """Return the event that a message holds.

    Raises
    ------
    BadEventError
        If it is not JSON, names no known event, lacks a field, has one of the wrong type, a name
        that is empty or longer than 256 characters, a list of mixed types, a propensity outside
        (0, 1], a value that does not fit float32, or a time outside the years 1970 to 3000.
    """
    try:
        event = _decoder.decode(value)
    except msgspec.ValidationError as error:
        raise BadEventError(f"not in the contract: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadEventError(f"not JSON: {error}") from None
    except RecursionError:
        raise BadEventError("not in the contract: nested too deeply") from None
    event.check()
    return event


def erasure_of(key: bytes | None) -> Erasure:
    """Return what a record without a value asks for.

    Raises
    ------
    BadEventError
        If its key is no user's name.
    """
    try:
        name = "" if key is None else key.decode()
    except UnicodeDecodeError:
        raise BadEventError("the key is not UTF-8 text") from None
    if not 1 <= len(name) <= LONGEST_NAME:
        raise BadEventError("a record without a value erases a user, who must be its key")
    return Erasure(name)


def encode(event: Event) -> bytes:
    """Return an event as JSON."""
    return _encoder.encode(event)


def _check_fields(fields: list[Field]) -> None:
    for field in fields:
        if isinstance(field.value, list) and len(set(map(type, field.value))) > 1:
            raise BadEventError(f"field {field.name!r} mixes strings and numbers in one list")


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
