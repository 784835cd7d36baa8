"""A transaction's requests go out as early as the protocol allows, and no earlier."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from streaming.transport import EmbeddedBroker, TopicSpec, connect
from streaming.transport.kafka_python.producer import MAX_IN_FLIGHT

GROUP = "group"
BEFORE = [  # what has to be answered before what is sent, by the protocol
    ("AddPartitionsToTxnRequest", "ProduceRequest"),
    ("AddOffsetsToTxnRequest", "TxnOffsetCommitRequest"),
    ("ProduceRequest", "EndTxnRequest"),
    ("TxnOffsetCommitRequest", "EndTxnRequest"),
]
ADDED = ("AddPartitionsToTxnRequest", "AddOffsetsToTxnRequest")


def test_only_what_must_wait_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    from kafka.net.connection import KafkaConnection

    seen: list[tuple[str, str]] = []
    send = KafkaConnection.send_request

    def noted(self: Any, request: Any, **options: Any) -> Any:
        name = type(request).__name__
        seen.append(("sent", name))
        future = send(self, request, **options)
        return future.add_both(lambda _: seen.append(("answered", name)))

    with (
        EmbeddedBroker() as broker,
        closing(connect(broker.bootstrap_servers, client="kafka-python")) as transport,
    ):
        transport.ensure_topics([TopicSpec(name, partitions=2) for name in ("in", "out")])
        plain = transport.producer()
        plain.send("in", b"a", partition=0)
        plain.flush()
        reader = transport.consumer(["in"], group=GROUP)
        writer = transport.producer(transactional_id="w")
        assert [record.value for record in reader.poll(10, 10.0)] == [b"a"]
        for _ in range(3):  # the first also looks its coordinators up
            seen.clear()
            writer.begin()
            for partition in (0, 1):
                writer.send("out", b"b", partition=partition)
            with monkeypatch.context() as patched:
                patched.setattr(KafkaConnection, "send_request", noted)
                writer.commit(reader.positions(), reader)
        assert reader.committed() == reader.positions()
        out = transport.consumer(["out"])
        assert sum(len(out.poll(10, 1.0)) for _ in range(3)) == 6
    for first, then in BEFORE:
        assert seen.index(("answered", first)) < seen.index(("sent", then))
    last_sent = max(seen.index(("sent", name)) for name in ADDED)
    assert all(last_sent < seen.index(("answered", name)) for name in ADDED)
    assert seen.count(("sent", "AddPartitionsToTxnRequest")) == 1


@pytest.mark.timeout(60)
def test_a_transaction_of_more_than_may_be_in_flight_is_committed_at_once() -> None:
    """What is given while the sender is let sleep is not waited for: nobody would send it."""
    with (
        EmbeddedBroker() as broker,
        closing(connect(broker.bootstrap_servers, client="kafka-python")) as transport,
    ):
        transport.ensure_topics([TopicSpec("in", partitions=1), TopicSpec("out", partitions=8)])
        reader = transport.consumer(["in"], group=GROUP)
        reader.poll(1, 0.0)
        writer = transport.producer(transactional_id="w")
        wanted = MAX_IN_FLIGHT + MAX_IN_FLIGHT // 4
        for records in (1, wanted, wanted):
            writer.begin()
            for n in range(records):
                writer.send("out", b"b", partition=n % 8)
            writer.commit(reader.positions(), reader)
        ends = transport.consumer(["out"]).end_offsets()
        assert sum(ends.values()) >= 2 * wanted + 1
