"""A reader over confluent-kafka that is a member of a group, and reads what the group gives it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import TopicPartition as ClientTopicPartition

from streaming.transport.api import TopicPartition
from streaming.transport.confluent.consumer import ConfluentConsumer
from streaming.transport.confluent.errors import translated
from streaming.transport.terms import JOINING, not_let_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_JOINING_POLL = 0.05  # seconds


class ConfluentMember(ConfluentConsumer):
    """Reads the partitions that its group gives it.

    Parameters
    ----------
    client : confluent_kafka.Consumer
    topics : sequence of str
    group : str
    timeout : float
        How long to wait for answers about offsets, in seconds.
    rests : bool
        As of `ConfluentConsumer`.
    keep : bool
        Whether what is given comes on top of what is there (a cooperative rebalance). Otherwise all
        is taken before it is given anew, and counts as taken only if it is not given again.

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
        timeout: float,
        rests: bool,
        keep: bool,
    ) -> None:
        self._topics, self._keep, self._joined = topics, keep, False
        super().__init__(client, [], group, timeout, rests)

    def _begin(self) -> None:
        self.client.subscribe(
            list(self._topics), on_assign=self._gave, on_revoke=self._took, on_lost=self._lost
        )
        deadline = time.monotonic() + JOINING
        while not self._joined:
            if time.monotonic() > deadline:
                self.client.close()
                raise not_let_in(self.group)
            self._take([m for m in [self.client.poll(_JOINING_POLL)] if m is not None], [])
        self.seek(self.committed())

    def _gave(self, _client: Any, given: list[Any]) -> None:
        self._joined = True
        places = [TopicPartition(at.topic, at.partition) for at in given]
        kept = self._positions if self._keep else {}
        self._positions = kept | {where: self._positions.get(where, 0) for where in places}

    def _took(self, client: Any, taken: list[Any]) -> None:
        if self._keep:
            self._lost(client, taken)

    def _lost(self, _client: Any, lost: list[Any]) -> None:
        for at in lost:
            self._positions.pop(TopicPartition(at.topic, at.partition), None)

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """Go on from these offsets, in those partitions that are still given."""
        mine = {where: at for where, at in positions.items() if where in self._positions}
        self._positions |= mine
        with translated("seeking"):
            if not self._keep:
                self._assign()
            elif mine:
                places = [ClientTopicPartition(*where, at) for where, at in mine.items()]
                self.client.incremental_unassign(places)
                self.client.incremental_assign(places)
                self._begin_at_rest()
