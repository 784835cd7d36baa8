"""Several workers of one group: partitions move, zombies are fenced, and the model is one."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from agents import additive_parts, from_spec
from streaming.events import RankingEvent
from streaming.exchange import ShareError
from streaming.export import Logged
from streaming.names import name_of
from streaming.records import outcomes_of
from streaming.transport.api import FencedError
from streaming.transport.memory import MemoryBus
from streaming.transport.partitioner import partition_of
from streaming.worker import STEPS, Worker
from tests.streaming.support import (
    CONFIG,
    Loop,
    OrderPolicy,
    fold,
    interaction,
    same_state,
    story,
    user,
)
from tests.streaming.test_crashes import Killed, killer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agents.api import Policy, State
    from streaming.events import Feedback
    from streaming.records import OutcomeRecord

EVENTS = story(users=9, steps=10, seed=4)
SHARED = replace(
    CONFIG,
    partitions=4,
    batch_size=20,
    patience=30.0,
    rules=replace(CONFIG.rules, lateness=500),
)
GROUP = f"{SHARED.prefix}{SHARED.group}"
SPECS = ("linucb:interactions=false", "linucb:shared=false", "epsilon-greedy")


def policy(spec: str = SPECS[0]) -> Callable[[], Policy]:
    return lambda: from_spec(spec)


def told() -> Loop:
    loop = Loop(MemoryBus(), SHARED)
    loop.announce()
    loop.send(*EVENTS)
    loop.tick(20_000)
    return loop


def worker(
    loop: Loop,
    name: str,
    make: Callable[[], Policy] | None = None,
    patience: float = 30.0,
    challengers: Sequence[Callable[[], Policy]] = (),
) -> Worker:
    config = replace(SHARED, worker=name, patience=patience)
    return Worker(loop.transport, make or policy(), config, challengers=challengers)


def expire(loop: Loop, name: str) -> None:
    """Let the group take a member for dead."""
    assert isinstance(loop.transport, MemoryBus)
    loop.transport.expire(GROUP, name)


def work(*workers: Worker) -> int:
    """Let each worker work a batch."""
    return sum([one.step() for one in workers])


def work_off(*workers: Worker) -> None:
    """Let workers take turns until none of them has anything to do."""
    idle = 0
    while idle < 3:  # the first time round partitions may only move, or news be told
        idle = 0 if work(*workers) else idle + 1


def folded(outcomes: Sequence[OutcomeRecord], make: Callable[[], Policy]) -> State:
    made = make()
    for outcome in outcomes:
        made.update(outcomes_of([outcome]))
    return made.state_dict()


def agree(one: State, other: State, make: Callable[[], Policy]) -> bool:
    """Return whether two states are the same to 1e-9, in whatever order they met the items."""
    first, second = np.argsort(one["arms"]), np.argsort(other["arms"])
    return (
        np.array_equal(one["arms"][first], other["arms"][second])
        and one["version"] == other["version"]
        and all(
            np.allclose(one[name][first], other[name][second], rtol=1e-9, atol=1e-9)
            for name in additive_parts(make()) or ()
        )
    )


def check(loop: Loop, make: Callable[[], Policy] | None = None) -> State:
    """Check what must hold after anything at all, and return the model of a worker that is new."""
    last = worker(loop, "last", make, patience=0.0)
    for name in ("a", "b", "c"):
        expire(loop, name)
    work_off(last)
    assert last.partitions == list(range(SHARED.partitions))
    report, outcomes = last.report(), loop.outcomes()
    assert report.events == len(loop.read(loop.topics.feedback))
    assert report.outcomes == report.rankings == len(outcomes) == 9 * 10
    assert len({outcome.ranking for outcome in outcomes}) == len(outcomes)
    for partition in range(SHARED.partitions):
        numbers = [o.number for o in outcomes if o.partition == partition]
        assert sorted(numbers) == list(range(len(numbers)))
    decisions = Counter(decision.id for decision in loop.decisions())
    assert set(decisions.values()) == {1}
    assert report.decisions == len(decisions)
    assert sum(report.dead.values()) == len(loop.letters())
    state = last.learner.policy.state_dict()
    last.close()
    return state


@pytest.fixture(scope="module")
def alone() -> list[OutcomeRecord]:
    """The outcomes of one worker that was not disturbed."""
    loop = told()
    work_off(worker(loop, "a"))
    return loop.outcomes()


@pytest.mark.parametrize("spec", SPECS)
def test_any_number_of_workers_gives_the_model_of_one(
    spec: str, alone: list[OutcomeRecord]
) -> None:
    make = policy(spec)
    expected = folded(alone, make)
    for names in ("a", "ab", "abc"):
        loop = told()
        workers = [worker(loop, name, make) for name in names]
        work_off(*workers)
        assert agree(check(loop, make), expected, make)
        for one in workers:  # each of them has heard of what the others learned, when it can
            one.close()


def test_workers_that_share_partitions_all_decide_by_all_that_was_learned(
    alone: list[OutcomeRecord],
) -> None:
    loop = told()
    workers = [worker(loop, name) for name in "abc"]
    work_off(*workers)
    assert sorted(len(one.partitions) for one in workers) == [1, 1, 2]
    for one in workers:
        one.close()  # tells what was not told yet
    listener = worker(loop, "d")
    assert agree(listener.learner.policy.state_dict(), folded(alone, policy()), policy())


def test_partitions_move_in_the_middle_and_nothing_is_lost_or_doubled(
    alone: list[OutcomeRecord],
) -> None:
    loop = told()
    first = worker(loop, "a")
    first.step()
    second = worker(loop, "b")
    for _ in range(3):
        first.step()
        second.step()
    assert len(first.partitions) == len(second.partitions) == 2
    third = worker(loop, "")
    for one in (first, second, third):
        one.step()
    third.close()  # a member without a name leaves
    for one in (first, second):
        one.step()
    assert len(first.partitions) == len(second.partitions) == 2
    assert agree(check(loop), folded(alone, policy()), policy())
    expected = {o.ranking: (o.user, o.items, o.rewards) for o in alone}
    assert {o.ranking: (o.user, o.items, o.rewards) for o in loop.outcomes()} == expected


@pytest.mark.parametrize("step", STEPS)
def test_a_worker_taken_for_dead_in_the_middle_of_a_batch_commits_nothing_more(
    step: str, alone: list[OutcomeRecord]
) -> None:
    loop = told()
    taken: list[str] = []

    def pause(at: str) -> None:
        """Let another take over while this one stands still."""
        if at == step and not taken:
            taken.append(at)
            expire(loop, "a")
            heir = worker(loop, "b", patience=0.0)
            assert heir.partitions == [0, 1, 2, 3]
            heir.step()
            heir.close()

    zombie = Worker(loop.transport, policy(), replace(SHARED, worker="a"), reached=pause)
    if step in ("commit", "promote"):
        zombie.step()
    else:
        with pytest.raises(FencedError):
            zombie.step()
    zombie.close()
    assert agree(check(loop), folded(alone, policy()), policy())


@pytest.mark.parametrize("step", ["poll", "learn", "publish", "commit"])
def test_killed_members_are_replaced_and_every_event_counts_once(
    step: str, alone: list[OutcomeRecord]
) -> None:
    loop = told()
    workers = {name: worker(loop, name) for name in "ab"}
    for batch in (1, 2, 1):
        dying = Worker(
            loop.transport, policy(), replace(SHARED, worker="c"), reached=killer(step, batch)
        )
        with suppress(Killed):  # it may be given too little to get so far
            for _ in range(6):
                work(dying, *workers.values())
        expire(loop, "c")
    assert agree(check(loop), folded(alone, policy()), policy())


def test_whoever_lets_go_in_time_is_not_fenced() -> None:
    loop = told()
    first = worker(loop, "a")
    first.step()
    second = worker(loop, "b")
    assert second.partitions == []  # the group has given it some, but they are not free yet
    first.step()
    second.step()
    assert len(first.partitions) == len(second.partitions) == 2


def test_a_policy_that_is_no_sum_is_taught_by_one_and_followed_by_the_others() -> None:
    loop = told()
    workers = [worker(loop, name, OrderPolicy) for name in "ab"]
    work_off(*workers)
    teacher, pupil = workers if 0 in workers[0].partitions else workers[::-1]
    work_off(*workers)
    assert teacher.learner.learned == len(loop.outcomes()) == 90
    teacher.close()
    pupil.step()
    assert same_state(pupil.learner.policy.state_dict(), teacher.learner.policy.state_dict())
    assert pupil.learner.learned == 90
    check(loop, OrderPolicy)


def test_one_worker_folds_in_the_order_of_seq_whatever_the_policy() -> None:
    loop = told()
    one = worker(loop, "a", OrderPolicy)
    work_off(one)
    assert same_state(one.learner.policy.state_dict(), fold(loop.outcomes()))


def test_challengers_learn_what_all_workers_see(
    alone: list[OutcomeRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sum, and weights that one worker teaches; the worker that taught them leaves."""
    monkeypatch.setattr("streaming.exchange._TELL_EVERY", 0.0)
    sums, others = policy("epsilon-greedy"), [policy("epsilon-greedy"), OrderPolicy]
    loop = told()
    named = {name: worker(loop, name, challengers=others) for name in "abc"}
    for _ in range(6):
        work(*named.values())
    teacher = next(name for name, one in named.items() if 0 in one.partitions)
    named.pop(teacher).close()
    expire(loop, teacher)
    workers = list(named.values())
    work_off(*workers)
    work_off(*workers)
    outcomes = loop.outcomes()
    assert len(outcomes) == len(alone) == 90
    for one in workers:
        _, added, taught = one.learner.pool.policies.values()
        assert agree(added.state_dict(), folded(alone, sums), sums)
        assert int(taught.state_dict()["version"]) == 90
    first, second = (one.learner.pool.policies["order"].state_dict() for one in workers)
    assert same_state(first, second)
    decided = [decision for decision in loop.decisions() if decision.version]
    assert all(len(decision.shadow) == 2 for decision in decided)
    for one in workers:
        one.close()


