"""What the live loop asks of a message log: little enough that several clients can give it alike.

The words are Kafka's. A `Consumer` reads committed records only and remembers where it stands; a
`Producer` writes inside transactions, and a transaction that commits carries the consumer's
position with it: a batch's outputs and its offsets are one fact.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from agents.api import RecloopError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


class TransportError(RecloopError):
    """The message log could not do what was asked; the message says what to do."""


class AbortableError(TransportError):
    """The transaction cannot be committed: abort it and work the batch again."""


class FencedError(TransportError):
    """Another worker has taken over this one's identity: stop at once, without committing."""


class TopicPartition(NamedTuple):
    """One ordered log of a topic."""

    topic: str
    partition: int


class Record(NamedTuple):
    """One message, as it lies in the log.

    Parameters
    ----------
    topic : str
    partition, offset : int
        Its address.
    key, value : bytes or None
        A value of None is a tombstone.
    timestamp : int
        When it was produced, in milliseconds since the epoch, by the producer's or broker's clock.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic that must exist.

    Parameters
    ----------
    name : str
    partitions : int
    config : mapping of str to str
        Kafka's topic configuration: cleanup.policy, retention.ms and so on.
    """

    name: str
    partitions: int = 1
    config: Mapping[str, str] = field(default_factory=dict)


def policy_of(spec: TopicSpec) -> str:
    """Return what happens to a topic's old records: Kafka's cleanup.policy, `delete` by default."""
    return spec.config.get("cleanup.policy", "delete")


def check_shape(spec: TopicSpec, partitions: int, policy: str) -> None:
    """Refuse a topic that exists with other partitions, or treats old records otherwise.

    Raises
    ------
    TransportError
        If it is not as the specification says.
    """
    if partitions != spec.partitions:
        raise TransportError(
            f"topic {spec.name!r} has {partitions} partitions, not {spec.partitions}: "
            "ask for as many, or take another prefix"
        )
    if set(policy.split(",")) != set(policy_of(spec).split(",")):
        raise TransportError(
            f"topic {spec.name!r} has cleanup.policy {policy}, not {policy_of(spec)}: "
            "change it, or take another prefix"
        )


def no_topic(name: str) -> TransportError:
    """Return what to say of a topic that somebody wants to use and nobody has created."""
    return TransportError(
        f"topic {name!r} does not exist: is the prefix right, and has a worker ever run there?"
    )


class Consumer(Protocol):
    """Reads committed records of the partitions assigned to it, in order within a partition."""

    def assigned(self) -> set[TopicPartition]:
        """Return the partitions that are this consumer's now.

        Those of a member of a group come and go as its group changes; what it has lost it reads no
        more, but may still be working.

        Raises
        ------
        FencedError
            If another consumer has joined under the same name.
        """

    def poll(self, max_records: int, timeout: float) -> list[Record]:
        """Return up to `max_records` records, waiting at most `timeout` seconds for the first."""

    def positions(self) -> dict[TopicPartition, int]:
        """Return the offset of the next record of every assigned partition."""

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """Go on from these offsets; a member passes over partitions that it has lost meanwhile."""

    def committed(self) -> dict[TopicPartition, int]:
        """Return the group's committed offsets, 0 where there are none."""

    def end_offsets(self) -> dict[TopicPartition, int]:
        """Return the offset after the last stable record of every assigned partition."""

    def close(self) -> None:
        """Let go of connections; nothing is committed."""


class Producer(Protocol):
    """Writes records, inside a transaction when it was made with a transactional id."""

    def begin(self) -> None:
        """Begin a transaction."""

    def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        timestamp: int | None = None,
    ) -> None:
        """Write one record; it may still fail until `flush` or `commit` returns.

        Without a partition the key's hash chooses one (see `partitioner`), and without a key they
        take turns. A value of None needs a key: it is the key's tombstone. Without a timestamp it
        is now; with an old one the topic's retention may take the record before it is read.

        Raises
        ------
        TransportError
            If there is no such topic or partition, or the record cannot be taken. In a transaction
            it may also be an `AbortableError` or a `FencedError`.
        """

    def commit(self, offsets: Mapping[TopicPartition, int], consumer: Consumer) -> None:
        """Commit the transaction together with the offsets of `consumer`'s group.

        Raises
        ------
        AbortableError
            If nothing was committed and the batch may be worked again.
        FencedError
            If another producer has taken over the transactional id.
        """

    def abort(self) -> None:
        """Abort the transaction: no reader will see what it wrote."""

    def flush(self) -> None:
        """Wait until everything sent is written, and raise if anything was not."""

    def close(self) -> None:
        """Let go of connections; an open transaction is never committed."""


class Transport(Protocol):
    """Makes consumers and producers over one message log."""

    def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        """Create the topics that do not exist; refuse those that exist in another shape.

        Raises
        ------
        TransportError
            If the log cannot be reached, or a topic is missing and cannot be created.
        """

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has."""

    def consumer(
        self,
        topics: Sequence[str],
        *,
        group: str | None = None,
        member: str | None = None,
        partitions: Collection[int] | None = None,
    ) -> Consumer:
        """Return a consumer of these topics.

        With a group it starts from the group's committed offsets, otherwise, and where there are
        none, from the beginning.

        Parameters
        ----------
        topics : sequence of str
        group : str, optional
        member : str, optional
            With it, the consumer joins the group, which shares the partitions out among its
            members: it is returned when the group has let it in. The name is a static identity
            (group.instance.id): who comes again under it soon gets back what it had, and fences
            who had it. An empty name joins as somebody new, and leaves when it is closed.
        partitions : collection of int, optional
            Of each topic; all if not given. Members are given theirs by the group.

        Raises
        ------
        TransportError
            If the group does not let the member in.
        """

    def producer(self, *, transactional_id: str | None = None) -> Producer:
        """Return a producer. A transactional one fences every earlier holder of its id first.

        Make it before the consumer whose offsets it commits: only when an earlier holder's open
        transaction has been aborted are the committed offsets final.
        """

    def close(self) -> None:
        """Let go of everything this transport made."""
