"""A transport of each kind for the tests of them all, and a loop over the memory bus."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

from streaming.transport.api import TopicSpec, Transport
from streaming.transport.memory import MemoryBus
from streaming.worker import Worker
from tests.streaming.support import CONFIG, Loop, OrderPolicy
from tests.streaming.transports import KAFKA

if TYPE_CHECKING:
    from collections.abc import Iterator

_numbers = count()


@pytest.fixture(params=["memory", *KAFKA])
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    made: Transport
    if request.param == "memory":
        made = MemoryBus()
    else:
        made = KAFKA[request.param](request.getfixturevalue("broker"))
    yield made
    made.close()


@pytest.fixture
def prefix() -> str:
    return f"contract-{next(_numbers)}."


@pytest.fixture
def topic(transport: Transport, prefix: str) -> str:
    """A topic of one partition, so that offsets are known, that keeps even old records."""
    config = {"max.message.bytes": "2000000", "retention.ms": "-1"}
    transport.ensure_topics([TopicSpec(f"{prefix}one", 1, config)])
    return f"{prefix}one"


@pytest.fixture
def loop() -> Loop:
    made = Loop(MemoryBus())
    made.announce()
    return made


@pytest.fixture
def worker(loop: Loop) -> Iterator[Worker]:
    made = Worker(loop.transport, OrderPolicy, CONFIG)
    yield made
    made.close()
