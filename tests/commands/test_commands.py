"""The command line: what it says of itself, what it computes, and how it fails."""

from __future__ import annotations

import json
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

import commands.simulate
import commands.train
from agents.store import load
from commands.console import finite
from commands.loop import stopping
from simulators import load_obd, world_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.commands.support import Said

COMMANDS = (
    "demo",
    "data",
    "data fetch",
    "fit",
    "train",
    "simulate",
    "evaluate",
    "broker",
    "serve",
    "traffic",
    "export",
)
NOBODY = "127.0.0.1:1"
"""Where no broker is: a port that needs root to listen on."""


def test_the_door_lists_every_command(command: Callable[..., Said]) -> None:
    said = command("--help")
    assert said.code == 0
    for name in COMMANDS:
        assert name.split()[0] in said.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(command: Callable[..., Said], name: str) -> None:
    said = command(*name.split(), "--help")
    assert said.code == 0
    assert f" {name} " in next(line for line in said.out.splitlines() if "Usage:" in line)
    if name != "data":
        assert "--seed" in said.out
        assert "--json" in said.out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (
            "simulate --env InterestEvolutoin",
            "there is no world 'InterestEvolutoin': did you mean 'InterestEvolution'?",
        ),
        ("simulate --env obd:random/kids --steps 2", "'kids'"),
        ("simulate --env obd:random/women --steps 2 --candidates 3", "--candidates"),
        ("simulate --env InterestEvolution --policy linubc", "did you mean 'linucb'"),
        ("simulate --env InterestEvolution --policy linucb:alhpa=1", "did you mean 'alpha'"),
        ("simulate --env InterestEvolution --policy nowhere.py:Mine", "nowhere.py"),
        ("train --env InterestEvolution --agent linubc --out x", "did you mean 'linucb'"),
        ("fit --log nowhere --out x", "there is no log at nowhere"),
        ("fit --log movielens:nowhere --out {folder}/w", "there is no folder nowhere"),
        ("fit --log kuairand:{folder} --out {folder}/w", "holds no log_standard*.csv"),
        ("fit --log {folder} --out {folder}/w --plot x.jpg", "drawn as .png"),
        ("train --env InterestEvolution --agent pppo --out x", "did you mean 'ppo'"),
        (
            "train --env News --agent popular --out x --channel delay=soon",
            "a channel's delay is a number, not 'soon'",
        ),
        ("train --env News --agent popular --out x --channel lost=2", "lost is a probability"),
        ("train --env RecoGym --agent popular --out x --channel world", "no composition"),
        ("train --env RecoGym --agent ppo --out {folder}/x --channel delay=1", "answers at once"),
        ("train --logs nowhere --agent popular --out x --channel delay=1", "of an --env"),
        ("evaluate --logs nowhere --policy uniform", "there is no log at nowhere"),
        ("evaluate --logs {folder} --policy uniform", "holds no log"),
        ("evaluate --logs obd:ucb/all --policy uniform", "'ucb'"),
        ("evaluate --logs obd:random/women --policy uniform --estimators IPX", "'IPX'"),
        ("evaluate --logs obd:random/women --policy uniform --plot x.jpg2", "end its name in .png"),
        ("serve --policy linubc", "did you mean 'linucb'"),
        ("serve --bootstrap-servers here", "host:port"),
        ("serve --client kafka", "unknown Kafka client 'kafka'"),
        ("serve --user-features age:nmber", "did you mean 'number'"),
        ("serve --like obd:random/all --user-features age", "--like"),
        ("serve --aggregation median", "unknown aggregation 'median'"),
        ("serve --reward click", "click=1"),
        ("serve --slate-size 101", "longer than the 100 items"),
        ("serve --prefix no/slash", "topic prefix"),
        ("serve --properties nowhere", "cannot read the client properties"),
        ("broker --port 1 --data-dir {folder}/file", "file"),
        ("train --env InterestEvolution --agent uniform --out {folder}/file/x", "file"),
        ("demo --out {folder}", "is not empty"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_exit_code_1(
    command: Callable[..., Said], tmp_path: Path, words: str, reason: str
) -> None:
    (tmp_path / "file").write_text("")
    said = command(*words.format(folder=tmp_path).split())
    assert said.code == 1
    assert said.out == ""
    lines = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert reason in lines[0]
    assert "Traceback" not in said.err


@pytest.mark.parametrize("words", ["serve --policy uniform", "traffic", "export --out {folder}/x"])
def test_without_a_broker_there_is_one_line(
    command: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: str
) -> None:
    monkeypatch.setattr("streaming.transport.clients.connect.__kwdefaults__", HASTY)
    said = command(*words.format(folder=tmp_path).split(), "--bootstrap-servers", NOBODY)
    assert said.code == 1
    assert f"no Kafka broker answers at {NOBODY}" in said.err
    assert "start one, or point --bootstrap-servers at yours" in said.err
    assert not (tmp_path / "x").exists()


HASTY = {"client": "kafka-python", "timeout": 0.1}


@pytest.mark.parametrize("words", ["train", "simulate", "evaluate", "export", "nonsense", "data x"])
def test_a_command_that_is_not_complete_is_refused_with_its_usage(
    command: Callable[..., Said], words: str
) -> None:
    said = command(*words.split())
    assert said.code == 2
    assert "Usage" in said.err


def test_data_are_fetched_into_the_cache_and_described(command: Callable[..., Said]) -> None:
    found = command("data", "fetch", "obd", "--json").json
    logs = {log["log"]: log for log in found["logs"]}
    assert set(logs) == {
        f"obd:{behaviour}/{campaign}"
        for behaviour in ("random", "bts")
        for campaign in ("all", "men", "women")
    }
    log = load_obd("random", "all")
    assert logs["obd:random/all"]["rounds"] == len(log) == 10_000
    assert logs["obd:random/all"]["clicks"] == log.rewards.sum()
    assert "obd:bts/men" in command("data", "fetch", "obd").out


def test_a_trained_policy_is_saved_and_plays(command: Callable[..., Said], tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "policy"
    words = ("train", "--env", "InterestEvolution", "--agent", "linucb", "--out", folder)
    options = ("--users", 6, "--steps", 15, "--seed", 3, "--json")
    found = command(*words, *options).json
    assert found["steps"] == 15
    assert found["reward_per_request_last_tenth"] > 0.0
    assert load(folder).state_dict()["version"] > 0
    again = command(*words[:-1], tmp_path / "again", *options).json
    assert found | {"out": ""} == again | {"out": ""}
    played = command(
        *("simulate", "--env", "InterestEvolution", "--policy", folder, "--policy", "uniform"),
        *("--users", 8, "--steps", 10, "--json"),
    ).json["policies"]
    assert {str(folder), "uniform", "random"} <= played.keys()
    assert played["uniform"] == pytest.approx(played["random"], rel=0.9)
    assert all(standing["episodes"] == 8 for standing in played.values())


def test_ctrl_c_ends_a_training_early_and_keeps_what_was_learned(
    command: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    @contextmanager
    def pressing(_title: str) -> Iterator[Callable[..., None]]:
        def advance(done: int, _total: int) -> None:
            if done == 3:
                signal.raise_signal(signal.SIGINT)

        yield advance

    monkeypatch.setattr(commands.train, "progress", pressing)
    said = command(
        *("train", "--env", "InterestEvolution", "--agent", "popular", "--out", tmp_path / "p"),
        *("--users", 4, "--steps", 100_000, "--json"),
    )
    assert said.json["steps"] == 3
    assert "stopped after 3 of 100000 steps" in said.err
    assert load(tmp_path / "p").state_dict()["version"] > 0


def test_a_training_that_is_resumed_comes_to_the_same(
    command: Callable[..., Said], tmp_path: Path
) -> None:
    words = ("train", "--env", "InterestEvolution", "--agent", "reinforce", "--users", 4)
    terms = ("--chapter", 5, "--seed", 3, "--json")
    whole = command(*words, *terms, "--steps", 20, "--out", tmp_path / "whole").json
    command(*words, *terms, "--steps", 12, "--out", tmp_path / "parts")
    parts = command(*words, *terms, "--steps", 20, "--out", tmp_path / "parts", "--resume").json
    assert parts | {"out": ""} == whole | {"out": ""}
    found, wanted = (load(tmp_path / name).state_dict() for name in ("parts", "whole"))
    for name, array in wanted.items():
        assert (found[name] == array).all(), name
    assert list((tmp_path / "whole" / "tensorboard").glob("events*"))
    said = command(*words, "--steps", 20, "--out", tmp_path / "parts", "--resume")
    assert said.code == 1
    assert "the checkpoint is of another training" in said.err


def test_feedback_can_be_late_and_lost_on_its_way_to_what_learns(
    command: Callable[..., Said], tmp_path: Path
) -> None:
    words = ("train", "--env", "News", "--agent", "popular", "--users", 20, "--steps", 30, "--json")
    heard = {}
    for channel in ("delay=0", "delay=3,slow.clicked=2", "duplicate=1", "lost=1", "world"):
        out = tmp_path / channel
        found = command(*words, "--channel", channel, "--out", out).json
        assert found["steps"] == 30
        heard[channel] = load(out).state_dict()
    plain = tmp_path / "plain"
    command(*words, "--out", plain)
    at_once = load(plain).state_dict()
    assert all((heard["delay=0"][name] == value).all() for name, value in at_once.items())
    assert heard["delay=3,slow.clicked=2"]["version"] == at_once["version"]  # the rest came too
    assert heard["duplicate=1"]["version"] == 2 * at_once["version"]
    for wrong, words_of_it in (
        ("window=1,shuffle=maybe", "a channel's shuffle is true or false, not 'maybe'"),
        ("delay=x", "a channel's delay is a number, not 'x'"),
        ("window=1.5", "a channel's window is a whole number, not '1.5'"),
        ("slow.clicked=soon", "a channel's slow.clicked is a number, not 'soon'"),
        ("dely=3", "'dely=3' says nothing of a channel: there are delay, lost"),
        ("delay", "'delay' says nothing of a channel"),
    ):
        said = command(*words[:-1], "--channel", wrong, "--out", tmp_path / "x")
        assert said.code == 1
        assert words_of_it in " ".join(said.err.split())


@pytest.mark.parametrize("world", world_names())
def test_every_world_tells_returns_and_scores_between_its_bounds(
    command: Callable[..., Said], world: str
) -> None:
    words = ("simulate", "--env", f"recloop/{world}-v0", "--policy", "popular")
    said = command(*words, "--users", 12, "--steps", 3, "--seed", 5, "--json")
    found = said.json
    assert "popular has learned nothing yet" in said.err
    assert (found["env"], found["seed"]) == (f"recloop/{world}-v0", 5)
    told = found["policies"]
    assert list(told)[:2] == ["random", "myopic"]
    assert list(told)[-1] == "popular"
    assert set(told) - {"random", "myopic", "popular"} <= {"oracle"}
    for standing in told.values():
        assert standing.keys() == {"return_mean", "return_se", "score", "score_se", "episodes"}
        assert standing["episodes"] == 12
        assert standing["return_se"] >= 0
    best = told.get("oracle", told["myopic"])
    ordered = best["return_mean"] > told["random"]["return_mean"]
    assert ("no score means anything" in said.err) != ordered
    if ordered:
        assert (told["random"]["score"], best["score"]) == (0.0, 1.0)


def test_a_deep_agent_is_trained_by_the_clock_saved_and_plays(
    command: Callable[..., Said], tmp_path: Path
) -> None:
    words = ("train", "--env", "InterestEvolution", "--agent", "a2c", "--users", 4)
    found = command(*words, "--minutes", 0.02, "--out", tmp_path / "a2c", "--json").json
    assert found["steps"] > 0
    played = command(
        *("simulate", "--env", "InterestEvolution", "--policy", tmp_path / "a2c"),
        *("--users", 4, "--steps", 5, "--json"),
    ).json["policies"]
    assert str(tmp_path / "a2c") in played
    assert not list((tmp_path / "a2c").rglob("*.zip"))


def test_a_policy_learns_from_a_log(command: Callable[..., Said], tmp_path: Path) -> None:
    words = ("train", "--logs", "obd:random/men", "--agent", "cql:every=50", "--json")
    found = command(*words, "--out", tmp_path / "cql").json
    assert found["outcomes"] == 10_000
    assert load(tmp_path / "cql").state_dict()["version"] == 10_000
    said = command("train", "--agent", "cql", "--out", tmp_path / "x")
    assert "either in which --env, or from which --logs" in said.err


def test_ctrl_c_breaks_off_what_has_nothing_to_keep(
    command: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands.simulate, "open_world", pressed)
    said = command("simulate", "--env", "InterestEvolution")
    assert (said.code, said.out, said.err) == (130, "", "stopped\n")


def test_the_first_ctrl_c_asks_to_stop_and_the_second_does_it() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stopping() as stop:
        assert not stop.is_set()
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_evaluation_is_reported_and_drawn(command: Callable[..., Said], tmp_path: Path) -> None:
    plot = tmp_path / "plots" / "forest.png"
    words = ("evaluate", "--logs", "obd:random/women", "--policy", "uniform", "--policy", "popular")
    options = ("--estimators", "IPS,SNIPS", "--replicates", 100, "--plot", plot)
    found = command(*words, *options, "--json").json
    uniform, popular = found["reports"]
    assert (uniform["spec"], popular["spec"]) == ("uniform", "popular")
    rate = float(load_obd("random", "women").rewards.mean())
    for estimate in uniform["estimates"]:
        assert estimate["value"] == pytest.approx(rate)
        assert estimate["low"] < rate < estimate["high"]
    assert plot.read_bytes().startswith(b"\x89PNG")
    said = command(*words, *options)
    assert said.code == 0
    assert "SNIPS" in said.out


def test_numbers_that_json_does_not_know_become_null() -> None:
    document = {"a": float("nan"), "b": [1.5, float("inf")], "c": ("x", None, True)}
    assert json.loads(json.dumps(finite(document), allow_nan=False)) == {
        "a": None,
        "b": [1.5, None],
        "c": ["x", None, True],
    }
