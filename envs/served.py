"""Worlds as a policy will meet them when it serves: for what is trained here and then goes live.

A request carries the context and the candidates' features, and nothing of what the last slate
revealed. `ServedVecEnv` shows Stable-Baselines3 just that, and reads its actions in the way that
the policy made of the model will: as ranks, as slates, or as points among the items.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from agents.deep.latent import judged
from envs.sb3 import SlateVecEnv
from envs.spaces import SlateSpace, ranks_of, slates_from
from envs.vector import WorldVectorEnv
from simulators import WorldError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

    from agents.api import Catalogue, Rows
    from agents.deep.latent import Latent
    from envs.coat import Observation
    from simulators import BatchedWorld


class Actions(ABC):
    """How an algorithm's actions are read as slates."""

    space: spaces.Space[Any]

    @abstractmethod
    def read(self, actions: NDArray[Any], env: ServedVecEnv) -> Rows:
        """Return the slates, int64 [B, K], that actions stand for where the users are now."""


class Ranks(Actions):
    """A slot's action is a rank among the candidates still open; see `envs.spaces`."""

    def __init__(self, world: BatchedWorld) -> None:
        self.space = spaces.MultiDiscrete(ranks_of(world.num_candidates, world.slate_size))

    def read(self, actions: NDArray[Any], env: ServedVecEnv) -> Rows:
        """Return the slates that ranks stand for."""
        return slates_from(actions)


class MaskedRanks(Ranks):
    """Ranks that every slot has alike, of which masks say which there are."""

    def __init__(self, world: BatchedWorld) -> None:
        M, K = world.num_candidates, world.slate_size
        self.space = spaces.MultiDiscrete(np.full(K, M))
        self.mask = (np.arange(M) < ranks_of(M, K)[:, None]).ravel()


class Whole(Actions):
    """The action is the slate: for actors that draw slots without replacement."""

    def __init__(self, world: BatchedWorld) -> None:
        self.space = SlateSpace(world.num_candidates, world.slate_size)

    def read(self, actions: NDArray[Any], env: ServedVecEnv) -> Rows:
        """Return the actions."""
        slates: Rows = actions.astype(np.int64)
        return slates


class Points(Actions):
    """The action is a point, from which `agents.deep.latent` makes a slate.

    Parameters
    ----------
    latent : Latent
    """

    def __init__(self, world: BatchedWorld, latent: Latent) -> None:
        self.latent, self.slots = latent, world.slate_size
        self.space = spaces.Box(latent.low, latent.high, dtype=np.float32)

    def read(self, actions: NDArray[Any], env: ServedVecEnv) -> Rows:
        """Return the slates of the items that fit best, slot by slot."""
        units = self.latent.actions(actions.astype(np.float32))
        items, candidates = env.offer()
        return best(self.latent.scores(units, items, candidates), self.slots)


class Judged(Points):
    """Of the items nearest to the action, those that a critic values most (Wolpertinger).

    `model` is set once the model is built, which needs the environment first.
    """

    model: Any
    shown: NDArray[np.float32]
    """The points that were shown last: the mean features of every slate, float32 [B, F]."""

    def read(self, actions: NDArray[Any], env: ServedVecEnv) -> Rows:
        """Return the slates of the most valued near items."""
        from agents.deep.wolpertinger import values_of

        units = self.latent.actions(actions.astype(np.float32))
        items, candidates = env.offer()
        fits = self.latent.scores(units, items, candidates)
        near = self.latent.near(fits, candidates)
        b, m = np.nonzero(near >= 0)
        values = np.zeros(near.shape)
        told = self.latent.actions(items[near[b, m]])
        values[b, m] = values_of(self.model, env.seen["user"][b], told)
        slates = best(judged(fits, near, values), self.slots)
        rows = np.take_along_axis(candidates, slates, axis=1)
        self.shown = items[rows].mean(axis=1)
        return slates


