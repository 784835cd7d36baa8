"""One rollout, three formats: Parquet, Minari and the live loop's outcomes tell the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import minari
import numpy as np
import pytest

from agents import Uniform
from envs import spec_of
from envs.recording import MinariRecorder
from evaluation import from_minari
from simulators import Log, LogRecorder, make_world, returns
from streaming import (
    Logged,
    MemoryBus,
    TrafficRecorder,
    Worker,
    WorkerConfig,
    schemas_of,
)
from streaming.records import decode_outcome
from streaming.restore import read_topic
from tests.simulators.support import seeds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from agents.api import Floats, Outcomes
    from tests.commands.support import Said

ID = "recloop/test/uniform-v0"
Facts = dict[int, tuple[Any, ...]]


@pytest.fixture(autouse=True)
def minaris_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))


def facts(batches: Iterable[Outcomes]) -> Facts:
    """What was shown and what came of it, by request."""
    found: Facts = {}
    for batch in batches:
        keys = batch.requests.items.keys[batch.decisions.slates]
        for row, request in enumerate(batch.requests.keys.tolist()):
            found[request] = (
                keys[row].tolist(),
                batch.decisions.propensities[row].tolist(),
                batch.rewards[row].tolist(),
                batch.seen[row].tolist(),
                batch.requests.context[row].tolist(),
            )
    return found


def per_request(batches: Iterable[Outcomes]) -> float:
    """The on-policy value: the mean reward of a request."""
    rewards = np.concatenate([batch.rewards.sum(axis=1, dtype=np.float64) for batch in batches])
    return float(rewards.mean())


def recorded(name: str, folder: Path, **options: Any) -> tuple[Floats, MemoryBus, WorkerConfig]:
    world = make_world(name, **options)
    context, items = schemas_of(world)
    config = WorkerConfig(users=context, items=items, slate_size=world.slate_size, partitions=3)
    bus = MemoryBus()
    with (
        LogRecorder(folder, world) as log,
        MinariRecorder(ID, world, algorithm="uniform", spec=spec_of(name, **options)) as episodes,
        TrafficRecorder(bus, world, config, start=10**12) as traffic,
    ):
        every = [log, episodes, traffic]
        totals = returns(world, Uniform(seed=3), seeds(12), record=every)
    return totals, bus, config


@pytest.mark.parametrize("slots", [1, 3])
def test_the_same_value_from_parquet_minari_and_the_live_loop(tmp_path: Path, slots: int) -> None:
    options = {"num_candidates": 8, "slate_size": slots, "horizon": 9}
    totals, bus, config = recorded("SlateTopK-Uncertain", tmp_path / "log", **options)
    worker = Worker(bus, Uniform, config)
    while worker.step():
        pass
    log = list(Log(tmp_path / "log"))
    lived = list(Logged(bus, config))
    assert worker.report().dead == {}
    assert len(facts(log)) == 12 * 9
    assert facts(lived) == facts(log)

    episodes = minari.load_dataset(ID)
    value = totals.sum() / (12 * 9)
    assert value > 0.01
    assert per_request(log) == pytest.approx(value, abs=1e-12)
    assert per_request(lived) == per_request(log)
    assert np.concatenate([e.rewards for e in episodes]).mean() == pytest.approx(value, abs=1e-12)
    assert sorted(e.rewards.sum() for e in episodes) == sorted(totals)
    chances = sorted(p for e in episodes for p in e.infos["propensity"][:-1])
    stated = sorted(np.prod(row[1]) for row in facts(log).values())
    np.testing.assert_allclose(chances, stated, rtol=1e-15)
    if slots == 1:
        read = from_minari(episodes.iterate_episodes(), "propensity")
        assert read.reward.mean() == pytest.approx(value, abs=1e-12)
        assert (read.logged == 1 / 8).all()


def test_documents_that_live_for_one_request_are_told_as_well(tmp_path: Path) -> None:
    _, bus, config = recorded("InterestEvolution", tmp_path / "log", num_candidates=5, slate_size=2)
    worker = Worker(bus, Uniform, config)
    while worker.step():
        pass
    assert worker.report().dead == {}
    lived = {
        int(outcome.request, 16): (outcome.propensities, outcome.rewards, outcome.seen)
        for records in read_topic(bus, config.topics.outcomes)
        for outcome in [decode_outcome(record.value or b"") for record in records]
    }
    log = facts(Log(tmp_path / "log"))
    assert lived == {request: told[1:4] for request, told in log.items()}


def test_a_logs_expected_rewards_are_the_worlds(tmp_path: Path) -> None:
    world = make_world("InterestEvolution", num_candidates=5, slate_size=2)
    with LogRecorder(tmp_path / "log", world) as recorder:
        returns(world, Uniform(), seeds(200), record=[recorder])
    log = Log(tmp_path / "log")
    told = [(batch.rewards, expected) for batch, expected in log.with_expected()]
    gaps = np.concatenate([(rewards - expected).sum(axis=1) for rewards, expected in told])
    assert abs(gaps.mean()) < 4 * gaps.std() / np.sqrt(len(gaps))
    assert all((expected > 0).all() for _, expected in told)


WORDS = "simulate --env SlateTopK-Bored --steps 4 --candidates 8 --slate-size 2 --users 5 --json"


def test_the_command_writes_all_three(
    broker: str, command: Callable[..., Said], tmp_path: Path
) -> None:
    where = ("--traffic", broker, "--prefix", "three.", "--partitions", 2)
    files = ("--log", tmp_path / "log", "--minari", ID)
    said = command(*WORDS.split(), "--policy", "uniform", *files, *where).json
    assert said["recorded"]["log"] == {"folder": str(tmp_path / "log"), "rows": 20}
    assert said["recorded"]["minari"]["episodes"] == 5
    assert said["recorded"]["traffic"]["rankings"] == 20
    assert said["recorded"]["traffic"]["items"] == 8
    mean = said["policies"]["uniform"]["return_mean"]
    assert per_request(Log(tmp_path / "log")) * 4 == pytest.approx(mean, abs=1e-12)
    data = minari.load_dataset(ID)
    assert np.mean([e.rewards.sum() for e in data]) == pytest.approx(mean, abs=1e-12)
    assert data.storage.metadata["algorithm_name"] == "uniform"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--log x", "one policy's rollout"),
        ("--policy uniform --policy popular --log x", "one policy's rollout"),
        ("--policy uniform --minari mine", "'mine' is not the name of a Minari data set"),
        ("--policy uniform --log {full}", "holds a log already"),
    ],
)
def test_what_cannot_be_written_is_said_before_anything_is_played(
    command: Callable[..., Said], tmp_path: Path, words: str, reason: str
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "part-00000.parquet").write_bytes(b"")
    said = command(*WORDS.split(), *words.format(full=full).split())
    assert said.code == 1
    assert reason in said.err
    assert said.out == ""
