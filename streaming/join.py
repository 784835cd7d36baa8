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

from typing import TYPE_CHECKING, Protocol

from streaming.closing import Batch, Closing, Touch
from streaming.events import BadEventError, Erasure, InteractionEvent, RankingEvent, UserEvent
from streaming.records import KEPT_BYTES, letter_of
from streaming.refusals import (
    RefusedError,
    after_window,
    ahead,
    not_shown,
    shown_too_late,
    too_large,
    too_late,
    too_long,
    too_many,
    without_ranking,
)
from streaming.state import Credit, OpenRanking, Waiting
from streaming.watermark import Watermark

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from streaming.events import Feedback, Field
    from streaming.rules import Limits, Rules
    from streaming.state import Shard, UserState
    from streaming.suspicion import Suspicion
    from streaming.transport.api import Record

_WAITING = 100
"""About how many bytes an interaction that waits takes beside its message."""

_PRIME = 0xA2BC26E2EB1BAD5F
"""What marks are numbers modulo: nothing more is known of it than that it is large."""

_LARGEST_REWARD = 1e30
"""So large that a sum of what a ranking may collect still fits float32."""


class Opener(Protocol):
    """Knows what events mean here and now; `Slates` in the loop."""

    def opened(self, event: RankingEvent, user: UserState) -> OpenRanking:
        """Return a ranking as shown, or raise `RefusedError` or `BadEventError`."""

    def context(self, fields: Sequence[Field]) -> bytes:
        """Return the context that a user's fields make, or raise `BadEventError`."""