def best(scores: NDArray[np.float64], slots: int) -> Rows:
    """Return the places of the highest scores, no place twice.

    Parameters
    ----------
    scores : float64 [B, W, M]
        For every slot (W = slots), or for all alike (W = 1).
    slots : int
        K.

    Returns
    -------
    int64 [B, K]
    """
    left, rows = scores.copy(), np.arange(len(scores))
    slates = np.empty((len(scores), slots), dtype=np.int64)
    for k in range(slots):
        slates[:, k] = left[:, min(k, left.shape[1] - 1)].argmax(axis=1)
        left[rows, :, slates[:, k]] = -np.inf
    return slates


class ServedVecEnv(SlateVecEnv):
    """A world that shows "user", and "documents" where they are wanted and drawn anew.

    Parameters
    ----------
    env : WorldVectorEnv
        With `autoreset_mode` SameStep.
    actions : Actions
    documents : bool
        Whether the candidates are observed. Without them an observation is the context alone, [D].
    """

    def __init__(self, env: WorldVectorEnv, actions: Actions, *, documents: bool = True) -> None:
        super().__init__(env)
        self.actions, self.action_space = actions, actions.space
        self.documents = documents and env.world.catalogue is None
        whole = env.single_observation_space
        assert isinstance(whole, spaces.Dict)
        shown = {name: part for name, part in whole.items() if name in ("documents", "user")}
        self.observation_space = spaces.Dict(shown) if self.documents else whole["user"]
        self.seen: Observation = {}

    @property
    def catalogue(self) -> Catalogue | None:
        """The items, where they are the same always."""
        return self.env.world.catalogue

    def offer(self) -> tuple[NDArray[np.float32], Rows]:
        """Return what is on offer now: features [N, F], and every user's rows of them [B, M]."""
        if self.catalogue is not None:
            world = self.env.world
            return self.catalogue.features, np.tile(world.open_rows, (self.num_envs, 1))
        documents = self.seen["documents"]
        B, M, F = documents.shape
        return documents.reshape(B * M, F), np.arange(B * M).reshape(B, M)

    def reset(self) -> Any:
        """Bring the next users, or the first ones of the seeds that `seed` was given."""
        self.seen = super().reset()
        return self._shown(self.seen)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Take every user's action."""
        self._slates = self.actions.read(actions, self)

    def step_wait(self) -> VecEnvStepReturn:
        """Show the slates; see `SlateVecEnv.step_wait`."""
        seen, rewards, done, infos = super().step_wait()
        assert isinstance(seen, dict)
        self.seen = seen
        for i in np.flatnonzero(done).tolist():
            infos[i]["terminal_observation"] = self._shown(infos[i]["terminal_observation"])
        return self._shown(seen), rewards, done, infos

    def _shown(self, seen: Observation) -> Any:
        if not self.documents:
            return seen["user"]
        return {"documents": seen["documents"], "user": seen["user"]}

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of the environment, once for every index."""
        if attr_name == "action_masks" and isinstance(self.actions, MaskedRanks):
            return [self.actions.mask for _ in self._get_indices(indices)]
        return super().get_attr(attr_name, indices)

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: VecEnvIndices = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """Return the masks of sb3-contrib's MaskablePPO, and refuse everything else."""
        if method_name == "action_masks":
            return self.get_attr(method_name, indices)
        return super().env_method(method_name, *method_args, indices=indices, **method_kwargs)


def served(world: BatchedWorld, num_envs: int) -> WorldVectorEnv:
    """Return the vector environment that a `ServedVecEnv` is made of."""
    return WorldVectorEnv(world, num_envs, autoreset_mode=AutoresetMode.SAME_STEP)


def make_served(env_id: str, num_envs: int, actions: str = "ranks", **options: Any) -> ServedVecEnv:
    """Return a registered world as it is met by what serves.

    Parameters
    ----------
    env_id : str
        For example "recloop/InterestEvolution-v0".
    num_envs : int
    actions : str
        "ranks", "masked" (for MaskablePPO) or "slates".
    **options
        Of the world.

    Raises
    ------
    WorldError
        If there is no such way to read actions, or no such world.
    """
    ways = {"ranks": Ranks, "masked": MaskedRanks, "slates": Whole}
    if actions not in ways:
        raise WorldError(f"actions must be one of {', '.join(ways)}, not {actions!r}")
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
    return ServedVecEnv(env, ways[actions](env.world))