def test_workers_with_other_policies_are_told_apart() -> None:
    loop = told()
    first, second = worker(loop, "a"), worker(loop, "b", policy("epsilon-greedy"))
    with pytest.raises(ShareError, match="another policy"):
        work_off(first, second)


def test_a_silent_partition_hears_from_the_others_how_late_it_is() -> None:
    loop = Loop(MemoryBus(), SHARED)
    loop.announce()
    workers = [worker(loop, name) for name in "ab"]
    loop.send(*EVENTS)
    work_off(*workers)
    silent = workers[0].partitions[0]
    late = 20_000 + 3 * SHARED.rules.idle
    for partition in range(SHARED.partitions):
        if partition not in workers[0].partitions:
            loop.send(*[bell(partition, late, n) for n in range(SHARED.rules.quorum)])
    work_off(*workers)
    open_ = [one.report().rankings - one.report().outcomes for one in workers]
    assert open_ == [0, 0], f"partition {silent} still waits"


def bell(partition: int, time: int, n: int) -> Feedback:
    """Return an event that lives in a partition and tells the time."""
    name = next(
        name
        for name in map("clock{}".format, range(1000))
        if partition_of(name.encode(), SHARED.partitions) == partition
    )
    return user(name, f"bell {time} {n}", time)


LATE = replace(SHARED, rules=replace(SHARED.rules, late=20_000, horizon=60_000))


