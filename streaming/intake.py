"""From the records of `feedback` to the events they hold: what cannot be read is buried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streaming.events import BadEventError, ItemEvent, decode, erasure_of
from streaming.transport.partitioner import partition_of

if TYPE_CHECKING:
    from streaming.events import Erasure
    from streaming.join import Feedback, Join
    from streaming.transport.api import Record


def event_in(
    record: Record, join: Join, largest: int, partitions: int
) -> Feedback | Erasure | None:
    """Return the event that a record holds; None, and a dead letter, if it holds none.

    Parameters
    ----------
    record : Record
        Of `feedback`.
    join : Join
        Of its partition.
    largest : int
        How many bytes an event may have.
    partitions : int
        How many partitions `feedback` has.
    """
    size = len(record.value or b"")
    if size > largest:
        reason = f"{size} bytes are too large for an event: {largest} are allowed"
        join.bury("too-large", reason, record)
        return None
    try:
        return _event(record, partitions)
    except BadEventError as error:
        join.bury("contract", str(error), record)
        return None


def _event(record: Record, partitions: int) -> Feedback | Erasure:
    """Return the event that a record holds, if it lies where it belongs."""
    event = erasure_of(record.key) if record.value is None else decode(record.value)
    if isinstance(event, ItemEvent):
        raise BadEventError("item events belong on the topic `items`")
    user = event.user.encode()
    if record.key != user:
        raise BadEventError(f"feedback of user {event.user!r} must have the user as its key")
    home = partition_of(user, partitions)
    if record.partition != home:
        raise BadEventError(
            f"feedback of user {event.user!r} belongs in partition {home}, not "
            f"{record.partition}: let Kafka's own partitioner (murmur2) choose"
        )
    return event
