"""What the workers of a group tell each other, through the topic `model`.

What a worker's partitions have taught each policy, so that everyone's is that of all outcomes, and
how far event time has come, so that a worker whose partitions are silent knows that they are idle.
The topic is compacted: each record holds all there is to say under its key.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeAlias

from agents.api import RecloopError
from streaming.records import RecordError
from streaming.restore import outcomes_read, read_to_end
from streaming.watermark import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from streaming.knowledge import Knowledge
    from streaming.topics import Topics
    from streaming.transport.api import Consumer, Record, Transport

    Send: TypeAlias = Callable[..., None]

TIME = b"time "
"""What the key of a partition's event time begins with."""

_TELL_EVERY = 1.0  # seconds between what is told while others listen
_AT_ONCE = 1000


class ShareError(RecloopError):
    """A group of workers that cannot share what they learn."""


class _Shared:
    """What one policy has learned, and how much of it was told."""

    def __init__(self, knowledge: Knowledge, suffix: bytes, every: int) -> None:
        self.knowledge, self._suffix, self._every = knowledge, suffix, every
        self.told: dict[int, int] = {}

    def news(self, mine: Collection[int], at_once: bool) -> list[int]:
        """Return the partitions of which enough is new, or something and others wait for it."""
        if not self.knowledge.tells:
            return []
        numbers, least = self.knowledge.numbers, 1 if at_once else self._every
        return [p for p in sorted(mine) if numbers.get(p, 0) - self.told.get(p, 0) >= least]

    def tell(self, send: Send, topic: str, partitions: Collection[int], alone: bool) -> None:
        """Tell what these partitions have taught, if that is new."""
        numbers, told = self.knowledge.numbers, False
        news = [p for p in partitions if numbers.get(p, 0) != self.told.get(p, 0)]
        for key, message in self.knowledge.messages(news) if news else ():
            send(topic, message, key=key + self._suffix)
            told = True
        if news and not told and not alone and self.knowledge.tells:
            raise ShareError(
                f"what {self.knowledge.policy.name!r} has learned is too large for a message, so "
                "other workers cannot have it: serve it with one worker"
            )
        self.told |= {p: numbers.get(p, 0) for p in partitions}

    def note(self, partitions: Collection[int]) -> None:
        """Take note that others have told of these partitions."""
        self.told |= {p: n for p, n in self.knowledge.numbers.items() if p in partitions}


