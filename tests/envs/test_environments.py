"""Single and vector environments: by Gymnasium's book, and the same bits."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import RecordEpisodeStatistics
from stable_baselines3.common.env_checker import check_env as check_sb3

from agents import RecloopError
from envs import ActionError, WorldVectorEnv
from simulators import InterestEvolution, LoggedWorld, WorldError
from tests.envs.support import IDS, same, single, vector
from tests.simulators.support import small_logged

NAMES = list(IDS)


@pytest.mark.parametrize("name", NAMES)
def test_gymnasiums_checker_passes_without_a_warning(name: str) -> None:
    check_env(single(name))


@pytest.mark.parametrize("name", NAMES)
def test_sb3s_checker_passes(name: str) -> None:
    """It would rather have the documents' features [M, F] in one row, which nobody else would."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Your observation documents has an unconv")
        check_sb3(single(name))


@pytest.mark.parametrize("name", NAMES)
def test_wrapped_environments_run(name: str) -> None:
    env = gymnasium.make(name, **IDS[name])
    env.reset(seed=1)
    env.action_space.seed(1)
    for _ in range(30):
        *_, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()
    env.close()


def actions(name: str, lanes: int, steps: int) -> list[Any]:
    space = vector(name, lanes).action_space
    space.seed(5)
    return [space.sample() for _ in range(steps)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_the_vector_environment_is_gymnasiums_own_over_the_single_one(
    name: str, mode: AutoresetMode
) -> None:
    """Everything that is returned, and the users who come after, for longer than two episodes."""
    native = vector(name, 4, autoreset_mode=mode)
    slow = gymnasium.make_vec(
        name,
        num_envs=4,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": mode},
        **IDS[name],
    )
    assert native.metadata["autoreset_mode"] == slow.metadata["autoreset_mode"]
    assert native.observation_space == slow.observation_space
    assert native.action_space == slow.action_space
    one, other = native.reset(seed=42), slow.reset(seed=42)
    assert same(one[0], other[0])
    ended = 0
    for action in actions(name, 4, 200):
        one_step, other_step = native.step(action), slow.step(action)
        ended += int((one_step[2] | one_step[3]).sum())
        for a, b in zip(one_step, other_step, strict=True):
            assert same(a, b)
        assert one_step[0] in native.observation_space
        assert one_step[1].dtype == other_step[1].dtype
    assert ended > 4
    assert same(native.reset()[0], slow.reset()[0])
    assert isinstance(slow, SyncVectorEnv)
    assert same(native.reset(seed=[7, 8, 9, 1])[0], slow.reset(seed=[7, 8, 9, 1])[0])


def part(batch: Any, lanes: int | slice) -> Any:
    """Return what concerns these lanes of an observation or an array."""
    if isinstance(batch, dict):
        return {name: values[lanes] for name, values in batch.items()}
    return batch[lanes]


@pytest.mark.parametrize("name", NAMES)
def test_a_lane_is_the_single_environment_in_a_batch_of_any_size(name: str) -> None:
    steps = actions(name, 5, 60)
    wide, narrow, alone = vector(name, 5), vector(name, 2), single(name)
    wide.reset(seed=10)
    narrow.reset(seed=13)
    alone.reset(seed=14)
    over = False
    for action in steps:
        one = wide.step(action)
        two = narrow.step(action[3:])
        for a, b in zip(one[:4], two[:4], strict=True):
            assert same(part(a, slice(3, 5)), b)
        if over:
            seen, reward, terminated, truncated = (*alone.reset()[:1], 0.0, False, False)
        else:
            seen, reward, terminated, truncated, _ = alone.step(action[4])
        over = terminated or truncated
        assert same(part(one[0], 4), seen)
        assert (one[1][4], one[2][4], one[3][4]) == (reward, terminated, truncated)


@pytest.mark.parametrize("name", NAMES)
def test_without_autoreset_lanes_wait_to_be_reset(name: str) -> None:
    env = vector(name, 3, autoreset_mode="Disabled")
    env.reset(seed=3)
    for action in actions(name, 3, 400):
        _, _, terminated, truncated, _ = env.step(action)
        ended = terminated | truncated
        if ended.any():
            break
    before = env.world.lanes.copy()
    with pytest.raises(ActionError, match="have ended"):
        env.step(action)
    assert (env.world.lanes == before).all()
    observations, _ = env.reset(options={"reset_mask": ended})
    assert (env.world.lanes["episode"] == ended).all()
    assert (env.world.lanes["visit"][~ended] > 0).all()
    assert observations in env.observation_space
    env.step(action)
    with pytest.raises(WorldError, match="reset_mask"):
        env.reset(options={"reset_mask": np.zeros(3, dtype=np.bool_)})


@pytest.mark.parametrize("name", NAMES)
def test_the_end_of_an_episode_tells_its_statistics(name: str) -> None:
    env = single(name)
    env.reset(seed=6)
    env.action_space.seed(6)
    rewards: list[float] = []
    while True:
        _, reward, terminated, truncated, info = env.step(env.action_space.sample())
        rewards.append(reward)
        if terminated or truncated:
            break
        assert info == {}
    assert info["episode"]["r"] == pytest.approx(sum(rewards))
    assert info["episode"]["l"] == len(rewards)
    assert info["episode"]["t"] > 0
    with pytest.raises(ActionError, match="reset"):
        env.step(env.action_space.sample())


def test_a_wrapper_can_tell_the_statistics_instead() -> None:
    name = "recloop/Logged-v0"
    env = RecordEpisodeStatistics(gymnasium.make(name, **IDS[name], episode_statistics=False))
    env.reset(seed=0)
    for _ in range(7):
        *_, info = env.step(env.action_space.sample())
    assert info["episode"]["l"] == 7


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "action", [[0, 0, 1], [0, 1, 99], [0, 1, 2, 3], [0.0, 1.0, 2.0], "show", None]
)
def test_an_invalid_action_changes_nothing(name: str, action: Any) -> None:
    env = single(name)
    env.reset(seed=1)
    good = env.action_space.sample()
    env.step(good)
    before = env.world.lanes.copy()
    with pytest.raises(ActionError):
        env.step(action)
    assert (env.world.lanes == before).all()
    other = single(name)
    other.reset(seed=1)
    other.step(good)
    assert all(same(a, b) for a, b in zip(env.step(good), other.step(good), strict=True))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", AutoresetMode)
