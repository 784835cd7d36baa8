"""A reader over kafka-python that assigns partitions to itself, and does its own waiting."""

from __future__ import annotations

import time
from threading import Event
from typing import TYPE_CHECKING, Any

from kafka.structs import TopicPartition as KafkaTopicPartition

from streaming.transport.api import Record, TopicPartition, TransportError
from streaming.transport.kafka_python.errors import translated
from streaming.transport.kafka_python.finished_aborts import careful
from streaming.transport.terms import LONGEST_PAUSE, SHORTEST_PAUSE

if TYPE_CHECKING:
    from collections.abc import Mapping

_LEAVING_MS = 5000
_LONGEST_WAIT = 0.05  # for an answer, before it is looked again, in seconds
_UPKEEP_EVERY, _ASK_EVERY = 0.05, 0.05  # seconds
_BEHIND = 1000  # records at once, from which on a reader asks for more before it hands them out


class KafkaPythonConsumer:
    """Reads partitions that it assigns to itself; made by `KafkaPythonTransport.consumer`.

    Parameters
    ----------
    client : KafkaConsumer
    addresses : list of TopicPartition
    group : str or None
    timeout_ms : int
        How long to wait for answers about offsets.
    """

    def __init__(
        self, client: Any, addresses: list[TopicPartition], group: str | None, timeout_ms: int
    ) -> None:
        self.group = group
        self.client = client
        self.closed = False
        self._timeout_ms = timeout_ms
        self._upkept = self._asked = 0.0
        self._own = [KafkaTopicPartition(*address) for address in addresses]
        client._fetcher.PartitionRecords = careful(client._fetcher.PartitionRecords)
        self._begin()

    def _begin(self) -> None:
        self.client.assign(self._own)
        self.seek(self.committed())

    @property
    def _addresses(self) -> list[Any]:
        """The partitions that are read now."""
        return self._own

    def assigned(self) -> set[TopicPartition]:
        """Return the partitions read."""
        return {TopicPartition(*address) for address in self._own}

    def poll(self, max_records: int, timeout: float) -> list[Record]:
        """Return up to `max_records` records, waiting at most `timeout` seconds for the first.

        The waiting is done here and not in the client, which asks again as soon as it is answered:
        a broker that answers an empty fetch at once, as the embedded one does, would keep both of
        them busy with hundreds of empty fetches a second.
        """
        deadline, pause = time.monotonic() + timeout, SHORTEST_PAUSE
        with translated("reading"):
            while not (batches := self._at_hand(max_records)):
                remaining = deadline - time.monotonic()
                if remaining <= 0.0 and not self._is_due:
                    break
                answered = self.ask()
                if remaining <= 0.0:
                    break
                if not answered.wait(min(remaining, _LONGEST_WAIT)):
                    continue
                if batches := self._at_hand(max_records):
                    break
                time.sleep(min(pause, remaining))
                pause = min(2.0 * pause, LONGEST_PAUSE)
        return [
            Record(r.topic, r.partition, r.offset, r.key, r.value, r.timestamp)
            for batch in batches.values()
            for r in batch
        ]

    def _at_hand(self, max_records: int) -> Any:
        """Return what has come already.

        The client's own poll asks for more before it hands out what it has, so that what it hands
        out next is as old as this call. Only who is behind wants that.
        """
        if time.monotonic() - self._upkept > _UPKEEP_EVERY:
            self._upkeep()
        batches, _ = self.client._fetcher.fetched_records(max_records)
        if sum(map(len, batches.values())) >= _BEHIND:
            self.ask()
        return batches

    def _upkeep(self) -> None:
        """Do what the client's poll does besides fetching: see to its group and its positions."""
        fetcher, self._upkept = self.client._fetcher, time.monotonic()
        if self.client._coordinator.poll(timeout_ms=0):
            self.client._refresh_committed_offsets(timeout_ms=0)
            fetcher.reset_offsets_if_needed()
            fetcher.maybe_validate_positions()
            fetcher.validate_offsets_if_needed()

    @property
    def _is_due(self) -> bool:
        """Whether to ask although nobody waits: who has no group is content with now and then."""
        return self.group is not None or time.monotonic() - self._asked > _ASK_EVERY

    def ask(self) -> Event:
        """Ask for what has come since, and return what is set when any answer is there.

        It is set at once if there is nothing to ask: what was asked for is at hand, or no position
        is known yet.
        """
        answered, self._asked = Event(), time.monotonic()
        self.client._manager.call_soon(self._ask, answered)
        return answered

    async def _ask(self, answered: Event) -> None:
        """Ask on the client's own thread."""
        fetcher = self.client._fetcher
        await fetcher._send_fetches_async()
        for answer in fetcher._fetch_futures:
            answer.add_both(lambda _: answered.set())
        if not fetcher._fetch_futures:
            answered.set()

    def positions(self) -> dict[TopicPartition, int]:
        """Return the offset of the next record of every partition."""
        with translated("looking up positions"):
            return {
                TopicPartition(*address): self.client.position(address, self._timeout_ms)
                for address in self._addresses
            }

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """Go on from these offsets."""
        for address, offset in positions.items():
            if address not in self._addresses:
                raise TransportError(f"{address} is not read by this consumer")
            self.client.seek(KafkaTopicPartition(*address), offset)

    def committed(self) -> dict[TopicPartition, int]:
        """Return the group's committed offsets, 0 where there are none."""
        if self.group is None:
            return {TopicPartition(*address): 0 for address in self._addresses}
        with translated(f"looking up the offsets of group {self.group!r}"):
            return {
                TopicPartition(*address): self.client.committed(
                    address, timeout_ms=self._timeout_ms
                )
                or 0
                for address in self._addresses
            }

    def end_offsets(self) -> dict[TopicPartition, int]:
        """Return the offset after the last stable record of every partition."""
        with translated("looking up the ends of partitions"):
            ends = self.client.end_offsets(self._addresses, timeout_ms=self._timeout_ms)
        return {TopicPartition(*address): offset for address, offset in ends.items()}

    def close(self) -> None:
        """Close the connections."""
        if not self.closed:
            self.closed = True
            self._leave()

    def _leave(self) -> None:
        self.client.close(autocommit=False, timeout_ms=_LEAVING_MS)
