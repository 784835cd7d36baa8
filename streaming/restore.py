"""From the topics back to the state of the worker that wrote them: at start, and after an abort.

A worker keeps nothing that its topics do not hold: users and partitions are the latest records of
the changelog, the models are the fold of `outcomes`, the policy from its latest snapshot on.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import closing
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from agents.api import RecloopError
from streaming.knowledge import GapError
from streaming.records import decode_outcome
from streaming.state import Shard
from streaming.transport.api import TransportError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from streaming.records import OutcomeRecord
    from streaming.topics import Topics
    from streaming.transport.api import Consumer, Record, Transport

_AT_ONCE = 5000
_PATIENCE = 30.0


class RestoreError(RecloopError):
    """Topics that no worker with these options can go on from."""


def read_to_end(consumer: Consumer) -> Iterator[list[Record]]:
    """Return the records up to what is the end when reading begins, in batches.

    Raises
    ------
    TransportError
        If nothing comes for half a minute although the end is not reached.
    """
    ends = consumer.end_offsets()
    heard = time.monotonic()
    while any(offset < ends[where] for where, offset in consumer.positions().items()):
        records = consumer.poll(_AT_ONCE, 0.1)
        if records:
            heard = time.monotonic()
            yield records
        elif time.monotonic() - heard > _PATIENCE:
            raise TransportError(f"nothing came for {_PATIENCE:g} s: is the broker still there?")


def read_topic(transport: Transport, topic: str) -> Iterator[list[Record]]:
    """Return all there is in a topic, in batches; see `read_to_end`."""
    with closing(transport.consumer([topic])) as consumer:
        yield from read_to_end(consumer)


def shard_from(
    changelog: dict[bytes, bytes], topics: Topics, partition: int, features: str
) -> Shard:
    """Return the state of a partition, as it was last committed.

    Raises
    ------
    RestoreError
        If it was made under another declaration of features.
    """
    shard = Shard(partition, features)
    shard.restore(changelog)
    if shard.state.features != features:
        raise RestoreError(
            f"the loop under {topics.prefix!r} was begun with {shard.state.features}, and this "
            f"worker has {features}: start it with the same, or take another prefix"
        )
    return shard


def outcomes_in_order(
    transport: Transport, topics: Topics, partitions: Collection[int] | None = None
) -> Iterator[list[OutcomeRecord]]:
    """Return all outcomes of some partitions in the order to fold them in; see `outcomes_read`."""
    with closing(transport.consumer([topics.outcomes], partitions=partitions)) as consumer:
        yield from outcomes_read(consumer)


def outcomes_read(consumer: Consumer) -> Iterator[list[OutcomeRecord]]:
    """Return the outcomes that a consumer has before it, in the order to fold them in, in batches.

    That is the order of (`seq`, partition, number); a partition's come in the order of its numbers.
    As few are held back as the order allows.

    Raises
    ------
    GapError
        If one comes twice.
    """
    ends = consumer.end_offsets()
    waiting: dict[int, deque[OutcomeRecord]] = {where.partition: deque() for where in ends}
    due = dict.fromkeys(waiting, 0)
    for records in read_to_end(consumer):
        for record in records:
            outcome = decode_outcome(record.value or b"")
            if outcome.number < due[record.partition]:
                raise GapError(f"outcome {outcome.number} comes twice in {record.topic!r}")
            due[record.partition] = outcome.number + 1
            waiting[record.partition].append(outcome)
        positions = consumer.positions()
        coming = {where.partition for where, end in ends.items() if positions[where] < end}
        yield _ripe(waiting, coming)
    yield _ripe(waiting, set())


def _ripe(waiting: dict[int, deque[OutcomeRecord]], coming: set[int]) -> list[OutcomeRecord]:
    """Take out, in order, what nothing that is still coming can come before."""
    heads = [(queue[0].seq, partition) for partition, queue in waiting.items() if queue]
    heapify(heads)
    found = []
    while heads and all(waiting[partition] for partition in coming):
        _, partition = heappop(heads)
        queue = waiting[partition]
        found.append(queue.popleft())
        if queue:
            heappush(heads, (queue[0].seq, partition))
    return found
