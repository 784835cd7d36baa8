"""The bridge to Stable-Baselines3: its algorithms train on the native vector environment.

Their policies draw the parts of an action independently, so that an action space of slates would
be left at once: some item would be drawn twice. Here a slot's action is a rank, its item's place
among the candidates not yet shown, and every action that is drawn is a slate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium.spaces import MultiDiscrete
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv

from envs.spaces import ranks_of, slates_from
from envs.vector import WorldVectorEnv
from simulators import WorldError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

    from agents.api import Rows
    from envs.coat import Observation


class SlateVecEnv(VecEnv):
    """A world as Stable-Baselines3 wants it: dict observations, ranks as actions.

    Parameters
    ----------
    env : WorldVectorEnv
        With `autoreset_mode` SameStep.

    Raises
    ------
    WorldError
        If the environment resets in another way.
    """

    def __init__(self, env: WorldVectorEnv) -> None:
        if env.mode is not AutoresetMode.SAME_STEP:
            raise WorldError(
                "Stable-Baselines3 expects the next user within the step that ended an episode: "
                "make the vector environment with autoreset_mode='SameStep'"
            )
        self.env = env
        world = env.world
        super().__init__(
            env.num_envs,
            env.single_observation_space,
            MultiDiscrete(ranks_of(world.num_candidates, world.slate_size)),
        )
        self._slates: Rows | None = None

    def reset(self) -> Observation:
        """Bring the next users, or the first ones of the seeds that `seed` was given."""
        seeds: list[int | None] = list(self._seeds)
        observations, _ = self.env.reset(seed=seeds)
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: NDArray[Any]) -> None:
        """Take the ranks of every user's slots: int [B, K]."""
        self._slates = slates_from(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Show the slates, and return observations, rewards, dones and infos as the library does.

        An ended episode's info has "terminal_observation", "TimeLimit.truncated" and "episode".
        """
        assert self._slates is not None, "step_async comes first"
        observations, rewards, terminated, truncated, told = self.env.step(self._slates)
        done = terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for i in np.flatnonzero(done).tolist():
            infos[i] = {
                "terminal_observation": told["final_obs"][i],
                "TimeLimit.truncated": bool(truncated[i]),
            }
            if "episode" in told["final_info"]:
                episode = told["final_info"]["episode"]
                infos[i]["episode"] = {name: episode[name][i].item() for name in "rlt"}
        return observations, rewards.astype(np.float32), done, infos

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of the environment, once for every index."""
        return [getattr(self.env, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Refuse: the lanes of a world have no attributes of their own."""
        raise WorldError(f"the lanes of a world share {attr_name}: set it where the world is made")

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: VecEnvIndices = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """Refuse: the lanes of a world have no methods of their own."""
        raise WorldError(f"the lanes of a world are one object: call {method_name} on it")

    def env_is_wrapped(
        self,
        wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]],
        indices: VecEnvIndices = None,
    ) -> list[bool]:
        """Say that episodes are monitored, since the infos tell their statistics."""
        monitored = self.env.episode_statistics and issubclass(Monitor, wrapper_class)
        return [monitored for _ in self._get_indices(indices)]


def make_sb3(env_id: str, num_envs: int, **options: Any) -> SlateVecEnv:
    """Return a registered world as Stable-Baselines3 wants it.

    Parameters
    ----------
    env_id : str
        For example "recloop/InterestEvolution-v0".
    num_envs : int
        How many users there are at a time.
    **options
        Of the world and of `WorldVectorEnv`.

    Raises
    ------
    WorldError
        If the id is not one of our worlds'.
    """
    if gymnasium.spec(env_id).namespace != "recloop":
        raise WorldError(f"{env_id} is not a world of recloop: their ids begin with recloop/")
    env = gymnasium.make_vec(
        env_id,
        num_envs=num_envs,
        vectorization_mode="vector_entry_point",
        autoreset_mode=AutoresetMode.SAME_STEP,
        **options,
    )
    assert isinstance(env, WorldVectorEnv)
    return SlateVecEnv(env)
