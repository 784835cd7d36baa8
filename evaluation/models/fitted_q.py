"""Fitted Q evaluation: a network that learns what is still to be earned under a policy.

Again and again the network is fitted to r + gamma sum_a pi_e(a | s') Q(s', a), Q being itself as it
was the time before (Le, Voloshin & Yue 2019, "Batch policy learning under constraints"). Like every
reward model here it is cross-fitted: an episode's values come from a network that has not seen it.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from agents.api import RecloopError
from agents.streams import derive, word
from evaluation.chunks.episodes import Episodes, chances_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from agents.api import Floats, Keys
    from evaluation.chunks.episodes import Acting


class FittedQError(RecloopError, ValueError):
    """Episodes or options that no values can be learned from."""


class FittedQ:
    """The values of actions under a policy, by networks fitted to other episodes.

    Parameters
    ----------
    hidden : sequence of int
        The widths of the network's layers; none make it linear in the state.
    folds : int
        Episodes are dealt into so many folds by their keys; each has its network.
    iterations : int
        How often the network is fitted anew to its own forecast: how many steps ahead it looks.
    updates : int
        Gradient steps (Adam) per iteration.
    batch : int
        Steps of the log per gradient step.
    rate : float
        Adam's learning rate at first; it falls to a tenth, so that the noise of batches dies down.
    seed : int
        The root of first weights, of batches and of folds.
    """

    def __init__(
        self,
        *,
        hidden: Sequence[int] = (64, 64),
        folds: int = 2,
        iterations: int = 50,
        updates: int = 100,
        batch: int = 256,
        rate: float = 3e-3,
        seed: int = 0,
    ) -> None:
        if folds < 2 or min(iterations, updates, batch) < 1:
            raise FittedQError("fitted Q needs two folds, and an iteration, update and batch")
        self.hidden, self.folds = tuple(hidden), folds
        self.iterations, self.updates, self.batch, self.rate = iterations, updates, batch, rate
        self.seed = seed
        self._networks: list[nn.Module] = []

    def fit(self, chunks: Iterable[Episodes], target: Acting, discount: float) -> FittedQ:
        """Fit a network per fold on the other folds' episodes, and return this model.

        Parameters
        ----------
        chunks : iterable of Episodes
        target : callable
            The policy whose values are wanted.
        discount : float
            In [0, 1]; with 1, values exist only if episodes end.

        Raises
        ------
        FittedQError
            If there are too few episodes, or states or rewards that are no numbers.
        """
        if not 0.0 <= discount <= 1.0:
            raise FittedQError(f"a discount lies between 0 and 1, not at {discount}")
        log = _joined(list(chunks))
        known = log.ended | np.isfinite(log.following).all(axis=1)
        following = np.where(known[:, None] & ~log.ended[:, None], log.following, 0.0)
        log = replace(log, following=following.astype(np.float32))
        if not (np.isfinite(log.states).all() and np.isfinite(log.reward).all()):
            raise FittedQError("values can't be learned from states or rewards that are no numbers")
        chances = chances_of(target, log.following)
        if log.actions.max() >= chances.shape[1]:
            raise FittedQError(
                f"the target knows {chances.shape[1]} actions, the log has {log.actions.max()}"
            )
        folds = self._folds(log.keys)
        self._networks = []
        for fold in range(self.folds):
            inside = known & (folds != fold)
            if not inside.any():
                raise FittedQError("there are too few episodes to fit values on other folds")
            self._networks.append(self._fitted(log, chances, discount, inside, fold))
        return self

    def values(self, episodes: Episodes) -> Floats:
        """Return the value of every action at every step: float64 [n, A]."""
        if not self._networks:
            raise FittedQError("fit the values before asking for them")
        folds = self._folds(episodes.keys)
        states = torch.from_numpy(np.ascontiguousarray(episodes.states))
        with torch.no_grad():
            told = np.stack([network(states).numpy() for network in self._networks])
        return np.asarray(told[folds, np.arange(len(episodes))], dtype=np.float64)

    def _folds(self, keys: Keys) -> NDArray[np.int64]:
        hashes = derive(keys, np.full(len(keys), word(self.seed)))
        return (hashes % np.uint64(self.folds)).astype(np.int64)

    def _fitted(
        self, log: Episodes, chances: Floats, discount: float, inside: NDArray[np.bool_], fold: int
    ) -> nn.Module:
        generator = torch.Generator().manual_seed(int(word(self.seed * self.folds + fold)) >> 1)
        states, following = (torch.from_numpy(of[inside]) for of in (log.states, log.following))
        actions = torch.from_numpy(log.actions[inside])[:, None]
        reward = torch.from_numpy(log.reward[inside].astype(np.float32))
        onward = torch.from_numpy((discount * ~log.ended[inside])[:, None] * chances[inside]).to(
            torch.float32
        )
        scale = float(reward.abs().max()) or 1.0
        network = _Network(states, self.hidden, chances.shape[1], scale, generator)
        optimiser = torch.optim.Adam(network.parameters(), lr=self.rate)
        for iteration in range(self.iterations):
            optimiser.param_groups[0]["lr"] = self.rate * (1.0 - 0.9 * iteration / self.iterations)
            with torch.no_grad():
                wanted = reward + (onward * network(following)).sum(dim=1)
            for _ in range(self.updates):
                drawn = torch.randint(len(wanted), (self.batch,), generator=generator)
                said = network(states[drawn]).gather(1, actions[drawn])[:, 0]
                loss = (((said - wanted[drawn]) / scale) ** 2).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        return network


class _Network(nn.Module):
    """Layers between states in units of their spread and values in units of a reward."""

    def __init__(
        self,
        states: torch.Tensor,
        hidden: tuple[int, ...],
        actions: int,
        scale: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.middle = states.mean(dim=0)
        spread = states.std(dim=0, correction=0)
        self.spread = torch.where(spread > 0.0, spread, torch.ones_like(spread))
        self.scale = scale
        widths = (states.shape[1], *hidden)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [_linear(before, after, generator), nn.ReLU()]
        self.layers = nn.Sequential(*layers, _linear(widths[-1], actions, generator))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Return the value of every action: float32 [n, A]."""
        values: torch.Tensor = self.layers((states - self.middle) / self.spread)
        return self.scale * values


def _linear(before: int, after: int, generator: torch.Generator) -> nn.Module:
    """Return a layer whose first weights come from this generator and from no global one."""
    layer = nn.Linear(before, after, device="meta").to_empty(device="cpu")
    bound = max(before, 1) ** -0.5
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer


def _joined(chunks: Sequence[Episodes]) -> Episodes:
    if not sum(map(len, chunks)):
        raise FittedQError("there is no step to learn values from")
    if len({part.states.shape[1] for part in chunks}) > 1:
        raise FittedQError("the width of states changes between chunks")
    names = ("keys", "states", "actions", "reward", "logged", "following", "ended")
    return Episodes(*(np.concatenate([getattr(part, name) for part in chunks]) for name in names))
