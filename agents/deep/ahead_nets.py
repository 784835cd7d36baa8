"""The torch side of SlateAhead's policy: what users click, what becomes of them, and its value."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch as th

from agents.deep.slate_learner import SlateNets
from agents.deep.slate_net import Towers, of_places, stack

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gymnasium import spaces
    from numpy.typing import NDArray
    from stable_baselines3.common.type_aliases import Schedule

HASTE = 20.0
"""How much faster than the networks the attention of the slots is learned: it is K numbers."""


class SlateAheadNets(SlateNets):
    """Clicks and rewards of items, what clicks make of a user, and what a user is worth.

    Parameters
    ----------
    observation_space, action_space, lr_schedule
        As in Stable-Baselines3.
    net_arch : sequence of int
        The hidden layers of the value, and of the move from one state to the next.
    item_arch : sequence of int
        The hidden layers of what the move knows of an item.
    click_arch : sequence of int
        The hidden layers of the towers of clicks and rewards.
    embedding : int
        The width at which towers meet, and of what the move knows of an item.
    gamma, catalogue
        See `agents.SlateAhead`.
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.MultiDiscrete[Any],
        lr_schedule: Schedule,
        net_arch: Sequence[int] = (128, 128),
        item_arch: Sequence[int] = (64,),
        click_arch: Sequence[int] = (128,),
        embedding: int = 32,
        gamma: float = 0.8,
        catalogue: NDArray[Any] | None = None,
    ) -> None:
        super().__init__(observation_space, action_space, catalogue)
        self.gamma = gamma
        context, item = self.context_width, self.item_width
        self.clicks = Towers(context, item, click_arch, click_arch, embedding)
        self.rewards = Towers(context, item, click_arch, click_arch, embedding)
        self.attention = th.nn.Parameter(th.full((self.slate_size,), 2.0 / HASTE))
        self.item = stack([item, *item_arch, embedding])
        known = context + embedding + item
        self.straight = stack([known, context], blank=True)  # sums add up, counts fade
        self.move = stack([known, *net_arch, context], blank=True)
        self.value = stack([context, *net_arch, 1], blank=True)
        self.target = deepcopy(self.value).requires_grad_(False)
        rate = lr_schedule(1.0)
        learned = [p for p in self.parameters() if p.requires_grad]
        self.optimizer = th.optim.Adam(learned, lr=rate)

    def looked_at(self) -> th.Tensor:
        """Return how likely each slot is looked at: float32 [K]."""
        return (HASTE * self.attention).sigmoid()

    def standard(self, context: th.Tensor) -> th.Tensor:
        """Return standardised contexts: float32 [B, D]."""
        states: th.Tensor = self.clicks.context_law(context)
        return states

    def traits(self, items: th.Tensor, slates: th.Tensor | None = None) -> th.Tensor:
        """Return what the move knows of items: float32 [..., E + F]; see `of_places`."""

        def read(items: th.Tensor) -> th.Tensor:
            standard = self.clicks.item_law(items)
            return th.cat([self.item(standard), standard], dim=-1)

        return of_places(read, items, slates)

    def chances(
        self, context: th.Tensor, items: th.Tensor, slates: th.Tensor | None = None
    ) -> th.Tensor:
        """Return how likely items are clicked where they are looked at: float32 [B, M]."""
        base, matches = self.clicks(context, items, slates)
        chances: th.Tensor = (matches + base[:, None]).sigmoid()
        return chances

    def pay(
        self, context: th.Tensor, items: th.Tensor, slates: th.Tensor | None = None
    ) -> th.Tensor:
        """Return what clicks on items are rewarded with, in units of value: float32 [B, M]."""
        base, matches = self.rewards(context, items, slates)
        pay: th.Tensor = matches + base[:, None]
        return pay

    def moved(self, states: th.Tensor, clicked: th.Tensor) -> th.Tensor:
        """Return the states that follow: float32 [B, D].

        Parameters
        ----------
        states : float32 [B, D]
            Standardised.
        clicked : float32 [B, E + F]
            The sum of the traits of what is clicked.
        """
        known = th.cat([states, clicked], dim=1)
        moved: th.Tensor = states + self.straight(known) + self.move(known)
        return moved

    def best_for(self, context: th.Tensor, items: th.Tensor) -> th.Tensor:
        """Return slates filled slot by slot: int64 [B, K]; see `agents.SlateAhead`."""
        traits, states = self.traits(items), self.standard(context)
        chances, pay = self.chances(context, items), self.pay(context, items)
        rows, looked_at = th.arange(len(context), device=self.device), self.looked_at()
        open_ = th.ones_like(chances, dtype=th.bool)
        clicked = th.zeros((len(context), traits.shape[-1]), device=self.device)
        slates = []
        for k in range(self.slate_size):
            slopes = self._slopes(states, clicked)
            gains = slopes @ traits.T if traits.ndim == 2 else (traits @ slopes[:, :, None])[..., 0]
            chosen = (chances * (pay + gains)).masked_fill(~open_, -th.inf).argmax(dim=1)
            open_[rows, chosen] = False
            likely = looked_at[k] * chances[rows, chosen]
            its = traits[chosen] if traits.ndim == 2 else traits[rows, chosen]
            clicked = clicked + likely[:, None] * its
            slates.append(chosen)
        return th.stack(slates, dim=1)

    def _slopes(self, states: th.Tensor, clicked: th.Tensor) -> th.Tensor:
        """Return how what follows gains by what is clicked: float32 [B, E + F]."""
        with th.enable_grad():
            clicked = clicked.detach().requires_grad_()
            (slopes,) = th.autograd.grad(self.value(self.moved(states, clicked)).sum(), clicked)
        return self.gamma * slopes

    def towers(self) -> Iterator[Towers]:
        """Return clicks and rewards."""
        yield from (self.clicks, self.rewards)

    @th.no_grad()
    def follow(self, tau: float) -> None:
        """Move the target network by tau towards the value."""
        for target, value in zip(self.target.parameters(), self.value.parameters(), strict=True):
            target.lerp_(value, tau)
