"""The torch side of SlateQ's policy: networks of values and choice, and slates by them."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch as th

from agents.deep.slate_learner import SlateNets
from agents.deep.slate_net import Towers, stack
from agents.deep.slates import INDEPENDENT, SERVINGS, best_slates

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gymnasium import spaces
    from numpy.typing import NDArray
    from stable_baselines3.common.type_aliases import Schedule

STRONGEST = 30.0
"""Logits of the choice model are kept within it, so that weights are finite."""


class SlateQNets(SlateNets):
    """Values of items and of nothing, the target network, and the choice model.

    With `advantages` the values are what items and nothing add to what the state is worth. That has
    a network of its own, which the target network follows then.

    Parameters
    ----------
    observation_space, action_space, lr_schedule
        As in Stable-Baselines3.
    net_arch, item_arch : sequence of int
        The hidden layers of the values' context and item towers.
    choice_arch : sequence of int
        The hidden layers of both of the choice model's.
    embedding : int
        The width at which the towers meet.
    dueling : bool
        Whether items learn what they add to the value of nothing (Wang et al. 2016), or their whole
        value.
    advantages : bool
        Whether the learning target is ADV.
    choice_model, null, serving, catalogue
        See `agents.deep.slateq.SlateQ`.
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.MultiDiscrete[Any],
        lr_schedule: Schedule,
        net_arch: Sequence[int] = (128, 128),
        item_arch: Sequence[int] = (64,),
        choice_arch: Sequence[int] = (64,),
        embedding: int = 32,
        dueling: bool = True,
        choice_model: str = "logit",
        null: str = "learned",
        serving: str = "OS",
        advantages: bool = True,
        catalogue: NDArray[np.float32] | None = None,
    ) -> None:
        super().__init__(observation_space, action_space, catalogue)
        self.dueling, self.null, self.serving = dueling, null, serving
        self.advantages = advantages
        self.independent = choice_model == "independent"
        context, item = self.context_width, self.item_width
        self.values = Towers(context, item, net_arch, item_arch, embedding, straight=True)
        self.choice = Towers(context, item, choice_arch, choice_arch, embedding, straight=True)
        learned = [*self.values.parameters()]
        if advantages:
            self.state = stack([context, *net_arch, 1], blank=True)
            self.state_target = deepcopy(self.state).requires_grad_(False)
            learned += self.state.parameters()
        else:
            self.target = deepcopy(self.values).requires_grad_(False)
        rate = lr_schedule(1.0)
        self.optimizer = th.optim.Adam(learned, lr=rate)
        self.choice_optimizer = th.optim.Adam(self.choice.parameters(), lr=rate)

    # --- what items and nothing are worth, and how much they attract

    def judge(
        self, towers: Towers, context: th.Tensor, items: th.Tensor
    ) -> tuple[th.Tensor, th.Tensor]:
        """Return what nothing, float32 [B], and items, float32 [B, M], are worth, or add."""
        base, matches = towers(context, items)
        values = matches + base[:, None] if self.dueling else matches
        return base if self.null == "learned" else th.zeros_like(base), values

    def logits(self, context: th.Tensor, items: th.Tensor) -> th.Tensor:
        """Return the log-odds of items against nothing: float32 [B, M]."""
        base, matches = self.choice(context, items)
        logits: th.Tensor = matches + base[:, None]
        return logits.clamp(-STRONGEST, STRONGEST)

    def weights(self, context: th.Tensor, items: th.Tensor) -> th.Tensor:
        """Return how much items attract, nothing attracting 1; or how likely each is taken."""
        logits = self.logits(context, items)
        return logits.sigmoid() if self.independent else logits.exp()

    def worth(
        self, weights: th.Tensor, nothing: th.Tensor, values: th.Tensor, slates: th.Tensor
    ) -> th.Tensor:
        """Return what slates are worth: float32 [B]; see `agents.deep.slates`."""
        v = weights.gather(1, slates)
        gains = (v * (values.gather(1, slates) - nothing[:, None])).sum(dim=1)
        return nothing + (gains if self.independent else gains / (1.0 + v.sum(dim=1)))

    def best(
        self, weights: th.Tensor, nothing: th.Tensor, values: th.Tensor, optimiser: int
    ) -> th.Tensor:
        """Return the slates that an optimiser finds: int64 [B, K]."""
        optimiser = INDEPENDENT if self.independent else optimiser
        v, q = weights.cpu().double().numpy(), values.cpu().double().numpy()
        q_0 = nothing.cpu().double().numpy()
        slates, _ = best_slates(v, q, np.ones(len(v)), q_0, self.slate_size, optimiser)
        return th.from_numpy(slates).to(self.device)

    def best_for(self, context: th.Tensor, items: th.Tensor) -> th.Tensor:
        """Return the slates that serving finds: int64 [B, K]."""
        judged = self.judge(self.values, context, items)
        return self.best(self.weights(context, items), *judged, SERVINGS[self.serving])

    # --- learning

    def towers(self) -> Iterator[Towers]:
        """Return values and choice."""
        yield from (self.values, self.choice)

    def observe(self, observation: dict[str, Any]) -> None:
        """Take a step's observation into the standardisation of features."""
        super().observe(observation)
        if not self.advantages:
            for law, target in zip(self.values.laws(), self.target.laws(), strict=True):
                target.load_state_dict(law.state_dict())

    def worth_of_states(self, network: th.nn.Module, context: th.Tensor) -> th.Tensor:
        """Return what states are worth, before anything is on offer: float32 [B]."""
        worth: th.Tensor = network(self.values.context_law(context))[:, 0]
        return worth

    @th.no_grad()
    def follow(self, tau: float) -> None:
        """Move the target network by tau towards what it follows."""
        pair = (self.state_target, self.state) if self.advantages else (self.target, self.values)
        for target, value in zip(*(net.parameters() for net in pair), strict=True):
            target.lerp_(value, tau)
