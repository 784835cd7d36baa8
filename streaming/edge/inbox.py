"""Feedback by HTTP: checked, completed and written to Kafka before anybody is told it was taken."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

import msgspec

from streaming.events import BadEventError, Event, ItemEvent, RankingEvent, decode, encode

if TYPE_CHECKING:
    from streaming.edge.cold import Cold
    from streaming.edge.view import View
    from streaming.topics import Topics
    from streaming.transport.api import Transport

MOST_EVENTS = 1000
"""How many events one request may bring."""


class Inbox:
    """Takes events in, from any thread.

    Parameters
    ----------
    transport : Transport
    topics : Topics
    cold : Cold
    view : View
    """

    def __init__(self, transport: Transport, topics: Topics, cold: Cold, view: View) -> None:
        self._producer, self._topics = transport.producer(), topics
        self._cold, self._view = cold, view
        self._lock = Lock()

    def take(self, body: bytes) -> tuple[int, dict[int, str]]:
        """Write the good events of a request, and return only when they are written.

        Parameters
        ----------
        body : bytes
            One event in JSON, or a list of them.

        Returns
        -------
        accepted : int
        refused : dict of int to str
            Why, by the event's place in the list.

        Raises
        ------
        BadEventError
            If it is neither, or too many.
        TransportError
            If they could not be written; whoever sent them sends them again, which is safe: the
            loop knows an event by its id.
        """
        events: list[Event] = []
        refused: dict[int, str] = {}
        for place, raw in enumerate(_split(body)):
            try:
                events.append(decode(raw))
            except BadEventError as error:
                refused[place] = str(error)
        with self._lock:
            for event in events:
                self._send(event)
            self._producer.flush()
        return len(events), refused

    def log(self, value: bytes, user: str) -> None:
        """Write a decision that the edge has made itself to the log of decisions."""
        with self._lock:
            self._producer.send(self._topics.decisions, value, key=user.encode())
            self._producer.flush()

    def erase(self, user: str) -> None:
        """Ask the worker to forget a user: a tombstone among the user's feedback."""
        with self._lock:
            self._producer.send(self._topics.feedback, None, key=user.encode())
            self._producer.flush()

    def close(self) -> None:
        """Let go of the connection."""
        self._producer.close()

    def _send(self, event: Event) -> None:
        if isinstance(event, ItemEvent):
            self._producer.send(self._topics.items, encode(event), key=event.item.encode())
            return
        if isinstance(event, RankingEvent):
            event = self._cold.completed(event, self._view)
        self._producer.send(self._topics.feedback, encode(event), key=event.user.encode())


_list: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])


def _split(body: bytes) -> list[bytes]:
    """Return the events of a body, each still as bytes."""
    if not body.lstrip().startswith(b"["):
        return [body]
    try:
        parts = _list.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadEventError(f"not JSON: {error}") from None
    if not 1 <= len(parts) <= MOST_EVENTS:
        raise BadEventError(f"a list of 1 to {MOST_EVENTS} events is taken, not of {len(parts)}")
    return [bytes(part) for part in parts]
