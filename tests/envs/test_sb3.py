"""Stable-Baselines3 trains on the native vector environment."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium.spaces import MultiDiscrete
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from envs import slates_from
from envs.sb3 import SlateVecEnv, make_sb3
from simulators import WorldError
from tests.envs.support import IDS, same, vector

NAMES = list(IDS)


@pytest.mark.parametrize("name", NAMES)
def test_ppo_trains_and_is_evaluated(name: str) -> None:
    torch.set_num_threads(1)
    env = make_sb3(name, 8, **IDS[name])
    model = PPO(
        "MultiInputPolicy", env, n_steps=16, batch_size=64, n_epochs=2, seed=1, device="cpu"
    )
    model.learn(384)
    assert model.num_timesteps == 384
    mean, _ = evaluate_policy(model, env, n_eval_episodes=8)
    assert np.isfinite(mean)


@pytest.mark.parametrize("name", NAMES)
def test_it_steps_as_the_vector_environment_does(name: str) -> None:
    native = vector(name, 3, autoreset_mode="SameStep")
    env = SlateVecEnv(vector(name, 3, autoreset_mode="SameStep"))
    M, K = native.world.num_candidates, native.world.slate_size
    assert env.action_space == MultiDiscrete([M - k for k in range(K)])
    env.seed(9)
    assert same(env.reset(), native.reset(seed=[9, 10, 11])[0])
    rng = np.random.default_rng(0)
    ended = 0
    for _ in range(150):
        ranks = rng.integers(M - np.arange(K), size=(3, K))
        seen, rewards, dones, infos = env.step(ranks)
        theirs = native.step(slates_from(ranks))
        assert same(seen, theirs[0])
        assert np.array_equal(rewards, theirs[1].astype(np.float32))
        assert np.array_equal(dones, theirs[2] | theirs[3])
        for i, info in enumerate(infos):
            if not dones[i]:
                assert info == {}
                continue
            ended += 1
            assert same(info["terminal_observation"], theirs[4]["final_obs"][i])
            assert info["TimeLimit.truncated"] == bool(theirs[3][i])
            assert info["episode"]["l"] == theirs[4]["final_info"]["episode"]["l"][i]
    assert ended > 3


def test_a_user_who_stays_is_truncated_and_one_who_leaves_is_not() -> None:
    for name, truncated in (("recloop/Logged-v0", True), ("recloop/InterestEvolution-v0", False)):
        env = make_sb3(name, 1, **IDS[name])
        env.reset()
        info: dict[str, object] = {}
        while not info:
            info = env.step(np.array([env.action_space.sample()]))[3][0]
        assert info["TimeLimit.truncated"] is truncated


def test_what_the_bridge_cannot_do_it_says() -> None:
    name = "recloop/InterestEvolution-v0"
    with pytest.raises(WorldError, match="SameStep"):
        SlateVecEnv(vector(name, 2))
    with pytest.raises(WorldError, match="not a world"):
        make_sb3("CartPole-v1", 2)
    env = make_sb3(name, 2, **IDS[name])
    with pytest.raises(WorldError, match="share"):
        env.set_attr("slate_size", 4)
    with pytest.raises(WorldError, match="one object"):
        env.env_method("render")
    assert env.env_is_wrapped(Monitor) == [True, True]
    assert env.get_attr("num_envs") == [2, 2]
    env.close()
