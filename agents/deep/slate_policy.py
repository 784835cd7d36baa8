"""`SlateQPolicy`: what SlateQ has learned, decided by compiled loops, without torch."""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING, Self
from weakref import WeakKeyDictionary

import numpy as np

from agents.api import ShapeError
from agents.deep.layers import run, width
from agents.deep.mlp import Mlp, fit_together
from agents.deep.slates import EXACT, GREEDY, INDEPENDENT, SERVINGS, fill_slate
from agents.jit import compiled
from agents.options import OptionError, entry
from agents.registry import register
from agents.slots import ScorePolicy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Catalogue, Floats, Requests, Rows, State
    from agents.deep.slate_nets import SlateQNets

    Singles = NDArray[np.float32]

FLAGS = ("dueling", "null_learned", "independent")
NETS = ("value.context", "value.item", "choice.context", "choice.item")


@register("slateq")
class SlateQPolicy(ScorePolicy):
    """The slate of highest long-term value, as `agents.SlateQ` has learned it in a world.

    A score is what its item adds to its slate: v_i (Q(s, i) - Q(s, A)), where v_i is how much it
    attracts and Q(s, A) what the best slate is worth. Before it has learned all items are alike.

    Parameters
    ----------
    serving : {"OS", "GS", "TS"}
        How the best slate is found: exactly, greedily, or by the top K.
    seed : int
        Ties are broken by it.
    """

    name = "slateq"

    def __init__(self, *, serving: str = "OS", seed: int = 0) -> None:
        super().__init__(seed=seed)
        if serving not in SERVINGS:
            raise OptionError(f"serving is {' or '.join(SERVINGS)}, not {serving!r}")
        self.serving = serving
        self.dueling = self.null_learned = True
        self.independent = False
        self._take({})

    @classmethod
    def of(cls, nets: SlateQNets, *, seed: int = 0, version: int = 0) -> Self:
        """Return what torch networks have learned."""
        from agents.deep.slate_export import compile_towers

        policy = cls(serving=nets.serving, seed=seed)
        policy.version = version
        policy.dueling, policy.null_learned = nets.dueling, nets.null == "learned"
        policy.independent = nets.independent
        networks = (*compile_towers(nets.values), *compile_towers(nets.choice))
        policy._take(dict(zip(NETS, networks, strict=True)))
        return policy

    def _take(self, nets: dict[str, Mlp]) -> None:
        self.nets = nets
        self._embedded: WeakKeyDictionary[Catalogue, tuple[Singles, Singles]] = WeakKeyDictionary()

    def scores(self, requests: Requests) -> Floats:
        """Return what every candidate adds to its slate: float64 [B, M]; see the class."""
        out = np.zeros(requests.candidates.shape)
        if not self.nets:
            return out
        value, choice = self.nets["value.context"], self.nets["choice.context"]
        context, items = requests.context, requests.items.features
        wanted = value.n_in, self.nets["value.item"].n_in
        if (context.shape[1], items.shape[1]) != wanted:
            raise ShapeError(
                f"{self.name} was trained on contexts of {wanted[0]} features and items of "
                f"{wanted[1]}, not {context.shape[1]} and {items.shape[1]}"
            )
        _scores(
            value.program,
            value.params,
            choice.program,
            choice.params,
            np.ascontiguousarray(context),
            *self._embed(requests.items),
            requests.candidates,
            self.dueling,
            self.null_learned,
            requests.slate_size,
            INDEPENDENT if self.independent else SERVINGS[self.serving],
            out,
        )
        return out

    def _embed(self, items: Catalogue) -> tuple[Singles, Singles]:
        """Return the item towers' answers for a catalogue, which is asked about many times."""
        known = self._embedded.get(items)
        if known is None:
            features = items.features
            known = self.nets["value.item"](features), self.nets["choice.item"](features)
            self._embedded[items] = known
        return known

    def state_dict(self) -> State:
        """Return the networks, once there are any."""
        state = super().state_dict()
        if self.nets:
            state |= {flag: np.array(getattr(self, flag)) for flag in FLAGS}
        for name, net in self.nets.items():
            state |= net.state(name)
        return state

    def load_state_dict(self, state: State) -> None:
        """Take over networks."""
        nets: dict[str, Mlp] = {}
        flags: dict[str, bool] = {}
        if FLAGS[0] in state:
            nets = {name: Mlp.load(state, name) for name in NETS}
            item = nets["value.item"]
            context = nets["value.context"].n_in, 1 + item.n_out
            fit_together(nets, dict(zip(NETS, 2 * (context, (item.n_in, item.n_out)), strict=True)))
            flags = {flag: bool(entry(state, flag, np.bool_, ())) for flag in FLAGS}
        super().load_state_dict(state)
        for flag, value in flags.items():
            setattr(self, flag, value)
        self._take(nets)


@compiled
def _scores(
    value_program: Rows,
    value_params: Singles,
    choice_program: Rows,
    choice_params: Singles,
    context: Singles,
    value_items: Singles,
    choice_items: Singles,
    candidates: Rows,
    dueling: bool,
    null_learned: bool,
    slots: int,
    optimiser: int,
    out: Floats,
) -> None:
    M, E = candidates.shape[1], value_items.shape[1]
    room = np.empty((2, max(width(value_program), width(choice_program))), dtype=np.float32)
    user = np.empty(1 + E, dtype=np.float32)
    v, q, slate = np.empty(M), np.empty(M), np.empty(slots, dtype=np.int64)
    for b in range(len(context)):
        half = run(value_program, value_params, context[b], room)
        user[:] = room[half, : 1 + E]
        taste = room[run(choice_program, choice_params, context[b], room)]
        for j in range(M):
            item = candidates[b, j]
            v[j], q[j] = -1.0, 0.0
            if item >= len(value_items):
                raise IndexError("a candidate's row lies beyond the catalogue")
            if item >= 0:
                value = user[0] if dueling else np.float32(0.0)
                logit = taste[0]
                for e in range(E):
                    value += user[1 + e] * value_items[item, e]
                    logit += taste[1 + e] * choice_items[item, e]
                v[j], q[j] = exp(min(max(logit, -30.0), 30.0)), value
                if optimiser == INDEPENDENT:
                    v[j] /= 1.0 + v[j]
        nothing = user[0] if null_learned else 0.0
        slate[:] = -1
        worth = fill_slate(v, q, 1.0, nothing, optimiser, slate)
        base = worth if optimiser == EXACT else nothing
        highest = 0.0
        for j in range(M):
            out[b, j] = v[j] * (q[j] - base)
            highest = max(highest, abs(out[b, j]))
        if optimiser == GREEDY:  # the greedy order is not that of what items add in the end
            for k in range(slots):
                if slate[k] >= 0:
                    out[b, slate[k]] = highest + slots - k
