"""An actor of slates for PPO and A2C of Stable-Baselines3: the network of `agents.deep.ranker`.

Their own policies draw the parts of an action independently and learn a number for every place.
This one scores items by their features and draws whole slates from the Plackett-Luce model, whose
probability is exact; what it has learned is served, and goes on learning, as `Reinforce`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn

from agents.deep.export import compile_module
from agents.deep.reinforce import Reinforce

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
    from torch import Tensor


def stack(widths: Sequence[int], activation: type[nn.Module], *, blank: bool = False) -> nn.Module:
    """Return linear layers with an activation between them; the last one begins at 0 if `blank`."""
    layers: list[nn.Module] = []
    for n, m in pairwise(widths):
        layers += [nn.Linear(n, m), activation()]
    last = layers[-2]
    if blank and isinstance(last, nn.Linear):
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    return nn.Sequential(*layers[:-1])


class RankerActorCritic(ActorCriticPolicy):
    """Scores items, draws slates without replacement, and values situations by their context.

    Parameters
    ----------
    observation_space : gymnasium Dict or Box
        "documents" [M, F] and "user" [D]; or the context [D] alone.
    action_space : MultiDiscrete [K]
        Slates of distinct places.
    lr_schedule : callable
    items : float32 [M, F], optional
        The features of the catalogue, where no documents are observed.
    hidden : sequence of int
        Widths of the hidden layers, of the actor as of the critic.
    **others
        Of Stable-Baselines3's `ActorCriticPolicy`.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        *args: Any,
        items: NDArray[np.float32] | None = None,
        hidden: Sequence[int] = (64,),
        **others: Any,
    ) -> None:
        self._given, self._hidden = items, tuple(hidden)
        super().__init__(observation_space, action_space, lr_schedule, *args, **others)

    def _build(self, lr_schedule: Schedule) -> None:
        space, nvec = self.observation_space, getattr(self.action_space, "nvec", None)
        assert nvec is not None, "slates are MultiDiscrete"
        self.slots = len(nvec)
        if isinstance(space, spaces.Dict):
            D, F = space["user"].shape[0], space["documents"].shape[1]  # type: ignore[index]
        else:
            assert self._given is not None, "without documents the catalogue must be given"
            D, F = space.shape[0], self._given.shape[1]  # type: ignore[index]
            self.register_buffer("items", torch.from_numpy(self._given.copy()))
        self.ranker = stack([D, *self._hidden, 1 + F], nn.ReLU, blank=True)
        self.critic = stack([D, *self._hidden, 1], nn.Tanh)
        self.optimizer = self.optimizer_class(
            self.parameters(),
            lr=lr_schedule(1),  # type: ignore[call-arg]
            **self.optimizer_kwargs,
        )

    def _look(self, obs: PyTorchObs) -> tuple[Tensor, Tensor]:
        """Return every item's score, [B, M], and the situation's value, [B]."""
        user = obs["user"] if isinstance(obs, dict) else obs
        weights = self.ranker(user)
        if isinstance(obs, dict):
            scores = torch.bmm(obs["documents"], weights[:, 1:, None])[:, :, 0]
        else:
            scores = weights[:, 1:] @ self.items.T
        return scores, self.critic(user)[:, 0]

    def forward(
        self, obs: PyTorchObs, deterministic: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return slates, values and log-probabilities."""
        scores, values = self._look(obs)
        slates = self._draw(scores, deterministic)
        return slates, values, log_probability(scores, slates)[0]

    def _draw(self, scores: Tensor, deterministic: bool) -> Tensor:
        """Draw slates: scores with Gumbel noise, sorted, are Plackett-Luce's order."""
        if not deterministic:
            noise = torch.rand_like(scores).clamp_(1e-9, 1.0 - 1e-7)
            scores = scores - torch.log(-torch.log(noise))
        places: Tensor = torch.topk(scores, self.slots, dim=1).indices
        return places

    def evaluate_actions(
        self, obs: PyTorchObs, actions: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return values, log-probabilities and the entropy of the slots along the slates."""
        scores, values = self._look(obs)
        log_prob, entropy = log_probability(scores, actions.long())
        return values, log_prob, entropy

    def predict_values(self, obs: PyTorchObs) -> Tensor:
        """Return the values of situations."""
        values: Tensor = self.critic(obs["user"] if isinstance(obs, dict) else obs)[:, 0]
        return values

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> Tensor:
        return self._draw(self._look(observation)[0], deterministic)

    def served(self, *, seed: int = 0, **options: Any) -> Reinforce:
        """Return the policy that serves this actor, with its network, at temperature 1.

        Parameters
        ----------
        seed : int
        **options
            Of `Reinforce`: how it goes on learning.
        """
        hidden = "x".join(map(str, self._hidden)) or 0
        policy = Reinforce(hidden=hidden, seed=seed, **options)
        policy.adopt(compile_module(self.ranker))
        return policy


def log_probability(scores: Tensor, slates: Tensor) -> tuple[Tensor, Tensor]:
    """Return the Plackett-Luce log-probability of slates, and the summed entropy of their slots.

    Parameters
    ----------
    scores : Tensor [B, M]
    slates : Tensor of int64 [B, K]
        Distinct places.

    Returns
    -------
    two Tensors [B]
        The entropy of slot k is that of its distribution given the slots before it.
    """
    left, chance, entropy = scores, [], []
    for k in range(slates.shape[1]):
        log_pi = torch.log_softmax(left, dim=1)
        chance.append(log_pi.gather(1, slates[:, k : k + 1])[:, 0])
        pi = log_pi.exp()
        entropy.append(-(pi * log_pi.masked_fill(pi == 0.0, 0.0)).sum(dim=1))
        left = left.scatter(1, slates[:, k : k + 1], -torch.inf)
    return torch.stack(chance).sum(dim=0), torch.stack(entropy).sum(dim=0)
