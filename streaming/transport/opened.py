"""What a transport has opened and nobody has closed yet: the transport closes it at the end.

What is closed has to be let go of. Every client of librdkafka holds one of the thousand or so
thread-local variables that a process may have, until nothing refers to it: a worker whose transport
kept its closed readers could open no more of them after a thousand batches given up.
"""

from __future__ import annotations

from threading import Lock
from typing import Protocol, TypeVar


class Closing(Protocol):
    """A consumer or a producer."""

    closed: bool

    def close(self) -> None:
        """Let go of connections; again, without effect."""


Client = TypeVar("Client", bound=Closing)


class Opened:
    """The clients of one transport that are open."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._clients: list[Closing] = []

    def keep(self, client: Client) -> Client:
        """Have a client closed in the end, and let go of those that are closed already."""
        with self._lock:
            self._clients = [one for one in self._clients if not one.closed]
            self._clients.append(client)
        return client

    def close(self) -> None:
        """Close what is open, the latest first."""
        while self._clients:
            self._clients.pop().close()
