"""What a batch writes, within its transaction: who reads it where, and under which key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streaming.records import encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from streaming.holdings import Holdings
    from streaming.records import DeadLetter, OutcomeRecord, Recommendation
    from streaming.topics import Topics
    from streaming.transport.api import Producer


class Publication:
    """Writes what came of batches.

    Parameters
    ----------
    producer : Producer
    topics : Topics
    """

    def __init__(self, producer: Producer, topics: Topics) -> None:
        self._producer, self._topics = producer, topics

    def take_back(self, erased: Mapping[int, Iterable[str]]) -> None:
        """Take back what the erased users of each partition were recommended."""
        topic, send = self._topics.recommendations, self._producer.send
        for partition, names in erased.items():
            for name in names:
                send(topic, None, key=name.encode(), partition=partition)

    def outcomes(self, outcomes: Iterable[OutcomeRecord]) -> None:
        """Write outcomes."""
        topic, send = self._topics.outcomes, self._producer.send
        for one in outcomes:
            send(topic, encode(one), key=one.user.encode(), partition=one.partition)

    def recommendations(self, recommendations: Iterable[tuple[int, Recommendation]]) -> None:
        """Write what users are to be shown, with their partition: for now, and into the log."""
        now, log, send = self._topics.recommendations, self._topics.decisions, self._producer.send
        for partition, one in recommendations:
            value, key = encode(one), one.user.encode()
            send(now, value, key=key, partition=partition)
            send(log, value, key=key, partition=partition)

    def letters(self, letters: Iterable[DeadLetter]) -> None:
        """Write dead letters."""
        for letter in letters:
            self._producer.send(self._topics.dead_letters, encode(letter), key=letter.key)

    def changes(self, held: Holdings) -> dict[int, dict[bytes, bytes | None]]:
        """Write what changed of the state of the partitions in hand, and return it by partition."""
        topic, send = self._topics.state, self._producer.send
        changes = {one.shard.partition: one.shard.changes() for one in held}
        for partition, changed in changes.items():
            for key, value in changed.items():
                send(topic, value, key=key, partition=partition)
        return changes
