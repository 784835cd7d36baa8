"""A tombstone among a user's feedback: state, recommendations and pending joins are gone."""

from __future__ import annotations

import pytest

from streaming.state import UserState
from streaming.worker import STEPS, Worker
from tests.streaming.edge.support import NOW, Shop
from tests.streaming.support import (
    CONFIG,
    TOPICS,
    Loop,
    OrderPolicy,
    drain,
    fold,
    interaction,
    ranking,
    same_state,
    user,
)
from tests.streaming.test_crashes import Killed, killer


def forget(loop: Loop, name: str) -> None:
    loop.producer.send(TOPICS.feedback, None, key=name.encode())
    loop.producer.flush()


def latest(loop: Loop, topic: str) -> dict[bytes | None, bytes]:
    """Return what compaction leaves of a topic."""
    left: dict[bytes | None, bytes] = {}
    for record in loop.read(topic):
        if record.value is None:
            left.pop(record.key, None)
        else:
            left[record.key] = record.value
    return left


def lives(loop: Loop) -> None:
    """Let anna and bert describe themselves, and leave a ranking and an interaction open."""
    for name in ("anna", "bert"):
        loop.send(
            user(name, f"hello {name}", 1000, x=1.0),
            ranking(name, f"r {name}", 1001),
            interaction(name, f"click {name}", 1002, f"r {name}"),
            interaction(name, f"early {name}", 1003, f"r2 {name}"),
        )


def test_nothing_is_left_of_an_erased_user(loop: Loop) -> None:
    worker = Worker(loop.transport, OrderPolicy, CONFIG)
    lives(loop)
    drain(worker)
    assert b"anna" in latest(loop, TOPICS.state)
    assert b"anna" in latest(loop, TOPICS.recommendations)

    forget(loop, "anna")
    drain(worker)

    for topic in (TOPICS.state, TOPICS.recommendations):
        left = latest(loop, topic)
        assert b"anna" not in left
        assert b"bert" in left
        assert not any(b"anna" in value for value in left.values())
    loop.tick(9000)
    drain(worker)
    assert [outcome.user for outcome in loop.outcomes()] == ["bert"]
    assert not any("anna" in letter.reason for letter in loop.letters())
    report = worker.report()
    assert (report.erasures, report.erased_interactions, report.waiting) == (1, 1, 0)
    assert report.events == len(loop.read(TOPICS.feedback))
    assert same_state(worker.learner.policy.state_dict(), fold(loop.outcomes()))

    restored = Worker(loop.transport, OrderPolicy, CONFIG)
    assert restored.report().events == report.events
    assert all("anna" not in dict(held.shard.users()) for held in restored._held)


def test_who_comes_back_is_a_new_user(loop: Loop) -> None:
    worker = Worker(loop.transport, OrderPolicy, CONFIG)
    lives(loop)
    drain(worker)
    forget(loop, "anna")
    loop.send(user("anna", "hello anna", 1100, x=1.0))  # known before, and forgotten
    drain(worker)
    assert worker.report().duplicates == 0
    made = loop.recommended()["anna"]
    assert made.ordinal == 0
    states = {
        name: state
        for shard in [held.shard for held in worker._held]
        for name, state in shard.users()
    }
    assert states["anna"].rankings == 0
    assert states["anna"].open == {}
    assert states["anna"] != UserState()


def test_a_user_of_whom_nothing_is_known_is_forgotten_without_a_trace(loop: Loop) -> None:
    worker = Worker(loop.transport, OrderPolicy, CONFIG)
    forget(loop, "nobody")
    drain(worker)
    assert b"nobody" not in [record.key for record in loop.read(TOPICS.state)]
    assert worker.report().erasures == 1


@pytest.mark.parametrize("key", [None, b"", b"\xff", b"x" * 257])
def test_a_tombstone_of_nobody_is_a_dead_letter(loop: Loop, key: bytes | None) -> None:
    worker = Worker(loop.transport, OrderPolicy, CONFIG)
    if key is None:
        loop.producer.send(TOPICS.feedback, b"", key=None, partition=0)
    else:
        loop.producer.send(TOPICS.feedback, None, key=key)
    drain(worker)
    (letter,) = loop.letters()
    assert letter.kind == "contract"
    assert worker.report().erasures == 0


def test_a_user_of_another_partition_cannot_be_erased(loop: Loop) -> None:
    worker = Worker(loop.transport, OrderPolicy, CONFIG)
    lives(loop)
    drain(worker)
    for partition in range(CONFIG.partitions):
        loop.raw(None, b"anna", partition)
    drain(worker)
    assert worker.report().erasures == 1
    assert [letter.kind for letter in loop.letters()] == ["contract"]


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_forgets_all_the_same(loop: Loop, step: str) -> None:
    worker = Worker(loop.transport, OrderPolicy, CONFIG)
    lives(loop)
    drain(worker)
    forget(loop, "anna")
    with pytest.raises(Killed):
        drain(Worker(loop.transport, OrderPolicy, CONFIG, reached=killer(step, 1)))
    after = Worker(loop.transport, OrderPolicy, CONFIG)
    drain(after)
    assert b"anna" not in latest(loop, TOPICS.state)
    assert b"anna" not in latest(loop, TOPICS.recommendations)
    assert after.report().erasures == 1


def test_the_edge_passes_it_on() -> None:
    shop = Shop()
    shop.loop.announce()
    shop.loop.send(user("anna", "e1", NOW))
    shop.catch_up()
    with shop.open() as http:
        assert http.get("/recommend/anna").json()["source"] == "policy"
        assert http.delete("/users/anna").status_code == 202
        shop.catch_up()
        assert http.get("/recommend/anna").json()["source"] == "exploration"
    assert b"anna" not in latest(shop.loop, TOPICS.state)
