"""What the commands of the live loop share: where Kafka is, what a loop is like, how to stop."""

from __future__ import annotations

import math
import os
import signal
import threading
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agents.api import RecloopError
from commands.sources import LOG_HELP, catalogue_of, open_log

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streaming import Schema, Transport, WorkerConfig

HERE = "127.0.0.1:9092"
PREFIX = "recloop."
PARTITIONS = 4
WINDOW = 1800
LATENESS = 60
SLATE_SIZE = 3

Servers = Annotated[
    str,
    typer.Option("--bootstrap-servers", help="Where Kafka is: host:port, several between commas."),
]
Properties = Annotated[
    Path | None,
    typer.Option(help="A Kafka client's properties file: security.protocol, sasl.*, ssl.*."),
]
Client = Annotated[
    str, typer.Option(help="kafka-python, or confluent-kafka (faster; the extra `fast`).")
]
Prefix = Annotated[str, typer.Option(help="What the topics' names begin with.")]
Partitions = Annotated[int, typer.Option(help="Partitions of the users' topics.", min=1)]
Window = Annotated[int, typer.Option(help="Attribution window, in seconds of event time.", min=1)]
Lateness = Annotated[
    int, typer.Option(help="How late an event may come, in seconds of event time.", min=0)
]
SlateSize = Annotated[int, typer.Option(help="How many items are recommended.", min=1)]
UserFeatures = Annotated[
    str,
    typer.Option(help="Fields of user and ranking events: age:number,city:category(16)."),
]
ItemFeatures = Annotated[
    str, typer.Option(help="Fields of item events: price:number,tags:category(32).")
]
Like = Annotated[
    str | None,
    typer.Option(
        help="Instead of declaring features: those of a log, in the fields `context` and "
        "`features`, as `traffic` sends them. " + LOG_HELP
    ),
]


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """Yield a flag that Ctrl-C or SIGTERM raises, instead of breaking off what is being done.

    The second one does break it off: what is waited for may never come.
    """
    stop = threading.Event()

    def raised(*_: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        os.write(2, b"stopping; once more breaks it off\n")  # print is not safe in a handler

    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, raised) for kind in kinds]
    try:
        yield stop
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


@contextmanager
def reach(servers: str, properties: Path | None, client: str) -> Iterator[Transport]:
    """Yield the transport to a Kafka cluster, and close it afterwards."""
    from streaming.transport import ClientProperties, connect

    given = None if properties is None else ClientProperties.read(properties)
    with closing(connect(servers, given, client=client)) as transport:
        yield transport


def describe(
    *,
    like: str | None = None,
    user_features: str = "",
    item_features: str = "",
    prefix: str = PREFIX,
    partitions: int = PARTITIONS,
    slate_size: int = SLATE_SIZE,
    window: int = WINDOW,
    lateness: int = LATENESS,
    ttl: int = 86_400,
    rewards: Sequence[str] = ("click=1",),
    aggregation: str = "max",
    late: int = 0,
    absence: int = 0,
    quarantine: float | None = None,
    flood: float | None = None,
    worker: str = "1",
    seed: int = 0,
) -> WorkerConfig:
    """Return a loop's configuration from what a command was given; times in seconds."""
    from streaming import Quarantine, Rules, WorkerConfig

    watched = quarantine is not None or flood is not None
    users, items = _features(like, user_features, item_features)
    return WorkerConfig(
        users=users,
        items=items,
        prefix=prefix,
        partitions=partitions,
        slate_size=slate_size,
        ttl=ttl * 1000,
        worker=worker,
        seed=seed,
        rules=Rules(
            window=window * 1000,
            lateness=lateness * 1000,
            late=late * 1000,
            absence=absence * 1000,
            horizon=max(Rules().horizon, (window + late) * 1000),
            rewards=dict(_worth(word) for word in rewards),
            aggregation=aggregation,
        ),
        quarantine=Quarantine(
            threshold=1.0 if quarantine is None else quarantine,
            flood=math.inf if flood is None else flood,
        )
        if watched
        else None,
    )


def _features(like: str | None, users: str, items: str) -> tuple[Schema, Schema]:
    from streaming import CONTEXT, FEATURES, Schema, schema_of

    if like is None:
        return Schema.parse(users), Schema.parse(items)
    if users or items:
        raise RecloopError("--like declares all features: give either it or the others")
    log = open_log(like)
    first = next(iter(log), None)
    if first is None:
        raise RecloopError(f"the log {like} is empty: it cannot say what features there are")
    width = catalogue_of(log).features.shape[1]
    return schema_of(CONTEXT, first.requests.context.shape[1]), schema_of(FEATURES, width)


def _worth(word: str) -> tuple[str, float]:
    """Return an interaction's type and what it is worth."""
    kind, _, value = word.partition("=")
    try:
        return kind, float(value)
    except ValueError:
        raise RecloopError(f"{word!r} names no reward: write click=1 or purchase=5") from None