class Exchange:
    """Tells what this worker has learned, and hears the others.

    Parameters
    ----------
    transport : Transport
    topics : Topics
    partitions : int
    knowledges : sequence of Knowledge
        Of the policies; those after the first are told under their names.
    every : int
        After how many outcomes of a partition its state is published at the latest.
    step : int
        By how much event time moves before it is told, in milliseconds.

    Attributes
    ----------
    newest : int
        The furthest event time that was heard of.
    """

    def __init__(
        self,
        transport: Transport,
        topics: Topics,
        partitions: int,
        knowledges: Sequence[Knowledge],
        *,
        every: int,
        step: int,
    ) -> None:
        self._transport, self._topics = transport, topics
        self._all, self._held = set(range(partitions)), set[int]()
        self._shared = [
            _Shared(one, f" {one.policy.name}".encode() if n else b"", every)
            for n, one in enumerate(knowledges)
        ]
        self._step = max(step, 1)
        self._times: dict[int, int] = {}
        self._last = 0.0
        self._met, self._following = False, False
        self.newest = NEVER
        self._model: Consumer = transport.consumer([topics.model])
        self._outcomes: Consumer | None = None
        for records in read_to_end(self._model):
            for record in records:
                self._hear(record)
        for shared in self._shared:
            shared.knowledge.settle()
            shared.note(self._all)

    @property
    def alone(self) -> bool:
        """Whether this worker has all partitions."""
        return self._held == self._all

    def hold(self, partitions: Collection[int]) -> None:
        """Take note that this worker has these partitions now, and no others."""
        self._held = set(partitions)
        for shared in self._shared:
            shared.knowledge.hold(partitions)
        before, self._following = self._following, self._follows
        if self._following and not before and self._outcomes is not None:
            self._outcomes.close()  # what it has passed was not learned then: it is read again
            self._outcomes = None

    def meet(self) -> None:
        """Learn what the partitions of others have taught, whatever was told of it.

        It is read from `outcomes` the first time, and from then on if the policy has to be taught
        all of it here.
        """
        if not self.alone and (self._following or not self._met):
            self._follow()
        self._settle()
        self._met = True

    def listen(self) -> None:
        """Take over what others have told since: between batches only.

        Raises
        ------
        ShareError
            If another worker of the group has another policy.
        """
        if self.alone:
            return
        while records := self._model.poll(_AT_ONCE, 0.0):
            for record in records:
                if not self._hear(record):
                    raise ShareError(
                        "another worker of this group serves another policy, or the same one with "
                        "other options: what they learn cannot be added up. Give all the same"
                    )
        for shared in self._shared:
            shared.note(self._all - self._held)
        if self._following:
            self._follow()
        self._settle()

    def due(self, times: Mapping[int, int]) -> bool:
        """Return whether something is to be told, given the watermarks of this worker's."""
        return any(self._news(shared) for shared in self._shared) or bool(self._moved(times))

    def tell(self, send: Send, times: Mapping[int, int]) -> None:
        """Tell what is due, within the transaction of a batch.

        Raises
        ------
        ShareError
            If there are others, and it is too large to be told.
        """
        due = [(shared, self._news(shared)) for shared in self._shared]
        for shared, news in due:
            shared.tell(send, self._topics.model, news, self.alone)
        if any(news for _, news in due):
            self._last = time.monotonic()
        for partition, moment in self._moved(times).items():
            send(self._topics.model, b"%d" % moment, key=TIME + b"%d" % partition)
            self._times[partition] = moment

    def tell_of(self, send: Send, partitions: Collection[int]) -> None:
        """Tell what these partitions have taught: before they are let go, whatever is due."""
        for shared in self._shared:
            shared.tell(send, self._topics.model, partitions, self.alone)

    def close(self) -> None:
        """Let go of the connections."""
        self._model.close()
        if self._outcomes is not None:
            self._outcomes.close()

    @property
    def _follows(self) -> bool:
        """Whether a policy has to be taught all outcomes here."""
        return any(shared.knowledge.follows for shared in self._shared)

    def _settle(self) -> None:
        for shared in self._shared:
            shared.knowledge.settle()

    def _news(self, shared: _Shared) -> list[int]:
        mine = self._all if shared.knowledge.follows else self._held
        waited_for = not self.alone and time.monotonic() - self._last > _TELL_EVERY
        return shared.news(mine, at_once=waited_for)

    def _moved(self, times: Mapping[int, int]) -> dict[int, int]:
        """Return the watermarks that have moved far since they were told; nobody asks one alone."""
        if self.alone:
            return {}
        return {
            partition: moment
            for partition, moment in times.items()
            if moment >= self._times.get(partition, NEVER) + self._step
        }

    def _hear(self, record: Record) -> bool:
        key, value = record.key or b"", record.value or b""
        if key.startswith(TIME):
            try:
                self.newest = max(self.newest, int(value))
            except ValueError:
                raise RecordError(
                    f"{value[:60]!r} is no time: was {self._topics.model!r} written by something "
                    "else? Take another prefix"
                ) from None
            return True
        return any(shared.knowledge.hear(value) for shared in self._shared)

    def _follow(self) -> None:
        """Learn from the outcomes of partitions that are others'."""
        if self._outcomes is None:
            self._outcomes = self._transport.consumer([self._topics.outcomes])
        for outcomes in outcomes_read(self._outcomes):
            theirs = [o for o in outcomes if o.partition not in self._held]
            for shared in self._shared:
                shared.knowledge.learn(theirs)
