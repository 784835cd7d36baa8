"""The ten topics of the live loop: their names, their partitions and how long they keep records.

Topics that hold the latest fact of each key are compacted, those that hold history are not. What a
user owns (feedback, state, recommendation, decisions, outcomes) lies in partitions of the same
number, so that it can move between workers together; the catalogue, the model and who decides are
everyone's and lie in one partition, in one order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from streaming.transport.api import TopicSpec, TransportError

DEFAULT_PREFIX = "recloop."
DEFAULT_PARTITIONS = 4

_DAY = 24 * 3600 * 1000
_MIB = 1024 * 1024
_LONGEST_NAME = 249
_COMPACTED = {"cleanup.policy": "compact"}


def _kept(days: int) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(days * _DAY)}


@dataclass(frozen=True, slots=True)
class Topics:
    """The names of all topics under one prefix.

    Parameters
    ----------
    prefix : str
        What every name begins with. Two loops on one cluster need two prefixes.

    Raises
    ------
    TransportError
        If the prefix does not make legal topic names.
    """

    prefix: str = DEFAULT_PREFIX

    def __post_init__(self) -> None:
        room = _LONGEST_NAME - len("recommendations")
        if not re.fullmatch(rf"[A-Za-z0-9._-]{{0,{room}}}", self.prefix):
            raise TransportError(
                f"topic prefix {self.prefix[:60]!r} must be at most {room} letters, digits, dots, "
                "underscores and hyphens"
            )

    @property
    def items(self) -> str:
        """The catalogue: item events by item; a tombstone takes the item away."""
        return f"{self.prefix}items"

    @property
    def feedback(self) -> str:
        """What users are and do: user, ranking and interaction events by user."""
        return f"{self.prefix}feedback"

    @property
    def recommendations(self) -> str:
        """The slate to show next, by user, with its propensities and when it expires."""
        return f"{self.prefix}recommendations"

    @property
    def decisions(self) -> str:
        """Every recommendation that was ever published."""
        return f"{self.prefix}decisions"

    @property
    def outcomes(self) -> str:
        """Decisions joined with their rewards: what the model is the fold of."""
        return f"{self.prefix}outcomes"

    @property
    def state(self) -> str:
        """The changelog of what a worker knows of every user."""
        return f"{self.prefix}state"

    @property
    def model(self) -> str:
        """What the policy has learned, by partition or as a whole, and how late it is there."""
        return f"{self.prefix}model"

    @property
    def orders(self) -> str:
        """Who is to decide: promotions, canaries and rollbacks, in the order of their coming."""
        return f"{self.prefix}orders"

    @property
    def roles(self) -> str:
        """Who decides now, after all orders that were obeyed."""
        return f"{self.prefix}roles"

    @property
    def dead_letters(self) -> str:
        """What could not be used, why, and where it came from."""
        return f"{self.prefix}dead-letters"

    def specs(self, partitions: int = DEFAULT_PARTITIONS) -> tuple[TopicSpec, ...]:
        """Return what must exist, with so many partitions of users.

        Feedback may be larger than an event is allowed to be, so that what is too large reaches the
        worker and is answered for; and the broker's clock stamps it, so that a producer's wrong
        clock cannot vouch for an event's. Outcomes are kept for ever, because the model is their
        fold.
        """
        stamped = {"message.timestamp.type": "LogAppendTime"}
        large = {"max.message.bytes": str(8 * _MIB)}
        return (
            TopicSpec(self.items, 1, _COMPACTED | large),
            TopicSpec(self.feedback, partitions, _kept(7) | large | stamped),
            TopicSpec(self.recommendations, partitions, _COMPACTED),
            TopicSpec(self.decisions, partitions, _kept(30)),
            TopicSpec(
                self.outcomes, partitions, {"cleanup.policy": "delete", "retention.ms": "-1"}
            ),
            TopicSpec(self.state, partitions, _COMPACTED | large),
            TopicSpec(self.model, 1, _COMPACTED | {"max.message.bytes": str(64 * _MIB)}),
            TopicSpec(self.orders, 1, _kept(30)),
            TopicSpec(self.roles, 1, _COMPACTED),
            TopicSpec(self.dead_letters, 1, _kept(30)),
        )
