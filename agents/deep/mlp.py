"""Small networks in compiled loops: stacks of Linear, ReLU, Tanh and LayerNorm, one row at a time.

A framework's call costs more than a small network's arithmetic, and rounds differently in another
batch. Here a row is a row: the same bits alone and among ten thousand, so that decisions replay,
and a decision on a single request takes microseconds. A network is a `program` (what its layers
are) and flat `params`; the loops are those of `agents.deep.layers`, which other kernels call too.
"""

from __future__ import annotations

import itertools
from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from agents.api import ShapeError
from agents.deep.layers import add_linear, run, run_from, width
from agents.jit import compiled
from agents.options import OptionError, StateError, entry
from agents.streams import stream, uniform, word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from agents.api import Floats, Rows, State

    Singles = NDArray[np.float32]

LINEAR, RELU, TANH, LAYERNORM = 0, 1, 2, 3
"""Kinds of layers. A linear layer keeps its weights as [n_in, n_out], then its bias; a layer norm
keeps gains, biases and epsilon; the others keep nothing."""

KIND, N_IN, N_OUT, AT = 0, 1, 2, 3
"""Columns of a program: a layer's kind, its widths, and where its parameters begin."""

ACTIVATIONS = {"relu": RELU, "tanh": TANH}

WEIGHTS = np.uint64(20)
"""The stream purpose that first weights are drawn from."""


class Layer(NamedTuple):
    """A layer: its kind, its widths, and its parameters in the order in which they are kept."""

    kind: int
    n_in: int
    n_out: int
    params: Singles


class Mlp:
    """A stack of layers with its parameters.

    Parameters
    ----------
    program : int64 [L, 4]
    params : float32 [P]
        Is the network's own from now on.
    """

    def __init__(self, program: Rows, params: Singles) -> None:
        self.program, self.params = program, params

    @classmethod
    def of(cls, layers: Sequence[Layer]) -> Mlp:
        """Return the stack of these layers.

        Raises
        ------
        ShapeError
            If there is none, or one does not fit on the one before it.
        """
        if not layers:
            raise ShapeError("a network needs at least one layer")
        for before, after in itertools.pairwise(layers):
            if before.n_out != after.n_in:
                raise ShapeError(f"a layer of {before.n_out} cannot feed one of {after.n_in}")
        ends = np.cumsum([0] + [len(layer.params) for layer in layers])
        rows = [(*layer[:3], at) for layer, at in zip(layers, ends[:-1], strict=True)]
        flat = np.concatenate([layer.params for layer in layers]).astype(np.float32)
        return cls(np.array(rows, dtype=np.int64), flat)

    @classmethod
    def stack(
        cls, widths: Sequence[int], seed: int, *, activation: str = "relu", blank: bool = False
    ) -> Mlp:
        """Return a new network of linear layers with an activation between them.

        Weights are uniform within sqrt(6 / n_in) (He et al. 2015) for ReLU and sqrt(3 / n_in) for
        Tanh, drawn from the seed's stream; biases are 0.

        Parameters
        ----------
        widths : sequence of int
            Of the input, the hidden layers and the output.
        seed : int
        activation : str
            "relu" or "tanh".
        blank : bool
            Whether the last layer begins at 0, so that the network answers 0 to everything.
        """
        if activation not in ACTIVATIONS:
            raise OptionError(f"activation must be relu or tanh, not {activation!r}")
        reach, layers = 6.0 if activation == "relu" else 3.0, list[Layer]()
        for place, (n, m) in enumerate(itertools.pairwise(widths)):
            params = np.zeros(n * m + m, dtype=np.float32)
            last = place == len(widths) - 2
            if not (last and blank):
                _scatter(word(seed), place, sqrt(reach / max(n, 1)), params[: n * m])
            layers.append(Layer(LINEAR, n, m, params))
            if not last:
                layers.append(Layer(ACTIVATIONS[activation], m, m, params[:0]))
        return cls.of(layers)

    @classmethod
    def load(cls, state: State, name: str) -> Mlp:
        """Return the network that `state` was called for under this name.

        Raises
        ------
        StateError
            If the state holds no network there.
        """
        program = entry(state, f"{name}.program", np.int64, (None, 4))
        params = entry(state, f"{name}.params", np.float32, (None,))
        if not _is_network(program, len(params)):
            raise StateError(f"{name!r} is no network: its program does not fit its parameters")
        return cls(program, params)

    def state(self, name: str) -> State:
        """Return the network as arrays whose names begin with its own."""
        return {f"{name}.program": self.program.copy(), f"{name}.params": self.params.copy()}

    @property
    def n_in(self) -> int:
        """The width of the input."""
        return int(self.program[0, N_IN])

    @property
    def n_out(self) -> int:
        """The width of the output."""
        return int(self.program[-1, N_OUT])

    def turned(self) -> Singles:
        """Return the parameters with the weights of linear layers as [n_out, n_in]."""
        params = self.params.copy()
        for kind, n, m, at in self.program.tolist():
            if kind == LINEAR:
                weights = self.params[at : at + n * m].reshape(n, m)
                params[at : at + n * m] = weights.T.ravel()
        return params

    def __call__(self, x: Singles) -> Singles:
        """Return the output of every row.

        Parameters
        ----------
        x : float32 [B, n_in]

        Returns
        -------
        float32 [B, n_out]
        """
        if x.ndim != 2 or x.shape[1] != self.n_in:
            raise ShapeError(f"the network reads rows of {self.n_in}, not {x.shape}")
        out = np.empty((len(x), self.n_out), dtype=np.float32)
        _forward(self.program, self.params, np.ascontiguousarray(x, dtype=np.float32), out)
        return out

    def pairs(self, context: Singles, items: Singles, candidates: Rows) -> Floats:
        """Return the network's first output for every (context, item) of every request.

        Parameters
        ----------
        context : float32 [B, D]
        items : float32 [N, F]
        candidates : int64 [B, M]
            Rows of items; negative ones are pads.

        Returns
        -------
        float64 [B, M]
            0 for pads. The same bits as `self` of the rows (context, item).
        """
        if context.shape[1] + items.shape[1] != self.n_in:
            raise ShapeError(
                f"the network reads {self.n_in} features, not {context.shape[1]} of the context "
                f"and {items.shape[1]} of an item"
            )
        if self.program[0, KIND] != LINEAR:
            raise ShapeError("a network of pairs begins with a linear layer")
        out = np.zeros(candidates.shape)
        if candidates.max(initial=-1) >= len(items):
            raise ShapeError("a candidate's row lies beyond the catalogue")
        _pairs(self.program, self.params, context, items, candidates, out)
        return out


