"""Claims: which worker may work a partition, decided by the log itself.

A group tells its members which partitions are theirs, but it may take a member for dead that is
only slow, and give its partition to another while it is still about to commit. So a worker does not
rely on what it was told. Whose a partition is stands in the partition's changelog: a key for each
worker that claims it. Taking a partition over means

1. to write one's own claim, unless it stands there already;
2. to read the changelog to its end: nobody's later claim can have been overlooked, because whoever
   claims reads after writing, so of two at least one sees the other;
3. to wait until everybody else has let go, as a worker does between two batches when its group
   takes a partition away; what one has already is worked on meanwhile;
4. to fence those who don't in time: their transactional id is taken from them, which aborts what
   they have open and ends them at their next commit;
5. to read on to the end: what they did commit is there now, and there will be no more of it.

This needs nothing of a broker but transactions, so it holds wherever those hold.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streaming.restore import read_to_end

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from streaming.topics import Topics
    from streaming.transport.api import Consumer, Producer, Transport

CLAIM = b"\xffclaim "
"""What the changelog key of a claim begins with, before the worker's transactional id."""


@dataclass(slots=True)
class _Pending:
    """A partition that is being taken over: what its changelog says so far, and until when."""

    reader: Consumer
    deadline: float
    log: dict[bytes, bytes] = field(default_factory=dict)

    def read_on(self) -> None:
        """Read the changelog to its end by now."""
        for records in read_to_end(self.reader):
            for record in records:
                if record.key is None:
                    continue
                if record.value is None:
                    self.log.pop(record.key, None)
                else:
                    self.log[record.key] = record.value

    def others(self, me: bytes) -> list[bytes]:
        """Return who else claims it."""
        return [key for key in self.log if key.startswith(CLAIM) and key != me]


class Claims:
    """The claims of one worker.

    Parameters
    ----------
    transport : Transport
    topics : Topics
    producer : Producer
        The worker's own, which writes whatever the worker writes.
    consumer : Consumer
        Its place in its group.
    me : str
        Its transactional id.
    patience : float
        Seconds that others have to let go of a partition before they are fenced.
    """

    def __init__(
        self,
        transport: Transport,
        topics: Topics,
        producer: Producer,
        consumer: Consumer,
        me: str,
        patience: float,
    ) -> None:
        self._transport, self._topic = transport, topics.state
        self._producer, self._consumer = producer, consumer
        self._me, self._patience = CLAIM + me.encode(), patience
        self._pending: dict[int, _Pending] = {}

    def take(self, wanted: Collection[int]) -> dict[int, dict[bytes, bytes]]:
        """Go on taking partitions over, and return those that are this worker's from now on.

        Parameters
        ----------
        wanted : collection of int
            What the group gives and this worker has not got yet. What it was waiting for and does
            not want any more, it lets go.

        Returns
        -------
        dict of int to dict
            By partition, the latest record of every key of its changelog.
        """
        given_up = [partition for partition in self._pending if partition not in wanted]
        self.release(given_up)
        for partition in given_up:
            self._pending.pop(partition).reader.close()
        self._claim([partition for partition in wanted if partition not in self._pending])
        free = {}
        for partition, one in sorted(self._pending.items()):
            one.read_on()
            others = one.others(self._me)
            if others and time.monotonic() >= one.deadline:
                self._fence(partition, others)
                one.read_on()
                others = []
            if not others:
                free[partition] = one
        for partition, one in free.items():
            del self._pending[partition]
            one.reader.close()
        return {
            partition: {k: v for k, v in one.log.items() if not k.startswith(CLAIM)}
            for partition, one in free.items()
        }

    def release(self, partitions: Collection[int]) -> None:
        """Let go of partitions: what was committed is all there will be of this worker's."""
        self._write({partition: {self._me: None} for partition in partitions})

    def close(self) -> None:
        """Let go of the connections."""
        for one in self._pending.values():
            one.reader.close()

    def _claim(self, partitions: list[int]) -> None:
        """Write this worker's claim to partitions where it does not stand yet."""
        fresh = {}
        for partition in partitions:
            reader = self._transport.consumer([self._topic], partitions=[partition])
            fresh[partition] = _Pending(reader, time.monotonic() + self._patience)
            fresh[partition].read_on()
        self._pending |= fresh
        self._write({p: {self._me: b"1"} for p, one in fresh.items() if self._me not in one.log})

    def _fence(self, partition: int, others: list[bytes]) -> None:
        for key in others:
            name = key.removeprefix(CLAIM).decode()
            self._transport.producer(transactional_id=name).close()
        self._write({partition: dict.fromkeys(others)})

    def _write(self, claims: Mapping[int, Mapping[bytes, bytes | None]]) -> None:
        if claims:
            self._producer.begin()
            for partition, written in claims.items():
                for key, value in written.items():
                    self._producer.send(self._topic, value, key=key, partition=partition)
            self._producer.commit({}, self._consumer)
