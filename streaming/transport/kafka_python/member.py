"""A reader over kafka-python that is a member of a group, and reads what the group gives it.

The client rebalances on a thread of its own, where nothing may be loaded or dropped: what a group
gives a member and takes is only noted there, and told by `assigned`.
"""

from __future__ import annotations

import time
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any

from kafka import ConsumerRebalanceListener
from kafka import errors as kafka_errors
from kafka.structs import TopicPartition as KafkaTopicPartition

from streaming.transport.api import TopicPartition
from streaming.transport.kafka_python.consumer import KafkaPythonConsumer
from streaming.transport.kafka_python.errors import translated
from streaming.transport.terms import JOINING, not_let_in

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

_REJOINING_MS = 5000


class KafkaPythonMember(KafkaPythonConsumer):
    """Reads the partitions that its group gives it.

    Parameters
    ----------
    client : KafkaConsumer
    topics : sequence of str
    group : str
    timeout_ms : int
        How long to wait for answers about offsets.
    given : Given
        The note of what the group gives.

    Raises
    ------
    TransportError
        If the group does not let it in within `JOINING` seconds.
    """

    def __init__(
        self,
        client: Any,
        topics: Sequence[str],
        group: str | None,
        timeout_ms: int,
        given: Given,
    ) -> None:
        self._topics, self._given = topics, given
        client._coordinator.poll = _patient(client._coordinator.poll)
        super().__init__(client, [], group, timeout_ms)

    def _begin(self) -> None:
        self.client.subscribe(list(self._topics), listener=self._given)
        deadline = time.monotonic() + JOINING
        while self.client.group_metadata().generation_id < 0:
            if time.monotonic() > deadline:
                self.client.close(autocommit=False)
                raise not_let_in(self.group)
            self.client._coordinator.poll()
        self.seek(self.committed())

    def _leave(self) -> None:
        """Leave the group, if this member has no name, and close the connections.

        A rebalance that is under way is gone through first: the broker would not hear of a leave
        while it has a join of the same member to answer.
        """
        with suppress(kafka_errors.KafkaError):
            if self.client._coordinator.need_rejoin():
                self.client._coordinator.poll()
        super()._leave()

    @property
    def _addresses(self) -> list[Any]:
        return [KafkaTopicPartition(*address) for address in self.assigned()]

    def assigned(self) -> set[TopicPartition]:
        """Return the partitions that the group has given."""
        return self._given.now()

    def positions(self) -> dict[TopicPartition, int]:
        """Return the offset of the next record of every partition that is still given."""
        found = {}
        for address in self._addresses:
            with suppress(kafka_errors.IllegalStateError), translated("looking up positions"):
                found[TopicPartition(*address)] = self.client.position(address, self._timeout_ms)
        return found

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """Go on from these offsets, in those partitions that are still given."""
        for address, offset in positions.items():
            with suppress(ValueError):  # taken away this very moment
                self.client.seek(KafkaTopicPartition(*address), offset)


def _patient(poll: Callable[..., bool]) -> Callable[..., bool]:
    """Return a coordinator's `poll` that waits for the answer to a join, however short a poll is.

    The client begins a join again that is answered while nobody waits for it, and the whole group
    rebalances once more. A poll without a rebalance returns at once, as before.
    """
    return lambda timeout_ms=None: poll(timeout_ms=_REJOINING_MS)


class Given(ConsumerRebalanceListener):  # type: ignore[misc] # untyped client
    """Notes what the group gives and takes; it is told on the client's own thread.

    Parameters
    ----------
    keep : bool
        Whether what is given comes on top of what is there (a cooperative rebalance). Otherwise all
        is taken before it is given anew, and counts as taken only if it is not given again.
    """

    def __init__(self, keep: bool) -> None:
        self._keep, self._lock = keep, Lock()
        self._partitions: set[TopicPartition] = set()

    def now(self) -> set[TopicPartition]:
        """Return the partitions that are given."""
        with self._lock:
            return set(self._partitions)

    def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        """Note what is given."""
        with self._lock:
            given = {TopicPartition(*address) for address in assigned}
            self._partitions = self._partitions | given if self._keep else given

    def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        """Note what is taken."""
        if self._keep:
            self.on_partitions_lost(revoked)

    def on_partitions_lost(self, lost: Collection[Any]) -> None:
        """Note what the group has given to others already."""
        with self._lock:
            self._partitions -= {TopicPartition(*address) for address in lost}
