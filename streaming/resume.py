"""When to go on: what sends events into a loop that has had some must not send them too late."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from streaming.events import BadEventError, decode
from streaming.restore import read_to_end
from streaming.watermark import Watermark

if TYPE_CHECKING:
    from streaming.config import WorkerConfig
    from streaming.transport.api import Transport

TAIL = 2000
"""How many of the latest records of a partition are looked at."""


def start_after(transport: Transport, config: WorkerConfig, earliest: int) -> int:
    """Return an event time at which new traffic is in time, in milliseconds since the epoch.

    Parameters
    ----------
    transport : Transport
    config : WorkerConfig
        Of the worker that reads it.
    earliest : int
        What is returned if the loop has had no events later than this.
    """
    topics, rules = config.topics, config.rules
    transport.ensure_topics(topics.specs(config.partitions))
    marks = [Watermark(rules.quorum, 0, [], earliest) for _ in range(config.partitions)]
    with closing(transport.consumer([topics.feedback])) as consumer:
        ends = consumer.end_offsets()
        consumer.seek({where: max(0, end - TAIL) for where, end in ends.items()})
        for records in read_to_end(consumer):
            for record in records:
                try:
                    marks[record.partition].observe(decode(record.value or b"").time)
                except BadEventError:
                    continue
    latest = max(mark.value for mark in marks)
    return latest if latest == earliest else latest + rules.window + rules.lateness + 1
