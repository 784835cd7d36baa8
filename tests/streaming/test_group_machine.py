"""Any sequence of sending, and of two workers working, dying, failing, leaving: the laws hold."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from streaming.transport.api import AbortableError, FencedError
from streaming.worker import STEPS, Worker
from tests.streaming.test_crashes import Killed, killer
from tests.streaming.test_group import agree, folded, policy
from tests.streaming.test_machine import MACHINE, LiveLoop

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = st.sampled_from(["a", "b"])
GROUP = f"{MACHINE.prefix}{MACHINE.group}"


class LiveGroup(LiveLoop):
    """The log of `LiveLoop`, worked by a group."""

    @initialize(patience=st.sampled_from([0.0, 30.0]))
    def gather(self, patience: float) -> None:
        self.patience = patience
        self.workers: dict[str, Worker] = {}

    def _made(self, name: str, reached: Callable[[str], None] = lambda _step: None) -> Worker:
        config = replace(self.config, worker=name, patience=self.patience)
        return Worker(self.bus, policy(), config, reached=reached)

    def _gone(self, name: str) -> None:
        self.workers.pop(name, None)
        self.bus.expire(GROUP, name)

    def _step(self, name: str) -> None:
        try:
            self.workers[name].step()
        except FencedError:
            self._gone(name)

    @rule(name=NAMES, batches=st.integers(1, 4))
    def work(self, name: str, batches: int) -> None:
        if name not in self.workers:
            self.workers[name] = self._made(name)
        for _ in range(batches):
            for other in list(self.workers):
                self._step(other)

    @rule(name=NAMES, step=st.sampled_from(STEPS), batch=st.integers(1, 2))
    def crash(self, name: str, step: str, batch: int) -> None:
        self.workers.pop(name, None)
        worker = self._made(name, reached=killer(step, batch))
        try:
            for _ in range(3):
                worker.step()
                for other in list(self.workers):
                    self._step(other)
        except (Killed, FencedError):
            pass
        self._gone(name)

    @rule(name=NAMES)
    def take_for_dead(self, name: str) -> None:
        if name in self.workers:
            self.bus.expire(GROUP, name)

    @rule(name=NAMES)
    def stop(self, name: str) -> None:
        if name in self.workers:
            self.workers[name].close()
            self._gone(name)

    @rule()
    def fail_the_next_commit(self) -> None:
        if self.failing < 5:
            self.bus.fail_commits(AbortableError("as asked"))
            self.failing += 1

    def teardown(self) -> None:
        if not hasattr(self, "workers") or not hasattr(self, "bus"):
            return
        for name in ("a", "b"):
            self.bus.expire(GROUP, name)
        self.loop.read(self.config.topics.feedback)
        self.loop.tick(self.time + 10_000)
        self.patience = 0.0
        last = self._made("last")
        idle = 0
        while idle < 3 + self.failing:
            idle = 0 if last.step() else idle + 1
        outcomes, report = self.loop.outcomes(), last.report()
        assert len({outcome.ranking for outcome in outcomes}) == len(outcomes)
        for partition in range(self.config.partitions):
            numbers = sorted(o.number for o in outcomes if o.partition == partition)
            assert numbers == list(range(len(numbers)))
        assert report.events == len(self.loop.read(self.config.topics.feedback))
        assert (report.waiting, report.outcomes) == (0, report.rankings)
        assert report.outcomes == len(outcomes)
        assert sum(report.dead.values()) == len(self.loop.letters())
        ids = [decision.id for decision in self.loop.decisions()]
        assert len(set(ids)) == len(ids) == report.decisions
        state = last.learner.policy.state_dict()
        assert agree(state, folded(outcomes, policy()), policy())


TestLiveGroup = LiveGroup.TestCase
TestLiveGroup.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
