"""The bare confluent-kafka consumer that the live loop's benchmarks are held against."""

from __future__ import annotations

import confluent_kafka as confluent


def confluent_consumer(
    servers: str, topic: str, group: str, partitions: int = 1
) -> confluent.Consumer:
    """Return a reader of what is committed in a topic, from its beginning, set up as ours is."""
    consumer = confluent.Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": group,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "receive.message.max.bytes": 2**31 - 1,
            "log_level": 0,
        }
    )
    consumer.assign([confluent.TopicPartition(topic, p, 0) for p in range(partitions)])
    return consumer
