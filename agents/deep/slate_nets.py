"""The torch side of SlateQ's policy: networks of values and choice, and slates by them."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch as th
from stable_baselines3.common.policies import BasePolicy

from agents.deep.slate_net import Towers
from agents.deep.slates import INDEPENDENT, SERVINGS, best_slates
from agents.ranks import ranks_from

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gymnasium import spaces
    from numpy.typing import NDArray
    from stable_baselines3.common.type_aliases import Schedule

    from agents.api import Rows

STRONGEST = 30.0
"""Logits of the choice model are kept within it, so that weights are finite."""


class SlateQNets(BasePolicy):
    """Values of items and of nothing, their target network, and the choice model.

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
    choice_model, null, serving, catalogue
        See `agents.deep.slateq.SlateQ`.
    """

    catalogue: th.Tensor | None

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
        catalogue: NDArray[np.float32] | None = None,
    ) -> None:
        super().__init__(observation_space, action_space)
        self.dueling, self.null, self.serving = dueling, null, serving
        self.choice_model, self.independent = choice_model, choice_model == "independent"
        self.num_candidates = int(action_space.nvec[0])
        self.slate_size = len(action_space.nvec)
        # Ranks count what is left for a slot; an environment of one user takes places instead.
        self.ranked = bool(
            (action_space.nvec == self.num_candidates - np.arange(self.slate_size)).all()
        )
        context = _width(observation_space["user"])
        if catalogue is None:
            item = _width(observation_space["documents"])
            self.catalogue = None
        else:
            item = catalogue.shape[1]
            self.register_buffer("catalogue", th.from_numpy(catalogue))
        self.values = Towers(context, item, net_arch, item_arch, embedding)
        self.target = deepcopy(self.values).requires_grad_(False)
        self.choice = Towers(context, item, choice_arch, choice_arch, embedding)
        rate = lr_schedule(1.0)
        self.optimizer = th.optim.Adam(self.values.parameters(), lr=rate)
        self.choice_optimizer = th.optim.Adam(self.choice.parameters(), lr=rate)

    # --- what items and nothing are worth, and how much they attract

    def on_offer(self, documents: th.Tensor | None) -> th.Tensor:
        """Return the features of all candidates: float32 [B, M, F], or [M, F] of a catalogue."""
        items = self.catalogue if documents is None else documents
        assert items is not None
        return items

    def shown(self, documents: th.Tensor | None, slates: th.Tensor) -> th.Tensor:
        """Return the features of what stands in slates: float32 [B, K, F]."""
        if documents is None:
            return self.on_offer(None)[slates]
        index = slates[:, :, None].expand(-1, -1, documents.shape[2])
        return documents.gather(1, index)

    def judge(
        self, towers: Towers, context: th.Tensor, items: th.Tensor
    ) -> tuple[th.Tensor, th.Tensor]:
        """Return the long-term values of nothing, float32 [B], and of items, float32 [B, M]."""
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

    # --- deciding

    @th.no_grad()
    def slates(self, observation: dict[str, Any]) -> Rows:
        """Return the slates that are shown: int64 [B, K], places among the candidates."""
        context, documents = self._known(observation)
        items = self.on_offer(documents)
        judged = self.judge(self.values, context, items)
        slates: Rows = (
            self.best(self.weights(context, items), *judged, SERVINGS[self.serving]).cpu().numpy()
        )
        return slates

    def actions(self, slates: Rows) -> Rows:
        """Return slates as the environment takes them."""
        return ranks_from(slates) if self.ranked else slates

    def _predict(self, observation: Any, deterministic: bool = False) -> th.Tensor:
        return th.from_numpy(self.actions(self.slates(observation)))

    def _known(self, observation: dict[str, Any]) -> tuple[th.Tensor, th.Tensor | None]:
        documents = None
        if self.catalogue is None:
            documents = th.as_tensor(observation["documents"], device=self.device)
        return th.as_tensor(observation["user"], device=self.device), documents

    # --- learning

    def observe(self, observation: dict[str, Any]) -> None:
        """Take a step's observation into the standardisation of features."""
        context, documents = self._known(observation)
        items = self.on_offer(None) if documents is None else documents[:, 0]
        for towers in (self.values, self.choice):
            towers.observe(context, items)
        for law, target in zip(self.values.laws(), self.target.laws(), strict=True):
            target.load_state_dict(law.state_dict())

    @th.no_grad()
    def follow(self, tau: float) -> None:
        """Move the target network by tau towards the values."""
        for target, value in zip(self.target.parameters(), self.values.parameters(), strict=True):
            target.lerp_(value, tau)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data = super()._get_constructor_parameters()
        mine = ("null", "serving", "dueling", "choice_model")
        return data | {name: getattr(self, name) for name in mine}


def _width(space: spaces.Space[Any]) -> int:
    assert space.shape is not None
    return int(space.shape[-1])
