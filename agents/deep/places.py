"""Networks that answer with a number for every place: what most of reinforcement learning trains.

Such a network reads a whole situation as one row, and its output number j is about the item in
place j: of the candidates as they stand where items are drawn anew for every request, or of the
catalogue that it was trained on. `SlotNet` serves those that choose at random (the actors of PPO
and A2C), `PlaceNet` those that name values (DQN).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from agents.api import PAD, RecloopError, ShapeError
from agents.arms import Arms
from agents.deep.mlp import Mlp
from agents.features import candidate_features
from agents.jit import compiled
from agents.options import StateError, entry
from agents.registry import register
from agents.slots import ScorePolicy, SlotPolicy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Keys, Requests, Rows, State
    from agents.deep.mlp import Singles


class PlaceError(RecloopError, ValueError):
    """A network whose places are not those of the requests."""


class Places:
    """A network over whole situations, and which item stands in which place.

    Parameters
    ----------
    net : Mlp
        Reads either the context alone, or all candidates' features and then the context: the order
        in which Stable-Baselines3 puts observations of "documents" and "user" into one row.
    keys : uint64 [n], optional
        The item of every place. Without it a candidate's place is its column.
    """

    def __init__(self, net: Mlp, keys: Keys | None = None) -> None:
        self.net = net
        self.keys = np.zeros(0, dtype=np.uint64) if keys is None else keys
        self._arms = Arms(self.keys)

    @classmethod
    def load(cls, state: State) -> Places:
        """Return what `state` returned."""
        return cls(Mlp.load(state, "net"), entry(state, "places", np.uint64, (None,)))

    def state(self) -> State:
        """Return network and keys as arrays."""
        return self.net.state("net") | {"places": self.keys.copy()}

    def answer(self, requests: Requests) -> Singles:
        """Return the network's output for every request: float32 [B, n_out].

        Raises
        ------
        ShapeError
            If the network reads rows of another width.
        """
        context = requests.context
        D, F = context.shape[1], requests.items.features.shape[1]
        if self.net.n_in == D:
            return self.net(context)
        places = (self.net.n_in - D) // F if F else 0
        offered = (requests.candidates != PAD).sum(axis=1).max(initial=0)
        if D + places * F != self.net.n_in or places < offered:
            raise ShapeError(
                f"the network reads rows of {self.net.n_in}; {offered} candidates of {F} features "
                f"and a context of {D} do not make one"
            )
        documents = np.zeros((len(context), places, F), dtype=np.float32)
        width = min(places, requests.candidates.shape[1])
        documents[:, :width] = candidate_features(requests)[:, :width]
        return self.net(np.concatenate([documents.reshape(len(context), -1), context], axis=1))

    def of(self, requests: Requests) -> Rows:
        """Return every candidate's place: int64 [B, M], `PAD` for items that have none."""
        if len(self.keys):
            return self._arms.of(requests)
        columns = np.arange(requests.candidates.shape[1])
        return np.where(requests.candidates == PAD, PAD, columns)


class View(NamedTuple):
    """What a `SlotNet` needs to know of a batch."""

    logits: Singles | None
    places: Rows
    offered: Rows


