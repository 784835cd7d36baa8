"""How rankings end: they close and have an outcome, are corrected, and in time are forgotten.

The join opens and credits them, and says when (see there for the rules); what follows then is here,
user by user. What comes of a batch is gathered in a `Batch`.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streaming.records import DeadLetter
from streaming.refusals import without_ranking
from streaming.suspicion import signs_of

if TYPE_CHECKING:
    from streaming.rules import Rules
    from streaming.state import OpenRanking, Shard, UserState, Waiting
    from streaming.suspicion import Suspicion


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


@dataclass(slots=True)
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
    corrected : dict
        The user and id of every closed ranking for which something came late, in order.
    """

    closed: list[Closed] = field(default_factory=list)
    touched: dict[str, Touch] = field(default_factory=dict)
    letters: list[DeadLetter] = field(default_factory=list)
    erased: list[str] = field(default_factory=list)
    corrected: dict[tuple[str, str], None] = field(default_factory=dict)


class Closing:
    """Closes, corrects and forgets what a partition's users have.

    Parameters
    ----------
    topic : str
        Where the events come from, for dead letters.
    shard : Shard
        The partition's state, which is changed.
    rules : Rules
    suspicion : Suspicion, optional
        Judges what closes: it has learned from the partition's outcomes so far.
    """

    def __init__(
        self, topic: str, shard: Shard, rules: Rules, suspicion: Suspicion | None = None
    ) -> None:
        self._topic, self._shard, self._rules = topic, shard, rules
        self._suspicion = suspicion
        self._counts = shard.state.counts
        for name, user in shard.users():
            self.schedule(name, user)

    def settle(self, batch: Batch, until: int, now: int) -> None:
        """Close what is due by a time, and forget what is past the horizon.

        Parameters
        ----------
        batch : Batch
            What came of the events so far; completed.
        until : int
            At most the watermark.
        now : int
            The watermark.
        """
        shard = self._shard
        for name, user in shard.unscheduled():
            self.schedule(name, user)
        fallen_due = {name: shard.user(name) for name in shard.due(until)}
        passed: list[tuple[int, str, str]] = []
        for name, user in fallen_due.items():
            date = self._next(user)
            if date is not None and date <= until:
                passed += self._shut(batch, name, user, until)
        passed.sort()
        for _, id_, name in passed:
            self._close(batch, name, id_)
        for name, id_ in batch.corrected:
            self._correct(batch, name, id_)
        for _, user in shard.changed():
            self._forget(user, now)
        for name, user in fallen_due.items():  # the others are scheduled already
            if self.gone(user, until) and user.idle:
                self._leave(batch, name)
            else:
                self.schedule(name, user)

    def schedule(self, name: str, user: UserState) -> None:
        """Have a user looked at when the next thing of theirs falls due."""
        date = self._next(user)
        if date is not None:
            self._shard.schedule(date, name)

    def gone(self, user: UserState, now: int) -> bool:
        """Return whether a user has been away for so long that they are forgotten."""
        return 0 < self._rules.absence < now - user.latest and user.latest >= 0

    def bury_waiting(
        self, batch: Batch, kind: str, reason: str, name: str, waiting: Waiting
    ) -> None:
        """Make a dead letter of an interaction that waited for its ranking, and count it."""
        self._counts.bury(kind)
        batch.letters.append(
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

    # --- what falls due

    def _next(self, user: UserState) -> int | None:
        """Return when something of a user's falls due.

        What is open falls due before its event is past the horizon, and that before its user has
        been away for long.
        """
        rules = self._rules
        if user.idle:
            if user.remembered:
                return max(user.remembered.values()) + rules.horizon + 1
            gone = rules.absence and user.latest >= 0
            return user.latest + rules.absence + 1 if gone else None
        times = [ranking.time for ranking in user.open.values()]
        if user.waiting:
            times += [waiting.time for waiting in user.waiting]
        if user.closed:
            times += [ranking.time + rules.late for ranking in user.closed.values()]
        return min(times) + rules.window

    def _shut(
        self, batch: Batch, name: str, user: UserState, until: int
    ) -> list[tuple[int, str, str]]:
        """Bury what waited in vain of a user's; return time, id and user of rankings to close."""
        self._shard.keep(name)
        window = self._rules.window
        for waiting in [w for w in user.waiting if w.time + window <= until]:
            user.waiting.remove(waiting)
            self._counts.waiting -= 1
            refused = without_ranking(waiting.ranking, window)
            self.bury_waiting(batch, refused.kind, str(refused), name, waiting)
        return [(r.time, r.id, name) for r in user.open.values() if r.time + window <= until]

    def _close(self, batch: Batch, name: str, id_: str) -> None:
        """Give a ranking its outcome."""
        user, counts = self._shard.user(name), self._counts
        ranking = user.open.pop(id_)
        ranking.number = counts.numbered
        ranking.rewards = self._rewards(ranking, late=False)
        counts.outcomes += 1
        signs = self._judge(user, ranking)
        batch.closed.append(Closed(name, ranking, ranking.rewards, ranking.number, signs=signs))
        if self._rules.late:
            user.closed[id_] = ranking
            if any(credit.late for credit in ranking.credits):
                batch.corrected[name, id_] = None

    def _judge(self, user: UserState, ranking: OpenRanking) -> list[float]:
        """Put a ranking that closes into quarantine if it is suspected; return its signs."""
        if self._suspicion is None:
            return []
        signs = signs_of(ranking, user, self._rules.window)
        ranking.quarantined = self._suspicion.judge(signs)
        if ranking.quarantined is None:
            self._suspicion.learn(signs)
        else:
            self._counts.quarantined += 1
        return list(signs)

    def _correct(self, batch: Batch, name: str, id_: str) -> None:
        """Correct an outcome by what came late, if that changes its rewards."""
        ranking = self._shard.user(name).closed[id_]
        rewards, replaced = self._rewards(ranking, late=True), ranking.rewards
        if rewards != replaced:
            number = self._counts.numbered
            self._counts.corrections += 1
            ranking.rewards = rewards
            batch.closed.append(Closed(name, ranking, rewards, number, ranking.number, replaced))

    def _rewards(self, ranking: OpenRanking, *, late: bool) -> list[float]:
        """Return the reward of every slot, as float32 holds it, with or without what came late."""
        sums = [self._rules.default_reward] * len(ranking.items)
        if ranking.credits:
            collected: dict[int, list[float]] = {}
            for credit in sorted(ranking.credits):
                if late or not credit.late:
                    collected.setdefault(credit.slot, []).append(credit.reward)
            for slot, rewards in collected.items():
                sums[slot] = self._rules.aggregate(rewards)
        return array("f", sums).tolist()

    def _forget(self, user: UserState, now: int) -> None:
        """Let go of events past the horizon and of decisions that have expired."""
        limit, known = now - self._rules.horizon, user.remembered
        if known and min(known.values()) < limit:
            user.remembered = {mark: time for mark, time in known.items() if time >= limit}
        for issued in user.issued:
            if issued.expires <= now:
                user.issued = [one for one in user.issued if one.expires > now]
                break
        if user.closed:
            end = now - self._rules.window - self._rules.late
            user.closed = {id_: r for id_, r in user.closed.items() if r.time > end}

    def _leave(self, batch: Batch, name: str) -> None:
        """Forget a user who is gone, and what they were recommended."""
        self._shard.erase(name)
        self._counts.absent += 1
        batch.touched.pop(name, None)
        batch.erased.append(name)