@pytest.mark.parametrize("spec", SPECS)
def test_conversions_after_the_window_correct_the_model_and_the_log(
    spec: str,
) -> None:
    make = policy(spec)
    loop = Loop(MemoryBus(), LATE)
    loop.announce()
    loop.send(*map(stated, EVENTS))
    loop.tick(8_000)
    one = Worker(loop.transport, make, LATE)
    work_off(one)
    shown = {o.ranking: o for o in loop.outcomes()}
    chosen = list(shown.values())[::7]
    for round_, value in enumerate((3.0, 5.0)):  # corrected, and corrected again
        for o in chosen:
            id_ = f"late {round_} {o.ranking}"
            time = o.closed + 10 + round_
            loop.send(interaction(o.user, id_, time, o.ranking, o.items[1], value=value))
        work_off(one)
    report, told = one.report(), loop.outcomes()
    corrections = [o for o in told if o.corrects is not None]
    assert report.corrections == len(corrections) == 2 * len(chosen)
    assert report.outcomes == len(told) - len(corrections)
    truth = {
        name: msgspec.structs.replace(o, rewards=[o.rewards[0], 5.0]) if o in chosen else o
        for name, o in shown.items()
    }
    truth |= {o.ranking: o for o in told if o.corrects is None and o.ranking not in truth}
    for o in corrections:
        assert told_first(told, o).ranking == o.ranking
    state = one.learner.policy.state_dict()
    assert agree(state, folded(list(truth.values()), make), make)
    one.close()
    again = Worker(loop.transport, make, LATE)
    assert agree(again.learner.policy.state_dict(), state, make)

    logged = Logged(loop.transport, LATE)
    rewards = {
        name_of(int(key)): row.tolist()
        for outcomes in logged
        for key, row in zip(outcomes.requests.keys, outcomes.rewards, strict=True)
    }
    assert not logged.left_out
    assert rewards == {o.request: o.rewards for o in truth.values()}


def stated(event: Feedback) -> Feedback:
    """Return an event that says, if it is a ranking, how likely its items were."""
    if not isinstance(event, RankingEvent):
        return event
    items = [msgspec.structs.replace(item, propensity=0.25) for item in event.items]
    return msgspec.structs.replace(event, items=items)


def told_first(told: Sequence[OutcomeRecord], correction: OutcomeRecord) -> OutcomeRecord:
    """Return the outcome that a correction is of."""
    return next(
        o
        for o in told
        if (o.partition, o.number) == (correction.partition, correction.corrects)
        and o.corrects is None
    )


@pytest.mark.parametrize("make", [OrderPolicy, policy()], ids=["weights", "sums"])
def test_what_came_after_the_last_snapshot_is_learned_on_top_of_it(
    make: Callable[[], Policy],
) -> None:
    loop = told()
    config = replace(SHARED, worker="a", snapshot_every=7)
    first = Worker(loop.transport, make, config)
    while first.step():
        restored = Worker(loop.transport, make, replace(config, worker="a"))
        outcomes, state = loop.outcomes(), restored.learner.policy.state_dict()
        assert restored.learner.learned == len(outcomes)
        if make is OrderPolicy:
            assert same_state(state, fold(outcomes))
        elif outcomes:
            assert agree(state, folded(outcomes, make), make)
        first = restored
    assert len(loop.outcomes()) == 90
    assert len(loop.read(loop.topics.model)) > 1
