"""The catalogue at hand: kept up with the `items` topic while batches are worked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streaming.catalogue import CatalogueFold
from streaming.restore import read_to_end
from streaming.slates import Slates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streaming.catalogue import Refused
    from streaming.features import Schema
    from streaming.transport.api import Consumer, Record

_AT_ONCE = 1000


class Shelf:
    """Reads items, and makes slates of them.

    What was announced before an event was sent is known when the event is worked, if the topic is
    read to its end after the event is: clients fetch ahead, and what a topic holds may be under way
    still.

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
        Records that could not be used; whoever buries them clears the list.
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

    def _at_hand(self) -> Iterator[list[Record]]:
        while records := self._consumer.poll(_AT_ONCE, 0.0):
            yield records

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()

    def _renewed(self) -> Slates:
        return Slates(self._fold.catalogue, self._users, self._slate_size)
