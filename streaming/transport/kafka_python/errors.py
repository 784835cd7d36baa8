"""kafka-python's errors as ours, each in one line for people."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from kafka import errors

from streaming.transport.api import TransportError
from streaming.transport.terms import taken_over

if TYPE_CHECKING:
    from collections.abc import Iterator

_FENCED = (
    errors.ProducerFencedError,
    errors.InvalidProducerEpochError,
    errors.TransactionCoordinatorFencedError,
    errors.FencedInstanceIdError,
)


@contextmanager
def translated(doing: str, kind: type[TransportError] = TransportError) -> Iterator[None]:
    """Turn the client's errors into ours."""
    try:
        yield
    except errors.KafkaError as error:
        raise ours(error, doing, kind) from None


def ours(error: Exception, doing: str, kind: type[TransportError]) -> TransportError:
    """Return an error of the client as one of ours.

    Once a producer has failed, the client wraps the cause into the text of a plain `KafkaError`, so
    being fenced has to be looked for there too.
    """
    text = str(error)
    if isinstance(error, _FENCED) or any(fenced.__name__ in text for fenced in _FENCED):
        return taken_over(doing, _brief(error))
    return kind(f"{doing}: {_brief(error)}")


def _brief(error: Exception) -> str:
    """Return an error of the client in one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
