"""kafka-python's transactions with fewer waits: what need not wait for an answer is sent at once.

The client sends the requests of a transaction one by one, each when the one before is answered, and
produces after them: partitions added, offsets added, offsets committed, records written, end. That
is five round trips, most of what a small batch takes. But that partitions and offsets are added
are no conditions of each other, nor are the offsets committed and the records written, so three
suffice. What the protocol orders stays in order: records and offsets are sent when the coordinator
has answered that their partitions and their group belong to the transaction, and its end when all
else is answered. Requests to one broker share a connection, which is worked in order.

Only the course of things when all goes well is hastened. Whatever is not part of it, a request to
be repeated, a coordinator to be found, an error, an abort, waits until nothing is under way here
and is then left to the client, whose handlers judge every answer as before.
"""

from __future__ import annotations

from contextlib import contextmanager
from heapq import heappop
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_ADDING = "ADD_PARTITIONS_OR_OFFSETS"
_NUMBER = 0  # of a request: the client's handlers look whether the answer is to the latest


class Pipeline:
    """Takes the place of the loop of a transactional producer's sender.

    Parameters
    ----------
    client : kafka.KafkaProducer
        With a transactional id.
    """

    def __init__(self, client: Any) -> None:
        self._sender = client._sender
        self._transaction = client._transaction_manager
        self._under_way, self._held = 0, False
        self._one_by_one, self._wake = self._sender.run_once, self._sender.wakeup
        self._sender.run_once, self._sender.wakeup = self._run_once, self._wake_if_not_held

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let the sender sleep while it is given much: woken by every piece it would send each."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
            self._wake()

    def _wake_if_not_held(self) -> None:
        if not self._held:
            self._wake()

    def _run_once(self) -> None:
        """Go once through the sender's loop; on its thread."""
        patience = self._sender.config["retry_backoff_ms"]
        if self._goes_well and self._sent():
            if not self._transaction.has_partitions_to_add():  # or it would try without a pause
                patience = self._sender._send_producer_data()
        elif not self._under_way:
            self._one_by_one()
            return
        self._sender._client.poll(timeout_ms=patience)

    @property
    def _goes_well(self) -> bool:
        """Whether records are being written and nothing is in the way."""
        transaction = self._transaction
        return not (
            transaction.has_in_flight_transactional_request()
            or transaction.has_error()
            or transaction.is_completing()
            or transaction.is_bumping_epoch()
            or not transaction.has_producer_id()
            or self._sender._topics_to_add
        )

    def _sent(self) -> bool:
        """Send what waits, and return whether all of it could be sent."""
        transaction = self._transaction
        with transaction._lock:
            waiting = transaction._pending_requests
            if transaction._new_partitions_in_transaction:
                transaction._enqueue_request(transaction._add_partitions_to_transaction_handler())
            while waiting:
                handler = waiting[0][-1]
                node = self._where(handler)
                if node is None:
                    return False
                heappop(waiting)
                self._send(node, handler)
        return True

    def _where(self, handler: Any) -> Any:
        """Return the node to send to at once, None if it is not known or it must be waited for."""
        if handler.priority.name != _ADDING or handler.is_retry:
            return None
        node = self._transaction.coordinator(handler.coordinator_type)
        return node if node is not None and self._sender._client.is_ready(node) else None

    def _send(self, node: Any, handler: Any) -> None:
        self._under_way += 1
        self._sender._client.send(node, handler.request).add_both(self._answered, handler)

    def _answered(self, handler: Any, answer: Any) -> None:
        self._under_way -= 1
        self._transaction._in_flight_request_correlation_id = _NUMBER
        handler.on_complete(_NUMBER, answer)
