"""Feedback as a site sends it, for the benchmarks of the live loop: sessions of a slate each.

A session is one ranking, of which the site states the propensities, and some interactions with its
items, all within a few seconds of event time; sessions of many users overlap. Everybody is
introduced by a user event when they first come.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from agents import Catalogue
from streaming import (
    CONTEXT,
    FEATURES,
    Rules,
    UserEvent,
    WorkerConfig,
    schema_of,
)
from streaming.events import encode
from streaming.sending import Sender, numbers
from streaming.transport.partitioner import partition_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streaming import Transport

ITEMS, SLOTS, WIDTH, ITEM_WIDTH = 50, 3, 10, 5
START = 1_700_000_000_000
KINDS = ("view", "view", "click", "dwell", "view")


def config_of(prefix: str, **options: Any) -> WorkerConfig:
    """Return a worker's configuration for this feedback."""
    rules = Rules(window=60_000, horizon=120_000, lateness=10_000)
    return WorkerConfig(
        users=schema_of(CONTEXT, WIDTH),
        items=schema_of(FEATURES, ITEM_WIDTH),
        prefix=prefix,
        slate_size=SLOTS,
        **{"rules": rules, "partitions": 2, "batch_size": 5000, **options},
    )


@dataclass(slots=True)
class Feed:
    """Makes events; two of the same seed make the same.

    Parameters
    ----------
    users : int
        How many there are to draw from.
    interactions : int
        How many a session has.
    rate : float
        How many events there are in a second of event time.
    span : float
        How many seconds a session takes.
    seed : int
    start : int
        The first event's time, in milliseconds.
    """

    users: int = 20_000
    interactions: int = 5
    rate: float = 100.0
    span: float = 5.0
    seed: int = 0
    start: int = START

    def catalogue(self) -> Catalogue:
        """Return the items."""
        rng = np.random.default_rng(self.seed)
        return Catalogue.of(
            [f"item{n}" for n in range(ITEMS)], rng.normal(size=(ITEMS, ITEM_WIDTH))
        )

    def events(self, sessions: int) -> Iterator[tuple[str, bytes]]:
        """Return the user and the message of every event, in the order of event time."""
        rng = np.random.default_rng(self.seed + 1)
        step = 1000.0 * (1 + self.interactions) / self.rate
        began = self.start + step * np.arange(sessions)
        users = rng.integers(0, self.users, size=sessions)
        after = np.sort(rng.uniform(1.0, 1000.0 * self.span, (sessions, self.interactions)), axis=1)
        times = np.hstack([began[:, None], began[:, None] + after]).astype(np.int64)
        slates = np.argsort(rng.random((sessions, ITEMS)), axis=1)[:, :SLOTS]
        slots = rng.integers(0, SLOTS, size=(sessions, self.interactions))
        met: set[int] = set()
        for place in np.argsort(times, axis=None, kind="stable").tolist():
            session, nth = divmod(place, 1 + self.interactions)
            user, time = int(users[session]), int(times[session, nth])
            name, shown = f"user{user}", f"s{self.seed}-{session}"
            if nth:
                yield (
                    name,
                    msgspec.json.encode(
                        {
                            "event": "interaction",
                            "id": f"{shown}-{nth}",
                            "timestamp": time,
                            "user": name,
                            "item": f"item{slates[session, slots[session, nth - 1]]}",
                            "type": KINDS[(nth - 1) % len(KINDS)],
                            "ranking": shown,
                        }
                    ),
                )
                continue
            if user not in met:
                met.add(user)
                fields = numbers(CONTEXT, rng.normal(size=WIDTH).astype(np.float32))
                yield (
                    name,
                    encode(
                        UserEvent(
                            id=f"u{self.seed}-{user}", timestamp=time, user=name, fields=fields
                        )
                    ),
                )
            yield (
                name,
                msgspec.json.encode(
                    {
                        "event": "ranking",
                        "id": shown,
                        "timestamp": time,
                        "user": name,
                        "items": [
                            {"id": f"item{i}", "propensity": 1 / ITEMS} for i in slates[session]
                        ],
                        "policy": "site",
                    }
                ),
            )


def announce(transport: Transport, config: WorkerConfig, feed: Feed) -> None:
    """Make the topics, and fill the catalogue."""
    sender = Sender(transport, config)
    sender.announce(feed.catalogue())
    sender.flush()
    sender.close()


def send(transport: Transport, config: WorkerConfig, events: Iterator[tuple[str, bytes]]) -> int:
    """Send events as fast as may be, and return how many."""
    producer, sent = transport.producer(), count()
    for name, value in events:
        key = name.encode()
        where = partition_of(key, config.partitions)
        producer.send(config.topics.feedback, value, key=key, partition=where)
        next(sent)
    producer.flush()
    producer.close()
    return next(sent)
