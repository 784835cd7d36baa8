"""Roles over a broker: ordered by commands, obeyed by a served loop, told by figures."""

from __future__ import annotations

import urllib.request
from threading import Event, Timer
from typing import TYPE_CHECKING

import pytest

from agents.api import RecloopError
from commands import serve
from commands.guards import guarded
from streaming import DriftRules, Exposition, GateRules, MemoryBus, Worker, WorkerConfig
from streaming.drift import Watch
from tests.streaming.support import CONFIG, Loop, OrderPolicy, user

if TYPE_CHECKING:
    from collections.abc import Callable

    from streaming import Report
    from tests.commands.support import Running, Said

LOG = "obd:random/women"


def test_a_challenger_is_made_canary_and_champion_and_taken_back(
    broker: str, start: Callable[..., Running], command: Callable[..., Said]
) -> None:
    where = ("--bootstrap-servers", broker, "--prefix", "roles.")
    unknown = command("roles", *where)
    assert unknown.code == 1
    assert "is the prefix right" in unknown.err

    serve = ("serve", "--like", LOG, "--policy", "uniform", "--challenger", "popular+epsilon=0.1")
    served = start(*serve, "--gate", "--metrics-port", 0, *where)
    served.hear("/metrics")
    told = command("canary", "popular+epsilon=0.1", "--share", 0.25, *where, "--json").json
    assert (told["champion"], told["canary"], told["share"]) == (
        "uniform",
        "popular+epsilon=0.1",
        0.25,
    )
    wrong = command("promote", "populer", *where)
    assert wrong.code == 1
    assert "did you mean 'popular+epsilon=0.1'" in wrong.err
    told = command("promote", "popular+epsilon=0.1", "--reason", "a try", *where, "--json").json
    assert (told["champion"], told["before"], told["reason"]) == (
        "popular+epsilon=0.1",
        "uniform",
        "a try",
    )
    served.hear("popular+epsilon=0.1 decides, because: a try")
    port = served.heard().split("/metrics")[0].rsplit(":", 1)[1]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    assert 'recloop_worker_role{policy="popular+epsilon=0.1",role="champion"} 1.0' in lines
    assert "recloop_worker_revision 2.0" in lines
    assert served.interrupt().code == 0

    waits = command("rollback", *where, "--patience", 0)
    assert waits.code == 0
    assert "no worker has obeyed" in waits.err
    assert "orders waiting" in command("roles", *where).out
    again = start(*serve, *where)
    again.hear("uniform decides, because: by command")
    assert again.interrupt().code == 0
    assert command("roles", *where, "--json").json["champion"] == "uniform"


def test_a_gate_without_challengers_is_refused(command: Callable[..., Said]) -> None:
    said = command("serve", "--gate")
    assert (said.code, said.out) == (1, "")
    assert "--challenger" in said.err


def test_options_of_the_gate_become_its_rules() -> None:
    plain = WorkerConfig(slate_size=2)
    assert guarded(plain, gate=True, margin=0.1).gate == GateRules(margin=0.1, high=2.0)
    given = guarded(plain, gate=True, bounds="-1,3", largest_weight=5.0, estimator="SIPS")
    assert given.gate == GateRules(low=-1.0, high=3.0, largest_weight=5.0, method="SIPS")
    assert guarded(plain).gate is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"margin": 0.1}, "want --gate"),
        ({"gate": True, "bounds": "1"}, "two numbers"),
        ({"gate": True, "bounds": "1,0"}, "finite range"),
        ({"gate": True, "level": 1.0}, "level"),
        ({"gate": True, "estimator": "SNRIPS"}, "no interval with a guarantee"),
        ({"gate": True, "estimator": "SIPZ"}, "did you mean"),
        ({"on_drift": "panic"}, "warn, explore, rollback"),
    ],
)
def test_options_that_make_no_rules_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(RecloopError, match=said):
        guarded(WorkerConfig(slate_size=2), **options)  # type: ignore[arg-type]


class Reopened(Worker):
    """Begins from the topics again, as after an abort, and is told to stop."""

    def step(self, timeout: float = 0.0) -> int:
        self.watch = Watch(DriftRules())
        self.stop.set()
        return 0

    stop = Event()


def test_alarms_that_are_forgotten_are_none() -> None:
    worker = Reopened(MemoryBus(), OrderPolicy, CONFIG)
    worker.watch.alarms = 1
    serve._work(worker, worker.stop, None)
    assert worker.watch.alarms == 0


def test_the_last_figures_are_told_though_nothing_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop, stop, told = Loop(MemoryBus()), Event(), list[int]()
    loop.announce()
    worker = Worker(loop.transport, OrderPolicy, CONFIG)
    loop.send(user("anna", "hello", 1000, x=1.0))

    def tell(_: Exposition, report: Report) -> None:
        told.append(report.events)
        stop.set()

    monkeypatch.setattr(Exposition, "tell", tell)
    late = Timer(10.0, stop.set)
    late.start()
    serve._work(worker, stop, None)
    late.cancel()
    assert told == [1]
