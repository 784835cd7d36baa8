"""The worker over the memory bus: what goes in, what comes out, and in what order."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from agents.api import key_of
from agents.streams import derive
from streaming.events import Field, RankedItem, RankingEvent
from streaming.names import name_of
from streaming.transport.memory import MemoryBus
from streaming.transport.partitioner import partition_of
from streaming.worker import Worker
from tests.streaming.support import (
    CONFIG,
    ITEMS,
    Loop,
    OrderPolicy,
    drain,
    fold,
    interaction,
    ranking,
    same_state,
    shown,
    user,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from streaming.transport.api import Record
    from streaming.transport.memory import MemoryConsumer


def request_key(name: str, ordinal: int) -> str:
    """Return the key of a user's n-th request: the rule of the simulated worlds."""
    keys = derive(np.array([key_of(name)], np.uint64), np.array([ordinal], np.uint64))
    return name_of(int(keys[0]))


def test_a_user_who_comes_is_recommended_to_and_what_they_click_is_learned(
    loop: Loop, worker: Worker
) -> None:
    loop.send(user("u", "e1", 1000, x=1.0, y=-0.5))
    drain(worker)
    first = loop.recommended()["u"]
    assert first.request == request_key("u", 0)
    assert (first.id, first.ordinal, first.time) == (first.request, 0, 1000)
    assert first.expires == 1000 + CONFIG.ttl
    assert len(first.items) == CONFIG.slate_size
    assert (first.policy, first.version, first.seed) == ("order", 0, 0)

    loop.send(shown(first, 1500), interaction("u", "i1", 1600, first.id, first.items[1].id))
    drain(worker)
    second = loop.recommended()["u"]
    assert second.ordinal == 1
    assert second.id == request_key("u", 1)
    assert loop.outcomes() == []

    loop.tick(2500)
    drain(worker)
    (outcome,) = loop.outcomes()
    assert outcome.seq == 0
    assert (outcome.user, outcome.ranking, outcome.request) == ("u", first.id, first.request)
    assert (outcome.time, outcome.closed) == (1500, 2500)
    assert outcome.context == [1.0, -0.5]
    assert outcome.items == [slot.id for slot in first.items]
    assert outcome.propensities == [slot.propensity for slot in first.items]
    assert outcome.positions == [0, 1]
    assert outcome.rewards == [0.0, 1.0]
    assert outcome.candidates == first.candidates
    assert len(outcome.predictions) == 2
    rows = [ITEMS.index(item) for item in outcome.items]
    assert outcome.features == [[0.5 * row, 1.0 - 0.25 * row] for row in rows]
    assert same_state(worker.learner.policy.state_dict(), fold([outcome]))


def test_who_is_touched_twice_in_a_batch_is_decided_once(loop: Loop, worker: Worker) -> None:
    loop.send(*[user("u", f"e{n}", 1000 + n) for n in range(5)])
    drain(worker)
    assert [decision.id for decision in loop.decisions()] == [loop.recommended()["u"].id]


def test_a_slate_that_did_not_change_is_published_again_only_when_it_has_expired() -> None:
    other = Loop(MemoryBus())
    other.announce()
    worker = Worker(other.transport, OrderPolicy, replace(CONFIG, ttl=500))
    other.send(user("u", "e", 1000))
    drain(worker)
    for n, time in enumerate((1100, 1499)):
        other.send(interaction("u", f"i{n}", time, "not yet"))
        drain(worker)
    assert [(d.time, d.expires) for d in other.decisions()] == [(1000, 1500)]
    other.send(interaction("u", "i", 1500, "not yet"))
    drain(worker)
    first, second = sorted(other.decisions(), key=lambda decision: decision.time)
    assert (second.time, second.expires) == (1500, 2000)
    assert (second.items, second.request) == (first.items, first.request)
    assert other.recommended()["u"] == second
    worker.close()


def test_what_is_shown_next_does_not_hang_on_how_the_batches_fall() -> None:
    events = (
        user("u", "e", 1000, x=1.0),
        ranking("u", "r1", 1001, "a", "b"),
        interaction("u", "i1", 1002, "r1"),
        ranking("u", "r2", 1003, "c", "d"),
        interaction("u", "i2", 1004, "r1", "b"),
    )
    latest = []
    for size in (1, 2, 5):
        other = Loop(MemoryBus())
        other.announce()
        other.send(*events)
        drain(Worker(other.transport, OrderPolicy, replace(CONFIG, batch_size=size)))
        latest.append(other.recommended()["u"])
    assert latest[0].ordinal == 2
    assert {(decision.request, decision.ordinal) for decision in latest} == {(latest[0].request, 2)}
    assert len({tuple(decision.items) for decision in latest}) == 1


