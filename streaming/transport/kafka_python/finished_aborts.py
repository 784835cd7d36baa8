"""Lets kafka-python read past aborted transactions on brokers that never forget them.

A broker answers a read_committed fetch with the aborted transactions that reach into what it
returns, and the client drops every record of those producers until it meets the abort's marker. The
embedded broker lists all aborted transactions of the partition, also those whose marker lies before
the fetch: their markers never come, and every later record of the same producer, committed or not,
would be dropped in silence.

A producer has one transaction at a time, so its first marker in the answer tells the fate of its
records before that marker. If that is a commit, an abort that began before the fetch has ended
before it, and is struck off the list. Kafka's own answers never look like that, so with Kafka
nothing changes.
"""

from __future__ import annotations

from copy import copy
from typing import Any


def careful(partition_records: Any) -> Any:
    """Return a subclass of kafka-python's `PartitionRecords` that strikes off finished aborts."""

    class CarefulPartitionRecords(partition_records):  # type: ignore[misc] # untyped client
        """What a fetch returned for one partition."""

        def __init__(
            self,
            fetch_offset: int,
            tp: Any,
            records: Any,
            *,
            aborted_transactions: list[Any] | None = None,
            **options: Any,
        ) -> None:
            listed = aborted_transactions or []
            earlier = {t.producer_id for t in listed if t.first_offset < fetch_offset}
            finished = _first_to_commit(copy(records), earlier) if earlier else set()
            left = [
                t for t in listed if t.first_offset >= fetch_offset or t.producer_id not in finished
            ]
            super().__init__(fetch_offset, tp, records, aborted_transactions=left, **options)

    return CarefulPartitionRecords


def _first_to_commit(batches: Any, producers: set[int]) -> set[int]:
    """Return those producers whose first marker in some batches is a commit."""
    committed, waiting = set(), set(producers)
    for batch in batches:
        if not waiting:
            break
        if batch.magic >= 2 and batch.is_control_batch and batch.producer_id in waiting:
            waiting.discard(batch.producer_id)
            if next(batch).commit:
                committed.add(batch.producer_id)
    return committed
