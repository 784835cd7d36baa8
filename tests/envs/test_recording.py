"""A Minari data set of ours: its episodes are those that its environment brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import minari
import numpy as np
import pytest

from agents import PAD, Decisions, Uniform
from envs import spec_of
from envs.recording import MinariRecorder
from simulators import WorldError, make_world, returns, rollout
from tests.simulators.support import seeds

if TYPE_CHECKING:
    from pathlib import Path

    from agents.api import Requests

SIZE = {"num_candidates": 6, "slate_size": 2}


@pytest.fixture(autouse=True)
def minaris_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))


@pytest.mark.parametrize(
    ("name", "horizon"), [("InterestEvolution", None), ("SlateTopK-BoredInf", 7)]
)
def test_episodes_replay_in_the_recovered_environment(name: str, horizon: int | None) -> None:
    options = SIZE if horizon is None else {**SIZE, "horizon": horizon}
    world = make_world(name, **options)
    with MinariRecorder("ours/replay-v1", world, spec=spec_of(name, **options)) as recorder:
        returns(world, Uniform(), seeds(4, first=2**63), record=[recorder])
    data = minari.load_dataset("ours/replay-v1")
    assert data.total_episodes == recorder.episodes == 4
    env = data.recover_environment()
    assert data.observation_space == env.observation_space
    told = data.storage.get_episode_metadata(range(4))
    for episode, about in zip(data.iterate_episodes(), told, strict=True):
        looks = [env.reset(seed=about["seed"])[0]]
        for t, action in enumerate(episode.actions):
            seen, reward, terminated, truncated, _ = env.step(action)
            looks.append(seen)
            assert reward == episode.rewards[t]
            assert terminated == episode.terminations[t]
            assert truncated == episode.truncations[t]
        assert terminated or truncated
        for key, values in episode.observations.items():
            np.testing.assert_array_equal(values, np.stack([look[key] for look in looks]))


def test_users_who_follow_others_and_users_who_are_still_there() -> None:
    """Two lanes of 25 steps: episodes end, others begin, and the last ones are cut off."""
    world = make_world("SlateTopK-Bored", **SIZE, horizon=10)
    world.reset(seeds(2))
    with MinariRecorder("follow-v0", world) as recorder:
        played = list(rollout(world, Uniform(), 25, record=[recorder]))
    data = minari.load_dataset("follow-v0")
    assert [len(episode) for episode in data] == [10, 10, 10, 10, 5, 5]
    assert all(episode.truncations[-1] and not episode.terminations.any() for episode in data)
    rewards = np.array([step.feedback.reward for step in played])
    first = np.concatenate([data[i].rewards for i in (0, 2, 4)])
    np.testing.assert_array_equal(first, rewards[:, 0])
    about = list(data.storage.get_episode_metadata(range(6)))
    assert [episode.get("seed") for episode in about] == [0, 1, None, None, None, None]
    (one,) = data.iterate_episodes([4])
    assert np.isnan(one.infos["expected"][-1]).all()
    assert one.infos["propensities"][:-1] == pytest.approx(np.tile([1 / 6, 1 / 5], (5, 1)))
    assert data.storage.metadata["dataset_size"] >= 0.0


class LeavesOut(Uniform):
    """Fills one slot of two."""

    def decide(self, requests: Requests) -> Decisions:
        decisions = super().decide(requests)
        decisions.slates[:, 1] = PAD
        return decisions


def test_what_minari_cannot_hold_is_refused() -> None:
    world = make_world("SlateTopK-Bored", **SIZE, horizon=3)
    for name in ("", "ours", "our data-v0", "ours/-v", "../up-v0"):
        with pytest.raises(WorldError, match="is not the name of a Minari data set"):
            MinariRecorder(name, world)
    with (
        MinariRecorder("empty-v0", world) as recorder,
        pytest.raises(WorldError, match="a slate with an empty slot"),
    ):
        returns(world, LeavesOut(), seeds(2), record=[recorder])
    with pytest.raises(WorldError, match="already"):
        MinariRecorder("empty-v0", world)