def test_an_interaction_refreshes_what_a_user_has_only_if_the_model_has_changed_its_mind(
    loop: Loop, worker: Worker
) -> None:
    loop.send(user("u", "e", 1000, x=1.0))
    drain(worker)
    first = loop.recommended()["u"]
    loop.send(shown(first, 1001))
    drain(worker)
    second = loop.recommended()["u"]
    loop.send(interaction("u", "i", 1002, first.id, first.items[0].id))
    drain(worker)
    assert loop.recommended()["u"] == second
    loop.tick(2001)
    drain(worker)
    loop.send(ranking("v", "r", 3000), interaction("u", "late", 1900, first.id))
    loop.send(user("u", "again", 3000, x=1.0))
    drain(worker)
    third = loop.recommended()["u"]
    assert third.request == second.request
    assert third.id == f"{second.id}-1"
    assert third.version == 1


def test_a_ranking_of_somebody_else_keeps_what_it_states(loop: Loop, worker: Worker) -> None:
    loop.send(
        user("u", "e", 1000, x=1.0, y=2.0),
        RankingEvent(
            id="foreign",
            timestamp=1001,
            user="u",
            items=[
                RankedItem("c", propensity=0.25, position=4, seen=False),
                RankedItem("a", propensity=0.5, position=2),
            ],
            session="s",
            fields=[Field("y", 3.0)],
            policy="theirs",
            version=9,
        ),
        ranking("u", "silent", 1002, "a", "b"),
    )
    loop.tick(2002)
    drain(worker)
    stated, silent = loop.outcomes()
    assert (stated.policy, stated.version, stated.session) == ("theirs", 9, "s")
    assert (stated.propensities, stated.positions) == ([0.25, 0.5], [4, 2])
    assert (stated.context, stated.seen) == ([1.0, 3.0], [False, True])
    assert stated.candidates is not None
    assert silent.propensities is None
    assert silent.candidates is None
    assert silent.policy == "unknown"
    assert worker.learner.learned == 2


def test_a_ranking_that_shows_something_else_has_no_probabilities(
    loop: Loop, worker: Worker
) -> None:
    loop.send(user("u", "e", 1000))
    drain(worker)
    issued = loop.recommended()["u"]
    items = [slot.id for slot in issued.items]
    others = [item for item in ITEMS if item not in items]
    loop.send(
        ranking("u", issued.id, 1001, *others[:2]),
        RankingEvent(
            id="part", timestamp=1002, user="u", items=[RankedItem(items[0])], decision=issued.id
        ),
        RankingEvent(
            id="expired",
            timestamp=1000 + CONFIG.ttl,
            user="u",
            items=[RankedItem(item) for item in items],
            decision=issued.id,
        ),
    )
    loop.tick(1000 + 2 * CONFIG.ttl)
    drain(worker)
    stated = {outcome.ranking: outcome.propensities for outcome in loop.outcomes()}
    assert stated == {
        issued.id: None,
        "part": [issued.items[0].propensity],
        "expired": None,
    }


def test_users_wait_for_items_and_items_may_come_any_time_before_they_are_shown() -> None:
    loop = Loop(MemoryBus())
    worker = Worker(loop.transport, OrderPolicy, CONFIG)
    loop.send(user("u", "e", 1000))
    drain(worker)
    assert loop.recommended() == {}
    loop.announce("a", "b")
    loop.send(ranking("u", "r", 1001, "a", "b"))
    drain(worker)
    assert {slot.id for slot in loop.recommended()["u"].items} == {"a", "b"}
    loop.producer.send(loop.topics.items, None, key=b"a")
    loop.send(user("u", "e2", 1002))
    drain(worker)
    assert [slot.id for slot in loop.recommended()["u"].items] == ["b"]
    assert loop.letters() == []


def test_a_touch_after_the_catalogue_grew_is_decided_over_all_of_it(
    loop: Loop, worker: Worker
) -> None:
    loop.send(user("u", "e", 1000))
    drain(worker)
    before = loop.recommended()["u"].candidates
    loop.announce(*ITEMS, "new")
    loop.send(user("u", "e2", 1001))
    drain(worker)
    assert loop.recommended()["u"].candidates != before


