"""A writer over confluent-kafka, whose transaction calls are made again where this may help."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import TopicPartition as ClientTopicPartition

from streaming.transport.api import TransportError
from streaming.transport.base import BaseProducer
from streaming.transport.confluent.consumer import ConfluentConsumer
from streaming.transport.confluent.errors import ours, translated
from streaming.transport.terms import HANGING, no_group

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streaming.transport.api import Consumer, TopicPartition
    from streaming.transport.confluent.succession import Succession

_FULL_QUEUE_PAUSE, _FLUSH_SLICE = 0.05, 0.2  # seconds


class ConfluentProducer(BaseProducer):
    """Writes records; made by `ConfluentTransport.producer`.

    Parameters
    ----------
    client : confluent_kafka.Producer
        With its transactions initialised, if it has any.
    partitions : callable
        Returns how many partitions a topic has.
    transactional_id : str or None
    failed : list of KafkaError
        Where the client puts the errors that end it, and those of records that it cannot deliver.
    succession : Succession, optional
        Where the client comes from, if it must not go on after an abort.
    """

    def __init__(
        self,
        client: Any,
        partitions: Callable[[str], int],
        transactional_id: str | None,
        failed: list[KafkaError],
        succession: Succession | None,
    ) -> None:
        super().__init__(partitions, transactional_id)
        self._client = client
        self._failed = failed
        self._succession = succession

    def _begin(self) -> None:
        with translated("beginning a transaction"):
            self._client.begin_transaction()

    def _write(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        timestamp: int | None,
    ) -> None:
        deadline = 0.0
        while True:
            try:
                if timestamp is None:
                    self._client.produce(topic, value, key, partition)
                else:
                    self._client.produce(topic, value, key, partition, timestamp=timestamp)
            except BufferError:  # the client's own cap on what is in flight
                deadline = deadline or time.monotonic() + HANGING
                if time.monotonic() > deadline:
                    raise self._kind(f"nothing sent to {topic!r} is acknowledged") from None
                self._client.poll(_FULL_QUEUE_PAUSE)
            except KafkaException as error:
                raise ours(error, f"writing to {topic!r}", self._kind) from None
            else:
                return

    def _raise_failed(self) -> None:
        """Raise the first error; what is no transaction's and not fatal is then done with."""
        if self._failed:
            error = self._failed[0]
            if self.transactional_id is None and not error.fatal():
                self._failed.clear()
            raise KafkaException(error)

    def _commit(self, offsets: Mapping[TopicPartition, int], consumer: Consumer) -> None:
        with translated("committing", self._kind):
            if offsets:
                at = [ClientTopicPartition(*address, n) for address, n in offsets.items()]
                metadata = _client_of(consumer).consumer_group_metadata()
                _insist(lambda left: self._client.send_offsets_to_transaction(at, metadata, left))
            self._await_sends()
            _insist(self._client.commit_transaction)

    def _abort(self) -> None:
        with translated("aborting"):
            _insist(self._client.abort_transaction)
            if self._succession is not None and not self.closed:
                self._client = self._succession.next()
        self._failed.clear()

    def flush(self) -> None:
        """Wait until everything sent is written, and raise if anything was not."""
        with translated("writing", self._kind):
            self._await_sends()

    def _await_sends(self) -> None:
        """Wait for acknowledgements, but not for those that a fatal error has made impossible."""
        deadline = time.monotonic() + HANGING
        while self._client.flush(_FLUSH_SLICE):
            self._raise_failed()
            if time.monotonic() > deadline:
                raise TransportError(f"not everything was written within {HANGING:g} s")
        self._raise_failed()

    def _close(self) -> None:
        """Close the connections; an open transaction is aborted, or left to the next holder."""
        try:
            if self.open:
                self.abort()
            else:
                self.flush()
        except TransportError:
            self.open = False
            self._client.purge()
        if self._succession is not None:
            self._succession.close()


def _insist(call: Callable[[float], object]) -> None:
    """Make a transaction call again as long as the client says that this may help."""
    deadline = time.monotonic() + HANGING
    while True:
        try:
            call(max(0.1, deadline - time.monotonic()))
        except KafkaException as error:
            if not error.args[0].retriable() or time.monotonic() > deadline:
                raise
        else:
            return


def _client_of(consumer: Consumer) -> Any:
    if not isinstance(consumer, ConfluentConsumer) or consumer.group is None:
        raise no_group()
    return consumer.client
