"""`SlateAheadPolicy`: what SlateAhead has learned, decided by compiled loops, without torch."""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING, Self
from weakref import WeakKeyDictionary

import numpy as np

from agents.api import ShapeError
from agents.deep.layers import pull_back, run, trace, width
from agents.deep.mlp import KIND, LAYERNORM, LINEAR, Mlp, fit_together
from agents.jit import compiled
from agents.options import StateError, entry
from agents.registry import register
from agents.slots import ScorePolicy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Catalogue, Floats, Requests, Rows, State
    from agents.deep.ahead_nets import SlateAheadNets

    Singles = NDArray[np.float32]
    Net = tuple[Rows, Singles, Singles]
    Reading = tuple[Singles, Singles, Singles]

NETS = ("click.context", "reward.context", "state", "straight", "move", "value")
ITEMS = ("click.item", "reward.item", "item", "item.state")
"""What reads items: once for a catalogue."""


@register("slate-ahead")
class SlateAheadPolicy(ScorePolicy):
    """The slate whose clicks, taken together, pay and lead to the best state.

    Learned by `agents.SlateAhead` in a world; before it has learned all items are alike.

    Parameters
    ----------
    seed : int
        Ties are broken by it.
    """

    name = "slate-ahead"

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__(seed=seed)
        self._take({}, np.zeros(0, np.float32), 0.0)

    @classmethod
    def of(cls, nets: SlateAheadNets, *, seed: int = 0, version: int = 0) -> Self:
        """Return what torch networks have learned."""
        from agents.deep.export import compile_module
        from agents.deep.slate_export import compile_towers, folded, standardising

        policy = cls(seed=seed)
        policy.version = version
        context, item = nets.clicks.laws()
        clicks, rewards = compile_towers(nets.clicks), compile_towers(nets.rewards)
        compiled_nets = {
            "click.context": clicks[0],
            "click.item": clicks[1],
            "reward.context": rewards[0],
            "reward.item": rewards[1],
            "item": compile_module(folded(item, nets.item)),
            "state": compile_module(standardising(context)),
            "item.state": compile_module(standardising(item)),
            "straight": compile_module(nets.straight),
            "move": compile_module(nets.move),
            "value": compile_module(nets.value),
        }
        looked_at = nets.looked_at().detach().cpu().numpy()
        policy._take(compiled_nets, looked_at, nets.gamma)
        return policy

    def _take(self, nets: dict[str, Mlp], looked_at: Singles, gamma: float) -> None:
        self.nets, self.looked_at, self.gamma = nets, looked_at, gamma
        self._programs = tuple(
            (nets[name].program, nets[name].params, nets[name].turned()) for name in NETS if nets
        )
        self._read: WeakKeyDictionary[Catalogue, Reading] = WeakKeyDictionary()

    def scores(self, requests: Requests) -> Floats:
        """Return what every candidate adds to an empty slate, above it those of the best slate.

        Returns
        -------
        float64 [B, M]
        """
        out = np.zeros(requests.candidates.shape)
        if not self.nets:
            return out
        context, items = requests.context, requests.items.features
        wanted = self.nets["state"].n_in, self.nets["item"].n_in
        if (context.shape[1], items.shape[1]) != wanted:
            raise ShapeError(
                f"{self.name} was trained on contexts of {wanted[0]} features and items of "
                f"{wanted[1]}, not {context.shape[1]} and {items.shape[1]}"
            )
        _scores(
            self._programs,
            np.ascontiguousarray(context),
            *self._reading(requests.items),
            requests.candidates,
            self._attention(requests.slate_size),
            self.gamma,
            out,
        )
        return out

    def _reading(self, items: Catalogue) -> Reading:
        """Return what the networks read in a catalogue, which is asked about many times."""
        known = self._read.get(items)
        if known is None:
            click, reward, *traits = (self.nets[name](items.features) for name in ITEMS)
            known = click, reward, np.concatenate(traits, axis=1)
            self._read[items] = known
        return known

    def _attention(self, slots: int) -> Singles:
        """Return how likely slots are looked at: those past the trained ones as the last one."""
        places = np.minimum(np.arange(slots), len(self.looked_at) - 1)
        return self.looked_at[places]

    def state_dict(self) -> State:
        """Return the networks, once there are any."""
        state = super().state_dict()
        if self.nets:
            state |= {"looked_at": self.looked_at.copy(), "gamma": np.array(self.gamma)}
        for name, net in self.nets.items():
            state |= net.state(name)
        return state

    def load_state_dict(self, state: State) -> None:
        """Take over networks.

        Raises
        ------
        StateError
            If there are some, but not all, or they do not fit together.
        """
        nets: dict[str, Mlp] = {}
        looked_at, gamma = np.zeros(0, np.float32), 0.0
        if "looked_at" in state:
            nets = {name: Mlp.load(state, name) for name in (*NETS, *ITEMS)}
            _check(nets)
            looked_at = entry(state, "looked_at", np.float32, (None,))
            gamma = float(entry(state, "gamma", np.float64, ()))
            if not len(looked_at):
                raise StateError("'looked_at' says nothing of any slot")
        super().load_state_dict(state)
        self._take(nets, looked_at, gamma)


