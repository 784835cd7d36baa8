"""What SlateQ learns from: the last steps of many users, side by side, each observation kept once.

Stable-Baselines3's buffer keeps every observation twice, as this step's and as the last one's next,
signals and all. Here a row is a step of all users: the next observation is the next row, so that
returns over several steps are there for the asking, and documents take half-precision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch as th
from stable_baselines3.common.buffers import BaseBuffer, ReplayBuffer

if TYPE_CHECKING:
    from gymnasium import spaces
    from numpy.typing import NDArray


class SlateBatch(NamedTuple):
    """Transitions over n steps, as tensors on the buffer's device.

    Of the first of the n steps: `first` float32 [B], its rewards; `after` float32 [B, D], the
    context that follows, where `going` float32 [B] is 1, and 0 where the episode ended. Of all n:
    `rewards` float32 [B], the discounted sums, and `discounts` float32 [B], what the value after
    them counts for: gamma^n, or 0 where the episode ended before. Documents are
    float32 [B, M, F], or None where the catalogue is fixed; slates int64 [B, K] are places among
    the candidates, clicks bool [B, K].
    """

    context: th.Tensor
    documents: th.Tensor | None
    slates: th.Tensor
    clicks: th.Tensor
    first: th.Tensor
    after: th.Tensor
    going: th.Tensor
    rewards: th.Tensor
    discounts: th.Tensor
    next_context: th.Tensor
    next_documents: th.Tensor | None
    next_slates: th.Tensor


class SlateReplayBuffer(ReplayBuffer):
    """The last `buffer_size` visits.

    An episode that the horizon cuts counts as ended: what is scored is cut there too.

    Parameters
    ----------
    buffer_size : int
        Visits, of all users together.
    observation_space : Dict
        With "user" [D], and "documents" [M, F] where they are drawn anew at every visit.
    action_space : MultiDiscrete
        Of K slots.
    device : str or torch device
        Where the tensors live.
    n_envs : int
        Users at a time.
    optimize_memory_usage : bool
        Is always so here.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Dict,
        action_space: spaces.MultiDiscrete[Any],
        device: th.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = True,
    ) -> None:
        BaseBuffer.__init__(self, buffer_size, observation_space, action_space, device, n_envs)
        self.buffer_size = max(buffer_size // n_envs, 2)
        self.optimize_memory_usage, self.handle_timeout_termination = True, False
        rows, slots = (self.buffer_size, n_envs), len(action_space.nvec)
        self.context = self._room(rows, *(observation_space["user"].shape or ()))
        self.documents: th.Tensor | None = None
        if "documents" in observation_space.spaces:
            shape = observation_space["documents"].shape or ()
            self.documents = self._room(rows, *shape, dtype=th.float16)
        self.slates = self._room(rows, slots, dtype=th.int16)
        self.clicks = self._room(rows, slots, dtype=th.bool)
        self.gains = self._room(rows)
        self.ends = self._room(rows, dtype=th.bool)

    def _room(self, rows: tuple[int, int], *shape: int, dtype: th.dtype = th.float32) -> th.Tensor:
        return th.zeros((*rows, *shape), dtype=dtype, device=self.device)

    def add_visits(
        self,
        observation: dict[str, NDArray[Any]],
        slates: NDArray[np.int64],
        clicks: NDArray[np.bool_],
        rewards: NDArray[np.float32],
        ends: NDArray[np.bool_],
    ) -> None:
        """Keep a step of all users in place of the oldest.

        Parameters
        ----------
        observation : dict
            What was known when the slates were decided.
        slates : int64 [B, K]
        clicks : bool [B, K]
        rewards : float32 [B]
        ends : bool [B]
            Whether the user left, or the horizon was reached.
        """
        self.context[self.pos] = th.from_numpy(observation["user"])
        if self.documents is not None:
            self.documents[self.pos] = th.from_numpy(observation["documents"])
        self.slates[self.pos] = th.from_numpy(slates)
        self.clicks[self.pos] = th.from_numpy(clicks)
        self.gains[self.pos] = th.from_numpy(rewards)
        self.ends[self.pos] = th.from_numpy(ends)
        self.pos = (self.pos + 1) % self.buffer_size
        self.full = self.full or self.pos == 0

    def ready(self, steps: int) -> bool:
        """Return whether there are transitions over so many steps."""
        return self.size() > steps

    def draw(
        self, batch_size: int, steps: int, gamma: float, generator: np.random.Generator
    ) -> SlateBatch:
        """Return transitions over `steps` steps, drawn with replacement.

        Parameters
        ----------
        batch_size : int
        steps : int
            n; the buffer must be `ready` for it.
        gamma : float
        generator : numpy Generator
        """
        age = generator.integers(steps, self.size(), batch_size)  # of the row, 0 the newest
        first = self._tensor((self.pos - 1 - age) % self.buffer_size)
        user = self._tensor(generator.integers(self.n_envs, size=batch_size))
        ahead = th.arange(steps, device=self.device)
        rows = (first[:, None] + ahead) % self.buffer_size
        going = (~self.ends[rows, user[:, None]]).float().cumprod(dim=1)
        there = th.cat([th.ones_like(going[:, :1]), going[:, :-1]], dim=1)
        rewards = (self.gains[rows, user[:, None]] * there * gamma**ahead).sum(dim=1)
        after = (first + steps) % self.buffer_size
        return SlateBatch(
            self.context[first, user],
            self._documents(first, user),
            self.slates[first, user].long(),
            self.clicks[first, user],
            self.gains[first, user],
            self.context[(first + 1) % self.buffer_size, user],
            going[:, 0],
            rewards,
            gamma**steps * going[:, -1],
            self.context[after, user],
            self._documents(after, user),
            self.slates[after, user].long(),
        )

    def _documents(self, rows: th.Tensor, users: th.Tensor) -> th.Tensor | None:
        return None if self.documents is None else self.documents[rows, users].float()

    def _tensor(self, values: NDArray[np.int64]) -> th.Tensor:
        return th.from_numpy(values).to(self.device)
