"""The same seed through a plain rollout and through the live loop: the same decisions and state."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

from agents.api import Outcomes
from agents.streams import word
from streaming.config import WorkerConfig
from streaming.events import Field, ItemEvent, encode
from streaming.names import name_of
from streaming.rules import Rules
from streaming.sending import CONTEXT, FEATURES, schema_of
from streaming.traffic import Faults, Traffic, TrafficError
from streaming.transport.api import TransportError
from streaming.transport.memory import MemoryBus
from streaming.worker import Worker
from tests.streaming.support import Loop, OrderPolicy, TasteWorld, fold, same_state

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import State
    from streaming.transport.api import Transport

STEPS = 12
SEEDS = np.array([word(seed) for seed in range(100, 109)])
CONFIG = WorkerConfig(
    users=schema_of(CONTEXT, 3),
    items=schema_of(FEATURES, 2),
    partitions=1,
    slate_size=2,
    batch_size=1000,
    snapshot_every=30,
    rules=Rules(window=1000, lateness=200, horizon=10_000, aggregation="sum"),
)
START = 10**9


class Played(NamedTuple):
    """What was decided and what was learned."""

    keys: NDArray[np.uint64]
    slates: NDArray[np.int64]
    propensities: NDArray[np.float64]
    rewards: NDArray[np.float32]
    state: State


def world() -> TasteWorld:
    made = TasteWorld()
    made.reset(SEEDS)
    return made


def rolled_out() -> Played:
    """Play a plain rollout, with the delay of the loop: a step's outcomes are learned from when
    the next step has been decided. A newcomer is decided on with the others of their step.
    """
    policy, users = OrderPolicy(seed=3), world()
    steps: list[Outcomes] = []
    learned = 0
    for _ in range(STEPS):
        response = users.respond(policy.decide(users.requests()))
        steps.append(response.facts)
        users.renew(response.ended)
        if len(steps) > 1:
            policy.update(in_order_of_names(steps[learned]))
            learned += 1
    policy.update(in_order_of_names(steps[-1]))
    return Played(
        np.concatenate([step.requests.keys for step in steps]),
        np.concatenate([step.decisions.slates for step in steps]),
        np.concatenate([step.decisions.propensities for step in steps]),
        np.concatenate([step.rewards for step in steps]),
        policy.state_dict(),
    )


def in_order_of_names(step: Outcomes) -> Outcomes:
    """Return a step's outcomes as they close: all at one time, in the order of ranking ids."""
    return step.take(np.argsort([name_of(int(key)) for key in step.requests.keys]))


def lived(bus: Transport, config: WorkerConfig, faults: Faults | None = None) -> Played:
    """Play the same through traffic, log and worker."""
    worker = Worker(bus, lambda: OrderPolicy(seed=3), config)
    traffic = Traffic(bus, world(), config, start=START, faults=faults, idle=worker.step)
    steps = [step.response.facts for step in traffic.steps(STEPS)]
    traffic.close()
    worker.close()
    return Played(
        np.concatenate([step.requests.keys for step in steps]),
        np.concatenate([step.decisions.slates for step in steps]),
        np.concatenate([step.decisions.propensities for step in steps]),
        np.concatenate([step.rewards for step in steps]),
        worker.learner.policy.state_dict(),
    )


@pytest.fixture(scope="module")
def plain() -> Played:
    return rolled_out()


