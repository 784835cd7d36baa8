"""A reader over confluent-kafka that assigns partitions to itself.

librdkafka fetches on threads of its own, whether or not anybody polls. Kafka lets an empty fetch
wait; the embedded broker answers it at once, and half a dozen consumers at the ends of their
partitions would keep two cores busy with nothing. There a consumer that has all there was is paused
until it is polled again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import TopicPartition as ClientTopicPartition

from streaming.transport.api import Record, TopicPartition, TransportError
from streaming.transport.confluent.errors import translated
from streaming.transport.terms import LONGEST_PAUSE, SHORTEST_PAUSE

if TYPE_CHECKING:
    from collections.abc import Mapping

_LATEST = -1  # the time that Kafka answers with the end
_LOOK_EVERY, _LOOKING, _UNDER_WAY = 0.1, 1.0, 0.02  # for who does not wait; for the broker


class ConfluentConsumer:
    """Reads partitions that it assigns to itself; made by `ConfluentTransport.consumer`.

    Parameters
    ----------
    client : confluent_kafka.Consumer
    addresses : list of TopicPartition
    group : str or None
    timeout : float
        How long to wait for answers about offsets, in seconds.
    rests : bool
        Whether to fetch only when polled, because the broker does not let an empty fetch wait.
    """

    def __init__(
        self,
        client: Any,
        addresses: list[TopicPartition],
        group: str | None,
        timeout: float,
        rests: bool,
    ) -> None:
        self.group = group
        self.client = client
        self._timeout = timeout
        self._rests, self._resting, self._next_look = rests, False, 0.0
        self._ends: dict[TopicPartition, int] = {}
        self.closed = False
        self._positions = dict.fromkeys(addresses, 0)
        self._begin()

    def _begin(self) -> None:
        self.seek(self.committed())

    def assigned(self) -> set[TopicPartition]:
        """Return the partitions read."""
        return set(self._positions)

    def poll(self, max_records: int, timeout: float) -> list[Record]:
        """Return up to `max_records` records, waiting at most `timeout` seconds for the first."""
        deadline, pause = time.monotonic() + timeout, SHORTEST_PAUSE
        records: list[Record] = []
        with translated("reading"):
            while not records:
                patience = max(0.0, deadline - time.monotonic())
                coming = self._look(patience)
                if coming:
                    patience = max(patience, _UNDER_WAY)
                elif coming is not None:
                    patience, pause = min(pause, patience), min(2.0 * pause, LONGEST_PAUSE)
                first = self.client.poll(patience)
                if first is not None:
                    rest = self.client.consume(max_records - 1, 0.0) if max_records > 1 else []
                    self._take([first, *rest], records)
                elif time.monotonic() >= deadline:
                    break
            self._rest_at_end()
        return records

    def _look(self, patience: float) -> bool | None:
        """Begin to fetch if there is something; return whether there is, None if it is not known.

        The question wakes the client's thread as well, which would not notice for up to a second
        that it may fetch again. Where all was read and nobody waits for more, it is not asked each
        time; otherwise the answer is waited for, at most `_LOOKING` seconds.
        """
        if not self._rests:
            return None
        if self._resting and patience == 0.0 and time.monotonic() < self._next_look:
            return False
        if self._resting:
            self.client.resume(self._places())
            self._resting = False
        elif any(at < self._ends.get(where, 0) for where, at in self._positions.items()):
            return True  # there is more than was read: nobody needs to be asked
        try:
            self._ends = self._stable(_LOOKING)
        except KafkaException:  # the broker is away: the client knows how to wait for it
            self._ends = {}
            return None
        self._next_look = time.monotonic() + _LOOK_EVERY
        return not self._rest_at_end()

    def _rest_at_end(self) -> bool:
        """Stop fetching if all is read that there was when it was last looked, and tell whether."""
        if not self._rests:
            return False
        if not self._resting:
            ends, endless = self._ends, float("inf")
            if all(at >= ends.get(where, endless) for where, at in self._positions.items()):
                self._rest()
        return self._resting

    def _rest(self) -> None:
        self.client.pause(self._places())
        self._resting = True

    def _places(self) -> list[Any]:
        return [ClientTopicPartition(*address) for address in self._positions]

    def _stable(self, timeout: float) -> dict[TopicPartition, int]:
        """Return the offset after the last stable record of every partition."""
        latest = [ClientTopicPartition(*address, _LATEST) for address in self._positions]
        ends = self.client.offsets_for_times(latest, timeout) if latest else []
        for end in ends:
            if end.error is not None:
                raise KafkaException(end.error)
        return {TopicPartition(end.topic, end.partition): end.offset for end in ends}

    def _take(self, messages: list[Any], records: list[Record]) -> None:
        """Keep the records of messages, and where they leave their partitions."""
        ends: dict[tuple[str, int], int] = {}
        topics = {where.topic for where in self._positions}
        only = topics.pop() if len(topics) == 1 else None  # asked for, it would be made each time
        for message in messages:
            topic, partition, offset = (
                only or message.topic(),
                message.partition(),
                message.offset(),
            )
            error = message.error()
            if error is None:
                key, value, (_, timestamp) = message.key(), message.value(), message.timestamp()
                records.append(Record(topic, partition, offset, key, value, timestamp))
                ends[topic, partition] = offset + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                ends[topic, partition] = offset
            elif not error.retriable():
                raise KafkaException(error)
        self._positions |= {TopicPartition(*address): end for address, end in ends.items()}

    def positions(self) -> dict[TopicPartition, int]:
        """Return the offset of the next record of every partition."""
        return dict(self._positions)

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """Go on from these offsets."""
        for address in positions:
            if address not in self._positions:
                raise TransportError(f"{address} is not read by this consumer")
        self._positions |= positions
        with translated("seeking"):
            self._assign()

    def _assign(self) -> None:
        self.client.assign(
            [ClientTopicPartition(*address, at) for address, at in self._positions.items()]
        )
        self._begin_at_rest()

    def _begin_at_rest(self) -> None:
        """Fetch nothing before the first poll."""
        if self._rests:
            self._rest()
            self._next_look = 0.0

    def committed(self) -> dict[TopicPartition, int]:
        """Return the group's committed offsets, 0 where there are none."""
        if self.group is None:
            return dict.fromkeys(self._positions, 0)
        with translated(f"looking up the offsets of group {self.group!r}"):
            known = self.client.committed(self._places(), self._timeout)
        return {TopicPartition(at.topic, at.partition): max(0, at.offset) for at in known}

    def end_offsets(self) -> dict[TopicPartition, int]:
        """Return the offset after the last stable record of every partition."""
        with translated("looking up the ends of partitions"):
            return self._stable(self._timeout)

    def close(self) -> None:
        """Close the connections."""
        if not self.closed:
            self.closed = True
            self.client.close()
