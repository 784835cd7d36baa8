"""The worker over the memory bus: every bad input is answered for, every extreme one survived."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from agents import Spec
from streaming.config import ConfigError, WorkerConfig
from streaming.events import Field, ItemEvent, RankedItem, RankingEvent, encode
from streaming.features import Schema
from streaming.records import RecordError
from streaming.restore import RestoreError
from streaming.rules import Limits
from streaming.state import PARTITION_KEY
from streaming.transport.memory import MemoryBus
from streaming.transport.partitioner import partition_of
from streaming.worker import Worker
from tests.streaming.support import (
    CONFIG,
    Loop,
    OrderPolicy,
    drain,
    interaction,
    ranking,
    shown,
    user,
)

GOOD = encode(user("u", "good", 1000))


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        (b"{not json", "contract", "not JSON"),
        (b"\xff\xfe", "contract", "not"),
        (b'{"event":"purchase","id":"1","timestamp":1,"user":"u"}', "contract", "purchase"),
        (b'{"event":"user","id":"1","user":"u"}', "contract", "timestamp"),
        (b'{"event":"user","id":1,"timestamp":1,"user":"u"}', "contract", "Expected `str`"),
        (
            b'{"event":"interaction","id":"1","timestamp":1,"user":"u","item":"a","type":"click",'
            b'"ranking":"r","value":NaN}',
            "contract",
            "not JSON",
        ),
        (
            b'{"event":"interaction","id":"1","timestamp":1,"user":"u","item":"a","type":"click",'
            b'"ranking":"r","value":1e999}',
            "contract",
            "Number out of range",
        ),
        (encode(ranking("u", "r", 1000, "a", "nowhere")), "unknown-item", "'nowhere'"),
        (encode(user("u", "1", 4_000_000_000_000)), "ahead", "ahead of when it was produced"),
        (encode(interaction("u", "1", 1000, "never")), "no-ranking", "without its ranking"),
        (encode(user("u", "1", 1000, x="z" * 2_000_000)), "too-large", "too large"),
        (encode(user("u", "1", 1000, x="text")), "contract", "'x' must be a number"),
        (encode(user("someone else", "1", 1000)), "contract", "must have the user as its key"),
        (b'{"event":"item","id":"1","timestamp":1,"item":"a"}', "contract", "belong on"),
    ],
)
def test_bad_input_becomes_a_dead_letter_and_what_is_around_it_arrives(
    loop: Loop, worker: Worker, value: bytes, kind: str, words: str
) -> None:
    loop.send(user("u", "before", 1000))
    place = partition_of(b"u", CONFIG.partitions)
    loop.raw(value)
    loop.send(user("u", "after", 1001, x=1.0), ranking("u", "r1", 1002), ranking("v", "r2", 1002))
    loop.send(interaction("u", "i", 1003, "r1", "b"))
    loop.tick(2100)
    drain(worker)
    (letter,) = loop.letters()
    assert letter.kind == kind
    assert words in letter.reason
    assert (letter.topic, letter.partition, letter.offset) == (loop.topics.feedback, place, 1)
    assert letter.size == len(value)
    assert letter.value == (value if letter.size < 500_000 else value[:4096])
    outcomes = {outcome.ranking: outcome.rewards for outcome in loop.outcomes()}
    assert outcomes == {"r1": [0.0, 1.0], "r2": [0.0, 0.0]}
    report = worker.report()
    assert report.dead == {kind: 1}
    assert report.events == len(loop.read(loop.topics.feedback))
    assert (report.users, report.rankings, report.interactions) == (2 + 4, 2, 1)


@pytest.mark.parametrize(
    "spec",
    ["linucb", "linucb:interactions=true", "lints", "squarecb", "neural-ranker:discount=0.9"],
)
def test_no_number_that_an_event_may_hold_ends_a_policy(loop: Loop, spec: str) -> None:
    worker = Worker(loop.transport, Spec.parse(spec, 0).make, CONFIG)
    huge = 3e38
    loop.send(user("u", "beyond", 1000, x=huge), user("u", "edge", 1000, x=1e15, y=-1e15))
    loop.send(user("v", "usual", 1000, x=0.5))
    drain(worker)
    loop.send(*[shown(recommendation, 1001) for recommendation in loop.recommended().values()])
    loop.tick(2100)
    drain(worker)
    assert len(loop.outcomes()) == 2
    loop.send(user("v", "again", 2200, x=0.6))
    drain(worker)
    assert loop.recommended()["v"].time == 2200
    assert [letter.kind for letter in loop.letters()] == ["contract"]


def test_the_largest_outcome_that_may_come_fits_its_topic() -> None:
    width = 352
    config = replace(CONFIG, items=Schema.parse(f"f:numbers({width})"), users=Schema())
    with pytest.raises(ConfigError, match="fewer features"):
        replace(CONFIG, items=Schema.parse(f"f:numbers({width + 20})"), users=Schema())
    loop = Loop(MemoryBus(), config)
    names = [f"{n:03}" + "\u0001" * 253 for n in range(config.limits.slots)]
    longest = -1.2345678806304932e-30
    for name in names:
        fields = [Field("f", [longest * (n + 1) for n in range(width)])]
        event = ItemEvent(id=name, timestamp=1, item=name, fields=fields)
        loop.producer.send(loop.topics.items, encode(event), key=name.encode())
    event_ = RankingEvent(
        id=names[0],
        timestamp=1000,
        user=names[0],
        session=names[0],
        policy=names[0],
        items=[RankedItem(name, propensity=0.1234567890123456) for name in names],
    )
    worker = Worker(loop.transport, OrderPolicy, config)
    loop.send(event_)
    loop.tick(2100)
    drain(worker)
    assert len(loop.outcomes()) == 1


@pytest.mark.parametrize("topic", ["state", "model"])
@pytest.mark.parametrize("key", [b"u", PARTITION_KEY])
def test_what_somebody_else_wrote_into_our_topics_is_said(
    loop: Loop, topic: str, key: bytes
) -> None:
    loop.producer.send(getattr(loop.topics, topic), b"junk", key=key, partition=0)
    with pytest.raises(RecordError, match="another prefix"):
        Worker(loop.transport, OrderPolicy, CONFIG)


def test_a_duplicate_is_counted_and_dropped(loop: Loop, worker: Worker) -> None:
    click = interaction("u", "i", 1001, "r")
    loop.send(ranking("u", "r", 1000), click, click, ranking("u", "r", 1000))
    loop.tick(2000)
    drain(worker)
    assert worker.report().duplicates == 2
    assert loop.letters() == []
    assert [outcome.rewards for outcome in loop.outcomes()] == [[1.0, 0.0]]


def test_feedback_in_the_wrong_partition_is_refused(loop: Loop, worker: Worker) -> None:
    for partition in range(CONFIG.partitions):
        loop.raw(GOOD, partition=partition)
    drain(worker)
    (letter,) = loop.letters()
    assert letter.partition == 1 - partition_of(b"u", CONFIG.partitions)
    assert "murmur2" in letter.reason


def test_bad_items_are_buried_once_and_not_again_by_the_next_worker(loop: Loop) -> None:
    loop.producer.send(loop.topics.items, b"{", key=b"x")
    for _ in range(2):
        worker = Worker(loop.transport, OrderPolicy, CONFIG)
        loop.send(user("u", "e", 1000))
        drain(worker)
        worker.close()
    (letter,) = loop.letters()
    assert (letter.kind, letter.topic) == ("item", loop.topics.items)
    assert worker.report().items == 1


def test_a_worker_refuses_what_it_cannot_go_on_from(loop: Loop, worker: Worker) -> None:
    loop.send(user("u", "e", 1000))
    drain(worker)
    with pytest.raises(RestoreError, match="another prefix"):
        Worker(loop.transport, OrderPolicy, replace(CONFIG, users=Schema.parse("x, y, z")))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slate_size": 0}, "slate_size"),
        ({"slate_size": 5, "limits": Limits(slots=4)}, "longer"),
        ({"items": Schema.parse("f:numbers(1000)")}, "too large"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        WorkerConfig(**options)


def test_the_report_is_fit_for_json(loop: Loop, worker: Worker) -> None:
    loop.send(ranking("u", "r", 1000), interaction("u", "i", 1001, "r"))
    loop.tick(2000)
    drain(worker)
    found = msgspec.json.decode(msgspec.json.encode(worker.report()))
    assert found["rankings"] == found["interactions"] == found["outcomes"] == 1
    assert 0.0 <= found["auc"] <= 1.0
    assert set(found["seconds"]) == {
        "poll",
        "decode",
        "join",
        "learn",
        "decide",
        "publish",
        "commit",
    }
