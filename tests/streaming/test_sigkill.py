"""A real broker, and a worker killed with SIGKILL: nothing missing, nothing doubled."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from streaming.orders import roles_told, send_order
from streaming.roles import Promote
from streaming.transport.clients import CLIENTS, connect
from streaming.transport.memory import MemoryBus
from streaming.worker import Worker
from tests.streaming.support import (
    CONFIG,
    Loop,
    OrderPolicy,
    drain,
    fold,
    same_state,
    story,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import TypeAlias

    from streaming.config import WorkerConfig
    from streaming.metrics import Report
    from streaming.transport.api import Transport

    Run: TypeAlias = Callable[..., subprocess.Popen[str]]

EVENTS = story(users=15, steps=20, seed=8)
HALF = len(EVENTS) // 2


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def transport(broker: str, client: str) -> Iterator[Transport]:
    made = connect(broker, client=client)
    yield made
    made.close()


@pytest.fixture
def run(broker: str, client: str) -> Iterator[Run]:
    """Start workers that are ready when they are returned, and that do not outlive the test."""
    processes: list[subprocess.Popen[str]] = []

    def start(**options: Any) -> subprocess.Popen[str]:
        module = "tests.streaming.worker_process"
        command = [sys.executable, "-m", module, broker, client, json.dumps(options)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        with process.stdout as out:
            assert out.readline() == "ready\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def told(transport: Transport, config: WorkerConfig) -> Loop:
    loop = Loop(transport, config)
    loop.announce()
    return loop


@pytest.mark.parametrize("client", ["kafka-python"])
def test_a_worker_killed_around_a_promotion_has_promoted_once_or_not_at_all(
    run: Run, transport: Transport, client: str, tmp_path: Path
) -> None:
    """The order comes with the events of the batch in which the worker dies."""
    config = replace(CONFIG, prefix=f"promoted.{client}.", partitions=2, batch_size=60)
    loop = told(transport, config)
    options = {"prefix": config.prefix, "partitions": 2, "batch_size": 60, "challenged": True}
    assert send_order(transport, loop.topics, Promote(policy="uniform"), patience=0.0) is None
    loop.send(*EVENTS[:HALF])
    for step, waiting in (("publish", 1), ("commit", 0)):
        assert run(**options, die=step, batch=1).wait(120) == -signal.SIGKILL
        assert roles_told(transport, loop.topics).waiting == waiting
    loop.send(*EVENTS[HALF:])
    loop.tick(20_000)
    events = len(loop.read(loop.topics.feedback))
    last = run(**options, events=events, state=str(tmp_path / "state"))
    assert last.wait(120) == 0

    roles = roles_told(transport, loop.topics).roles
    assert roles is not None
    assert (roles.champion, roles.before, roles.revision) == ("uniform", "order", 1)
    outcomes = loop.outcomes()
    assert [outcome.seq for outcome in outcomes] == list(range(len(outcomes)))
    assert same_state(load_file(tmp_path / "state"), fold(outcomes))
    decisions = loop.decisions()
    assert set(Counter(decision.id for decision in decisions).values()) == {1}
    by = [{d.policy, *d.shadow} for d in decisions]
    assert by == [{"order", "uniform"}] * len(decisions)


def undisturbed(config: WorkerConfig) -> tuple[Loop, Worker]:
    """Let one worker do all of it over the memory bus."""
    loop = told(MemoryBus(), config)
    loop.send(*EVENTS)
    loop.tick(20_000)
    worker = Worker(loop.transport, OrderPolicy, config)
    drain(worker)
    return loop, worker


def counted(report: Report) -> tuple[object, ...]:
    return (
        report.events,
        report.users,
        report.rankings,
        report.interactions,
        report.duplicates,
        report.waiting,
        report.outcomes,
        report.dead,
    )


def test_killed_workers_lose_and_double_nothing(
    run: Run, transport: Transport, client: str, tmp_path: Path
) -> None:
    config = replace(CONFIG, prefix=f"killed.{client}.", partitions=3, batch_size=60)
    loop = told(transport, config)
    options = {"prefix": config.prefix, "partitions": config.partitions, "batch_size": 60}
    random = np.random.default_rng(3)

    loop.send(*EVENTS[:HALF])
    between_sends_and_commit = run(**options, die="publish", batch=3)
    assert between_sends_and_commit.wait(120) == -signal.SIGKILL

    any_moment = run(**options)
    loop.send(*EVENTS[HALF:])
    time.sleep(random.uniform(0.0, 0.3))
    any_moment.kill()
    any_moment.wait(120)

    after_the_commit = run(**options, die="commit", batch=1)
    loop.tick(20_000)
    assert after_the_commit.wait(120) == -signal.SIGKILL

    events = len(loop.read(loop.topics.feedback))
    last = run(**options, events=events, state=str(tmp_path / "state"))
    assert last.wait(120) == 0

    calm, calm_worker = undisturbed(replace(config, prefix=f"calm.{client}."))
    outcomes = loop.outcomes()
    assert outcomes == calm.outcomes()
    assert [outcome.seq for outcome in outcomes] == list(range(len(outcomes)))
    state = load_file(tmp_path / "state")
    assert same_state(state, fold(outcomes))
    assert same_state(state, calm_worker.learner.policy.state_dict())

    restored = Worker(transport, OrderPolicy, config)
    assert same_state(restored.learner.policy.state_dict(), state)
    assert counted(restored.report()) == counted(calm_worker.report())
    restored.close()

    decisions = loop.decisions()
    assert set(Counter(decision.id for decision in decisions).values()) == {1}
    assert restored.report().decisions == len(decisions)
    latest = {decision.user: decision for decision in decisions}
    recommended = loop.recommended()
    assert recommended.keys() == calm.recommended().keys()
    for name, decision in recommended.items():
        assert decision == latest[name]
        assert (decision.request, decision.ordinal) == (
            calm.recommended()[name].request,
            calm.recommended()[name].ordinal,
        )
