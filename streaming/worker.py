"""The worker: feedback in, outcomes and recommendations out, every event counted once.

One batch, in this order; what is written is one transaction with the offsets of what was read:

1.  poll     read some records of `feedback`, then what `items` holds by now.
2.  decode   what cannot be read becomes a dead letter, with bytes, reason and origin.
3.  join     duplicates are counted and dropped; rankings meet their interactions; those whose
             window has passed close, and make outcomes.
4.  learn    the policy and the click model learn from the outcomes, in order of their `seq`.
5.  decide   for each user something was taken in of, once: what they are to be shown next.
6.  begin    the transaction.
7.  publish  outcomes, recommendations, decisions, dead letters, now and then a snapshot.
8.  state    what changed of users and partitions, to the changelog.
9.  commit   the transaction, with the offsets of the records polled.
10. promote  only now is the changed state the live state.

A crash anywhere leaves the topics as they were after some commit, and the next worker goes on from
there. If a commit fails and may be tried again, memory is worth nothing either: the transaction is
aborted, everything is restored from the topics by the code that start-up runs, and the batch is
read again. A worker whose identity was taken over stops at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streaming import snapshot
from streaming.events import BadEventError, ItemEvent, decode, erasure_of
from streaming.issue import issue, outcome_of, recommendation_of
from streaming.join import Join
from streaming.learner import Learner, logistic_regression
from streaming.metrics import Report, Stopwatch, report
from streaming.records import encode, letter_of
from streaming.restore import RestoreError, restore_learner, restore_shards
from streaming.shelf import Shelf
from streaming.transport.api import AbortableError, TopicPartition, TransportError
from streaming.transport.partitioner import partition_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event as Flag

    from agents.api import Policy
    from streaming.config import WorkerConfig
    from streaming.events import Erasure
    from streaming.join import Batch, Feedback
    from streaming.learner import ClickModel
    from streaming.records import DeadLetter, OutcomeRecord, Recommendation
    from streaming.transport.api import Consumer, Producer, Record, Transport

STEPS = (
    "poll",
    "decode",
    "join",
    "learn",
    "decide",
    "begin",
    "publish",
    "state",
    "commit",
    "promote",
)
"""The steps of a batch, in order."""

_LARGEST_SNAPSHOT = 48 * 1024 * 1024
_WHOLE_MODEL = b"*"  # the key of snapshots: all partitions
_MOST_FAILURES = 10
_PATIENT_POLL = 0.2


def _go_on(_step: str) -> None:
    """Do nothing."""


class Worker:
    """Works feedback off, over any transport. It is ready when it is made.

    Parameters
    ----------
    transport : Transport
    make_policy : callable
        Returns the policy as it is before it learns anything here, always the same.
    config : WorkerConfig
    click_model : callable
        Returns a new River classifier; see `Learner`.
    reached : callable
        Is told each step of a batch when it is done; a test that wants a crash there raises.

    Raises
    ------
    TransportError
        If the log cannot be reached or has other topics.
    RestoreError, GapError, RecordError
        If the topics hold what this worker cannot go on from.

    Attributes
    ----------
    learner : Learner
        The policy and the click model as of the latest batch.
    stopwatch : Stopwatch
    """

    def __init__(
        self,
        transport: Transport,
        make_policy: Callable[[], Policy],
        config: WorkerConfig,
        *,
        click_model: Callable[[], ClickModel] = logistic_regression,
        reached: Callable[[str], None] = _go_on,
    ) -> None:
        self._transport, self._make_policy, self._config = transport, make_policy, config
        self._click_model, self._reached = click_model, reached
        self._topics = config.topics
        self.stopwatch = Stopwatch()
        self._failures = 0
        transport.ensure_topics(self._topics.specs(config.partitions))
        self._restore()

    # --- what a worker does

    def run(self, stop: Flag) -> None:
        """Work until told to stop; the batch at hand is finished.

        Raises
        ------
        FencedError
            If another worker has taken over.
        """
        while not stop.is_set():
            self.step(_PATIENT_POLL)

    def step(self, timeout: float = 0.0) -> int:
        """Work one batch, and return how many records it had: 0 if none came in time.

        Raises
        ------
        FencedError
            If another worker has taken over.
        TransportError
            If batch after batch cannot be committed.
        """
        try:
            worked = self._batch(timeout)
        except AbortableError as error:
            self._failures += 1
            self.stopwatch.aborted += 1
            if self._failures == _MOST_FAILURES:
                raise TransportError(
                    f"{_MOST_FAILURES} batches in a row could not be committed; the last: {error}"
                ) from error
            self._close_clients()
            self._restore()
            return 0
        self._failures = 0
        return worked

    def report(self) -> Report:
        """Return the loop in figures."""
        return report((shard.state.counts for shard in self._shards), self.learner, self.stopwatch)

    def close(self) -> None:
        """Let go of the log. Nothing is lost: what was not committed will be read again."""
        self._close_clients()

    # --- from the topics

    def _restore(self) -> None:
        config, topics, transport = self._config, self._topics, self._transport
        # The producer comes first: it ends what an earlier worker left open, so that the topics
        # can be read to their end.
        self._producer: Producer = transport.producer(
            transactional_id=f"{config.prefix}{config.group}"
        )
        self._shelf = Shelf(
            transport.consumer([topics.items]),
            items=config.items,
            users=config.users,
            slate_size=config.slate_size,
        )
        self._shards = restore_shards(transport, topics, config.partitions, config.features)
        policy = self._make_policy()
        self._origin = snapshot.origin_of(policy)
        self.learner = Learner(policy, self._click_model)
        restore_learner(transport, topics, self.learner, self._origin)
        known = sum(shard.state.counts.outcomes for shard in self._shards)
        if known != self.learner.learned:
            raise RestoreError(
                f"{topics.outcomes!r} has {self.learner.learned} outcomes, but {known} were "
                "published: the model is their fold and cannot be had without all of them"
            )
        self._joins = [
            Join(topics.feedback, shard, config.rules, config.limits) for shard in self._shards
        ]
        self._consumer: Consumer = transport.consumer(
            [topics.feedback], group=f"{config.prefix}{config.group}"
        )

    def _close_clients(self) -> None:
        for client in (self._producer, self._consumer, self._shelf):
            client.close()

    # --- one batch

    def _batch(self, timeout: float) -> int:
        """Work one batch, in the order that the module describes."""
        watch = self.stopwatch
        with watch.over("poll"):
            records = self._consumer.poll(self._config.batch_size, timeout)
            self._shelf.look(to_the_end=bool(records))
        self._reached("poll")
        if not records and not self._shelf.refused:
            return 0
        with watch.over("decode"):
            events = self._decode(records)
            letters = self._refused_items()
        self._reached("decode")
        with watch.over("join"):
            for event, record in events:
                self._joins[record.partition].take(event, record, self._shelf.slates)
            until = self._settled_until()
            batches = [join.settle(until) for join in self._joins]
        self._reached("join")
        with watch.over("learn"):
            outcomes = self._learn(batches)
        self._reached("learn")
        with watch.over("decide"):
            recommendations = self._decide(batches)
        self._reached("decide")
        with watch.over("publish"):
            self._producer.begin()
            self._reached("begin")
            letters += [letter for batch in batches for letter in batch.letters]
            self._erase(batches)
            self._publish(outcomes, recommendations, letters)
            self._reached("publish")
            changes = self._changelog()
        self._reached("state")
        with watch.over("commit"):
            self._producer.commit(self._consumer.positions(), self._consumer)
        self._reached("commit")
        for shard in self._shards:
            shard.promote(changes[shard.partition])
        watch.batches += 1
        self._reached("promote")
        return len(records)

    def _decode(self, records: list[Record]) -> list[tuple[Feedback | Erasure, Record]]:
        events = []
        for record in records:
            join = self._joins[record.partition]
            size = len(record.value or b"")
            if size > self._config.limits.event_bytes:
                join.bury(
                    "too-large",
                    f"{size} bytes are too large for an event: "
                    f"{self._config.limits.event_bytes} are allowed",
                    record,
                )
                continue
            try:
                events.append((self._event(record), record))
            except BadEventError as error:
                join.bury("contract", str(error), record)
        return events

    def _event(self, record: Record) -> Feedback | Erasure:
        """Return the event that a record of `feedback` holds, if it lies where it belongs."""
        event = erasure_of(record.key) if record.value is None else decode(record.value)
        if isinstance(event, ItemEvent):
            raise BadEventError("item events belong on the topic `items`")
        user = event.user.encode()
        if record.key != user:
            raise BadEventError(f"feedback of user {event.user!r} must have the user as its key")
        home = partition_of(user, self._config.partitions)
        if record.partition != home:
            raise BadEventError(
                f"feedback of user {event.user!r} belongs in partition {home}, not "
                f"{record.partition}: let Kafka's own partitioner (murmur2) choose"
            )
        return event

    def _settled_until(self) -> int:
        """Return the time by which nothing more is expected in any partition.

        Rankings close by this time in all partitions alike, so the order of outcomes is that of
        event time, however the partitions are read. Only partitions of which everything is read are
        not waited for: where nothing is open, and where nothing has come for long, which are idle.
        """
        newest = max(join.watermark for join in self._joins)
        idle = newest - self._config.rules.idle
        behind = [join for join in self._joins if join.watermark < newest]
        if not any(join.empty or join.watermark < idle for join in behind):
            return min(join.watermark for join in self._joins)
        ends, positions = self._consumer.end_offsets(), self._consumer.positions()
        waited_for = [newest]
        for shard, join in zip(self._shards, self._joins, strict=True):
            where = TopicPartition(self._topics.feedback, shard.partition)
            if positions[where] >= ends[where]:
                join.advance(idle)
            if positions[where] < ends[where] or not join.empty:
                waited_for.append(join.watermark)
        return min(waited_for)

    def _refused_items(self) -> list[DeadLetter]:
        """Return the dead letters of `items` that no earlier worker has sent."""
        state = self._shards[0].state
        letters = []
        for record, reason in self._shelf.refused:
            if record.offset >= state.items:
                state.items = record.offset + 1
                state.counts.items += 1
                letters.append(letter_of("item", reason, record))
        self._shelf.refused.clear()
        return letters

    def _learn(self, batches: list[Batch]) -> list[tuple[int, OutcomeRecord]]:
        """Learn from what has closed, and return the outcomes with their partitions."""
        closed = [
            (shard.partition, closed)
            for shard, batch in zip(self._shards, batches, strict=True)
            for closed in batch.closed
        ]
        closed.sort(key=lambda one: (one[1].ranking.time, one[1].ranking.id))
        window = self._config.rules.window
        outcomes = [
            outcome_of(ranking, seq, window)
            for seq, (_, ranking) in enumerate(closed, start=self.learner.learned)
        ]
        learned = self.learner.learn(outcomes)
        return [(partition, record) for (partition, _), record in zip(closed, learned, strict=True)]

    def _decide(self, batches: list[Batch]) -> list[tuple[int, Recommendation]]:
        """Decide anew for everyone touched, and return what is new with its partition."""
        slates = self._shelf.slates
        touched = [
            (shard, name, shard.user(name), touch)
            for shard, batch in zip(self._shards, batches, strict=True)
            for name, touch in batch.touched.items()
        ]
        if not touched or not len(slates):
            return []
        _, names, users, touches = zip(*touched, strict=True)
        times = [
            max(touch.time, user.described[0]) for touch, user in zip(touches, users, strict=True)
        ]
        requests = slates.requests(names, users, times)
        decisions = self.learner.policy.decide(requests)
        recommendations = []
        for row, (shard, name, user, touch) in enumerate(touched):
            issued = issue(row, requests, decisions, slates, user, touch, self._config)
            if issued is not None:
                shard.state.counts.decisions += 1
                recommendations.append(
                    (shard.partition, recommendation_of(name, issued, self._config.seed))
                )
        return recommendations

    def _erase(self, batches: list[Batch]) -> None:
        """Take back what erased users were recommended."""
        for shard, batch in zip(self._shards, batches, strict=True):
            for name in batch.erased:
                self._producer.send(
                    self._topics.recommendations, None, key=name.encode(), partition=shard.partition
                )

    def _publish(
        self,
        outcomes: list[tuple[int, OutcomeRecord]],
        recommendations: list[tuple[int, Recommendation]],
        letters: list[DeadLetter],
    ) -> None:
        topics, send = self._topics, self._producer.send
        for partition, outcome in outcomes:
            send(topics.outcomes, encode(outcome), key=outcome.user.encode(), partition=partition)
        for partition, recommendation in recommendations:
            value, key = encode(recommendation), recommendation.user.encode()
            send(topics.recommendations, value, key=key, partition=partition)
            send(topics.decisions, value, key=key, partition=partition)
        for letter in letters:
            send(topics.dead_letters, encode(letter), key=letter.key)
        learned, every = self.learner.learned, self._config.snapshot_every
        if learned // every > (learned - len(outcomes)) // every:
            message = snapshot.take(self.learner.policy, self._origin, learned)
            if len(message) <= _LARGEST_SNAPSHOT:
                send(topics.model, message, key=_WHOLE_MODEL)

    def _changelog(self) -> list[dict[bytes, bytes | None]]:
        """Publish what changed of the state, and return it by partition."""
        changes = [shard.changes() for shard in self._shards]
        for partition, changed in enumerate(changes):
            for key, value in changed.items():
                self._producer.send(self._topics.state, value, key=key, partition=partition)
        return changes