class Join:
    """Joins the events of one partition: `take` the events of a batch, then `settle` the batch.

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
        self._shard, self._rules, self._limits = shard, rules, limits
        self._watermark = Watermark(
            rules.quorum, rules.lateness, shard.state.newest, shard.state.floor
        )
        self._counts = shard.state.counts
        self._batch = Batch()
        self._closing = Closing(topic, shard, rules, suspicion)

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
            self._watermark.advance(time)
            self._shard.state.floor = time

    def take(self, events: Iterable[tuple[Feedback | Erasure, Record]], opener: Opener) -> None:
        """Take events in, count them as duplicates, or bury them; or forget users."""
        for event, record in events:
            try:
                if isinstance(event, Erasure):
                    self._erase(event.user)
                else:
                    self._take(event, record, opener)
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
        now, batch = self._watermark.value, self._batch
        self._closing.settle(batch, until, now)
        self._shard.state.floor = now  # whatever rules come next
        self._batch = Batch()
        return batch

    # --- any event

    def _erase(self, name: str) -> None:
        """Forget a user, and all of theirs that is open; what comes later is a new user's."""
        known, batch = self._shard.erase(name), self._batch
        self._counts.erasures += 1
        self._counts.erased_rankings += len(known.open)
        self._counts.erased_interactions += len(known.waiting)
        self._counts.waiting -= len(known.waiting)
        batch.corrected = {one: None for one in batch.corrected if one[0] != name}
        batch.touched.pop(name, None)
        batch.erased.append(name)

    def _take(self, event: Feedback, record: Record, opener: Opener) -> None:
        name, time, now, rules = event.user, event.time, self._watermark.value, self._rules
        if time > record.timestamp + rules.max_ahead and record.timestamp >= 0:
            raise ahead(event, record.timestamp)
        if time < now - rules.horizon:
            raise too_late(event, now, rules.horizon)
        user = self._shard.user(name)
        if rules.absence and self._closing.gone(user, now):
            user = self._shard.renew(name)
            self._batch.erased.append(name)
            self._counts.absent += 1
        mark = _mark(type(event), event.id)
        if mark in user.remembered and self._knows(user, mark, now):
            self._counts.duplicates += 1
            return
        # What is refused by the event alone is refused before it is known by its id: it may be
        # sent again under the same id when it has been mended.
        if isinstance(event, InteractionEvent):
            reward = self._reward(event)
            size = len(record.value or b"")
            self._admit(name, user, mark, _WAITING + min(size, KEPT_BYTES), time)
            self._attribute(name, user, event, time, reward, record, now)
        elif isinstance(event, RankingEvent):
            if len(event.items) > self._limits.slots:
                raise too_long(len(event.items), self._limits.slots)
            ranking = opener.opened(event, user)
            self._admit(name, user, mark, ranking.size, time)
            self._show(name, user, ranking, now)
        else:
            opener.context(event.fields)
            self._admit(name, user, mark, len(record.value or b""), time)
            self._describe(user, event, time)
        touch = self._batch.touched.get(name)
        if touch is None:
            touch = self._batch.touched[name] = Touch(time)
        elif time > touch.time:
            touch.time = time
        if isinstance(event, UserEvent):
            touch.described = True

    def _knows(self, user: UserState, mark: int, now: int) -> bool:
        """Return whether an event is known: not whether it happens to be in memory still."""
        time = user.remembered.get(mark)
        return time is not None and time >= now - self._rules.horizon

    def _admit(self, name: str, user: UserState, mark: int, size: int, time: int) -> None:
        """Make room for what an event adds, know it from now on, and let it move the time."""
        if not self._shard.keep(name, size, self._limits.user_bytes):
            raise too_large(name, self._limits.user_bytes)
        user.remembered[mark] = time
        if user.latest < 0 and self._rules.absence:
            # Past all by which an earlier life can have begun.
            user.life = max(1, self._watermark.value, time)
        if time > user.latest:
            user.latest = time
        self._watermark.observe(time)

    # --- users and rankings

    def _describe(self, user: UserState, event: UserEvent, time: int) -> None:
        self._counts.users += 1
        if (time, event.id) > user.described:
            user.fields, user.described = event.fields, (time, event.id)

    def _show(self, name: str, user: UserState, ranking: OpenRanking, now: int) -> None:
        closes = ranking.time + self._rules.window
        if closes <= now:
            raise shown_too_late(ranking.id, self._rules.window)
        self._counts.rankings += 1
        user.rankings += 1
        user.issues = 0
        user.open[ranking.id] = ranking
        self._shard.schedule(closes, name)
        if user.waiting:
            self._meet(name, user, ranking, now)

    def _meet(self, name: str, user: UserState, ranking: OpenRanking, now: int) -> None:
        """Credit a ranking with what waited for it."""
        for waiting in [w for w in user.waiting if w.ranking == ranking.id]:
            self._counts.waiting -= 1
            user.waiting.remove(waiting)
            try:
                if waiting.time + self._rules.window <= now:
                    raise without_ranking(waiting.ranking, self._rules.window)
                self._credit(
                    name, user, ranking, waiting, waiting.time, waiting.reward, waiting.window, now
                )
            except RefusedError as error:
                self._closing.bury_waiting(self._batch, error.kind, str(error), name, waiting)

    # --- interactions

    def _reward(self, event: InteractionEvent) -> float | None:
        worth = self._rules.rewards.get(event.type)
        if worth is None:
            return None
        reward = worth * event.value
        if abs(reward) > _LARGEST_REWARD:
            raise BadEventError(f"value {event.value} makes a reward that is too large")
        return reward

    def _attribute(
        self,
        name: str,
        user: UserState,
        event: InteractionEvent,
        time: int,
        reward: float | None,
        record: Record,
        now: int,
    ) -> None:
        rules, id_ = self._rules, event.ranking
        ranking = user.open.get(id_) or user.closed.get(id_)
        window = rules.windows.get(event.type, rules.window)
        if ranking is not None and ranking.time + rules.window + rules.late > now:
            self._credit(name, user, ranking, event, time, reward, window, now)
        elif self._knows(user, _mark(RankingEvent, id_), now):
            raise after_window(id_, window)
        elif time + rules.window <= now:
            raise without_ranking(id_, rules.window)
        else:
            self._counts.waiting += 1
            user.waiting.append(_waiting(event, time, reward, window, record))
            self._shard.schedule(time + rules.window, name)

    def _credit(
        self,
        name: str,
        user: UserState,
        ranking: OpenRanking,
        event: InteractionEvent | Waiting,
        time: int,
        reward: float | None,
        window: int,
        now: int,
    ) -> None:
        rules, shown = self._rules, ranking.time
        if event.item not in ranking.items:
            raise not_shown(event.item, ranking.id)
        if time >= shown + window + rules.late:
            raise after_window(event.ranking, window)
        if time <= shown - rules.window:
            raise without_ranking(event.ranking, rules.window)
        if reward is not None:
            if len(ranking.credits) >= self._limits.credits:
                raise too_many(ranking.id, self._limits.credits)
            slot = ranking.items.index(event.item)
            late = now >= shown + rules.window or time >= shown + window
            ranking.credits.append(Credit(time, event.id, slot, reward, late))
            if ranking.id in user.closed:
                self._batch.corrected[name, ranking.id] = None
        self._counts.interactions += 1


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
    """Return what an event is remembered by: its kind and id, as a number modulo a prime.

    Two ids of one user that nobody has chosen to agree do so with a chance of 2**-64, as the halves
    of a digest do, which takes three times as long to make. Who chooses ids may as well send one
    twice.
    """
    return int.from_bytes(f"{kind.__name__}:{name}".encode()) % _PRIME
