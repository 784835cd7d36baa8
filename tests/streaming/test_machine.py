"""Any sequence of sending, working, crashing, failing commits and taking over: the laws hold."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from streaming.transport.api import AbortableError
from streaming.transport.memory import MemoryBus
from streaming.worker import STEPS, Worker
from tests.streaming.support import (
    CONFIG,
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

if TYPE_CHECKING:
    from streaming.events import Feedback
    from streaming.metrics import Report

MACHINE = replace(CONFIG, rules=replace(CONFIG.rules, lateness=500), snapshot_every=3)
USERS = st.sampled_from(["u0", "u1", "u2", "u3"])


class LiveLoop(RuleBasedStateMachine):
    """A log with an unruly feedback topic, and workers that come and go."""

    @initialize(
        batch_size=st.integers(1, 8),
        seed=st.integers(0, 100),
        duplicate=st.sampled_from([0.0, 0.5]),
        reorder=st.sampled_from([1, 4]),
    )
    def begin(self, batch_size: int, seed: int, duplicate: float, reorder: int) -> None:
        self.config = replace(MACHINE, batch_size=batch_size)
        self.bus = MemoryBus(
            unruly=[self.config.topics.feedback], seed=seed, duplicate=duplicate, reorder=reorder
        )
        self.loop = Loop(self.bus, self.config)
        self.loop.announce()
        self.time = 1000
        self.serial = 0
        self.shown: list[tuple[str, str, tuple[str, str]]] = []
        self.worker: Worker | None = None
        self.failing = 0

    def _send(self, event: Feedback) -> None:
        self.loop.send(event)
        self.serial += 1

    @rule(name=USERS, x=st.floats(-1, 1, width=32))
    def describe(self, name: str, x: float) -> None:
        self._send(user(name, f"e{self.serial}", self.time, x=x))

    @rule(name=USERS, items=st.permutations(["a", "b", "c", "d", "e"]))
    def show(self, name: str, items: list[str]) -> None:
        id_ = f"r{self.serial}"
        self._send(ranking(name, id_, self.time, *items[:2]))
        self.shown.append((name, id_, (items[0], items[1])))

    @precondition(lambda self: self.shown)
    @rule(data=st.data(), slot=st.integers(0, 1))
    def click(self, data: st.DataObject, slot: int) -> None:
        name, id_, items = data.draw(st.sampled_from(self.shown[-4:]))
        self._send(interaction(name, f"i{self.serial}", self.time, id_, items[slot]))

    @rule(by=st.integers(1, 400))
    def wait(self, by: int) -> None:
        self.time += by

    @rule(batches=st.integers(1, 4))
    def work(self, batches: int) -> None:
        if self.worker is None:
            self.worker = Worker(self.bus, OrderPolicy, self.config)
        for _ in range(batches):
            self.worker.step()

    @rule(step=st.sampled_from(STEPS), batch=st.integers(1, 3))
    def crash(self, step: str, batch: int) -> None:
        worker = Worker(self.bus, OrderPolicy, self.config, reached=killer(step, batch))
        self.worker = None
        try:
            drain(worker)
        except Killed:
            return
        worker.close()

    @rule()
    def fail_the_next_commit(self) -> None:
        if self.failing < 5:
            self.bus.fail_commits(AbortableError("as asked"))
            self.failing += 1

    @rule()
    def stop(self) -> None:
        if self.worker is not None:
            self.worker.close()
            self.worker = None

    def teardown(self) -> None:
        if not hasattr(self, "bus"):
            return
        # What an unruly producer delivers late is laid out before the last bell is rung.
        self.loop.read(self.config.topics.feedback)
        self.loop.tick(self.time + 10_000)
        last = Worker(self.bus, OrderPolicy, self.config)
        for _ in range(self.failing + 1):
            drain(last)
        outcomes, report = self.loop.outcomes(), last.report()
        assert [outcome.seq for outcome in outcomes] == list(range(len(outcomes)))
        assert len({outcome.ranking for outcome in outcomes}) == len(outcomes)
        places = [(outcome.closed, outcome.time, outcome.ranking) for outcome in outcomes]
        assert places == sorted(places)
        assert same_state(last.learner.policy.state_dict(), fold(outcomes))
        assert report.events == len(self.loop.read(self.config.topics.feedback))
        assert report.waiting == 0
        assert report.outcomes == report.rankings == len(outcomes)
        assert sum(report.dead.values()) == len(self.loop.letters())
        decisions = Counter(decision.id for decision in self.loop.decisions())
        assert sum(decisions.values()) == report.decisions
        assert set(decisions.values()) <= {1}
        restored = Worker(self.bus, OrderPolicy, self.config)
        assert same_state(restored.learner.policy.state_dict(), last.learner.policy.state_dict())
        assert figures(restored.report()) == figures(report)


def figures(report: Report) -> Report:
    """Return what of a report is not of one process alone."""
    return msgspec.structs.replace(report, seconds={}, decided={}, batches=0, aborted=0)


TestLiveLoop = LiveLoop.TestCase
TestLiveLoop.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
