"""From the topics back to the state of the worker that wrote them: at start, and after an abort.

A worker keeps nothing that its topics do not hold: users and partitions are the latest records of
the changelog, the models are the fold of `outcomes`, the policy from its latest snapshot on.
"""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from agents.api import RecloopError
from streaming import snapshot
from streaming.learner import GapError
from streaming.records import decode_outcome
from streaming.state import Shard
from streaming.transport.api import TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streaming.learner import Learner
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


def restore_shards(
    transport: Transport, topics: Topics, partitions: int, features: str
) -> list[Shard]:
    """Return the state of every partition, as it was last committed.

    Raises
    ------
    RestoreError
        If it was made under another declaration of features.
    """
    changelogs: list[dict[bytes, bytes]] = [{} for _ in range(partitions)]
    for records in read_topic(transport, topics.state):
        for record in records:
            if record.key is not None and record.value is not None:
                changelogs[record.partition][record.key] = record.value
            elif record.key is not None:
                changelogs[record.partition].pop(record.key, None)
    shards = []
    for partition, changelog in enumerate(changelogs):
        shard = Shard(partition, features)
        shard.restore(changelog)
        if shard.state.features != features:
            raise RestoreError(
                f"the loop under {topics.prefix!r} was begun with {shard.state.features}, and this "
                f"worker has {features}: start it with the same, or take another prefix"
            )
        shards.append(shard)
    return shards


def restore_learner(transport: Transport, topics: Topics, learner: Learner, origin: str) -> None:
    """Let a new learner learn all that was learned.

    The policy begins with its latest snapshot, if that is its own; the click model and what is
    measured learn every outcome.

    Raises
    ------
    GapError
        If an outcome is missing or comes twice.
    """
    latest = None
    for records in read_topic(transport, topics.model):
        latest = records[-1].value
    if latest is not None:
        learner.skip_policy_to(snapshot.load(latest, learner.policy, origin))
    for outcomes in outcomes_in_order(transport, topics):
        learner.learn(outcomes)


def outcomes_in_order(transport: Transport, topics: Topics) -> Iterator[list[OutcomeRecord]]:
    """Return all outcomes in the order of `seq`, in batches, without holding them all.

    Raises
    ------
    GapError
        If one comes twice. If one is missing, those after it come last.
    """
    waiting: dict[int, OutcomeRecord] = {}
    following = 0
    for records in read_topic(transport, topics.outcomes):
        for record in records:
            outcome = decode_outcome(record.value or b"")
            if outcome.seq < following or outcome.seq in waiting:
                raise GapError(f"outcome {outcome.seq} comes twice in {topics.outcomes!r}")
            waiting[outcome.seq] = outcome
        found = _following(waiting, following)
        following += len(found)
        yield found
    yield [waiting[seq] for seq in sorted(waiting)]


def _following(waiting: dict[int, OutcomeRecord], seq: int) -> list[OutcomeRecord]:
    """Take out the records that follow each other from a `seq` on."""
    found = []
    while (record := waiting.pop(seq, None)) is not None:
        found.append(record)
        seq += 1
    return found
