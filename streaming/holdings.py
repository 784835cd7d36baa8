"""The partitions that a worker has in hand: taken over, let go, and how far each has been worked.

The group says which partitions should be this worker's, `Claims` makes sure of it, and the
partition's changelog says what is known of its users. All of it happens between two batches, so a
partition that is let go has no batch half done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from streaming.join import Join
from streaming.restore import RestoreError, outcomes_in_order, shard_from
from streaming.suspicion import Suspicion
from streaming.transport.api import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from streaming.claims import Claims
    from streaming.config import WorkerConfig
    from streaming.exchange import Exchange
    from streaming.learner import Learner
    from streaming.state import Shard
    from streaming.transport.api import Consumer, Producer, Record, Transport


@dataclass(slots=True)
class Held:
    """A partition in hand.

    Parameters
    ----------
    shard : Shard
    join : Join
    position : int
        The offset of the first record of `feedback` that has not been worked.
    """

    shard: Shard
    join: Join
    position: int


class Holdings:
    """What a worker has in hand, by partition.

    Parameters
    ----------
    transport : Transport
    config : WorkerConfig
    producer : Producer
    consumer : Consumer
        The worker's place in its group.
    claims : Claims
    learner : Learner
    exchange : Exchange
    """

    def __init__(
        self,
        transport: Transport,
        config: WorkerConfig,
        producer: Producer,
        consumer: Consumer,
        claims: Claims,
        learner: Learner,
        exchange: Exchange,
    ) -> None:
        self._transport, self._config, self._topics = transport, config, config.topics
        self._producer, self._consumer, self._claims = producer, consumer, claims
        self._learner, self._exchange = learner, exchange
        self._held: dict[int, Held] = {}
        self.move()

    def __iter__(self) -> Iterator[Held]:
        return iter(self._held.values())

    def __len__(self) -> int:
        return len(self._held)

    def __getitem__(self, partition: int) -> Held:
        return self._held[partition]

    def __contains__(self, partition: int) -> bool:
        return partition in self._held

    @property
    def current(self) -> bool:
        """Whether what is in hand is what the group gives."""
        return self._held.keys() == self._given()

    def unworked(self, records: list[Record]) -> dict[int, list[Record]]:
        """Return by partition in hand those of some records that are next there."""
        found: dict[int, list[Record]] = {partition: [] for partition in self._held}
        for record in records:
            mine = found.get(record.partition)
            if mine is not None:
                mine.append(record)
        for partition, mine in found.items():
            start = self._held[partition].position
            if mine and mine[0].offset < start:
                found[partition] = [record for record in mine if record.offset >= start]
        return found

    def times(self) -> dict[int, int]:
        """Return the watermark of every partition in hand."""
        return {partition: held.join.watermark for partition, held in self._held.items()}

    def settled_until(self) -> int:
        """Return the time by which nothing more is expected in any partition in hand.

        Rankings close by this time in all of them alike, so the order of outcomes is that of event
        time, however the partitions are read. Only partitions of which everything is read are not
        waited for: where nothing is open, and where nothing has come for long, which are idle.
        """
        joins = {partition: held.join for partition, held in self._held.items()}
        newest = max(join.watermark for join in joins.values())
        idle = max(newest, self._exchange.newest) - self._config.rules.idle
        behind = [j for j in joins.values() if j.watermark < max(newest, idle)]
        if not any(join.empty or join.watermark < idle for join in behind):
            return min(join.watermark for join in joins.values())
        ends, positions = self._consumer.end_offsets(), self._consumer.positions()
        waited_for = []
        for partition, join in joins.items():
            where = self.address(partition)
            read = positions.get(where, 0) >= ends.get(where, 1)
            if read:
                join.advance(idle)
            if not (read and join.empty):
                waited_for.append(join.watermark)
        return min([*waited_for, max(join.watermark for join in joins.values())])

    def address(self, partition: int) -> TopicPartition:
        """Return where a partition's feedback lies."""
        return TopicPartition(self._topics.feedback, partition)

    def move(self) -> bool:
        """Let go of what the group has taken away, and take over what it gives and is free.

        Returns
        -------
        bool
            Whether anything has moved: then what was read meanwhile will be read again.

        Raises
        ------
        RestoreError, GapError, RecordError
            If the topics hold what this worker cannot go on from.
        """
        given, before = self._given(), set(self._held)
        self.let_go(before - given)
        self._held = {p: held for p, held in self._held.items() if p in given}
        self._take(sorted(given - before))
        if self._held.keys() == before:
            return False
        self._exchange.meet()
        self._held = dict(sorted(self._held.items()))
        self._consumer.seek({self.address(p): held.position for p, held in self._held.items()})
        return True

    def let_go(self, partitions: Collection[int]) -> None:
        """Tell what partitions have taught, and that others need not wait for them."""
        if partitions:
            self._producer.begin()
            self._exchange.tell_of(self._producer.send, sorted(partitions))
            self._producer.commit({}, self._consumer)
            self._claims.release(sorted(partitions))
            self._exchange.hold(self._held.keys() - set(partitions))

    def _given(self) -> set[int]:
        return {where.partition for where in self._consumer.assigned()}

    def _take(self, partitions: list[int]) -> None:
        changelogs = self._claims.take(partitions)
        if not changelogs:
            return
        committed = self._consumer.committed()
        gone = [p for p in changelogs if self.address(p) not in committed]
        self._claims.release(gone)
        quarantine, suspicions = self._config.quarantine, dict[int, Suspicion | None]()
        for partition in sorted(changelogs.keys() - gone):
            changelog = changelogs[partition]
            shard = shard_from(changelog, self._topics, partition, self._config.features)
            judge = None
            if quarantine is not None:
                judge = Suspicion(quarantine.threshold, quarantine.flood)
            join = Join(
                self._topics.feedback, shard, self._config.rules, self._config.limits, judge
            )
            self._held[partition] = Held(shard, join, committed[self.address(partition)])
            suspicions[partition] = judge
        self._exchange.hold(self._held)
        self._learn(suspicions)

    def _learn(self, suspicions: dict[int, Suspicion | None]) -> None:
        """Learn all that partitions have taught and this worker has not learned yet."""
        learner, partitions = self._learner, list(suspicions)
        for outcomes in outcomes_in_order(self._transport, self._topics, partitions):
            for partition, suspicion in suspicions.items():
                if suspicion is not None:
                    suspicion.recall([o for o in outcomes if o.partition == partition])
            learner.learn([o for o in outcomes if o.number >= learner.numbers.get(o.partition, 0)])
        for partition in partitions:
            known = learner.numbers.get(partition, 0)
            published = self._held[partition].shard.state.counts.numbered
            if known != published:
                raise RestoreError(
                    f"{self._topics.outcomes!r} has {known} outcomes in partition {partition}, but "
                    f"{published} were published: the model is their fold and cannot be had "
                    "without all of them"
                )
