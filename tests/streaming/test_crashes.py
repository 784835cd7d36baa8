"""Crashes between any two steps of a batch, and failing commits: nothing lost, nothing twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from streaming.knowledge import GapError
from streaming.restore import RestoreError
from streaming.transport.api import AbortableError, FencedError, TransportError
from streaming.transport.memory import MemoryBus
from streaming.transport.memory_log import LogicalClock
from streaming.worker import STEPS, Worker
from tests.streaming.support import (
    CONFIG,
    Loop,
    OrderPolicy,
    drain,
    fold,
    same_state,
    story,
    user,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from agents.api import State
    from streaming.metrics import Report

EVENTS = story(users=6, steps=12, seed=3)
SMALL = replace(CONFIG, batch_size=25, rules=replace(CONFIG.rules, lateness=500))
ALONE = replace(SMALL, partitions=1)


class Killed(BaseException):
    """The process is gone: nothing of the worker runs any more."""


def killer(step: str, batch: int) -> Callable[[str], None]:
    """Return a hook that kills when the step of the n-th batch has been reached."""
    left = batch

    def reached(at: str) -> None:
        nonlocal left
        if at == step:
            left -= 1
            if left == 0:
                raise Killed

    return reached


def told(partitions: int, unruly: bool = False) -> Loop:
    """Return a log that holds the story."""
    config = replace(SMALL, partitions=partitions)
    bus = MemoryBus(
        clock=LogicalClock(10**12),
        unruly=[config.topics.feedback] if unruly else [],
        duplicate=0.3 if unruly else 0.0,
        reorder=4 if unruly else 1,
        seed=5,
    )
    loop = Loop(bus, config)
    loop.announce()
    loop.send(*EVENTS)
    loop.read(loop.topics.feedback)  # disorder is laid out when it is read: the bell comes after
    loop.tick(20_000)
    return loop


def written(loop: Loop) -> dict[str, list[tuple[int, bytes | None, bytes | None]]]:
    """Return everything that a worker wrote and readers see, but for its changelog's compaction.

    Claims are left out, and what is only told when a worker ends.
    """
    names = loop.topics
    return {
        topic: [(r.partition, r.key, r.value) for r in loop.read(topic)]
        for topic in (
            names.outcomes,
            names.decisions,
            names.recommendations,
            names.dead_letters,
            names.model,
            names.state,
        )
    }


def finish(loop: Loop) -> tuple[State, Report]:
    """Let a worker do what is left, and return the policy's state and the figures."""
    worker = Worker(loop.transport, OrderPolicy, loop.config)
    drain(worker)
    worker.close()
    return worker.learner.policy.state_dict(), worker.report()


def drain_whatever(worker: Worker) -> None:
    """Work on, even if nothing seems to be done."""
    for _ in range(100):
        worker.step()


def counted(report: Report) -> tuple[int, ...]:
    return (
        report.events,
        report.users,
        report.rankings,
        report.interactions,
        report.duplicates,
        report.waiting,
        report.outcomes,
        report.decisions,
        *report.dead.values(),
    )


@pytest.fixture(scope="module")
def undisturbed() -> tuple[Loop, State, Report]:
    loop = told(1)
    return loop, *finish(loop)


def test_the_story_is_what_it_should_be(undisturbed: tuple[Loop, State, Report]) -> None:
    loop, state, report = undisturbed
    rankings = [event for event in EVENTS if event.id.startswith("r") and "-" not in event.id[4:]]
    assert report.outcomes == report.rankings == 6 * 12
    assert report.duplicates > 0
    assert report.dead["no-ranking"] > 0
    assert rankings
    outcomes = loop.outcomes()
    assert [outcome.seq for outcome in outcomes] == list(range(72))
    assert same_state(state, fold(outcomes))
    assert (
        len(loop.read(loop.topics.model)) == 3
    )  # every 20 outcomes or a batch later, and when the worker ended


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_after_any_step_changes_nothing_at_all(
    step: str, undisturbed: tuple[Loop, State, Report]
) -> None:
    calm, state, report = undisturbed
    loop = told(1)
    for batch in (1, 3, 2):
        worker = Worker(loop.transport, OrderPolicy, loop.config, reached=killer(step, batch))
        with pytest.raises(Killed):
            drain(worker)
    found_state, found_report = finish(loop)
    assert written(loop) == written(calm)
    assert same_state(found_state, state)
    assert counted(found_report) == counted(report)


