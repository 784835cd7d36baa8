"""The worker: feedback in, outcomes and recommendations out, every event counted once.

One batch, in this order; what is written is one transaction with the offsets of what was read:

1.  poll     read some records of `feedback`, then what has come of `items`.
2.  decode   what cannot be read becomes a dead letter, with bytes, reason and origin; if a ranking
             shows what is not in the catalogue, `items` is read to its end first.
3.  join     duplicates are counted and dropped; rankings meet their interactions; those whose
             window has passed close, and make outcomes; what comes late makes corrections.
4.  learn    the policies and the click model learn from the outcomes, in order of their `seq`;
             then what was ordered of the roles, or follows from the outcomes, is obeyed.
5.  decide   for each user something was taken in of, once: what they are to be shown next.
6.  begin    the transaction.
7.  publish  outcomes, recommendations, decisions, dead letters, who decides if that has changed,
             now and then what was learned.
8.  state    what changed of users and partitions, to the changelog.
9.  commit   the transaction, with the offsets of the records polled.
10. promote  only now is the changed state the live state.

A crash anywhere leaves the topics as they were after some commit, and the next worker goes on from
there. If a commit fails and may be tried again, memory is worth nothing either: the transaction is
aborted, everything is restored from the topics by the code that start-up runs, and the batch is
read again. A worker whose identity was taken over stops at once.

Several workers share the partitions of `feedback` as members of one group; `holdings` and `claims`
say how a partition moves, `exchange` and `knowledge` how they share what they learn.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from itertools import chain
from typing import TYPE_CHECKING, Protocol, TypeVar
from uuid import uuid4

from streaming.claims import Claims
from streaming.clicks import logistic_regression
from streaming.collector import resting, settled
from streaming.control import Control
from streaming.drift import Watch
from streaming.exchange import Exchange, ShareError
from streaming.holdings import Holdings
from streaming.intake import events_in
from streaming.issue import issue, outcome_of, recommendation_of
from streaming.knowledge import knowledge_of
from streaming.learner import Learner
from streaming.metrics import Report, Stopwatch, report
from streaming.publication import Publication
from streaming.referee import Referee
from streaming.shelf import Shelf
from streaming.transport.api import AbortableError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from threading import Event as Flag

    from agents.api import Policy
    from streaming.clicks import ClickModel
    from streaming.closing import Batch
    from streaming.config import WorkerConfig
    from streaming.events import Erasure, Feedback
    from streaming.records import OutcomeRecord, Recommendation
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

Client = TypeVar("Client", bound="_Closing")

_MOST_FAILURES = 10
_PATIENT_POLL = 0.2


class _Closing(Protocol):
    def close(self) -> None: ...


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
    challengers : sequence of callable
        Return policies that decide nothing until they are given a role: they learn from the same
        outcomes, and what they would have shown with what probability is logged.
    reached : callable
        Is told each step of a batch when it is done; a test that wants a crash there raises.

    Raises
    ------
    TransportError
        If the log cannot be reached or has other topics.
    RestoreError, GapError, RecordError
        If the topics hold what this worker cannot go on from.
    RoleError
        If two policies have the same name, or the loop's champion is none of them.

    Attributes
    ----------
    learner : Learner
        The policy and the click model as of the latest batch.
    control : Control
        Who decides.
    watch : Watch
        Whether the outcomes have drifted.
    referee : Referee or None
        How the challengers stand, if the configuration asks for it.
    stopwatch : Stopwatch
    """

    def __init__(
        self,
        transport: Transport,
        make_policy: Callable[[], Policy],
        config: WorkerConfig,
        *,
        click_model: Callable[[], ClickModel] = logistic_regression,
        challengers: Sequence[Callable[[], Policy]] = (),
        reached: Callable[[str], None] = _go_on,
    ) -> None:
        self._transport, self._make_policy, self._config = transport, make_policy, config
        self._click_model, self._reached = click_model, reached
        self._challengers = challengers
        self._topics = config.topics
        self.stopwatch = Stopwatch()
        self._failures, self._clients = 0, ExitStack()
        transport.ensure_topics(self._topics.specs(config.partitions))
        while not self._opened():
            pass
        self._failures = 0

    # --- what a worker does

    def run(self, stop: Flag) -> None:
        """Work until told to stop; the batch at hand is finished.

        Raises
        ------
        FencedError
            If another worker has taken over.
        """
        with settled():
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
        if self._failures and not self._opened():
            return 0
        try:
            with resting():
                worked = self._batch(timeout)
        except AbortableError as error:
            self._give_up(error)
            return 0
        self._failures = 0
        return worked

    def report(self) -> Report:
        """Return the figures of the partitions that this worker has."""
        counts = (held.shard.state.counts for held in self._held)
        standings = self.referee.standings if self.referee else {}
        return report(counts, self.learner, self.stopwatch, self.control, self.watch, standings)

    @property
    def partitions(self) -> list[int]:
        """The partitions that this worker has."""
        return [held.shard.partition for held in self._held]

    def close(self) -> None:
        """Let go of the partitions and of the log; what was not committed will be read again."""
        try:
            if not self._failures:
                self._held.let_go(self.partitions)
        except TransportError:
            pass  # whoever comes next will not wait for this worker long
        finally:
            self._clients.close()

    # --- from the topics

    def _opened(self) -> bool:
        """Begin from the topics, and return whether it could be done."""
        try:
            with resting():
                self._open()
        except AbortableError as error:
            self._give_up(error)
            return False
        return True

    def _give_up(self, error: AbortableError) -> None:
        """Let go of everything, to begin from the topics again; but not for ever."""
        self._failures += 1
        self.stopwatch.aborted += 1
        self._clients.close()
        if self._failures == _MOST_FAILURES:
            raise TransportError(
                f"{_MOST_FAILURES} batches in a row could not be committed; the last: {error}"
            ) from error

    def _open(self) -> None:
        config, topics, transport = self._config, self._topics, self._transport
        group = f"{config.prefix}{config.group}"
        me = f"{group}-{config.worker or uuid4()}"
        # The producer comes first: it ends what an earlier worker left open, so that the topics
        # can be read to their end.
        self._producer: Producer = self._kept(transport.producer(transactional_id=me))
        self._publication = Publication(self._producer, topics)
        self._shelf = self._kept(
            Shelf(
                transport.consumer([topics.items]),
                items=config.items,
                users=config.users,
                slate_size=config.slate_size,
            )
        )
        knowledge = knowledge_of(self._make_policy)
        challengers = [knowledge_of(make) for make in self._challengers]
        self.watch = Watch(config.drift)
        self.referee = Referee(config.gate, config.slate_size) if config.gate else None
        self._watchers = [one for one in (self.referee, self.watch) if one is not None]
        self.learner = Learner(knowledge, self._click_model, challengers, self._watchers)
        self.control = self._kept(Control(transport, topics, list(self.learner.pool.policies)))
        for watcher in self._watchers:
            watcher.begin(self.control.roles)
        self._exchange = self._kept(
            Exchange(
                transport,
                topics,
                config.partitions,
                [knowledge, *challengers],
                every=config.snapshot_every,
                step=config.rules.idle // 2,
            )
        )
        self._consumer: Consumer = self._kept(
            transport.consumer([topics.feedback], group=group, member=config.worker)
        )
        claims = self._kept(
            Claims(transport, topics, self._producer, self._consumer, me, config.patience)
        )
        self._held = Holdings(
            transport,
            config,
            self._producer,
            self._consumer,
            claims,
            self.learner,
            self._exchange,
        )

    def _kept(self, client: Client) -> Client:
        """Have a client closed with the others, the latest first."""
        return self._clients.enter_context(closing(client))

    # --- one batch

    def _batch(self, timeout: float) -> int:
        """Work one batch, in the order that the module describes."""
        watch, held = self.stopwatch, self._held
        with watch.over("poll"):
            records = self._consumer.poll(self._config.batch_size, timeout)
            self._check_alone()
            if not held.current and held.move():
                return 0
            fresh = held.unworked(records)
            count = sum(map(len, fresh.values()))
            self._shelf.look(to_the_end=False)
            self._exchange.listen()
            self.control.listen(leads=0 in self._held)
        self._reached("poll")
        if not held:
            self._shelf.letters(None)
            return 0
        if not (count or self._shelf.refused or self._something_to_say):
            return 0
        with watch.over("decode"):
            events = self._decode(fresh)
            letters = self._shelf.letters(held[0].shard.state if 0 in held else None)
        self._reached("decode")
        with watch.over("join"):
            for partition, some in events.items():
                held[partition].join.take(some, self._shelf.slates)
            until = held.settled_until()
            batches = {one.shard.partition: one.join.settle(until) for one in held}
        self._reached("join")
        with watch.over("learn"):
            outcomes = self._learn(batches)
            self._obey()
        self._reached("learn")
        with watch.over("decide"):
            recommendations = self._decide(batches)
        self._reached("decide")
        with watch.over("publish"):
            self._producer.begin()
            self._reached("begin")
            letters += [letter for batch in batches.values() for letter in batch.letters]
            self._publication.take_back({p: batch.erased for p, batch in batches.items()})
            self._publication.outcomes(outcomes)
            self._publication.recommendations(recommendations)
            self._publication.letters(letters)
            self.control.tell(self._producer.send)
            self._exchange.tell(self._producer.send, held.times())
            self._reached("publish")
            changes = self._publication.changes(held)
        self._reached("state")
        with watch.over("commit"):
            worked = {partition: some[-1].offset + 1 for partition, some in fresh.items() if some}
            offsets = {held.address(partition): offset for partition, offset in worked.items()}
            self._producer.commit(offsets, self._consumer)
        self._reached("commit")
        for one in held:
            one.shard.promote(changes[one.shard.partition])
            one.position = worked.get(one.shard.partition, one.position)
        watch.batches += 1
        self._reached("promote")
        return count

    @property
    def _something_to_say(self) -> bool:
        """Whether others wait for news, or something is to be closed of which others told."""
        idle = self._exchange.newest - self._config.rules.idle
        silent = any(not one.join.empty and one.join.watermark < idle for one in self._held)
        return silent or self.control.due or self._exchange.due(self._held.times())

    def _check_alone(self) -> None:
        """Refuse to share partitions while there is a gate, which sees this worker's alone."""
        if self.referee and 0 < len(self._consumer.assigned()) < self._config.partitions:
            raise ShareError(
                "the gate judges by what one worker sees, and the group has given some of the "
                "partitions to another: stop that one, or serve without the gate"
            )

    def _decode(
        self, records: dict[int, list[Record]]
    ) -> dict[int, list[tuple[Feedback | Erasure, Record]]]:
        """Return by partition the events that records hold, the catalogue being fit for them."""
        largest, partitions = self._config.limits.event_bytes, self._config.partitions
        events = {
            partition: events_in(some, self._held[partition].join, largest, partitions)
            for partition, some in records.items()
        }
        if self._shelf.lacks(chain.from_iterable(events.values())):
            self._shelf.look(to_the_end=True)
        return events

    def _learn(self, batches: dict[int, Batch]) -> list[OutcomeRecord]:
        """Learn from what has closed, and return the outcomes."""
        closed = [
            (one.ranking.time, one.ranking.id, partition, one)
            for partition, batch in batches.items()
            for one in batch.closed
            if one.corrects is None
        ]
        closed.sort(key=lambda one: one[:2])
        window, seq = self._config.rules.window, self.learner.learned
        outcomes = [
            outcome_of(one, partition, seq + place, window)
            for place, (_, _, partition, one) in enumerate(closed)
        ]
        corrections = [
            outcome_of(one, partition, seq + len(outcomes), window)
            for partition, batch in batches.items()
            for one in batch.closed
            if one.corrects is not None
        ]
        for watcher in self._watchers:
            watcher.begin(self.control.roles)
        learned = self.learner.learn([*outcomes, *corrections])
        self.learner.knowledge.settle()
        return learned

    def _obey(self) -> None:
        """Do what was ordered of the roles, and what follows from the outcomes of the batch."""
        for watcher in self._watchers:
            self.control.ask(watcher.orders())
        self.control.obey(self.learner.learned)

    def _decide(self, batches: dict[int, Batch]) -> list[tuple[int, Recommendation]]:
        """Decide anew for everyone touched, and return what is new with its partition."""
        slates = self._shelf.slates
        touched = [
            (one.shard, name, one.shard.user(name), touch)
            for one in self._held
            for name, touch in batches[one.shard.partition].touched.items()
        ]
        if not touched or not len(slates):
            return []
        _, names, users, touches = zip(*touched, strict=True)
        times = [
            max(touch.time, user.described[0]) for touch, user in zip(touches, users, strict=True)
        ]
        requests = slates.requests(names, users, times)
        decisions = self.learner.pool.decide(requests, self.control.roles, self.learner.learned)
        recommendations = []
        for row, (shard, name, user, touch) in enumerate(touched):
            issued = issue(row, requests, decisions[row], slates, user, touch, self._config)
            if issued is not None:
                shard.state.counts.decisions += 1
                self.stopwatch.decided[issued.policy] += 1
                recommendations.append(
                    (shard.partition, recommendation_of(name, issued, self._config.seed))
                )
        return recommendations
