"""A producer id for every holder of a transactional id, where aborted transactions are remembered.

A broker tells a reader which transactions were aborted in what it fetches, and librdkafka drops the
records of those producers until it meets the marker of the abort. The embedded broker tells of all
aborts there ever were, also of those whose marker lies before the fetch, so that a reader that goes
on behind an abort would drop whatever the same producer commits later. It cannot be taught better,
but a producer id that is never used again after an abort does no harm.

A transactional id keeps its producer id, so here its holders write under ids of their own, called
`name~1`, `name~2` and so on, and the id itself is the lock by which they follow each other. The
number of the latest is an offset of a group that nobody reads by, committed in transactions of the
lock. Who takes over, or has aborted, does this:

1.  lock     initialise the id itself, the first time: no earlier holder can commit a number now.
2.  fence    initialise the latest holder's id: it is fenced, and what it left open is aborted.
3.  number   commit the next number: whoever comes next knows which id to fence.
4.  begin    initialise the id of that number.
5.  confirm  commit the number again. It fails if somebody has taken the lock meanwhile, who may
             have fenced the new id before it was begun.

Holders of one id have to take part in this alike, so they all use this client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from confluent_kafka import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable


class Succession:
    """The holder of a transactional id, for as long as nobody takes it over.

    Parameters
    ----------
    name : str
        The transactional id.
    begin : callable
        Returns an initialised client for a transactional id, having fenced who had it.
    counter : confluent_kafka.Consumer
        Whose group counts the holders; it reads nothing.
    timeout : float
        Seconds to wait for the broker.
    """

    def __init__(
        self, name: str, begin: Callable[[str], Any], counter: Any, timeout: float
    ) -> None:
        self._name, self._begin_as = name, begin
        self._counter, self._timeout = counter, timeout
        self._place = TopicPartition(name, 0)
        self._lock = begin(name)
        (latest,) = counter.committed([self._place], timeout)
        self._number = max(0, latest.offset)
        if self._number:
            begin(self._id)

    @property
    def _id(self) -> str:
        return f"{self._name}~{self._number}"

    def next(self) -> Any:
        """Return a client with a producer id that is new.

        Raises
        ------
        KafkaException
            If somebody has taken the transactional id over, or the broker is away.
        """
        self._number += 1
        self._tell()
        client = self._begin_as(self._id)
        self._tell()
        return client

    def _tell(self) -> None:
        """Commit the number, as the holder of the lock."""
        place = TopicPartition(self._place.topic, 0, self._number)
        self._lock.begin_transaction()
        self._lock.send_offsets_to_transaction(
            [place], self._counter.consumer_group_metadata(), self._timeout
        )
        self._lock.commit_transaction(self._timeout)

    def close(self) -> None:
        """Close the connections."""
        self._counter.close()
