"""Users who do not come back are forgotten: their state is bounded, and no outcome is lost."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from agents import Uniform
from streaming.config import ConfigError, WorkerConfig
from streaming.events import InteractionEvent
from streaming.rules import RuleError, Rules
from streaming.state import PARTITION_KEY
from streaming.transport.memory import MemoryBus
from streaming.transport.partitioner import partition_of
from streaming.worker import Worker
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
    story,
    user,
)
from tests.streaming.test_erasure import latest

if TYPE_CHECKING:
    from streaming.events import Feedback

RULES = CONFIG.rules
ABSENCE = 2 * RULES.horizon
AWAY = replace(CONFIG, ttl=ABSENCE, rules=replace(RULES, absence=ABSENCE))


@pytest.fixture
def loop() -> Loop:
    loop = Loop(MemoryBus())
    loop.announce()
    return loop


def visit(loop: Loop, name: str, time: int, visit: str = "") -> None:
    """Let somebody describe themselves, see a slate and click."""
    loop.send(
        user(name, f"hello {name}{visit}", time, x=1.0),
        ranking(name, f"r {name}{visit}", time + 1),
        interaction(name, f"click {name}{visit}", time + 2, f"r {name}{visit}"),
    )


def users(loop: Loop) -> set[bytes | None]:
    """Return whom the changelog knows."""
    return {
        key
        for key in latest(loop, TOPICS.state)
        if key not in (None, PARTITION_KEY) and not (key or b"").startswith((b"\xff", b"clock"))
    }


def test_who_stays_away_is_forgotten_and_counted_and_has_had_an_outcome(loop: Loop) -> None:
    worker = Worker(loop.transport, OrderPolicy, AWAY)
    visit(loop, "anna", 1000)
    drain(worker)
    loop.tick(1002 + ABSENCE)  # her last event is not longer than that ago
    drain(worker)
    assert users(loop) == {b"anna"}
    loop.tick(1003 + ABSENCE)
    drain(worker)
    assert users(loop) == set()
    assert b"anna" not in latest(loop, TOPICS.recommendations)
    assert worker.report().absent == 1
    assert [(o.user, o.rewards) for o in loop.outcomes()] == [("anna", [1.0, 0.0])]
    worker.close()


def test_without_the_rule_nobody_is_forgotten(loop: Loop) -> None:
    worker = Worker(loop.transport, OrderPolicy, CONFIG)
    visit(loop, "anna", 1000)
    loop.tick(1000 + 100 * ABSENCE)
    drain(worker)
    assert users(loop) == {b"anna"}
    assert worker.report().absent == 0
    worker.close()


def test_who_comes_back_in_time_is_known_and_later_is_somebody_new(loop: Loop) -> None:
    worker = Worker(loop.transport, OrderPolicy, AWAY)
    visit(loop, "anna", 1000)
    loop.tick(ABSENCE)
    loop.send(ranking("anna", "second", ABSENCE + 1))
    drain(worker)
    assert loop.recommended()["anna"].ordinal == 2
    loop.tick(2 * ABSENCE + 2)
    loop.send(ranking("anna", "third", 2 * ABSENCE + 2))
    drain(worker)
    fresh = loop.recommended()["anna"]
    assert fresh.ordinal == 1
    assert fresh.context == [0.0] * len(fresh.context)
    assert worker.report().absent == 1
    worker.close()


def test_every_life_draws_for_itself(loop: Loop) -> None:
    """Whoever is somebody new is not shown the old slates again, by the old random numbers."""
    worker = Worker(loop.transport, Uniform, AWAY)
    requests, ids = set(), set()
    for life in range(5):
        visit(loop, "anna", 1000 + life * (ABSENCE + 500), f" {life}")
        drain(worker)
        told = loop.recommended()["anna"]
        assert told.ordinal == 1
        requests.add(told.request)
        ids.add(told.id)
        loop.tick(1000 + life * (ABSENCE + 500) + ABSENCE + 400)
        drain(worker)
    assert worker.report().absent == 5
    assert len(requests) == len(ids) == 5
    worker.close()


def test_who_comes_back_with_nonsense_leaves_nothing(loop: Loop) -> None:
    """What their absence was told by comes in the same batch, so nobody was forgotten before."""
    worker = Worker(loop.transport, OrderPolicy, AWAY)
    visit(loop, "anna", 1000)
    drain(worker)
    loop.tick(2000 + ABSENCE)
    loop.send(ranking("anna", "nonsense", 2000 + ABSENCE, "no such item"))
    drain(worker)
    assert users(loop) == set()
    assert b"anna" not in latest(loop, TOPICS.recommendations)
    worker.close()


def test_what_is_open_outlives_its_user(loop: Loop) -> None:
    """Where a partition is behind, nothing closes in the others, however late it is there."""
    rules = replace(RULES, window=RULES.horizon, absence=RULES.horizon, idle=10**9)
    config = replace(AWAY, ttl=RULES.horizon, rules=rules)
    worker = Worker(loop.transport, OrderPolicy, config)
    visit(loop, "anna", 1000)
    slow = next(name for name in map(str, count()) if _home(name) != _home("anna"))
    visit(loop, slow, 1000 + rules.absence - 10)  # an open ranking holds its partition's time up
    late = 1010 + rules.absence
    other = next(name for name in map(str, count()) if _home(name) == _home("anna"))
    loop.send(*[user(other, f"tick {n}", late + rules.lateness + n) for n in range(rules.quorum)])
    loop.send(user("anna", "back", late))
    drain(worker)
    assert worker.report().absent == 1
    assert loop.outcomes() == []
    loop.tick(late + 10)
    drain(worker)
    assert [o.rewards for o in loop.outcomes() if o.user == "anna"] == [[1.0, 0.0]]
    worker.close()


def _again(event: Feedback, part: int, later: int) -> Feedback:
    """Return an event of a story that is told once more, later."""
    renamed = structs.replace(event, id=f"{part} {event.id}", timestamp=event.time + later)
    if isinstance(renamed, InteractionEvent):
        return structs.replace(renamed, ranking=f"{part} {renamed.ranking}")
    return renamed


def _home(name: str) -> int:
    return partition_of(name.encode(), CONFIG.partitions)


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_who_is_forgotten_does_not_hang_on_how_the_batches_fall(batch_size: int) -> None:
    rules = replace(RULES, absence=RULES.horizon)
    config = replace(CONFIG, batch_size=batch_size, ttl=RULES.horizon, rules=rules)
    loop = Loop(MemoryBus())
    loop.announce()
    for part in range(3):
        loop.tick(3 * RULES.horizon * part)
        for event in story(5, 6, part):
            loop.send(_again(event, part, 3 * RULES.horizon * part))
    loop.tick(9 * RULES.horizon)
    worker = Worker(loop.transport, OrderPolicy, config)
    drain(worker)
    assert same_state(worker.learner.policy.state_dict(), fold(loop.outcomes()))
    report = worker.report()
    assert (report.absent, report.rankings, report.outcomes) == (15, 90, 90)
    assert all(o.ordinal <= 6 for o in loop.decisions() if o.user.startswith("u"))  # of 18
    worker.close()


def test_the_rule_must_not_forget_what_may_still_count() -> None:
    with pytest.raises(RuleError, match="absence"):
        Rules(absence=Rules().horizon - 1)
    with pytest.raises(ConfigError, match="ttl"):
        WorkerConfig(rules=Rules(absence=Rules().horizon), ttl=Rules().horizon + 1)