def assert_same(found: Played, expected: Played) -> None:
    for name in ("keys", "slates", "propensities", "rewards"):
        one, other = getattr(found, name), getattr(expected, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert same_state(found.state, expected.state)


def test_the_rollout_is_worth_comparing(plain: Played) -> None:
    assert len(np.unique(plain.keys)) == STEPS * len(SEEDS)
    assert len(np.unique(plain.propensities)) > 2
    assert np.count_nonzero(plain.rewards) > 20
    assert np.count_nonzero(plain.state["theta"]) > 5


def test_a_rollout_and_the_live_loop_decide_and_learn_the_same_to_the_bit(plain: Played) -> None:
    loop = Loop(MemoryBus(), CONFIG)
    assert_same(lived(loop.transport, CONFIG), plain)
    outcomes = loop.outcomes()
    assert len(outcomes) == STEPS * len(SEEDS)
    assert {outcome.request for outcome in outcomes} == {name_of(int(k)) for k in plain.keys}


@pytest.mark.parametrize("batch_size", [1, 7])
def test_however_the_batches_fall(plain: Played, batch_size: int) -> None:
    config = replace(CONFIG, batch_size=batch_size)
    assert_same(lived(MemoryBus(), config), plain)


@pytest.mark.parametrize("seed", range(4))
def test_with_redelivery_and_reordering(plain: Played, seed: int) -> None:
    config = replace(CONFIG, batch_size=5 + 4 * seed)
    bus = MemoryBus(unruly=[CONFIG.topics.feedback], seed=seed, duplicate=0.4, reorder=6)
    assert_same(lived(bus, config, Faults(duplicate=0.3, shuffle=True, seed=seed)), plain)


def test_with_poison_among_it(plain: Played) -> None:
    loop = Loop(MemoryBus(), CONFIG)
    assert_same(lived(loop.transport, CONFIG, Faults(poison=0.2, seed=1)), plain)
    assert {letter.kind for letter in loop.letters()} == {"contract"}


@pytest.mark.parametrize(("partitions", "batch_size"), [(3, 1000), (4, 7), (16, 3)])
def test_with_several_partitions_that_are_read_in_any_order(
    plain: Played, partitions: int, batch_size: int
) -> None:
    config = replace(CONFIG, partitions=partitions, batch_size=batch_size)
    bus = MemoryBus(unruly=[CONFIG.topics.feedback], seed=1, duplicate=0.4, reorder=6)
    loop = Loop(bus, config)
    assert_same(lived(bus, config, Faults(shuffle=True)), plain)
    assert same_state(plain.state, fold(loop.outcomes()))


def test_what_is_lost_is_counted_and_costs_its_reward_only() -> None:
    loop = Loop(MemoryBus(), CONFIG)
    worker = Worker(loop.transport, OrderPolicy, CONFIG)
    traffic = Traffic(
        loop.transport,
        world(),
        CONFIG,
        start=START,
        faults=Faults(lost=0.5, duplicate=0.5, seed=1),
        idle=worker.step,
    )
    steps = list(traffic.steps(5))
    rewarded = sum(np.count_nonzero(step.response.facts.rewards) for step in steps)
    report = worker.report()
    assert traffic.sent["lost"] > 0
    assert report.interactions == rewarded - traffic.sent["lost"]
    assert report.duplicates == traffic.sent["duplicates"]
    assert report.rankings == report.outcomes == 5 * len(SEEDS)
    assert all(len(step.latencies) >= len(SEEDS) for step in steps)
    assert all((step.latencies > 0).all() for step in steps)


def test_traffic_that_nobody_answers_says_so() -> None:
    traffic = Traffic(MemoryBus(), world(), CONFIG, start=START, patience=0.2)
    with pytest.raises(TransportError, match="is one running"):
        next(traffic.steps(1))


def test_traffic_goes_on_where_earlier_traffic_ended() -> None:
    bus = MemoryBus()
    worker = Worker(bus, OrderPolicy, CONFIG)
    first = Traffic(bus, world(), CONFIG, start=START, idle=worker.step)
    list(first.steps(2))
    second = Traffic(bus, world(), CONFIG, start=first.now, idle=worker.step)
    list(second.steps(2))
    assert worker.report().outcomes == 4 * len(SEEDS)
    assert worker.report().dead == {}


@pytest.mark.parametrize("slots", [1, 4])
def test_traffic_shows_as_many_slots_as_its_users_see(slots: int) -> None:
    bus, config = MemoryBus(), replace(CONFIG, slate_size=slots)
    worker = Worker(bus, OrderPolicy, config)
    traffic = Traffic(bus, world(), config, start=START, idle=worker.step)
    (step,) = traffic.steps(1)
    seen = min(slots, world().slate_size)
    assert {len(shown.items) for shown in step.recommendations} == {seen}
    assert {len(outcome.items) for outcome in Loop(bus, config).outcomes()} == {seen}
    assert step.response.facts.decisions.slates.shape[1] == world().slate_size
    assert worker.report().dead == {}


def test_traffic_says_that_the_loop_recommends_what_its_world_does_not_have() -> None:
    bus = MemoryBus()
    Loop(bus, CONFIG).producer.send(
        CONFIG.topics.items,
        encode(
            ItemEvent(id="1", timestamp=1, item="alien", fields=[Field(FEATURES, [100.0, 100.0])])
        ),
        key=b"alien",
    )
    worker = Worker(bus, OrderPolicy, replace(CONFIG, slate_size=9))
    wide = TasteWorld(slate_size=8, leave=0.0)
    wide.reset(SEEDS)
    traffic = Traffic(bus, wide, CONFIG, start=START, idle=worker.step)
    with pytest.raises(TrafficError, match="'alien', which taste does not have"):
        list(traffic.steps(2))


def test_impossible_options_are_refused() -> None:
    tight = replace(CONFIG, rules=replace(CONFIG.rules, window=3))
    with pytest.raises(TrafficError, match="window"):
        Traffic(MemoryBus(), world(), tight, start=START)
    with pytest.raises(TrafficError, match="lost"):
        Faults(lost=1.5)
