"""The live commands over a broker, each in its own process, ended as a person ends them."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import numpy as np
import pytest

from commands.loop import describe
from simulators import Log
from streaming import KafkaPythonTransport
from streaming.records import decode_outcome
from streaming.restore import read_topic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from streaming import Topics, Transport
    from tests.commands.support import Running, Said

LOG = "obd:random/women"
PREFIX = "commands."
CONFIG = describe(like=LOG, prefix=PREFIX, partitions=2)
ENDLESS = 1_000_000


@pytest.fixture
def transport(broker: str) -> Iterator[Transport]:
    made = KafkaPythonTransport(broker)
    made.ensure_topics(CONFIG.topics.specs(CONFIG.partitions))
    yield made
    made.close()


def count(transport: Transport, topic: str) -> int:
    return sum(len(records) for records in read_topic(transport, topic))


def test_serve_traffic_and_export_end_cleanly_and_agree(
    broker: str,
    transport: Transport,
    start: Callable[..., Running],
    command: Callable[..., Said],
    tmp_path: Path,
) -> None:
    topics: Topics = CONFIG.topics
    where = ("--bootstrap-servers", broker, "--prefix", PREFIX, "--partitions", 2, "--json")
    served = start("serve", "--like", LOG, "--policy", "linucb+epsilon=0.1", *where)
    visiting = start("traffic", "--world", LOG, "--users", 5, "--steps", ENDLESS, *where)
    visiting.until(lambda: count(transport, topics.outcomes) >= 3 * 5)
    early = command("export", "--like", LOG, "--out", tmp_path / "early", *where).json
    assert early["rows"] >= 3 * 5
    visited = visiting.interrupt()
    sent = visited.json
    assert 3 <= sent["steps"] < ENDLESS
    assert f"stopped after {sent['steps']} of {ENDLESS} steps" in visited.err
    assert sent["rankings"] == 5 * sent["steps"]

    worked = served.interrupt().json
    assert worked["rankings"] == worked["outcomes"] == sent["rankings"]
    assert worked["interactions"] == sent.get("interactions", 0)
    assert worked["dead"] == {}
    assert worked["aborted"] == 0

    found = command("export", "--like", LOG, "--out", tmp_path / "log", *where).json
    assert (found["rows"], found["left_out"]) == (sent["rankings"], {})
    log = list(Log(tmp_path / "log"))
    rewards = np.concatenate([outcomes.rewards for outcomes in log])
    assert rewards.shape == (sent["rankings"], CONFIG.slate_size)
    assert rewards.mean() == pytest.approx(sent["click rate"])

    undeclared = command("export", "--out", tmp_path / "undeclared", *where)
    assert undeclared.code == 1
    assert "declare those that the worker was given" in undeclared.err

    other = start("serve", "--like", LOG, "--policy", "uniform", "--slate-size", 2, *where)
    other.hear("serving uniform")
    again = other.interrupt().json
    assert again["outcomes"] == worked["outcomes"]
    assert again["log_loss"] == worked["log_loss"]
    assert count(transport, topics.outcomes) == worked["outcomes"]


def test_telling_a_log_may_be_broken_off_and_the_worker_learns_what_was_told(
    broker: str, transport: Transport, start: Callable[..., Running]
) -> None:
    config = describe(prefix="told.", partitions=1)
    transport.ensure_topics(config.topics.specs(1))
    where = ("--bootstrap-servers", broker, "--prefix", "told.", "--partitions", 1, "--json")
    telling = start("traffic", "--log", LOG, *where)
    telling.until(lambda: count(transport, config.topics.feedback) > 0)
    said = telling.interrupt()
    sent = said.json
    assert sent["rankings"] > 0
    assert ("the rest of the log was not told" in said.err) == (sent["rankings"] < 10_000)
    served = start("serve", "--like", LOG, "--policy", "popular+temperature=0.1", *where)
    served.until(lambda: count(transport, config.topics.outcomes) >= sent["rankings"])
    worked = served.interrupt().json
    assert worked["outcomes"] == sent["rankings"]
    outcomes = [
        decode_outcome(record.value or b"")
        for records in read_topic(transport, config.topics.outcomes)
        for record in records
    ]
    assert [outcome.seq for outcome in outcomes] == list(range(sent["rankings"]))


def test_a_second_worker_takes_over_and_the_first_says_so(
    broker: str, start: Callable[..., Running]
) -> None:
    where = ("--bootstrap-servers", broker, "--prefix", "twice.", "--partitions", 1, "--json")
    first = start("serve", "--user-features", "age", "--policy", "uniform", *where)
    first.hear("serving uniform")
    second = start("serve", "--user-features", "age", "--policy", "uniform", *where)
    second.hear("serving uniform")
    transport = KafkaPythonTransport(broker)
    producer = transport.producer()
    event = {"event": "user", "id": "1", "timestamp": 1, "user": "u"}
    producer.send("twice.feedback", json.dumps(event).encode(), key=b"u")
    producer.flush()
    transport.close()
    ended = first.end()
    assert ended.code == 1
    assert "another worker has taken over" in ended.err
    assert "Traceback" not in ended.err
    second.until(lambda: second.process.poll() is None)
    assert second.interrupt().json["dead"] == {}


def test_a_broker_of_one_s_own_listens_until_ctrl_c(start: Callable[..., Running]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = start("broker", "--port", port, "--json")
    running.hear("bootstrap_servers")
    with socket.create_connection(("127.0.0.1", port), timeout=5.0):
        pass
    said = running.interrupt()
    assert said.json["bootstrap_servers"] == f"127.0.0.1:{port}"
    assert "the broker has stopped" in said.err
    with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.1", port)):
        pass
