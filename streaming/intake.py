"""From the records of `feedback` to the events they hold: what cannot be read is buried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streaming.events import BadEventError, ItemEvent, decode, erasure_of
from streaming.transport.partitioner import partition_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streaming.events import Erasure, Feedback
    from streaming.join import Join
    from streaming.transport.api import Record


def events_in(
    records: Iterable[Record], join: Join, largest: int, partitions: int
) -> list[tuple[Feedback | Erasure, Record]]:
    """Return the events that records hold, each with its record; what holds none is buried.

    Parameters
    ----------
    records : iterable of Record
        Of one partition of `feedback`.
    join : Join
        Of that partition.
    largest : int
        How many bytes an event may have.
    partitions : int
        How many partitions `feedback` has.
    """
    events = []
    for record in records:
        size = len(record.value or b"")
        if size > largest:
            reason = f"{size} bytes are too large for an event: {largest} are allowed"
            join.bury("too-large", reason, record)
            continue
        try:
            events.append((_event(record, partitions), record))
        except BadEventError as error:
            join.bury("contract", str(error), record)
    return events


def _event(record: Record, partitions: int) -> Feedback | Erasure:
    """Return the event that a record holds, if it lies where it belongs."""
    _, partition, _, key, value, _ = record
    event = erasure_of(key) if value is None else decode(value)
    if isinstance(event, ItemEvent):
        raise BadEventError("item events belong on the topic `items`")
    user = event.user.encode()
    if key != user:
        raise BadEventError(f"feedback of user {event.user!r} must have the user as its key")
    home = partition_of(user, partitions)
    if partition != home:
        raise BadEventError(
            f"feedback of user {event.user!r} belongs in partition {home}, not "
            f"{partition}: let Kafka's own partitioner (murmur2) choose"
        )
    return event