@register("slot-net")
class SlotNet(SlotPolicy[View]):
    """An actor trained elsewhere, with logits for every slot and place, served without torch.

    Slot k's item is drawn from the softmax of the slot's logits over the items still open, so that
    the propensity of every slot, given those before it, is exact. With `ranks` logit j of a slot
    is about the j-th open item, in the order of places; without, about the item of place j, and
    what has been shown is left out and the rest renormalised. Items that have no place are shown
    when no others are left. Before a state is loaded all items are alike.
    """

    name = "slot-net"
    trained_elsewhere = True

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__(seed=seed)
        self.places: Places | None = None
        self.logits = np.zeros(0, dtype=np.int64)
        self.ranks = False

    def adopt(self, places: Places, logits: Rows, *, ranks: bool) -> None:
        """Take over a network.

        Parameters
        ----------
        places : Places
        logits : int64 [K]
            How many logits each slot has; the network's outputs are these, slot after slot.
        ranks : bool
            Whether logits are about open items or about places.

        Raises
        ------
        PlaceError
            If the network answers another number of logits.
        """
        if int(logits.sum()) != places.net.n_out:
            raise PlaceError(f"slots of {logits.tolist()} do not share {places.net.n_out} logits")
        self.places, self.logits, self.ranks = places, logits, ranks

    def prepare(self, requests: Requests) -> View:
        """Ask the network."""
        offered = (requests.candidates != PAD).sum(axis=1)
        if self.places is None:
            return View(None, requests.candidates, offered)
        if requests.slate_size > len(self.logits):
            raise PlaceError(
                f"the network was trained for slates of {len(self.logits)}, "
                f"not of {requests.slate_size}"
            )
        return View(self.places.answer(requests), self.places.of(requests), offered)

    def slot(self, view: View, open_: NDArray[np.bool_]) -> Floats:
        """Return the softmax of the next slot's logits over the open items."""
        out = np.zeros(open_.shape)
        if view.logits is None:
            logits, sizes = np.zeros((len(open_), 0), np.float32), np.zeros(1, np.int64)
        else:
            logits, sizes = view.logits, self.logits
        _slot(logits, sizes, view.places, view.offered, self.ranks, open_, out)
        return out

    def state_dict(self) -> State:
        """Return the network and how it is read."""
        state = super().state_dict()
        if self.places is not None:
            how = {"logits": self.logits.copy(), "ranks": np.array(self.ranks)}
            state |= self.places.state() | how
        return state

    def load_state_dict(self, state: State) -> None:
        """Take over a network and how it is read."""
        places = Places.load(state) if "net.params" in state else None
        if places is not None:
            logits = entry(state, "logits", np.int64, (None,))
            if int(logits.sum()) != places.net.n_out or (logits < 1).any():
                raise StateError("'logits' does not share the network's outputs out")
            ranks = bool(entry(state, "ranks", np.bool_, ()))
        super().load_state_dict(state)
        self.places = places
        if places is not None:
            self.adopt(places, logits, ranks=ranks)


@register("place-net")
class PlaceNet(ScorePolicy):
    """A value network trained elsewhere, with a value for every place, served without torch.

    The items of the highest values are shown, best first. Items that have no place come last.
    Before a state is loaded all items are alike.
    """

    name = "place-net"
    trained_elsewhere = True

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__(seed=seed)
        self.places: Places | None = None

    def adopt(self, places: Places) -> None:
        """Take over a network whose output j is the value of the item in place j."""
        self.places = places

    def scores(self, requests: Requests) -> Floats:
        """Return the values of the candidates' places; the lowest there is for others."""
        if self.places is None:
            return np.zeros(requests.candidates.shape)
        values, places = self.places.answer(requests).astype(np.float64), self.places.of(requests)
        known = (places != PAD) & (places < values.shape[1])
        scores = np.take_along_axis(values, np.where(known, places, 0), axis=1)
        return np.where(known, scores, values.min(axis=1, initial=0.0)[:, None] - 1.0)

    def state_dict(self) -> State:
        """Return the network."""
        state = super().state_dict()
        return state | self.places.state() if self.places is not None else state

    def load_state_dict(self, state: State) -> None:
        """Take over a network."""
        places = Places.load(state) if "net.params" in state else None
        super().load_state_dict(state)
        self.places = places


@compiled
def _slot(
    logits: Singles,
    sizes: Rows,
    places: Rows,
    offered: Rows,
    ranks: bool,
    open_: NDArray[np.bool_],
    out: Floats,
) -> None:
    """Write the softmax over open items that a logit speaks of, or else all of them alike."""
    B, M = open_.shape
    index = np.empty(M, dtype=np.int64)
    for b in range(B):
        left = 0
        for m in range(M):
            left += open_[b, m]
        k = min(offered[b] - left, len(sizes) - 1)
        first = sizes[:k].sum()
        top, count = -np.inf, 0
        for m in range(M):
            index[m] = -1
            if open_[b, m] and places[b, m] >= 0:
                at = _rank(places[b], open_[b], m) if ranks else places[b, m]
                if at < sizes[k]:
                    index[m] = first + at
                    top = max(top, logits[b, first + at])
                    count += 1
        total = 0.0
        for m in range(M):
            if count > 0 and index[m] >= 0:
                out[b, m] = np.exp(np.float64(logits[b, index[m]]) - top)
            elif count == 0 and open_[b, m]:
                out[b, m] = 1.0
            total += out[b, m]
        for m in range(M):
            if out[b, m] > 0.0:
                out[b, m] /= total


@compiled
def _rank(places: Rows, open_: NDArray[np.bool_], m: int) -> int:
    """Return how many open items stand in earlier places."""
    rank = 0
    for other in range(len(places)):
        if open_[other] and 0 <= places[other] < places[m]:
            rank += 1
    return rank