@pytest.mark.parametrize("step", ["learn", "publish", "commit"])
def test_with_several_partitions_unruly_delivery_and_kills_every_event_counts_once(
    step: str, undisturbed: tuple[Loop, State, Report]
) -> None:
    calm, _, report = undisturbed
    loop = told(3, unruly=True)
    for batch in (1, 2, 3):
        worker = Worker(loop.transport, OrderPolicy, loop.config, reached=killer(step, batch))
        with pytest.raises(Killed):
            drain(worker)
    state, found = finish(loop)
    outcomes = loop.outcomes()
    assert [outcome.seq for outcome in outcomes] == list(range(len(outcomes)))
    assert same_state(state, fold(outcomes))
    expected = {o.ranking: (o.user, o.items, o.rewards) for o in calm.outcomes()}
    assert {o.ranking: (o.user, o.items, o.rewards) for o in outcomes} == expected
    assert found.interactions == report.interactions
    assert found.duplicates > report.duplicates
    decisions = Counter(decision.id for decision in loop.decisions())
    assert set(decisions.values()) == {1}
    latest = {decision.user: decision.ordinal for decision in loop.recommended().values()}
    assert {name: latest[name] for name in latest if name.startswith("u")} == {
        f"u{n}": 12 for n in range(6)
    }


def test_a_commit_that_fails_is_worked_again_and_nothing_comes_twice(
    undisturbed: tuple[Loop, State, Report],
) -> None:
    calm, state, report = undisturbed
    loop = told(1)
    assert isinstance(loop.transport, MemoryBus)
    worker = Worker(loop.transport, OrderPolicy, loop.config)
    worker.step()
    for _ in range(3):
        loop.transport.fail_commits(AbortableError("the broker was away"))
        assert worker.step() == 0
        assert worker.step() > 0
    drain(worker)
    worker.close()
    assert worker.report().aborted == 3
    assert written(loop) == written(calm)
    assert same_state(worker.learner.policy.state_dict(), state)
    assert counted(worker.report()) == counted(report)


def test_a_worker_gives_up_when_nothing_can_be_committed() -> None:
    loop = told(1)
    assert isinstance(loop.transport, MemoryBus)
    worker = Worker(loop.transport, OrderPolicy, loop.config)
    loop.transport.fail_commits(*[AbortableError("never")] * 100)
    with pytest.raises(TransportError, match="10 batches in a row"):
        drain_whatever(worker)


def test_a_worker_whose_identity_was_taken_over_stops(
    undisturbed: tuple[Loop, State, Report],
) -> None:
    calm, state, _ = undisturbed
    loop = told(1)
    first = Worker(loop.transport, OrderPolicy, loop.config)
    first.step()
    second = Worker(loop.transport, OrderPolicy, loop.config)
    with pytest.raises(FencedError, match="taken over"):
        first.step()
    drain(second)
    second.close()
    assert written(loop) == written(calm)
    assert same_state(second.learner.policy.state_dict(), state)


def test_a_restored_worker_knows_what_the_one_before_it_knew(
    undisturbed: tuple[Loop, State, Report],
) -> None:
    loop, state, report = undisturbed
    for every in (20, 10**9):
        again = Worker(loop.transport, OrderPolicy, replace(loop.config, snapshot_every=every))
        assert same_state(again.learner.policy.state_dict(), state)
        assert counted(again.report()) == counted(report)
        assert again.report().log_loss == report.log_loss
        assert again.report().auc == report.auc
        assert again.report().click_rate == report.click_rate


def test_another_policy_learns_all_outcomes_and_takes_no_snapshot_over(
    undisturbed: tuple[Loop, State, Report],
) -> None:
    loop, state, _ = undisturbed

    class Other(OrderPolicy):
        name = "other"

    worker = Worker(loop.transport, Other, loop.config)
    assert same_state(worker.learner.policy.state_dict(), state)


def test_missing_and_doubled_outcomes_are_found(undisturbed: tuple[Loop, State, Report]) -> None:
    whole = undisturbed[0]
    outcomes = whole.read(whole.topics.outcomes)
    for records, error, words in [
        (outcomes[:30] + outcomes[31:], GapError, "outcome 30 is missing"),
        ([*outcomes, outcomes[7]], GapError, "outcome 7 comes twice"),
        (outcomes[:-1], RestoreError, "71 outcomes in partition 0, but 72 were published"),
    ]:
        loop = Loop(MemoryBus(), whole.config)
        for record in whole.read(whole.topics.state):
            loop.producer.send(loop.topics.state, record.value, key=record.key, partition=0)
        for record in records:
            loop.producer.send(loop.topics.outcomes, record.value, partition=0)
        with pytest.raises(error, match=words):
            Worker(loop.transport, OrderPolicy, loop.config)


def test_a_stopped_worker_leaves_open_rankings_to_the_next_one() -> None:
    loop = Loop(MemoryBus(), ALONE)
    loop.announce()
    loop.send(*[event for event in story(1, 1, 0) if event.time < 2500])
    finish(loop)
    assert loop.outcomes() == []
    loop.send(*[user("u0", f"later {n}", 3500) for n in range(2)])
    finish(loop)
    assert len(loop.outcomes()) == 1
