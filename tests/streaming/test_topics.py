"""The ten topics: their names and shapes."""

from __future__ import annotations

import pytest

from streaming.topics import Topics
from streaming.transport.api import TransportError
from streaming.transport.memory import MemoryBus

COMPACTED = {"items", "recommendations", "state", "model", "roles"}


def test_all_topics_stand_under_the_prefix() -> None:
    specs = Topics("shop.").specs(partitions=3)
    names = {spec.name.removeprefix("shop.") for spec in specs}
    assert names == COMPACTED | {"feedback", "decisions", "outcomes", "orders", "dead-letters"}
    for spec in specs:
        compacted = spec.name.removeprefix("shop.") in COMPACTED
        assert spec.config["cleanup.policy"] == ("compact" if compacted else "delete")
        assert compacted or "retention.ms" in spec.config


def test_what_a_user_owns_lies_in_partitions_of_one_number() -> None:
    topics = Topics()
    partitions = {spec.name: spec.partitions for spec in topics.specs(partitions=5)}
    for name in (topics.feedback, topics.state, topics.recommendations, topics.outcomes):
        assert partitions[name] == 5
    assert partitions[topics.items] == partitions[topics.model] == 1


def test_the_topics_can_be_made() -> None:
    bus = MemoryBus()
    bus.ensure_topics(Topics().specs())
    assert bus.partitions("recloop.feedback") == 4


@pytest.mark.parametrize("prefix", ["a b.", "ä.", "x/", "y" * 240])
def test_prefixes_that_kafka_would_refuse_are_refused(prefix: str) -> None:
    with pytest.raises(TransportError, match="prefix"):
        Topics(prefix)