def _check(nets: dict[str, Mlp]) -> None:
    """Refuse networks that the kernels below could not run."""
    D, F, C = nets["state"].n_in, nets["item"].n_in, nets["click.item"].n_out
    known = D + nets["item"].n_out + F
    fit_together(
        nets,
        {
            "click.context": (D, 1 + C),
            "click.item": (F, C),
            "reward.context": (D, 1 + C),
            "reward.item": (F, C),
            "state": (D, D),
            "item.state": (F, F),
            "straight": (known, D),
            "move": (known, D),
            "value": (D, 1),
        },
    )
    if nets["straight"].program[:, KIND].tolist() != [LINEAR]:
        raise StateError("'straight' must be one linear layer")
    for name in ("move", "value"):
        if (nets[name].program[:, KIND] == LAYERNORM).any():
            raise StateError(f"{name!r} has a LayerNorm, which slopes are not pulled back through")


@compiled
def _scores(
    nets: tuple[Net, ...],
    context: Singles,
    click_items: Singles,
    reward_items: Singles,
    traits: Singles,
    candidates: Rows,
    looked_at: Singles,
    gamma: float,
    out: Floats,
) -> None:
    click, reward, standard, straight, move, value = nets
    M, E, D, C = candidates.shape[1], traits.shape[1], context.shape[1], click_items.shape[1]
    W = 1
    for net in nets:
        W = max(W, width(net[0]))
    room = np.empty((2, W), dtype=np.float32)
    moved = np.empty((len(move[0]) + 1, W), dtype=np.float32)
    valued = np.empty((len(value[0]) + 1, W), dtype=np.float32)
    state, slopes = np.empty(D + E, dtype=np.float32), np.empty(E, dtype=np.float32)
    chances, pay, gains = np.empty(M), np.empty(M), np.empty(M, dtype=np.float32)
    offered = np.zeros((E, M), dtype=np.float32)
    taste, purse = np.empty(1 + C, dtype=np.float32), np.empty(1 + C, dtype=np.float32)
    open_ = np.empty(M, dtype=np.bool_)
    for b in range(len(context)):
        taste[:] = room[run(click[0], click[1], context[b], room), : 1 + C]
        purse[:] = room[run(reward[0], reward[1], context[b], room), : 1 + C]
        state[:D] = room[run(standard[0], standard[1], context[b], room), :D]
        state[D:] = 0.0
        for j in range(M):
            item = candidates[b, j]
            if item >= len(traits):
                raise IndexError("a candidate's row lies beyond the catalogue")
            open_[j] = item >= 0
            if open_[j]:
                chances[j] = 1.0 / (1.0 + exp(-_match(taste, click_items[item])))
                pay[j] = _match(purse, reward_items[item])
                for e in range(E):
                    offered[e, j] = traits[item, e]
        highest = 0.0
        for k in range(len(looked_at)):
            _slopes(straight, move, value, state, D, moved, valued, room, slopes)
            gains[:] = 0.0
            for e in range(E):
                for j in range(M):
                    gains[j] += slopes[e] * offered[e, j]
            best, chosen = -np.inf, -1
            for j in range(M):
                if open_[j]:
                    gain = chances[j] * (pay[j] + gamma * gains[j])
                    if k == 0:
                        out[b, j] = gain
                        highest = max(highest, abs(gain))
                    if gain > best:
                        best, chosen = gain, j
            if chosen < 0:
                break
            open_[chosen] = False
            for e in range(E):
                state[D + e] += looked_at[k] * chances[chosen] * offered[e, chosen]
            out[b, chosen] = highest + len(looked_at) - k


@compiled
def _match(user: Singles, item: Singles) -> float:
    total = float(user[0])
    for e in range(len(item)):
        total += user[1 + e] * item[e]
    return total


@compiled
def _slopes(
    straight: Net,
    move: Net,
    value: Net,
    state: Singles,
    D: int,
    moved: Singles,
    valued: Singles,
    room: Singles,
    slopes: Singles,
) -> None:
    """Write how the value of the state that follows goes up with what is clicked."""
    trace(move[0], move[1], state, moved)
    last = moved[len(move[0])]
    half = run(straight[0], straight[1], state, room)
    for d in range(D):
        last[d] += state[d] + room[half, d]
    trace(value[0], value[1], last[:D], valued)
    one = np.ones(1, dtype=np.float32)
    half = pull_back(value[0], value[2], valued, one, room)
    back = room[half, :D].copy()
    half = pull_back(move[0], move[2], moved, back, room)
    slopes[:] = room[half, D : D + len(slopes)]
    half = pull_back(straight[0], straight[2], moved, back, room)
    slopes += room[half, D : D + len(slopes)]
