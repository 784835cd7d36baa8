"""confluent-kafka's errors as ours, each in one line for people."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException

from streaming.transport.api import TransportError
from streaming.transport.terms import taken_over

if TYPE_CHECKING:
    from collections.abc import Iterator

_FENCED = {
    KafkaError.PRODUCER_FENCED,
    KafkaError._FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.TRANSACTION_COORDINATOR_FENCED,
    KafkaError.FENCED_INSTANCE_ID,
}


@contextmanager
def translated(doing: str, kind: type[TransportError] = TransportError) -> Iterator[None]:
    """Turn the client's errors into ours."""
    try:
        yield
    except KafkaException as error:
        raise ours(error, doing, kind) from None


def ours(error: KafkaException, doing: str, kind: type[TransportError]) -> TransportError:
    """Return an error of the client as one of ours."""
    if error.args[0].code() in _FENCED:
        return taken_over(doing, brief(error))
    return kind(f"{doing}: {brief(error)}")


def brief(error: KafkaException) -> str:
    """Return an error of the client in one line."""
    cause: KafkaError = error.args[0]
    return f"{cause.name()}: {' '.join(cause.str().split())[:300]}"
