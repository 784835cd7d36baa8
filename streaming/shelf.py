"""The catalogue at hand: kept up with the `items` topic while batches are worked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streaming.catalogue import CatalogueFold
from streaming.restore import read_to_end
from streaming.slates import RefusedError, Slates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streaming.catalogue import Refused
    from streaming.events import Field, RankingEvent
    from streaming.features import Schema
    from streaming.state import OpenRanking, UserState
    from streaming.transport.api import Consumer

_AT_ONCE = 1000


class Shelf:
    """Reads items, and reads slates against them.

    An item that was announced before a ranking shows it is known when the ranking is read: the
    topic is read to its end before an item is called unknown, once in a batch.

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
        self._read_all()

    def look(self) -> None:
        """Begin a batch: take over what has come."""
        self._fresh = False
        while records := self._consumer.poll(_AT_ONCE, 0.0):
            self.refused += self._fold.apply(records)
        self._renew()

    def opened(self, event: RankingEvent, user: UserState) -> OpenRanking:
        """Return a ranking as shown; see `Slates.opened`."""
        try:
            return self.slates.opened(event, user)
        except RefusedError:
            if self._fresh:
                raise
            self._read_all()
            return self.slates.opened(event, user)

    def context(self, fields: Sequence[Field]) -> bytes:
        """Return the context that fields make; see `Slates.context`."""
        return self.slates.context(fields)

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()

    def _read_all(self) -> None:
        for records in read_to_end(self._consumer):
            self.refused += self._fold.apply(records)
        self._renew()
        self._fresh = True

    def _renew(self) -> None:
        if self.slates.catalogue is not self._fold.catalogue:
            self.slates = self._renewed()

    def _renewed(self) -> Slates:
        return Slates(self._fold.catalogue, self._users, self._slate_size)