def test_one_invalid_action_of_many_changes_nothing(name: str, mode: AutoresetMode) -> None:
    env, other = vector(name, 3, autoreset_mode=mode), vector(name, 3, autoreset_mode=mode)
    env.reset(seed=1), other.reset(seed=1)
    good = env.action_space.sample()
    outside, twice = good.copy(), good.copy()
    outside[1], twice[1] = 6, twice[1, 0]
    wrong: list[Any] = [
        outside,
        good - 6,
        good[:2],
        good[:, :0],
        good.astype(np.float64),
        "show",
        None,
    ]
    if good.shape[1] > 1:
        wrong.append(twice)
    before = env.world.lanes.copy()
    for actions in wrong:
        with pytest.raises(ActionError):
            env.step(actions)
        assert (env.world.lanes == before).all()
    with pytest.raises(ActionError, match="environment 1"):
        env.step(outside)
    assert all(same(a, b) for a, b in zip(env.step(good), other.step(good), strict=True))


def test_the_first_step_needs_a_reset() -> None:
    env = WorldVectorEnv(InterestEvolution(5, 2), 2)
    with pytest.raises(ActionError, match="reset"):
        env.step(env.action_space.sample())
    with pytest.raises(WorldError, match="2 environments"):
        env.reset(seed=[1, 2, 3])
    with pytest.raises(WorldError, match="at least 1"):
        WorldVectorEnv(InterestEvolution(5, 2), 0)


@pytest.mark.parametrize("name", NAMES)
def test_without_a_seed_every_environment_is_another(name: str) -> None:
    one, other = vector(name, 64), vector(name, 64)
    one.reset(), other.reset()
    assert not same(one.world.lanes["user"], other.world.lanes["user"])
    first = one.world.lanes["user"].copy()
    one.reset(seed=None)
    assert not np.isin(one.world.lanes["user"], first).any()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lanes", [0, 3])
def test_observations_are_the_receivers_own(name: str, lanes: int) -> None:
    env: Any = vector(name, lanes) if lanes else single(name)
    kept, _ = env.reset(seed=0)
    held = [kept]
    copies = [{key: value.copy() for key, value in kept.items()}]
    env.action_space.seed(3)
    for _ in range(6):
        seen, *_ = env.step(env.action_space.sample())
        held.append(seen)
        copies.append({key: value.copy() for key, value in seen.items()})
    assert all(same(a, b) for a, b in zip(held, copies, strict=True))


def test_a_fitted_world_is_taken_as_object_or_folder(tmp_path: Path) -> None:
    world = small_logged()
    world.save(tmp_path)
    envs = [
        gymnasium.make("recloop/Logged-v0", world=given).unwrapped
        for given in (world, tmp_path, str(tmp_path))
    ]
    first, *others = (env.reset(seed=4)[0] for env in envs)
    assert all(same(first, other) for other in others)
    assert not len(world)  # the environment has lanes of its own
    with pytest.raises(RecloopError, match="no saved world"):
        gymnasium.make("recloop/Logged-v0", world=tmp_path / "nowhere")
    assert isinstance(LoggedWorld.load(tmp_path), LoggedWorld)
