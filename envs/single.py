"""A world with one user at a time, as a Gymnasium environment."""

from __future__ import annotations

from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces

from envs.coat import Observation, Slates, action_space, observation_space, seeds_of
from envs.spaces import ActionError, SlateSpace
from simulators import BatchedWorld, Frames


class WorldEnv(gymnasium.Env[Observation, Slates]):
    """One lane of a world. An episode is a user's stay, an action is a slate.

    `reset(seed=s)` brings the first user of seed s, `reset()` the next user of the same seed.

    Parameters
    ----------
    world : BatchedWorld
        Is the environment's own from now on.
    episode_statistics : bool
        Whether `info["episode"]` tells return "r", length "l" and seconds "t" when an episode ends.
        Say False where a wrapper is to write them.
    """

    action_space: SlateSpace

    def __init__(self, world: BatchedWorld, *, episode_statistics: bool = True) -> None:
        self.world = world
        self.metadata = {"render_modes": []}
        self.observation_space = cast("spaces.Space[Observation]", observation_space(world))
        self.action_space = action_space(world)
        self.episode_statistics = episode_statistics
        self._over = True
        self._frames = Frames(world, single=True)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Bring the next user, or the first one of a seed; there are no options."""
        super().reset(seed=seed)
        if seed is not None or not len(self.world):
            self.world.reset(seeds_of([self.np_random_seed if seed is None else seed]))
        else:
            self.world.renew(np.ones(1, dtype=np.bool_))
        self._over = False
        return self._frames.opening(), {}

    def step(self, action: Slates) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Show the user a slate.

        Raises
        ------
        ActionError
            If the action is no slate, or there is no user. Nothing has happened then.
        """
        slates = self.action_space.shaped(action)
        if self._over:
            self.action_space.read(action)
            raise ActionError("there is no user: call reset() before the first step of an episode")
        frame, gone = self.world.visit(slates, self._frames)
        if gone < 0:
            self.action_space.read(action)  # which says what is wrong
        info: dict[str, Any] = {}
        terminated = truncated = False
        if gone:
            self._over = True
            terminated, truncated = frame.terminated.item(), frame.truncated.item()
            if self.episode_statistics:
                info["episode"] = {
                    "r": frame.totals.item(),
                    "l": frame.lengths.item(),
                    "t": frame.seconds.item(),
                }
        return frame.observation.copy(), frame.reward.item(), terminated, truncated, info
