"""Orders are obeyed once, in a batch's transaction, and every decision says who made it."""

from __future__ import annotations

from dataclasses import replace
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from agents import from_spec
from agents.api import keys_of
from streaming.events import RankedItem, RankingEvent
from streaming.orders import roles_told, send_order
from streaming.pool import in_canary
from streaming.records import encode
from streaming.roles import Canary, Explore, Promote, RoleError, Rollback
from streaming.transport.api import TransportError
from streaming.transport.memory import MemoryBus
from streaming.worker import STEPS, Worker
from tests.streaming.support import (
    CONFIG,
    TOPICS,
    Loop,
    OrderPolicy,
    drain,
    fold,
    interaction,
    same_state,
    user,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from streaming.roles import Order, Roles

NAMES = [f"u{n}" for n in range(40)]


class Shop:
    """A loop whose users are shown what they are recommended."""

    def __init__(self, reached: Callable[[str], None] = lambda step: None) -> None:
        self.loop = Loop(MemoryBus())
        self.loop.announce()
        self.clock = 1000
        self.worker = self.hired(reached)
        hellos = [
            user(name, "hello", self.clock, x=0.02 * n, y=-0.5) for n, name in enumerate(NAMES)
        ]
        self.loop.send(*hellos)
        drain(self.worker)

    def hired(self, reached: Callable[[str], None] = lambda step: None) -> Worker:
        challengers = [
            lambda: from_spec("uniform"),
            lambda: from_spec("linucb:interactions=false+epsilon=0.1"),
        ]
        return Worker(
            self.loop.transport, OrderPolicy, CONFIG, challengers=challengers, reached=reached
        )

    @property
    def bold(self) -> str:
        return list(self.worker.learner.pool.policies)[2]

    def visit(self) -> None:
        """Let everyone be shown what stands there, and click on some of it."""
        self.clock += 1500
        for name, told in sorted(self.loop.recommended().items()):
            if name in NAMES:
                items = [RankedItem(slot.id) for slot in told.items]
                event = RankingEvent(id=told.id, timestamp=self.clock, user=name, items=items)
                self.loop.send(event)
                if items[0].id in "ab":
                    click = interaction(name, f"c{told.id}", self.clock + 9, told.id, items[0].id)
                    self.loop.send(click)
        self.loop.tick(self.clock + 1200)

    def order(self, *orders: Order) -> None:
        for order in orders:
            self.loop.producer.send(TOPICS.orders, encode(order))
        self.loop.producer.flush()

    def deciders(self) -> dict[str, str]:
        return {n: told.policy for n, told in self.loop.recommended().items() if n in NAMES}

    def told(self) -> Roles:
        roles = roles_told(self.loop.transport, TOPICS).roles
        assert roles is not None
        return roles


def test_a_challengers_life_by_orders() -> None:
    shop = Shop()
    assert set(shop.deciders().values()) == {"order"}
    assert shop.told().champion == "order"

    shop.order(Canary(policy="uniform", share=0.4))
    shop.visit()
    drain(shop.worker)
    mine = in_canary(keys_of(NAMES), 0.4)
    expected = {n: "uniform" if yes else "order" for n, yes in zip(NAMES, mine, strict=True)}
    assert shop.deciders() == expected

    shop.order(Promote(policy="uniform"))
    shop.visit()
    drain(shop.worker)
    assert set(shop.deciders().values()) == {"uniform"}

    shop.order(Rollback())
    shop.visit()
    drain(shop.worker)
    assert set(shop.deciders().values()) == {"order"}

    outcomes = [o for o in shop.loop.outcomes() if o.user in NAMES]
    assert len(outcomes) == 3 * len(NAMES)
    decided = {decision.id: decision for decision in shop.loop.decisions()}
    for outcome in outcomes:
        assert outcome.policy == decided[outcome.ranking].policy
        others = {"order", "uniform", shop.bold} - {outcome.policy}
        assert outcome.shadow.keys() == others
        if outcome.policy == "uniform":
            assert outcome.propensities == pytest.approx([1 / 5, 1 / 4])
        else:
            assert outcome.shadow["uniform"] == pytest.approx([1 / 5, 1 / 4])
    assert same_state(shop.worker.learner.policy.state_dict(), fold(shop.loop.outcomes()))


def test_roles_survive_a_restart() -> None:
    shop = Shop()
    shop.order(Promote(policy="uniform", reason="it is better"))
    drain(shop.worker)
    before = shop.told()
    shop.worker.close()
    shop.worker = shop.hired()
    assert shop.worker.control.roles == before
    shop.visit()
    drain(shop.worker)
    assert set(shop.deciders().values()) == {"uniform"}
    assert shop.told() == before  # obeyed once: the same order, read again, would be refused
    shop.worker.close()
    with pytest.raises(RoleError, match="it is better"):
        Worker(shop.loop.transport, OrderPolicy, CONFIG)


class Crash(BaseException):
    pass


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_leaves_roles_as_committed(step: str) -> None:
    armed = False

    def reached(now: str) -> None:
        if armed and now == step:
            raise Crash

    shop = Shop(reached)
    shop.visit()
    shop.order(Canary(policy="uniform", share=0.4), Promote(policy="uniform"), Rollback())
    armed = True
    with pytest.raises(Crash):
        drain(shop.worker)
    armed = False
    shop.worker = shop.hired()
    drain(shop.worker)
    told = shop.told()
    assert (told.champion, told.before, told.revision, told.obeyed) == ("order", None, 3, 3)
    assert set(shop.deciders().values()) == {"order"}
    outcomes = shop.loop.outcomes()
    assert [outcome.seq for outcome in outcomes] == list(range(len(outcomes)))
    assert same_state(shop.worker.learner.policy.state_dict(), fold(outcomes))


def test_what_cannot_be_obeyed_is_refused_and_the_rest_goes_on() -> None:
    shop = Shop()
    before = shop.told()
    shop.loop.producer.send(TOPICS.orders, b"nonsense")
    shop.order(Promote(policy="unifrom"))
    drain(shop.worker)
    refused = shop.told()
    assert refused.refused.keys() == {0, 1}
    assert "did you mean 'uniform'" in refused.refused[1]
    assert (refused.champion, refused.revision, refused.obeyed) == (before.champion, 0, 2)
    shop.order(Promote(policy="uniform"))
    drain(shop.worker)
    assert (shop.told().champion, shop.told().refused) == ("uniform", {})


def test_who_ordered_hears_of_a_refusal_though_others_were_obeyed_in_the_same_batch() -> None:
    shop = Shop()
    shop.order(Explore(epsilon=0.1))  # waits, so that nobody can say beforehand what is refused
    heard: list[str] = []

    def send() -> None:
        with pytest.raises(RoleError) as error:
            send_order(shop.loop.transport, TOPICS, Rollback(), patience=30.0)
        heard.append(str(error.value))

    sender = Thread(target=send)
    sender.start()
    while len(shop.loop.read(TOPICS.orders)) < 2:
        pass
    shop.order(Explore(epsilon=0.2))
    drain(shop.worker)
    sender.join()
    assert "nothing to roll back to" in heard[0]
    assert shop.told().obeyed == 3


def test_what_was_concluded_of_other_roles_is_refused() -> None:
    """The gate's and the watch's conclusions meet somebody's order in the same batch."""
    shop = Shop()
    was = shop.worker.control.roles.revision
    shop.order(Promote(policy="uniform"))
    concluded = Promote(policy=shop.bold, revision=was), Rollback(revision=was)
    shop.worker.control.ask(concluded)
    drain(shop.worker)
    assert (shop.told().champion, shop.told().revision) == ("uniform", was + 1)
    shop.worker.control.ask([Rollback(revision=was + 1), Rollback(revision=was + 1)])
    drain(shop.worker)
    assert (shop.told().champion, shop.told().revision) == ("order", was + 2)


def test_an_outcome_says_whether_its_slate_was_shown_before() -> None:
    shop = Shop()
    told = shop.loop.recommended()["u0"]
    items = [RankedItem(slot.id) for slot in told.items]
    for n, id_ in enumerate((told.id, "reloaded")):
        event = RankingEvent(id=id_, timestamp=2000 + n, user="u0", items=items, decision=told.id)
        shop.loop.send(event)
        drain(shop.worker)
    shop.loop.tick(4000)
    shop.visit()
    drain(shop.worker)
    mine = [outcome for outcome in shop.loop.outcomes() if outcome.user == "u0"]
    assert [(o.ranking, o.again) for o in mine[:2]] == [(told.id, False), ("reloaded", True)]
    assert mine[0].request == mine[1].request
    assert not any(outcome.again for outcome in mine[2:])


def test_raised_exploration_is_logged_as_it_was() -> None:
    shop = Shop()
    shop.order(Explore(epsilon=1.0, half_life=10**6))
    shop.visit()
    drain(shop.worker)
    shop.visit()
    drain(shop.worker)
    latest = [o for o in shop.loop.outcomes() if o.user in NAMES][-len(NAMES) :]
    for outcome in latest:
        assert outcome.propensities == pytest.approx([1 / 5, 1 / 4])
        assert all(s == pytest.approx([1 / 5, 1 / 4]) for s in outcome.shadow.values())


def test_workers_of_a_group_have_the_same_roles() -> None:
    loop = Loop(MemoryBus())
    loop.announce()
    one = Worker(loop.transport, OrderPolicy, CONFIG)
    drain(one)
    two = Worker(loop.transport, OrderPolicy, replace(CONFIG, worker="2"))
    for _ in range(3):
        one.step()
        two.step()
    assert len(one.partitions) == len(two.partitions) == 1
    loop.producer.send(TOPICS.orders, encode(Explore(epsilon=0.5)))
    for _ in range(3):
        one.step()
        two.step()
    assert one.control.roles == two.control.roles
    assert one.control.roles.exploring(0) == 0.5
    follower = one if 0 in two.partitions else two
    follower.control.ask([Explore(epsilon=0.25)])  # as after an alarm: it is passed on
    for _ in range(3):
        one.step()
        two.step()
    assert one.control.roles == two.control.roles
    assert (one.control.roles.exploring(0), one.control.roles.revision) == (0.25, 2)


def test_an_order_waits_for_a_worker() -> None:
    shop = Shop()
    order = Promote(policy="uniform")
    assert send_order(shop.loop.transport, TOPICS, order, patience=0.0) is None
    assert roles_told(shop.loop.transport, TOPICS).waiting == 1
    drain(shop.worker)
    roles, waiting = roles_told(shop.loop.transport, TOPICS)
    assert (roles and roles.champion, waiting) == ("uniform", 0)


def test_an_order_that_is_sure_to_be_refused_is_not_sent() -> None:
    shop = Shop()
    with pytest.raises(RoleError, match="did you mean 'uniform'"):
        send_order(shop.loop.transport, TOPICS, Promote(policy="unifrm"))
    assert not shop.loop.read(TOPICS.orders)
    with pytest.raises(TransportError, match="prefix"):
        roles_told(MemoryBus(), TOPICS)
