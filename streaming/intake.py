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
    events: list[tuple[Feedback | Erasure, Record]] = []
    for record in records:
        _, partition, _, key, value, _ = record
        if value is not None and len(value) > largest:
            reason = f"{len(value)} bytes are too large for an event: {largest} are allowed"
            join.bury("too-large", reason, record)
            continue
        try:
            event = erasure_of(key) if value is None else decode(value)
            if isinstance(event, ItemEvent):
                raise BadEventError("item events belong on the topic `items`")
            user = event.user.encode()
            if key != user or partition != partition_of(user, partitions):
                raise _astray(event.user, key, partition, partitions)
        except BadEventError as error:
            join.bury("contract", str(error), record)
        else:
            events.append((event, record))
    return events


def _astray(name: str, key: bytes | None, partition: int, partitions: int) -> BadEventError:
    """Return what to say of an event that does not lie where its user's do."""
    user = name.encode()
    if key != user:
        return BadEventError(f"feedback of user {name!r} must have the user as its key")
    return BadEventError(
        f"feedback of user {name!r} belongs in partition {partition_of(user, partitions)}, not "
        f"{partition}: let Kafka's own partitioner (murmur2) choose"
    )
