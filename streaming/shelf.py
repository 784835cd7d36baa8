"""The catalogue at hand: kept up with the `items` topic while batches are worked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streaming.catalogue import CatalogueFold
from streaming.events import RankingEvent
from streaming.records import letter_of
from streaming.restore import read_to_end
from streaming.slates import Slates

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from streaming.catalogue import Refused
    from streaming.events import Erasure, Feedback
    from streaming.features import Schema
    from streaming.records import DeadLetter
    from streaming.state import PartitionState
    from streaming.transport.api import Consumer, Record

_AT_ONCE = 1000


class Shelf:
    """Reads items, and makes slates of them.

    Clients fetch ahead, and what a topic holds may be under way still. To ask where its end is
    takes a round trip to the broker, half of what a small batch takes, so it is asked only when an
    event `lacks` something: what was announced before it was sent is then known when it is worked.
    All else, a changed feature or an item taken away, holds as soon as it has come.

    Parameters
    ----------
    consumer : Consumer
        Of the `items` topic, without a group. It is read to its end at once.
    items : Schema
        The features of items.
    users : Schema
        The features of users and situations.
    slate_size : int

    Attributes
    ----------
    slates : Slates
        What slates are made of now.
    refused : list of Refused
        Records that could not be used, and have no `letters` yet.
    """

    def __init__(
        self, consumer: Consumer, *, items: Schema, users: Schema, slate_size: int
    ) -> None:
        self._consumer, self._users, self._slate_size = consumer, users, slate_size
        self._fold = CatalogueFold(items)
        self.refused: list[Refused] = []
        self.slates = self._renewed()
        self.look(to_the_end=True)

    def look(self, to_the_end: bool) -> None:
        """Take over what has come.

        Parameters
        ----------
        to_the_end : bool
            Whether to wait for all that the topic holds by now; otherwise for nothing.
        """
        for records in read_to_end(self._consumer) if to_the_end else self._at_hand():
            self.refused += self._fold.apply(records)
        if self.slates.catalogue is not self._fold.catalogue:
            self.slates = self._renewed()

    def lacks(self, events: Iterable[tuple[Feedback | Erasure, Record]]) -> bool:
        """Return whether an event shows an item that is not here, or there is nothing to show."""
        nothing, knows = not len(self.slates), self.slates.knows
        for event, _ in events:
            if nothing or (isinstance(event, RankingEvent) and not knows(event)):
                return True
        return False

    def letters(self, state: PartitionState | None) -> list[DeadLetter]:
        """Return the dead letters of what was refused, and clear it.

        Parameters
        ----------
        state : PartitionState or None
            Of partition 0, whose worker buries what no earlier one has: it is told how far. None
            for all others.
        """
        letters: list[DeadLetter] = []
        for record, reason in self.refused:
            if state is not None and record.offset >= state.items:
                state.items = record.offset + 1
                state.counts.items += 1
                letters.append(letter_of("item", reason, record))
        self.refused.clear()
        return letters

    def _at_hand(self) -> Iterator[list[Record]]:
        while records := self._consumer.poll(_AT_ONCE, 0.0):
            yield records

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()

    def _renewed(self) -> Slates:
        return Slates(self._fold.catalogue, self._users, self._slate_size)
