"""What those send who play the outside world: a replayed log, and simulated users.

Contexts and item features are sent whole, as one field each, so that the loop reads the very
numbers that the log or the world has.
"""

from __future__ import annotations

from collections import Counter
from itertools import count
from typing import TYPE_CHECKING

from agents.api import RecloopError
from streaming.events import Field, ItemEvent, UserEvent, encode
from streaming.features import Feature, Schema
from streaming.transport.partitioner import partition_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from agents.api import Catalogue
    from streaming.config import WorkerConfig
    from streaming.events import Event
    from streaming.transport.api import Producer, Transport

CONTEXT, FEATURES = "context", "features"
"""The fields that hold a context and the features of an item."""


class NamelessError(RecloopError):
    """A catalogue whose items cannot be announced, because they have no names."""


def schema_of(field: str, width: int) -> Schema:
    """Return the declaration of a field of so many numbers; none if there are none."""
    return Schema((Feature(field, "numbers", width),) if width else ())


def numbers(field: str, values: NDArray[np.float32]) -> list[Field]:
    """Return numbers as the fields of an event."""
    return [Field(field, values.tolist())] if len(values) else []


class Sender:
    """Sends events, and counts them.

    Parameters
    ----------
    transport : Transport
    config : WorkerConfig
        Of the worker that will read them.

    Attributes
    ----------
    sent : Counter of str
        How many events of each kind were sent.
    """

    def __init__(self, transport: Transport, config: WorkerConfig) -> None:
        self.config, self.topics, self.sent = config, config.topics, Counter[str]()
        transport.ensure_topics(self.topics.specs(config.partitions))
        self._producer: Producer = transport.producer()
        self._clocks = [
            _clock(partition, config.partitions) for partition in range(config.partitions)
        ]

    def announce(self, catalogue: Catalogue) -> None:
        """Announce all available items, in the order of their rows.

        Raises
        ------
        NamelessError
            If they have no names.
        """
        if catalogue.names is None:
            raise NamelessError(
                "the items of this catalogue have no names to be announced by: "
                "make it with Catalogue.of"
            )
        for row, name in enumerate(catalogue.names):
            if catalogue.available[row]:
                fields = numbers(FEATURES, catalogue.features[row])
                event = ItemEvent(id=f"item {name}", timestamp=0, item=name, fields=fields)
                self._producer.send(self.topics.items, encode(event), key=name.encode())
                self.sent["items"] += 1
        self._producer.flush()

    def withdraw(self, names: Iterable[str]) -> None:
        """Take items away."""
        for name in names:
            self._producer.send(self.topics.items, None, key=name.encode())
            self.sent["items withdrawn"] += 1
        self._producer.flush()

    def send(self, kind: str, user: str, event: Event) -> None:
        """Send an event of a user; it may be under way still until `flush` returns."""
        self.raw(kind, user, encode(event))

    def raw(self, kind: str, user: str, value: bytes) -> None:
        """Send any bytes as feedback of a user."""
        self._producer.send(self.topics.feedback, value, key=user.encode())
        self.sent[kind] += 1

    def ring(self, partition: int, time: int) -> None:
        """Let everything close in a partition whose window ends at a time or earlier.

        A quorum of events of a user who is nobody else claims that it is so late.
        """
        rules, name = self.config.rules, self._clocks[partition]
        for n in range(rules.quorum):
            late = time + rules.lateness
            self.send("bells", name, UserEvent(id=f"{late} {n}", timestamp=late, user=name))

    def flush(self) -> None:
        """Wait until everything sent is written."""
        self._producer.flush()

    def close(self) -> None:
        """Let go of the connection."""
        self._producer.close()


def _clock(partition: int, partitions: int) -> str:
    """Return the name of a user who lives in a partition and does nothing but tell the time."""
    names = (f"clock {n}" for n in count())
    return next(name for name in names if partition_of(name.encode(), partitions) == partition)
