"""The demo, made small: its artefacts, and that two runs give the same figures."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import commands.demo
import commands.demo_live
from commands.sources import open_logged
from simulators import Log, LoggedWorld, load_obd

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agents.api import Outcomes
    from tests.commands.support import Said

USERS, STEPS = 20, 4
TIMINGS = ("seconds", "latency_seconds")
TOLD = 800
"""How many rounds of the real log are told and evaluated on."""


def beginning(*_: Any) -> Outcomes:
    return load_obd("random", "all").take(slice(TOLD))


@cache
def fitted(address: str, seed: int) -> LoggedWorld:
    """Fit the world once: that a fit repeats is for the simulators' tests to say."""
    return open_logged(address, seed=seed)


@pytest.mark.parametrize(
    ("address", "served"),
    [
        ("popular", "popular+epsilon=0.1"),
        ("linucb:alpha=0.5", "linucb:alpha=0.5+epsilon=0.1"),
        ("epsilon-greedy", "epsilon-greedy"),
        ("uniform", "uniform"),
        ("lints", "lints"),
        ("popular+temperature=0.1", "popular+temperature=0.1"),
    ],
)
def test_only_what_leaves_nothing_to_chance_is_made_to_explore(address: str, served: str) -> None:
    assert commands.demo.exploring(address, 0) == served


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "TRAINED_USERS": 20,
        "TRAINED_STEPS": 10,
        "TESTED_USERS": 60,
        "TESTED_STEPS": 5,
        "LINEUP": ("epsilon-greedy:epsilon=0.1", "popular+temperature=0.001"),
        "_fetch": beginning,
        "open_logged": fitted,
    }.items():
        monkeypatch.setattr(commands.demo, name, value)
    monkeypatch.setattr(commands.demo_live, "POISON", 0.1)


def without_timings(figures: dict[str, Any]) -> dict[str, Any]:
    live = {name: value for name, value in figures["live"].items() if name not in TIMINGS}
    return {name: value for name, value in figures.items() if name not in TIMINGS} | {"live": live}


@pytest.mark.usefixtures("small")
def test_the_demo_leaves_what_it_promises_and_two_runs_give_the_same_figures(
    command: Callable[..., Said], tmp_path: Path
) -> None:
    own = ("--policy", "epsilon-greedy:epsilon=0.3")
    size = ("--users", USERS, "--steps", STEPS, "--seed", 5)
    folder, again = tmp_path / "one", tmp_path / "two"
    said = command("demo", *size, *own, "--out", folder)
    assert said.code == 0, said.err
    assert "live over Kafka" in said.out
    figures = json.loads((folder / "figures.json").read_text())

    repeated = command("demo", *size, *own, "--out", again, "--json").json
    assert repeated.pop("folder") == str(again)
    assert without_timings(repeated) == without_timings(figures)
    for one, other in zip(Log(folder / "outcomes"), Log(again / "outcomes"), strict=True):
        np.testing.assert_array_equal(one.decisions.slates, other.decisions.slates)
        np.testing.assert_array_equal(one.decisions.propensities, other.decisions.propensities)
        np.testing.assert_array_equal(one.rewards, other.rewards)

    live = figures["live"]
    log = list(Log(folder / "outcomes"))
    shown = [batch for batch in log if batch.decisions.slates.shape[1] > 1]
    rows = sum(map(len, log))
    assert rows == live["outcomes"] == live["outcomes_exported"] == TOLD + USERS * STEPS
    assert sum(map(len, shown)) == live["recommendations_answered"] == USERS * STEPS
    rewards = np.concatenate([batch.rewards for batch in shown])
    assert rewards.mean() == pytest.approx(live["click_rate"])
    assert live["name"] == "epsilon-greedy"
    assert live["dead_letters"] == {"contract": live["events_sent"]["poison"]}
    assert live["duplicates"] == live["events_sent"]["duplicates"]

    policies = sorted(place.name for place in (folder / "policies").iterdir())
    assert len(policies) == len(figures["offline"]) == 3
    for name in ("live.png", "evaluation.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    assert LoggedWorld.load(folder / "world").slate_size == rewards.shape[1]
    assert json.loads((folder / "serve.json").read_text())["outcomes"] == rows