def widths_of(option: str, text: int | str) -> list[int]:
    """Return the widths of hidden layers written as 64x32; `0` and nothing are no hidden layer.

    Raises
    ------
    OptionError
        If they are not written so.
    """
    parts = [part for part in str(text).split("x") if part not in ("", "0")]
    if not all(part.isdigit() for part in parts):
        raise OptionError(f"{option} must be widths such as 64 or 64x32, not {text!r}")
    return [int(part) for part in parts]


def fit_together(nets: dict[str, Mlp], widths: dict[str, tuple[int, int]]) -> None:
    """Refuse networks of a state that kernels, which do not check their bounds, could not run.

    Parameters
    ----------
    nets : dict of str to Mlp
    widths : dict of str to (int, int)
        What each must read and answer.

    Raises
    ------
    StateError
        If one reads or answers another number.
    """
    for name, wanted in widths.items():
        if (nets[name].n_in, nets[name].n_out) != wanted:
            raise StateError(
                f"the networks do not fit together: {name!r} reads {nets[name].n_in} numbers and "
                f"answers {nets[name].n_out}, not {wanted[0]} and {wanted[1]}"
            )


def _is_network(program: Rows, size: int) -> bool:
    """Return whether layers follow each other, and so many parameters are exactly theirs."""
    kind, n_in, n_out, at = program.T
    widths = program[:, N_IN : N_OUT + 1]
    if not len(program) or (widths < 0).any() or (widths > size).any():
        return False
    known = (kind == LINEAR) | ((kind >= RELU) & (kind <= LAYERNORM) & (n_in == n_out))
    needs = np.where(
        kind == LINEAR, (n_in + 1) * n_out, np.where(kind == LAYERNORM, 2 * n_in + 1, 0)
    )
    ends = np.cumsum(needs)
    follows = (n_in[1:] == n_out[:-1]).all() and (at == ends - needs).all()
    return bool(known.all() and follows and ends[-1] == size)


@compiled
def _scatter(seed: np.uint64, place: int, reach: float, out: Singles) -> None:
    start = stream(seed, np.uint64(place), WEIGHTS)
    for i in range(len(out)):
        out[i] = reach * (2.0 * uniform(start, i) - 1.0)


@compiled
def _forward(program: Rows, params: Singles, x: Singles, out: Singles) -> None:
    room = np.empty((2, width(program)), dtype=np.float32)
    for b in range(len(x)):
        half = run(program, params, x[b], room)
        out[b] = room[half, : out.shape[1]]


@compiled
def _pairs(
    program: Rows, params: Singles, context: Singles, items: Singles, candidates: Rows, out: Floats
) -> None:
    """Score pairs; the context's part of the first layer is summed once for a request."""
    D, F, m = context.shape[1], items.shape[1], program[0, 2]
    room = np.empty((2, width(program)), dtype=np.float32)
    shared = np.empty(m, dtype=np.float32)
    for b in range(candidates.shape[0]):
        shared[:] = params[(D + F) * m : (D + F + 1) * m]
        add_linear(params, 0, D, m, context[b], shared)
        for c in range(candidates.shape[1]):
            if candidates[b, c] >= 0:
                room[0, :m] = shared
                add_linear(params, D * m, F, m, items[candidates[b, c]], room[0])
                half = run_from(program, params, 1, 0, room)
                out[b, c] = room[half, 0]