class LazyBus(MemoryBus):
    """A bus whose readers, like Kafka's, have nothing at hand until they are waited for."""

    def consumer(
        self,
        topics: Sequence[str],
        *,
        group: str | None = None,
        member: str | None = None,
        partitions: Collection[int] | None = None,
    ) -> MemoryConsumer:
        made = super().consumer(topics, group=group, member=member, partitions=partitions)
        poll = made.poll

        def lazily(max_records: int, timeout: float) -> list[Record]:
            return [] if timeout == 0.0 and group is None else poll(max_records, timeout)

        vars(made)["poll"] = lazily
        return made


def test_what_was_announced_before_an_event_is_known_when_it_is_worked() -> None:
    loop = Loop(LazyBus())
    worker = Worker(loop.transport, OrderPolicy, CONFIG)
    loop.announce("a", "b")
    loop.send(user("u", "hello", 1000))
    assert worker.step() == 1
    assert {slot.id for slot in loop.recommended()["u"].items} == {"a", "b"}
    loop.announce("a", "b", "c")
    loop.send(ranking("u", "r", 1001, "c"))
    assert worker.step() == 1
    assert loop.letters() == []


def names_in(partition: int) -> Iterator[str]:
    """Return users who live in a partition."""
    return (n for n in map("u{}".format, count()) if partition_of(n.encode(), 2) == partition)


def test_outcomes_are_in_the_order_of_event_time_over_all_partitions(
    loop: Loop, worker: Worker
) -> None:
    here, there = next(names_in(0)), next(names_in(1))
    loop.send(ranking(here, "second", 1500), ranking(there, "first", 1400))
    loop.send(*[user(here, f"e{n}", 2700) for n in range(2)])
    drain(worker)
    assert loop.outcomes() == []  # the other partition may still have something earlier
    loop.send(*[user(there, f"e{n}", 2700) for n in range(2)])
    drain(worker)
    assert [outcome.ranking for outcome in loop.outcomes()] == ["first", "second"]


def test_a_partition_where_nothing_is_open_keeps_nobody_waiting(loop: Loop, worker: Worker) -> None:
    here = next(names_in(0))
    loop.send(ranking(here, "alone", 1500), *[user(here, f"e{n}", 2700) for n in range(2)])
    drain(worker)
    assert [outcome.ranking for outcome in loop.outcomes()] == ["alone"]


def test_an_idle_partition_is_waited_for_no_longer_than_agreed_and_then_moves_along(
    loop: Loop, worker: Worker
) -> None:
    here, there = next(names_in(0)), next(names_in(1))
    idle = CONFIG.rules.idle
    loop.send(ranking(here, "busy", 1500), ranking(there, "silent", 1450))
    loop.send(*[user(here, f"a{n}", 1500 + idle) for n in range(2)])
    drain(worker)
    assert loop.outcomes() == []
    loop.send(*[user(here, f"b{n}", 2600 + idle) for n in range(2)])
    drain(worker)
    assert [outcome.ranking for outcome in loop.outcomes()] == ["silent", "busy"]
    loop.send(interaction(there, "late", 1460, "silent"), ranking(there, "in time", 2300))
    drain(worker)
    assert [letter.kind for letter in loop.letters()] == ["after-window"]
    again = Worker(loop.transport, OrderPolicy, CONFIG)
    loop.send(ranking(there, "too late", 1499))
    drain(again)
    assert [letter.kind for letter in loop.letters()] == ["after-window"] * 2


def test_a_backlog_is_never_taken_for_idleness() -> None:
    config = replace(CONFIG, batch_size=1)
    loop = Loop(MemoryBus(), config)
    loop.announce()
    here, there = next(names_in(0)), next(names_in(1))
    for n in range(20):
        time = 2000 + n * 10 * CONFIG.rules.idle
        loop.send(ranking(here, f"h{n:02}", time), interaction(here, f"i{n}", time + 1, f"h{n:02}"))
    for n in range(20):
        time = 2001 + n * 10 * CONFIG.rules.idle
        loop.send(
            ranking(there, f"t{n:02}", time), interaction(there, f"i{n}", time + 1, f"t{n:02}")
        )
    loop.tick(time + 10_000)
    worker = Worker(loop.transport, OrderPolicy, config)
    drain(worker)
    assert loop.letters() == []
    expected = [name for n in range(20) for name in (f"h{n:02}", f"t{n:02}")]
    assert [outcome.ranking for outcome in loop.outcomes()] == expected
    assert all(outcome.rewards == [1.0, 0.0] for outcome in loop.outcomes())
