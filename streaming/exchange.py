"""What the workers of a group tell each other, through the topic `model`.

What a worker's partitions have taught, so that everyone's policy is the policy of all outcomes, and
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
    from collections.abc import Callable, Collection, Mapping

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


class Exchange:
    """Tells what this worker has learned, and hears the others.

    Parameters
    ----------
    transport : Transport
    topics : Topics
    partitions : int
    knowledge : Knowledge
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
        knowledge: Knowledge,
        *,
        every: int,
        step: int,
    ) -> None:
        self._transport, self._topics = transport, topics
        self._all, self._held = set(range(partitions)), set[int]()
        self._knowledge, self._every, self._step = knowledge, every, max(step, 1)
        self._told: dict[int, int] = {}
        self._times: dict[int, int] = {}
        self._last = 0.0
        self._met = False
        self.newest = NEVER
        self._model: Consumer = transport.consumer([topics.model])
        self._outcomes: Consumer | None = None
        for records in read_to_end(self._model):
            for record in records:
                self._hear(record)
        knowledge.settle()
        self._told = dict(knowledge.numbers)

    @property
    def alone(self) -> bool:
        """Whether this worker has all partitions."""
        return self._held == self._all

    def hold(self, partitions: Collection[int]) -> None:
        """Take note that this worker has these partitions now, and no others."""
        self._held = set(partitions)
        self._knowledge.hold(partitions)

    def meet(self) -> None:
        """Learn what the partitions of others have taught, whatever was told of it.

        It is read from `outcomes` the first time, and from then on if the policy has to be taught
        all of it here.
        """
        if not self.alone and (self._knowledge.follows or not self._met):
            self._follow()
        self._knowledge.settle()
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
        others = self._all - self._held
        self._told |= {p: n for p, n in self._knowledge.numbers.items() if p in others}
        if self._knowledge.follows:
            self._follow()
        self._knowledge.settle()

    def due(self, times: Mapping[int, int]) -> bool:
        """Return whether something is to be told, given the watermarks of this worker's."""
        return bool(self._news() or self._moved(times))

    def tell(self, send: Send, times: Mapping[int, int]) -> None:
        """Tell what is due, within the transaction of a batch.

        Raises
        ------
        ShareError
            If there are others, and it is too large to be told.
        """
        news = self._news()
        self.tell_of(send, news)
        if news:
            self._last = time.monotonic()
        for partition, moment in self._moved(times).items():
            send(self._topics.model, b"%d" % moment, key=TIME + b"%d" % partition)
            self._times[partition] = moment

    def tell_of(self, send: Send, partitions: Collection[int]) -> None:
        """Tell what these partitions have taught: before they are let go, whatever is due."""
        numbers, told = self._knowledge.numbers, False
        news = [p for p in partitions if numbers.get(p, 0) != self._told.get(p, 0)]
        for key, message in self._knowledge.messages(news) if news else ():
            send(self._topics.model, message, key=key)
            told = True
        if news and not told and not self.alone and self._knowledge.tells:
            raise ShareError(
                f"what {self._knowledge.policy.name!r} has learned is too large for a message, so "
                "other workers cannot have it: serve it with one worker"
            )
        self._told |= {p: numbers.get(p, 0) for p in partitions}

    def close(self) -> None:
        """Let go of the connections."""
        self._model.close()
        if self._outcomes is not None:
            self._outcomes.close()

    def _news(self) -> list[int]:
        """Return the partitions of which enough is new, or something and others wait for it."""
        mine = self._all if self._knowledge.follows else self._held
        least = self._every
        if not self.alone and time.monotonic() - self._last > _TELL_EVERY:
            least = 1
        numbers, told = self._knowledge.numbers, self._told
        if not self._knowledge.tells:
            return []
        return [p for p in sorted(mine) if numbers.get(p, 0) - told.get(p, 0) >= least]

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
        return self._knowledge.hear(value)

    def _follow(self) -> None:
        """Learn from the outcomes of partitions that are others'."""
        if self._outcomes is None:
            self._outcomes = self._transport.consumer([self._topics.outcomes])
        for outcomes in outcomes_read(self._outcomes):
            self._knowledge.learn([o for o in outcomes if o.partition not in self._held])
