"""A world with one user at a time, as a Gymnasium environment."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces

from envs.coat import Observation, Slates, action_space, observation_space, opening, seeds_of
from envs.spaces import ActionError, SlateSpace
from simulators import BatchedWorld

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulators import Feedback


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
        self._feedback: Feedback | None = None
        self._began = perf_counter()

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
        self._began = perf_counter()
        return self._observe(opening(self.world)), {}

    def step(self, action: Slates) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Show the user a slate.

        Raises
        ------
        ActionError
            If the action is no slate, or there is no user. Nothing has happened then.
        """
        slates = self.action_space.read(action)
        if self._over:
            raise ActionError("there is no user: call reset() before the first step of an episode")
        feedback = self._feedback = self.world.advance(slates, self._feedback)
        terminated, truncated = bool(feedback.terminated[0]), bool(feedback.truncated[0])
        self._over = terminated or truncated
        info: dict[str, Any] = {}
        if self._over and self.episode_statistics:
            lane = self.world.lanes[0]
            info["episode"] = {
                "r": float(lane["total"]),
                "l": int(lane["visit"]),
                "t": perf_counter() - self._began,
            }
        seen = self._observe(feedback.told[1:])
        return seen, float(feedback.reward[0]), terminated, truncated, info

    def _observe(self, told: NDArray[np.float32]) -> Observation:
        """Return what `envs.coat.observe` does of the only user, without the detour."""
        seen: Observation = dict(zip(self.world.signal_names, told[:, 0], strict=True))
        if self.world.catalogue is None:
            context, documents = self.world.scene()
            seen["user"], seen["documents"] = context[0], documents[0]
        else:
            seen["user"] = self.world.context()[0]
        return seen
