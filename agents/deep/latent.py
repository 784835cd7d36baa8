"""Actors that point into a space in which items lie, instead of at items.

A continuous action (of SAC, TD3, PPO) becomes a slate in one of three ways. `latent top-k`: the
action is a point among the items' features, and the nearest items are shown. `Wolpertinger`
(Dulac-Arnold et al. 2015): a critic chooses among the nearest. `GeMS` (Deffayet et al. 2023): the
action is decoded into a wish for every slot by the decoder of a variational autoencoder of slates.
Environments that train such actors and the policy that serves them rank items by the same `Latent`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from agents.api import PAD, ShapeError
from agents.deep.mlp import Mlp
from agents.jit import compiled
from agents.options import entry, share
from agents.registry import register
from agents.slots import SlotPolicy, greedy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Requests, Rows, State
    from agents.deep.mlp import Singles


class Latent(NamedTuple):
    """How an action ranks items.

    Parameters
    ----------
    low, high : float32 [A]
        What an action of -1 and of 1 stands for.
    decoder : Mlp, optional
        Reads an action and answers K wishes, each a vector [F]: slot k shows the item with the
        largest product with wish k. Without it the action itself is a point [F].
    nearest : int
        How many of the nearest items the critic chooses among.
    """

    low: Singles
    high: Singles
    decoder: Mlp | None = None
    nearest: int = 0

    def points(self, actions: Singles) -> Singles:
        """Return what actions, clipped to [-1, 1], stand for: float32 [B, A]."""
        shares = 0.5 * (np.clip(actions, -1.0, 1.0) + 1.0)
        points: Singles = (self.low + shares * (self.high - self.low)).astype(np.float32)
        return points

    def actions(self, points: Singles) -> Singles:
        """Return the actions that stand for points: the inverse of `points`."""
        out = np.empty(points.shape, dtype=np.float32)
        _units(points, self.low, self.high, out)
        return out

    def wishes(self, actions: Singles) -> Singles:
        """Return the points or, with a decoder, the wishes for every slot: float32 [B, W, F]."""
        points = self.points(actions)
        if self.decoder is None:
            return points[:, None, :]
        width = len(self.low)
        if self.decoder.n_in != width:
            raise ShapeError(f"the decoder reads {self.decoder.n_in} numbers, not {width}")
        return self.decoder(points).reshape(len(points), -1)

    def scores(self, actions: Singles, items: Singles, candidates: Rows) -> Floats:
        """Return how well every candidate fits each wish: float64 [B, W, M].

        Parameters
        ----------
        actions : float32 [B, A]
        items : float32 [N, F]
        candidates : int64 [B, M]
        """
        F, wished = items.shape[1], self.wishes(actions)
        flat = np.ascontiguousarray(wished.reshape(len(wished), -1))
        if F == 0 or flat.shape[1] % F or (self.decoder is None and flat.shape[1] != F):
            raise ShapeError(f"wishes of {flat.shape[1]} numbers are no items of {F} features")
        out = np.zeros((len(flat), flat.shape[1] // F, candidates.shape[1]))
        _fit(flat, items, candidates, self.decoder is None, out)
        return out

    def near(self, fits: Floats, candidates: Rows) -> Rows:
        """Return the candidates with all but the nearest ones padded: int64 [B, M]."""
        out = np.full(candidates.shape, PAD, dtype=np.int64)
        _near(fits[:, 0], candidates, self.nearest, out)
        return out


def judged(fits: Floats, near: Rows, values: Floats) -> Floats:
    """Return the values of near candidates, and the others below them, by their fit.

    Parameters
    ----------
    fits : float64 [B, 1, M]
    near : int64 [B, M]
        Negative for those that were not judged.
    values : float64 [B, M]

    Returns
    -------
    float64 [B, 1, M]
    """
    out = np.empty(fits.shape)
    _judge(fits[:, 0], near, values, out[:, 0])
    return out


class View(NamedTuple):
    """What a `LatentPolicy` needs to know of a batch: scores [B, 1 or K, M], and open items."""

    scores: Floats
    offered: Rows


@register("latent")
class LatentPolicy(SlotPolicy[View]):
    """An actor in a continuous space, trained elsewhere and served without torch.

    The mean of the actor's actions is served: what it shows is the same always, unless `epsilon`
    of every slot is spread over all open items. Before a state is loaded all items are alike.

    Parameters
    ----------
    epsilon : float
        The share of chance.
    """

    name = "latent"
    trained_elsewhere = True

    def __init__(self, *, epsilon: float = 0.0, seed: int = 0) -> None:
        super().__init__(seed=seed)
        self.epsilon = share("epsilon", epsilon)
        self.latent: Latent | None = None
        self.critic: Mlp | None = None

    def adopt(self, actor: Mlp, latent: Latent, critic: Mlp | None = None) -> None:
        """Take over an actor.

        Parameters
        ----------
        actor : Mlp
            Reads the context and answers an action in [-1, 1].
        latent : Latent
        critic : Mlp, optional
            Reads the context and an item's action, and answers a value.
        """
        self.actor, self.latent, self.critic = actor, latent, critic

    def prepare(self, requests: Requests) -> View:
        """Score every candidate for every slot, or for all slots alike."""
        candidates, items = requests.candidates, requests.items.features
        offered = (candidates != PAD).sum(axis=1)
        if self.latent is None:
            return View(np.zeros((len(candidates), 1, candidates.shape[1])), offered)
        fits = self.latent.scores(self.actor(requests.context), items, candidates)
        if self.critic is not None:
            near = self.latent.near(fits, candidates)
            values = self.critic.pairs(requests.context, self.latent.actions(items), near)
            fits = judged(fits, near, values)
        return View(fits, offered)

    def slot(self, view: View, open_: NDArray[np.bool_]) -> Floats:
        """Return the item that fits the next slot best, chance mixed in."""
        if view.scores.shape[1] == 1:
            return greedy(view.scores[:, 0], open_, self.epsilon)
        taken = view.offered - open_.sum(axis=1)
        wish = np.minimum(taken, view.scores.shape[1] - 1)
        return greedy(view.scores[np.arange(len(wish)), wish], open_, self.epsilon)

    def state_dict(self) -> State:
        """Return the networks."""
        state = super().state_dict()
        if self.latent is None:
            return state
        state |= self.actor.state("actor")
        state |= {"low": self.latent.low.copy(), "high": self.latent.high.copy()}
        state["nearest"] = np.array(self.latent.nearest, dtype=np.int64)
        for name, net in (("decoder", self.latent.decoder), ("critic", self.critic)):
            state |= net.state(name) if net is not None else {}
        return state

    def load_state_dict(self, state: State) -> None:
        """Take over the networks."""
        if "actor.params" not in state:
            super().load_state_dict(state)
            self.latent = self.critic = None
            return
        actor = Mlp.load(state, "actor")
        low = entry(state, "low", np.float32, (actor.n_out,))
        high = entry(state, "high", np.float32, (actor.n_out,))
        decoder, critic = (
            Mlp.load(state, name) if f"{name}.params" in state else None
            for name in ("decoder", "critic")
        )
        nearest = int(entry(state, "nearest", np.int64, ()))
        super().load_state_dict(state)
        self.adopt(actor, Latent(low, high, decoder, nearest), critic)


@compiled
def _fit(wishes: Singles, items: Singles, candidates: Rows, distance: bool, out: Floats) -> None:
    """Write minus the squared distance, or the product, of every wish and candidate."""
    F = items.shape[1]
    for b in range(out.shape[0]):
        for w in range(out.shape[1]):
            for m in range(out.shape[2]):
                if candidates[b, m] >= len(items):
                    raise IndexError("a candidate's row lies beyond the catalogue")
                if candidates[b, m] >= 0:
                    total, item = 0.0, items[candidates[b, m]]
                    for f in range(F):
                        wish = np.float64(wishes[b, w * F + f])
                        total += -((wish - item[f]) ** 2) if distance else wish * item[f]
                    out[b, w, m] = total


@compiled
def _units(points: Singles, low: Singles, high: Singles, out: Singles) -> None:
    for i in range(points.shape[0]):
        for a in range(points.shape[1]):
            span = max(high[a] - low[a], np.float32(1e-6))
            out[i, a] = np.float32(2.0) * (points[i, a] - low[a]) / span - np.float32(1.0)


@compiled
def _near(fits: Floats, candidates: Rows, nearest: int, out: Rows) -> None:
    for b in range(len(fits)):
        for _ in range(nearest):
            best = -1
            for m in range(fits.shape[1]):
                left = candidates[b, m] >= 0 and out[b, m] < 0
                if left and (best < 0 or fits[b, m] > fits[b, best]):
                    best = m
            if best >= 0:
                out[b, best] = candidates[b, best]


@compiled
def _judge(fits: Floats, near: Rows, values: Floats, out: Floats) -> None:
    for b in range(len(fits)):
        lowest, best = np.inf, -np.inf
        for m in range(fits.shape[1]):
            best = max(best, fits[b, m])
            if near[b, m] >= 0:
                lowest = min(lowest, values[b, m])
        for m in range(fits.shape[1]):
            out[b, m] = values[b, m] if near[b, m] >= 0 else lowest - 1.0 + fits[b, m] - best
