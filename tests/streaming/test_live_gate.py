"""The gate in the loop: it promotes in a transaction, and a restored worker judges alike."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from agents import Explore, Popular, Uniform
from streaming.orders import roles_told
from streaming.records import encode
from streaming.roles import Canary, Promote
from streaming.rules import DriftRules, GateRules
from streaming.transport.memory import MemoryBus
from streaming.worker import Worker
from tests.streaming.support import CONFIG, Loop, drain, interaction, ranking, user

if TYPE_CHECKING:
    from collections.abc import Callable

    from agents.api import Policy
    from streaming.config import WorkerConfig
    from streaming.roles import Roles

GATED = replace(CONFIG, gate=GateRules(high=2.0, largest_weight=20.0))
EVENTS = 40


def popular() -> Policy:
    return Explore(Popular(), epsilon=0.2)


class Fans:
    """Users who like item `a` and no other, and are shown what they are recommended."""

    def __init__(
        self, config: WorkerConfig, make: Callable[[], Policy], *others: Callable[[], Policy]
    ) -> None:
        self.config, self.make, self.others = config, make, others
        self.loop = Loop(MemoryBus(), config)
        self.loop.announce()
        self.clock, self.liked = 1000, "a"
        self.names = [f"u{n}" for n in range(EVENTS)]
        self.worker = self.hired()
        self.loop.send(*[user(name, "hello", self.clock, x=0.5, y=0.5) for name in self.names])
        drain(self.worker)

    def hired(self, reached: Callable[[str], None] = lambda step: None) -> Worker:
        return Worker(
            self.loop.transport,
            self.make,
            self.config,
            challengers=self.others,
            reached=reached,
        )

    def visit(self) -> None:
        self.clock += 1500
        recommended = self.loop.recommended()
        for name in self.names:
            told = recommended[name]
            items = [slot.id for slot in told.items]
            self.loop.send(ranking(name, told.id, self.clock, *items))
            if self.liked in items:
                click = interaction(name, f"c{told.id}", self.clock + 9, told.id, self.liked)
                self.loop.send(click)
        self.loop.tick(self.clock + 1200)

    def told(self) -> Roles:
        roles = roles_told(self.loop.transport, self.loop.topics).roles
        assert roles is not None
        return roles


def promoted(restarts: bool = False, crash: str = "") -> tuple[Roles, dict[str, int]]:
    """Let the gate promote, and return the roles and who decided how often."""
    fans = Fans(GATED, Uniform, popular)
    for _ in range(14):
        fans.visit()
        if restarts:
            fans.worker.close()
            fans.worker = fans.hired()
        if crash:
            fans.worker = _crashed(fans, crash)
        drain(fans.worker)
    outcomes = fans.loop.outcomes()
    assert [outcome.seq for outcome in outcomes] == list(range(len(outcomes)))
    decided = [outcome.policy for outcome in outcomes]
    return fans.told(), {name: decided.count(name) for name in sorted(set(decided))}


class Crash(BaseException):
    pass


def _crashed(fans: Fans, step: str) -> Worker:
    """Crash a worker at this step of its next batch, and return the one that takes over."""

    def reached(now: str) -> None:
        if now == step:
            raise Crash

    with pytest.raises(Crash):
        drain(fans.hired(reached))
    return fans.hired()


@pytest.fixture(scope="module")
def calm() -> tuple[Roles, dict[str, int]]:
    return promoted()


def test_the_gate_promotes_the_better(calm: tuple[Roles, dict[str, int]]) -> None:
    roles, decided = calm
    name = popular().name
    assert (roles.champion, roles.before, roles.revision) == (name, "uniform", 1)
    assert "the gate: the candidate's lead" in roles.reason
    assert decided.keys() >= {"uniform", name}
    assert decided["uniform"] >= roles.since  # nobody else decided before


def test_a_worker_that_restores_itself_promotes_at_the_same_outcome(
    calm: tuple[Roles, dict[str, int]],
) -> None:
    assert promoted(restarts=True) == calm


@pytest.mark.parametrize("step", ["learn", "publish", "commit"])
def test_crashes_around_a_promotion_change_nothing(
    calm: tuple[Roles, dict[str, int]], step: str
) -> None:
    assert promoted(crash=step) == calm


def test_a_canary_that_is_worse_is_ended() -> None:
    fans = Fans(GATED, popular, Uniform)
    for _ in range(5):  # until the champion knows what is liked
        fans.visit()
        drain(fans.worker)
    fans.loop.producer.send(fans.loop.topics.orders, encode(Canary(policy="uniform", share=0.5)))
    for _ in range(20):
        fans.visit()
        drain(fans.worker)
        if fans.told().revision == 2:
            break
    roles = fans.told()
    assert (roles.champion, roles.canary, roles.revision) == (popular().name, None, 2)
    assert "worse" in roles.reason


@pytest.mark.parametrize("action", ["warn", "explore", "rollback"])
def test_what_was_agreed_on_follows_a_fall_of_the_reward(action: str) -> None:
    """The users' taste changes to an item that the champion does not show."""
    rules = DriftRules(action=action, epsilon=0.5, half_life=10**6)
    fans = Fans(replace(CONFIG, drift=rules), popular, Uniform)
    for _ in range(8):
        fans.visit()
        drain(fans.worker)
    fans.loop.producer.send(fans.loop.topics.orders, encode(Promote(policy="uniform")))
    fans.loop.producer.send(fans.loop.topics.orders, encode(Promote(policy=popular().name)))
    for _ in range(4):
        fans.visit()
        drain(fans.worker)
    assert fans.worker.report().alarms == 0
    fans.liked = "nothing"
    for _ in range(8):
        fans.visit()
        drain(fans.worker)
    report = fans.worker.report()
    assert report.alarms >= 1
    roles = fans.told()
    if action == "warn":
        assert roles.revision == 2
    if action == "explore":
        assert report.exploration == 0.5
        assert "drift: " in roles.reason
        latest = fans.loop.recommended()["u0"]
        assert min(slot.propensity for slot in latest.items) >= 0.5 / 5
    if action == "rollback":
        assert roles.champion == "uniform"
        assert "drift: " in roles.reason
    restored = fans.hired()
    assert restored.report().alarms == report.alarms
    drain(restored)
    assert fans.told() == roles
