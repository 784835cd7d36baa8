"""The join of rankings and interactions in event time: each event counts once, whatever its order.

Everything here is a function of the records of one partition: no clock, no broker. The rules ask
only for event times, so that events which are reordered by no more than the allowed lateness, or
delivered again, lead to the same outcomes in the same order:

- Time is the partition's watermark. It moves with every event that is known for the first time,
  whether the event is then taken or refused.
- An event is known by its id until the watermark is `horizon` past it; older ones are refused.
- A ranking at r is open until the watermark reaches r + window. An interaction at i belongs to it
  if r - window < i < r + the window of its type, and may come before it.
- Rankings that close give outcomes in the order of (closing time, ranking time, id).
- Where `late` allows it, an interaction that comes after the window corrects the outcome: its old
  rewards and its new ones are both told, so that what was learned can be taken back.
- A user who sends nothing for `absence` is forgotten, and somebody new when they come again.
  Whether they come in time is for the watermark to say when their event is taken; what is open
  is kept.

When a ranking is closed for good is for the caller to say, who knows of the other partitions: what
the rules say of an event does not hang on it.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, TypeAlias

from agents.api import key_of
from streaming.events import BadEventError, Erasure, InteractionEvent, RankingEvent, UserEvent
from streaming.records import KEPT_BYTES, DeadLetter, letter_of
from streaming.slates import RefusedError
from streaming.state import Credit, OpenRanking, Waiting
from streaming.suspicion import signs_of
from streaming.watermark import Watermark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streaming.events import Field
    from streaming.rules import Limits, Rules
    from streaming.state import Shard, UserState
    from streaming.suspicion import Suspicion
    from streaming.transport.api import Record

_LARGEST_REWARD = 1e30
"""So large that a sum of what a ranking may collect still fits float32."""

Feedback: TypeAlias = UserEvent | RankingEvent | InteractionEvent


class Opener(Protocol):
    """Knows what events mean here and now; `Slates` in the loop."""

    def opened(self, event: RankingEvent, user: UserState) -> OpenRanking:
        """Return a ranking as shown, or raise `RefusedError` or `BadEventError`."""

    def context(self, fields: Sequence[Field]) -> bytes:
        """Return the context that a user's fields make, or raise `BadEventError`."""


@dataclass(slots=True)
class Touch:
    """That a batch brought something of a user's.

    Parameters
    ----------
    time : int
        The newest time among it.
    described : bool
        Whether a user event was among it.
    """

    time: int
    described: bool = False


@dataclass(frozen=True, slots=True)
class Closed:
    """A ranking whose window has passed, and the reward of each slot.

    `number` is the outcome's in its partition; a correction says which outcome it corrects, and
    the rewards that it replaces. `signs` are what it was judged by, if it was.
    """

    user: str
    ranking: OpenRanking
    rewards: list[float]
    number: int
    corrects: int | None = None
    replaced: list[float] = field(default_factory=list)
    signs: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Batch:
    """What came of the events of a batch.

    Parameters
    ----------
    closed : list of Closed
        In the order of their numbers.
    touched : dict of str to Touch
        The users of whom something was taken in, in order of appearance.
    letters : list of DeadLetter
        What was refused.
    erased : list of str
        The users who are to be forgotten.
    """

    closed: list[Closed] = field(default_factory=list)
    touched: dict[str, Touch] = field(default_factory=dict)
    letters: list[DeadLetter] = field(default_factory=list)
    erased: list[str] = field(default_factory=list)


