"""`evaluate --gate` and the other ways to ask: intervals, shards, slates."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agents import Spec
from agents.store import save
from simulators import LogWriter
from tests.evaluation.logs import Shop, cut

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agents.api import Outcomes
    from tests.commands.support import Said

SHOP = Shop(base=0.2)


def write(folder: Path, log: Outcomes) -> Path:
    """Write a log in four files."""
    for at, part in enumerate(cut(log, 1000)):
        with LogWriter(folder / str(at)) as writer:
            writer.write(part)
        (name,) = (folder / str(at)).glob("part-*.parquet")
        name.rename(folder / f"part-{at}.parquet")
    (folder / "0" / "items.parquet").rename(folder / "items.parquet")
    return folder


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("logs") / "single", SHOP.outcomes(4000, seed=1))


@pytest.fixture(scope="module")
def slates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("logs") / "slates", SHOP.pairs(4000, seed=1))


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that has learned from another log which items are clicked."""
    spec = Spec.parse("linucb:interactions=true,alpha=0.1+epsilon=0.3", 0)
    policy = spec.make()
    policy.update(SHOP.outcomes(20_000, seed=2))
    folder = tmp_path_factory.mktemp("policies") / "learned"
    save(policy, spec, folder)
    return folder


@pytest.mark.parametrize("which", ["logs", "slates"])
def test_the_gate_exits_0_for_the_better_and_1_for_the_worse(
    command: Callable[..., Said], request: pytest.FixtureRequest, which: str, learned: Path
) -> None:
    folder = request.getfixturevalue(which)
    options = ("--logs", folder, "--replicates", 200)
    better = command("evaluate", "--policy", learned, "--gate", "uniform", *options)
    assert better.code == 0, better.err
    assert "yes: the candidate's lead is between" in " ".join(better.out.split())
    worse = command("evaluate", "--policy", "uniform", "--gate", learned, *options, "--json")
    assert worse.code == 1
    told = json.loads(worse.out)
    assert (told["promoted"], told["worse"]) == (False, True)
    assert told["policies"] == {"candidate": "uniform", "incumbent": str(learned)}
    assert told["high"] < 0.0
    far = command("evaluate", "--policy", learned, "--gate", "uniform", *options, "--margin", 0.5)
    assert far.code == 1
    assert "above the margin of 0.5" in " ".join(far.out.split())


def test_the_gate_can_be_asked_while_a_log_grows(
    command: Callable[..., Said], logs: Path, learned: Path
) -> None:
    words = ("evaluate", "--logs", logs, "--policy", learned, "--gate", "uniform")
    watched = ("--interval", "sequence", "--bounds", "0,1", "--largest-weight", 20)
    once, ever = (command(*words, *more, "--json") for more in ((), watched))
    assert once.code == ever.code == 0
    assert json.loads(ever.out)["low"] < json.loads(once.out)["low"]


def test_intervals_are_chosen_and_files_read_side_by_side(
    command: Callable[..., Said], logs: Path
) -> None:
    words = ("evaluate", "--logs", logs, "--policy", "uniform", "--replicates", 100, "--json")
    bounded = ("--bounds", "0,1", "--largest-weight", 20)
    found = {}
    for kind in ("bootstrap", "bernstein", "sequence"):
        (report,) = command(*words, *bounded, "--interval", kind, "--jobs", 2).json["reports"]
        assert report["interval"] == kind
        found[kind] = {e["estimator"]: e for e in report["estimates"]}
    (alone,) = command(*words, *bounded).json["reports"]
    for estimate in alone["estimates"]:
        together = found["bootstrap"][estimate["estimator"]]
        assert together["low"] == pytest.approx(estimate["low"], rel=1e-12)
    truth = float(SHOP.clicks.mean())
    for kind, estimates in found.items():
        assert list(estimates) == ["IPS", "SNIPS", "DM", "DR"]
        for name in ("IPS", "SNIPS", "DR"):
            assert estimates[name]["low"] < truth < estimates[name]["high"], (kind, name)
    assert found["bernstein"]["IPS"]["low"] < found["bootstrap"]["IPS"]["low"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--interval exact", "it is one of bootstrap, bernstein, sequence"),
        ("--interval sequence", "say between what they lie"),
        ("--interval bernstein --bounds 0,1", "--largest-weight"),
        ("--interval bernstein --bounds 0,1 --largest-weight 2", "outside of the promised range"),
        ("--interval sequence --bounds 0,1 --estimators SNDR", "SNDR has no interval with"),
        ("--unit session", "it is one of request, user"),
        ("--gate uniform --policy popular", "compares one policy"),
        ("--gate uniform --interval bernstein", "judges by --interval"),
        ("--gate uniform --interval sequence", "wants --bounds"),
        ("--gate uniform --estimators dros", "tuned for each policy"),
    ],
)
def test_what_can_not_be_had_is_told(
    command: Callable[..., Said], logs: Path, learned: Path, words: str, reason: str
) -> None:
    said = command("evaluate", "--logs", logs, "--policy", learned, *words.split())
    assert said.code == 1
    assert reason in " ".join(said.err.split())


def test_slates_are_read_with_the_logging_policy(
    command: Callable[..., Said], slates: Path
) -> None:
    words = ("evaluate", "--logs", slates, "--policy", "uniform", "--logging", "uniform")
    (report,) = command(*words, "--estimators", "IIPS,PI", "--json").json["reports"]
    rewards = float(np.mean(SHOP.pairs(4000, seed=1).rewards.sum(axis=1)))
    for estimate in report["estimates"]:  # as if uniform had decided: all weights are 1
        assert estimate["value"] == pytest.approx(rewards, rel=0.05)
