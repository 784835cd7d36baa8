"""A world with many users at a time, as a native Gymnasium vector environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.coat import (
    Floats,
    Mask,
    Observation,
    Slates,
    action_space,
    observation_space,
    seeds_of,
)
from envs.spaces import INT64, ActionError, SlateSpace
from simulators import BatchedWorld, Frames, WorldError

if TYPE_CHECKING:
    from simulators import Frame

Step = tuple[Observation, Floats, Mask, Mask, dict[str, Any]]


class WorldVectorEnv(VectorEnv[Observation, Slates, NDArray[Any]]):
    """B lanes of a world, stepped together in compiled loops.

    Environment i after `reset(seed=s)` is, bit for bit, the single environment after
    `reset(seed=s + i)`.

    Parameters
    ----------
    world : BatchedWorld
        Is the environment's own from now on.
    num_envs : int
        B.
    autoreset_mode : AutoresetMode or str
        What happens when a user has left, as in Gymnasium's own vector environments. NextStep: the
        next step brings the next user, ignores the action, and its reward is 0. SameStep: the next
        user has come already; the last observation is in `infos["final_obs"]`. Disabled: the lane
        waits for `reset(options={"reset_mask": mask})`.
    episode_statistics : bool
        Whether `infos["episode"]` (in SameStep `infos["final_info"]["episode"]`) tells the ended
        episodes' return "r", length "l" and seconds "t". Say False where a wrapper is to do it.
    """

    action_space: SlateSpace

    def __init__(
        self,
        world: BatchedWorld,
        num_envs: int,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        episode_statistics: bool = True,
    ) -> None:
        if num_envs < 1:
            raise WorldError(f"a vector environment needs at least 1 lane, not {num_envs}")
        self.world, self.num_envs = world, num_envs
        self.mode = AutoresetMode(autoreset_mode)
        self.metadata = {"render_modes": [], "autoreset_mode": self.mode}
        self._renews = self.mode is AutoresetMode.NEXT_STEP
        self._disabled = self.mode is AutoresetMode.DISABLED
        self._same_step = self.mode is AutoresetMode.SAME_STEP
        self.episode_statistics = episode_statistics
        self.single_observation_space = observation_space(world)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.single_action_space = action_space(world)
        self.action_space = SlateSpace(world.num_candidates, world.slate_size, num_envs)
        self._shape = self.action_space.shape
        self._waiting = not len(world)
        self._frames = Frames(world)

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Bring the next users, or the first ones of their seeds.

        Parameters
        ----------
        seed : int or list, optional
            The seed of environment 0, from which the others count on, or the seed of each; None
            stands for the next user of the same seed.
        options : dict, optional
            "reset_mask", bool [B]: the environments that are meant; all of them if not given.

        Raises
        ------
        WorldError
            If there is not a seed, or not a truth value, for every environment.
        """
        started = len(self.world) > 0
        mask = self._mask(options)
        if not started and not mask.all():
            raise WorldError("the first reset must be of all environments")
        seeds = self._seeds(seed)
        super().reset(seed=next((s for s in seeds if s is not None), None))
        fresh = np.array([s is not None or not started for s in seeds])
        drawn = self.np_random.integers(2**63, size=self.num_envs).tolist()
        keys = seeds_of([d if s is None else s for s, d in zip(seeds, drawn, strict=True)])
        if not started:
            self.world.reset(keys)
        else:
            self.world.renew(mask & fresh, keys)
            self.world.renew(mask & ~fresh)
        ended = self.world.lanes["ended"]
        self._waiting = self._disabled and bool(ended.any())
        return self._frames.opening(), {}

    def step(self, actions: Slates) -> Step:
        """Show every user a slate.

        Raises
        ------
        ActionError
            If an action is no slate, or an environment waits to be reset. Nothing has happened
            then.
        """
        if type(actions) is np.ndarray and actions.dtype is INT64 and actions.shape == self._shape:
            slates = actions  # as it mostly is: few users feel that it is looked at twice
        else:
            slates = self.action_space.shaped(actions)
        if self._waiting:
            self._refuse(actions)
        frame, gone = self.world.visit(slates, self._frames, self._renews)
        infos: dict[str, Any] = {}
        if gone:
            if gone < 0:
                self.action_space.read(actions)  # which says what is wrong
            self._waiting = self._disabled
            if self.episode_statistics:
                infos = frame.episodes()
            if self._same_step:
                infos = self._final(frame, infos)
        seen = frame.observation.copy()
        return seen, frame.reward, frame.terminated, frame.truncated, infos

    def _final(self, frame: Frame, infos: dict[str, Any]) -> dict[str, Any]:
        """Bring the next users, and return the infos of a step that did so."""
        ended = frame.ended
        final = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(ended).tolist():
            final[i] = {name: values[i].copy() for name, values in frame.observation.items()}
        self.world.renew(ended)
        self.world.open(frame.told[1:], ended)
        self.world.see(frame)
        return {
            "final_obs": final,
            "_final_obs": ended,
            "final_info": infos,
            "_final_info": ended,
        }

    def _refuse(self, actions: Slates) -> None:
        """Say which environments wait to be reset."""
        if not len(self.world):
            raise ActionError("there are no users: call reset() before the first step")
        self.action_space.read(actions)
        waiting = np.flatnonzero(self.world.lanes["ended"]).tolist()
        raise ActionError(f"environments {waiting} have ended: reset them before the next step")

    def _mask(self, options: dict[str, Any] | None) -> Mask:
        if options is None or "reset_mask" not in options:
            return np.ones(self.num_envs, dtype=np.bool_)
        mask = np.asarray(options["reset_mask"])
        if mask.dtype != np.bool_ or mask.shape != (self.num_envs,) or not mask.any():
            raise WorldError(
                f"options['reset_mask'] must be {self.num_envs} truth values, one of them True"
            )
        return mask

    def _seeds(self, seed: int | list[int | None] | None) -> list[int | None]:
        if seed is None or isinstance(seed, int | np.integer):
            return [None if seed is None else int(seed) + i for i in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise WorldError(f"{len(seed)} seeds for {self.num_envs} environments")
        return list(seed)