class Join:
    """Joins the events of one partition: `take` each event of a batch, then `settle` the batch.

    Parameters
    ----------
    topic : str
        Where the events come from, for dead letters.
    shard : Shard
        The partition's state, which is changed.
    rules : Rules
    limits : Limits
    suspicion : Suspicion, optional
        Judges what closes: it has learned from the partition's outcomes so far.
    """

    def __init__(
        self,
        topic: str,
        shard: Shard,
        rules: Rules,
        limits: Limits,
        suspicion: Suspicion | None = None,
    ) -> None:
        self._topic, self._shard, self._suspicion = topic, shard, suspicion
        self._rules, self._limits = rules, limits
        self._watermark = Watermark(
            rules.quorum, rules.lateness, shard.state.newest, shard.state.floor
        )
        self._counts = shard.state.counts
        self._batch = Batch()
        self._corrected: dict[tuple[str, str], None] = {}
        for name, user in shard.users():
            self._schedule(name, user)

    @property
    def watermark(self) -> int:
        """The partition's event time in milliseconds since the epoch."""
        return self._watermark.value

    @property
    def empty(self) -> bool:
        """Whether nothing is open here."""
        return self._counts.open == 0

    def advance(self, time: int) -> None:
        """Move the partition's time to at least here, though no event claims it."""
        if time > self._watermark.value:
            self._watermark.floor = self._shard.state.floor = time

    def take(self, event: Feedback | Erasure, record: Record, opener: Opener) -> None:
        """Take an event in, count it as a duplicate, or bury it; or forget a user."""
        if isinstance(event, Erasure):
            self._erase(event.user)
            return
        try:
            self._take(event, event.time, record, opener)
        except RefusedError as error:
            self.bury(error.kind, str(error), record)
        except BadEventError as error:
            self.bury("contract", str(error), record)

    def bury(self, kind: str, reason: str, record: Record) -> None:
        """Make a dead letter of a record, and count it."""
        self._counts.bury(kind)
        self._batch.letters.append(letter_of(kind, reason, record))

    def settle(self, until: int) -> Batch:
        """Close what is due by a time, forget what is past the horizon; return what there was.

        Parameters
        ----------
        until : int
            At most the watermark.
        """
        for name, user in self._shard.changed():
            self._schedule(name, user)
        now, batch = self._watermark.value, self._batch
        passed: list[tuple[int, str, str]] = []
        fallen_due = list(self._shard.due(until))
        for name in fallen_due:
            user = self._shard.user(name)
            if min(self._dates(user), default=until + 1) <= until:
                passed += self._shut(name, user, until)
        for _, id_, name in sorted(passed):
            self._close(name, id_)
        for name, id_ in self._corrected:
            self._correct(name, id_)
        self._corrected.clear()
        self._watermark.floor = self._shard.state.floor = now  # whatever rules come next
        for _, user in self._shard.changed():
            self._forget(user, now)
        for name in fallen_due:  # the others are scheduled already
            user = self._shard.user(name)
            if self._gone(user, until) and user.idle:
                self._leave(name)
            else:
                self._schedule(name, user)
        self._batch = Batch()
        return batch

    # --- taking events in

    def _erase(self, name: str) -> None:
        """Forget a user, and all of theirs that is open; what comes later is a new user's."""
        known = self._shard.erase(name)
        self._counts.erasures += 1
        self._counts.erased_rankings += len(known.open)
        self._counts.erased_interactions += len(known.waiting)
        self._counts.waiting -= len(known.waiting)
        self._corrected = {one: None for one in self._corrected if one[0] != name}
        self._batch.touched.pop(name, None)
        self._batch.erased.append(name)

    def _take(self, event: Feedback, time: int, record: Record, opener: Opener) -> None:
        if time > record.timestamp + self._rules.max_ahead and record.timestamp >= 0:
            raise RefusedError(
                "ahead",
                f"timestamp {event.timestamp!r} is {_span(time - record.timestamp)} ahead of when "
                "it was produced: is the sender's clock right?",
            )
        now = self._watermark.value
        if time < now - self._rules.horizon:
            raise RefusedError(
                "too-late",
                f"timestamp {event.timestamp!r} is {_span(now - time)} behind, more than the "
                f"{_span(self._rules.horizon)} for which events are remembered",
            )
        user = self._shard.user(event.user)
        if self._gone(user, now):
            user = self._shard.renew(event.user)
            self._batch.erased.append(event.user)
            self._counts.absent += 1
        mark = _mark(type(event), event.id)
        if self._knows(user, mark, now):
            self._counts.duplicates += 1
            return
        fact = self._read(event, time, user, record, opener)
        user.remembered[mark] = time
        if self._rules.absence and user.latest < 0:
            user.life = max(1, now, time)  # past all by which an earlier one can have begun
        user.latest = max(user.latest, time)
        self._watermark.observe(time)
        match fact:
            case OpenRanking():
                self._show(event.user, user, fact, now)
            case Waiting():
                self._attribute(event.user, user, fact, now)
            case UserEvent():
                self._describe(user, fact, time)
        touch = self._batch.touched.get(event.user)
        if touch is None:
            touch = self._batch.touched[event.user] = Touch(time)
        elif time > touch.time:
            touch.time = time
        touch.described |= isinstance(event, UserEvent)

    def _knows(self, user: UserState, mark: int, now: int) -> bool:
        """Return whether an event is known: not whether it happens to be in memory still."""
        time = user.remembered.get(mark)
        return time is not None and time >= now - self._rules.horizon

    def _read(
        self, event: Feedback, time: int, user: UserState, record: Record, opener: Opener
    ) -> OpenRanking | Waiting | UserEvent:
        """Check what hangs on the event alone, before it is known by its id.

        What is refused here may be sent again under the same id when it has been mended.
        """
        fact: OpenRanking | Waiting | UserEvent
        if isinstance(event, RankingEvent):
            if len(event.items) > self._limits.slots:
                raise RefusedError(
                    "overflow",
                    f"{len(event.items)} items are too many for one ranking: "
                    f"{self._limits.slots} are allowed",
                )
            fact = opener.opened(event, user)
            size = fact.size
        elif isinstance(event, InteractionEvent):
            window = self._rules.window_of(event.type)
            fact = _waiting(event, time, self._reward(event), window, record)
            size = fact.size
        else:
            opener.context(event.fields)
            fact, size = event, len(record.value or b"")
        if not self._shard.keep(event.user, size, self._limits.user_bytes):
            raise RefusedError(
                "overflow",
                f"user {event.user!r} has more open than {self._limits.user_bytes} bytes hold",
            )
        return fact

    def _reward(self, event: InteractionEvent) -> float | None:
        worth = self._rules.rewards.get(event.type)
        reward = None if worth is None else worth * event.value
        if reward is not None and abs(reward) > _LARGEST_REWARD:
            raise BadEventError(f"value {event.value} makes a reward that is too large")
        return reward

    def _describe(self, user: UserState, event: UserEvent, time: int) -> None:
        self._counts.users += 1
        if (time, event.id) > user.described:
            user.fields, user.described = event.fields, (time, event.id)

    def _show(self, name: str, user: UserState, ranking: OpenRanking, now: int) -> None:
        if ranking.time + self._rules.window <= now:
            raise RefusedError(
                "after-window",
                f"ranking {ranking.id!r} came after its attribution window of "
                f"{_span(self._rules.window)} had passed",
            )
        self._counts.rankings += 1
        user.rankings += 1
        user.issues = 0
        user.open[ranking.id] = ranking
        for waiting in [w for w in user.waiting if w.ranking == ranking.id]:
            self._counts.waiting -= 1
            user.waiting.remove(waiting)
            try:
                if waiting.time + self._rules.window <= now:
                    raise self._without_ranking(waiting)
                self._credit(name, user, ranking, waiting, now)
            except RefusedError as error:
                self._bury_waiting(error.kind, str(error), name, waiting)

    def _attribute(self, name: str, user: UserState, waiting: Waiting, now: int) -> None:
        ranking = user.open.get(waiting.ranking) or user.closed.get(waiting.ranking)
        if ranking is not None and self._forgotten(ranking) > now:
            self._credit(name, user, ranking, waiting, now)
        elif self._knows(user, _mark(RankingEvent, waiting.ranking), now):
            raise self._after_window(waiting)
        elif waiting.time + self._rules.window <= now:
            raise self._without_ranking(waiting)
        else:
            self._counts.waiting += 1
            user.waiting.append(waiting)

    def _forgotten(self, ranking: OpenRanking) -> int:
        """Return the time from which on nothing counts for a ranking any more."""
        return ranking.time + self._rules.window + self._rules.late

    def _credit(
        self, name: str, user: UserState, ranking: OpenRanking, waiting: Waiting, now: int
    ) -> None:
        if waiting.item not in ranking.items:
            raise RefusedError(
                "not-in-ranking", f"item {waiting.item!r} is not in ranking {ranking.id!r}"
            )
        if waiting.time >= ranking.time + waiting.window + self._rules.late:
            raise self._after_window(waiting)
        if waiting.time <= ranking.time - self._rules.window:
            raise self._without_ranking(waiting)
        if waiting.reward is not None:
            if len(ranking.credits) >= self._limits.credits:
                raise RefusedError(
                    "overflow",
                    f"ranking {ranking.id!r} has {self._limits.credits} rewarded interactions, "
                    "as many as are counted",
                )
            slot = ranking.items.index(waiting.item)
            passed = now >= ranking.time + self._rules.window
            late = passed or waiting.time >= ranking.time + waiting.window
            ranking.credits.append(Credit(waiting.time, waiting.id, slot, waiting.reward, late))
            if ranking.id in user.closed:
                self._corrected[name, ranking.id] = None
        self._counts.interactions += 1

    def _after_window(self, waiting: Waiting) -> RefusedError:
        return RefusedError(
            "after-window",
            f"interaction with ranking {waiting.ranking!r} after its attribution window of "
            f"{_span(waiting.window)}",
        )

    def _without_ranking(self, waiting: Waiting) -> RefusedError:
        return RefusedError(
            "no-ranking",
            f"interaction without its ranking: no {waiting.ranking!r} of this user within the "
            f"attribution window of {_span(self._rules.window)}",
        )

    # --- closing and forgetting

    def _gone(self, user: UserState, now: int) -> bool:
        """Return whether a user has been away for so long that they are forgotten."""
        return 0 < self._rules.absence < now - user.latest and user.latest >= 0

    def _leave(self, name: str) -> None:
        """Forget a user who is gone, and what they were recommended."""
        self._shard.erase(name)
        self._counts.absent += 1
        self._batch.touched.pop(name, None)
        self._batch.erased.append(name)

    def _shut(self, name: str, user: UserState, until: int) -> list[tuple[int, str, str]]:
        """Bury what waited in vain of a user's; return time, id and user of rankings to close."""
        self._shard.keep(name)
        window = self._rules.window
        for waiting in [w for w in user.waiting if w.time + window <= until]:
            user.waiting.remove(waiting)
            self._counts.waiting -= 1
            self._bury_waiting("no-ranking", str(self._without_ranking(waiting)), name, waiting)
        return [(r.time, r.id, name) for r in user.open.values() if r.time + window <= until]

    def _close(self, name: str, id_: str) -> None:
        """Give a ranking its outcome."""
        user = self._shard.user(name)
        ranking = user.open.pop(id_)
        ranking.number = self._counts.numbered
        ranking.rewards = self._rewards(ranking, late=False)
        self._counts.outcomes += 1
        self._batch.closed.append(
            Closed(name, ranking, ranking.rewards, ranking.number, signs=self._judge(name, ranking))
        )
        if self._rules.late:
            user.closed[id_] = ranking
            if any(credit.late for credit in ranking.credits):
                self._corrected[name, id_] = None

    def _judge(self, name: str, ranking: OpenRanking) -> list[float]:
        """Put a ranking that closes into quarantine if it is suspected; return its signs."""
        if self._suspicion is None:
            return []
        signs = signs_of(ranking, self._shard.user(name), self._rules.window)
        ranking.quarantined = self._suspicion.judge(signs)
        if ranking.quarantined is None:
            self._suspicion.learn(signs)
        else:
            self._counts.quarantined += 1
        return list(signs)

    def _correct(self, name: str, id_: str) -> None:
        """Correct an outcome by what came late, if that changes its rewards."""
        ranking = self._shard.user(name).closed[id_]
        rewards, replaced = self._rewards(ranking, late=True), ranking.rewards
        if rewards != replaced:
            number = self._counts.numbered
            self._counts.corrections += 1
            ranking.rewards = rewards
            self._batch.closed.append(
                Closed(name, ranking, rewards, number, ranking.number, replaced)
            )

    def _rewards(self, ranking: OpenRanking, *, late: bool) -> list[float]:
        """Return the reward of every slot, as float32 holds it, with or without what came late."""
        collected: list[list[float]] = [[] for _ in ranking.items]
        for credit in sorted(ranking.credits):
            if late or not credit.late:
                collected[credit.slot].append(credit.reward)
        aggregate, default = self._rules.aggregate, self._rules.default_reward
        sums = [aggregate(rewards) if rewards else default for rewards in collected]
        return array("f", sums).tolist()

    def _bury_waiting(self, kind: str, reason: str, name: str, waiting: Waiting) -> None:
        self._counts.bury(kind)
        self._batch.letters.append(
            DeadLetter(
                kind=kind,
                reason=reason,
                topic=self._topic,
                partition=self._shard.partition,
                offset=waiting.offset,
                timestamp=waiting.timestamp,
                key=name.encode(),
                value=waiting.raw,
                size=waiting.raw_size,
            )
        )

    def _forget(self, user: UserState, now: int) -> None:
        """Let go of events past the horizon and of decisions that have expired."""
        limit, known = now - self._rules.horizon, user.remembered
        if known and min(known.values()) < limit:
            user.remembered = {mark: time for mark, time in known.items() if time >= limit}
        if any(issued.expires <= now for issued in user.issued):
            user.issued = [issued for issued in user.issued if issued.expires > now]
        if user.closed:
            user.closed = {id_: r for id_, r in user.closed.items() if self._forgotten(r) > now}

    def _schedule(self, name: str, user: UserState) -> None:
        """Have a user looked at when the next thing of theirs falls due."""
        times = self._dates(user)
        if times:
            self._shard.schedule(min(times), name)

    def _dates(self, user: UserState) -> list[int]:
        """Return when something of a user's falls due."""
        times = [ranking.time + self._rules.window for ranking in user.open.values()]
        times += [waiting.time + self._rules.window for waiting in user.waiting]
        times += [self._forgotten(ranking) for ranking in user.closed.values()]
        if user.remembered:
            times.append(max(user.remembered.values()) + self._rules.horizon + 1)
        if self._rules.absence and user.latest >= 0:
            times.append(user.latest + self._rules.absence + 1)
        return times


def _waiting(
    event: InteractionEvent, time: int, reward: float | None, window: int, record: Record
) -> Waiting:
    raw = record.value or b""
    return Waiting(
        id=event.id,
        time=time,
        ranking=event.ranking,
        item=event.item,
        reward=reward,
        window=window,
        offset=record.offset,
        timestamp=record.timestamp,
        raw=raw[:KEPT_BYTES],
        raw_size=len(raw),
    )


def _mark(kind: type, name: str) -> int:
    """Return what an event is remembered by."""
    return key_of(f"{kind.__name__}:{name}")


def _span(milliseconds: int) -> str:
    """Return a length of time for people."""
    return str(timedelta(seconds=milliseconds // 1000))
