"""Ways to move bytes: one protocol, and the clients that implement it.

The names of this package are loaded when they are first used, so that a memory bus needs no Kafka
client and a Kafka client no broker binary.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streaming.transport.api import (
        AbortableError,
        Consumer,
        FencedError,
        Producer,
        Record,
        TopicPartition,
        TopicSpec,
        Transport,
        TransportError,
    )
    from streaming.transport.broker import EmbeddedBroker
    from streaming.transport.clients import connect
    from streaming.transport.confluent import ConfluentTransport
    from streaming.transport.kafka_python import KafkaPythonTransport
    from streaming.transport.memory import MemoryBus
    from streaming.transport.memory_log import LogicalClock
    from streaming.transport.properties import ClientProperties
    from streaming.transport.watchdog import Watchdog

__all__ = [
    "AbortableError",
    "ClientProperties",
    "ConfluentTransport",
    "Consumer",
    "EmbeddedBroker",
    "FencedError",
    "KafkaPythonTransport",
    "LogicalClock",
    "MemoryBus",
    "Producer",
    "Record",
    "TopicPartition",
    "TopicSpec",
    "Transport",
    "TransportError",
    "Watchdog",
    "connect",
]

_HOMES = {
    "ClientProperties": "properties",
    "ConfluentTransport": "confluent",
    "EmbeddedBroker": "broker",
    "KafkaPythonTransport": "kafka_python",
    "LogicalClock": "memory_log",
    "MemoryBus": "memory",
    "Watchdog": "watchdog",
    "connect": "clients",
}


def __getattr__(name: str) -> Any:
    """Return a public name from the module that defines it; see PEP 562."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'api')}"), name)
