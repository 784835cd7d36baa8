"""What the edge serves from: the latest recommendation of every user, and the catalogue.

Two topics, read from their beginning when a view is made and followed from then on by whoever calls
`look`. Recommendations stay the bytes that they came as until somebody asks for one, which keeps a
million users small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streaming.records import decode_recommendation
from streaming.restore import read_to_end
from streaming.shelf import Shelf

if TYPE_CHECKING:
    from streaming.config import WorkerConfig
    from streaming.records import Recommendation
    from streaming.slates import Slates
    from streaming.transport.api import Record, Transport

_AT_ONCE = 5000
_CATALOGUES = 8


class View:
    """The topics as they stand; one thread looks, any may read.

    Parameters
    ----------
    transport : Transport
    config : WorkerConfig
        Of the worker that publishes.

    Raises
    ------
    TransportError
        If the log cannot be reached.
    """

    def __init__(self, transport: Transport, config: WorkerConfig) -> None:
        self._latest: dict[str, bytes] = {}
        self._catalogues: dict[str, Slates] = {}
        self._shelf = Shelf(
            transport.consumer([config.topics.items]),
            items=config.items,
            users=config.users,
            slate_size=config.slate_size,
        )
        self._consumer = transport.consumer([config.topics.recommendations])
        for records in read_to_end(self._consumer):
            self._take(records)
        self._remember()

    def __len__(self) -> int:
        """Return how many users have a recommendation."""
        return len(self._latest)

    def look(self, timeout: float) -> int:
        """Take over what has come, and return how many recommendations it was.

        Parameters
        ----------
        timeout : float
            How long to wait for the first, in seconds.
        """
        records = self._consumer.poll(_AT_ONCE, timeout)
        self._take(records)
        self._shelf.look(to_the_end=False)
        self._shelf.refused.clear()  # the worker buries them
        self._remember()
        return len(records)

    @property
    def slates(self) -> Slates:
        """The catalogue now."""
        return self._shelf.slates

    def catalogue(self, fingerprint: str) -> Slates | None:
        """Return one of the latest catalogues, if it is still known."""
        return self._catalogues.get(fingerprint)

    def recommendation(self, user: str) -> Recommendation | None:
        """Return the latest recommendation of a user.

        Raises
        ------
        RecordError
            If the topic was written by something else.
        """
        value = self._latest.get(user)
        return None if value is None else decode_recommendation(value)

    def lag(self) -> int:
        """Return how many recommendations are not taken over yet; for the thread that looks."""
        at = self._consumer.positions()
        return sum(max(0, end - at[where]) for where, end in self._consumer.end_offsets().items())

    def close(self) -> None:
        """Let go of the connections."""
        self._consumer.close()
        self._shelf.close()

    def _take(self, records: list[Record]) -> None:
        for record in records:
            user = (record.key or b"").decode(errors="replace")
            if record.value is None:
                self._latest.pop(user, None)
            else:
                self._latest[user] = record.value

    def _remember(self) -> None:
        """Keep the latest catalogues: what was shown a moment ago can still be completed."""
        slates = self._shelf.slates
        if slates.fingerprint not in self._catalogues:
            while len(self._catalogues) >= _CATALOGUES:
                del self._catalogues[next(iter(self._catalogues))]
            self._catalogues[slates.fingerprint] = slates
