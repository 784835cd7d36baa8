"""What both Kafka clients are held to alike: the same limits, and the same words for people.

The clients differ in how they are asked; how long a group or a transaction may take, and what is
said when it took longer, should not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streaming.transport.api import FencedError, TopicPartition, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

HANGING = 120.0
"""Seconds after which a transaction call counts as hung: twice the transaction's own timeout."""

JOINING = 60.0
"""Seconds that a group has to let a member in."""

HEARTBEAT_MS, SESSION_MS = 500, 10_000
"""How often a member says that it is there, and how long it is believed without."""

LINGER_MS, TRANSACTIONAL_LINGER_MS = 5, 20
"""How long records wait for others to travel with; a flush or a commit does not linger."""

LARGEST = 2**31 - 1
"""Bytes of a request or an answer, which no client shall limit: topics do."""

SHORTEST_PAUSE, LONGEST_PAUSE = 0.0005, 0.004
"""Seconds between two looks at what has come."""


def addresses_of(
    topics: Sequence[str], partitions: Callable[[str], int], only: Collection[int] | None
) -> list[TopicPartition]:
    """Return the partitions of some topics, or of each only those asked for."""
    return [
        TopicPartition(topic, partition)
        for topic in topics
        for partition in range(partitions(topic))
        if only is None or partition in only
    ]


def not_created(topic: str, reason: str) -> TransportError:
    """Return what to say of a topic that is missing and cannot be made."""
    return TransportError(
        f"topic {topic!r} does not exist and cannot be created ({reason}): "
        "create it yourself, or use an account that may"
    )


def not_let_in(group: str | None) -> TransportError:
    """Return what to say when a group lets a member wait for too long."""
    return TransportError(
        f"group {group!r} has not let this member in within {JOINING:g} s: "
        "is another member hung? Stop it, or wait until the group gives it up"
    )


def no_group() -> TransportError:
    """Return what to say when the offsets of a consumer are nobody's."""
    return TransportError("offsets can only be committed for a consumer that has a group")


def taken_over(doing: str, cause: str) -> FencedError:
    """Return what to say to the earlier holder of an identity."""
    return FencedError(f"another worker has taken over this one's identity ({doing}: {cause})")
