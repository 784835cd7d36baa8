"""The compiled loops of small networks: one row forward, its gradient back, and a step of Adam.

Other kernels call them on a network's `program` and `params`; see `agents.deep.mlp` for what these
are, and why a row goes alone.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from agents.jit import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Rows

    Singles = NDArray[np.float32]


@compiled
def run(program: Rows, params: Singles, x: Singles, room: Singles) -> int:
    """Run one row through the network.

    Parameters
    ----------
    program : int64 [L, 4]
    params : float32 [P]
    x : float32 [n_in]
    room : float32 [2, W]
        W is at least the widest layer.

    Returns
    -------
    int
        Which half of the room holds the output.
    """
    half = 0
    room[0, : len(x)] = x
    return run_from(program, params, 0, half, room)


@compiled
def run_from(program: Rows, params: Singles, first: int, half: int, room: Singles) -> int:
    """Run the layers from `first` on, their input in a half of the room."""
    for layer in range(first, len(program)):
        n, m, at = program[layer, 1], program[layer, 2], program[layer, 3]
        if program[layer, 0] == 0:
            room[1 - half, :m] = params[at + n * m : at + n * m + m]
            add_linear(params, at, n, m, room[half], room[1 - half])
            half = 1 - half
        else:
            _bend(program[layer, 0], params, at, room[half, :n], room[half, :n])
    return half


@compiled
def add_linear(params: Singles, at: int, n: int, m: int, x: Singles, out: Singles) -> None:
    """Add x W to out: input by input, so that the outputs go side by side and in one order."""
    for i in range(n):
        if x[i] != 0.0:
            weights = params[at + i * m : at + i * m + m]
            for j in range(m):
                out[j] += x[i] * weights[j]


@compiled
def _bend(kind: int, params: Singles, at: int, x: Singles, out: Singles) -> None:
    """Apply a layer that is not linear; out may be x."""
    n = len(x)
    if kind == 1:
        for i in range(n):
            out[i] = max(x[i], np.float32(0.0))
    elif kind == 2:
        for i in range(n):
            out[i] = np.tanh(x[i])
    else:
        mean, scale = _moments(x, params[at + 2 * n])
        for i in range(n):
            out[i] = (x[i] - mean) * scale * params[at + i] + params[at + n + i]


@compiled
def _moments(x: Singles, epsilon: float) -> tuple[np.float32, np.float32]:
    """Return the mean of a row and one over its deviation."""
    total, square = 0.0, 0.0
    for i in range(len(x)):
        total += x[i]
    mean = total / len(x)
    for i in range(len(x)):
        square += (x[i] - mean) ** 2
    return np.float32(mean), np.float32(1.0 / sqrt(square / len(x) + epsilon))


@compiled
def width(program: Rows) -> int:
    """Return the widest layer: how wide the room for `run` must be."""
    widest = 1
    for layer in range(len(program)):
        widest = max(widest, program[layer, 1], program[layer, 2])
    return widest


@compiled
def trace(program: Rows, params: Singles, x: Singles, kept: Singles) -> None:
    """Run one row and keep what every layer returned.

    Parameters
    ----------
    program, params, x
        See `run`.
    kept : float32 [L + 1, W]
        Filled: the input, then the output of every layer.
    """
    kept[0, : len(x)] = x
    for layer in range(len(program)):
        n, m, at = program[layer, 1], program[layer, 2], program[layer, 3]
        if program[layer, 0] == 0:
            kept[layer + 1, :m] = params[at + n * m : at + n * m + m]
            add_linear(params, at, n, m, kept[layer], kept[layer + 1])
        else:
            _bend(program[layer, 0], params, at, kept[layer, :n], kept[layer + 1, :n])


@compiled
def backprop(
    program: Rows, params: Singles, kept: Singles, slope: Singles, room: Singles, grads: Singles
) -> None:
    """Add the gradient of slope' output with respect to the parameters.

    Parameters
    ----------
    program, params, kept
        See `trace`.
    slope : float32 [n_out]
        The derivative of the loss with respect to the output.
    room : float32 [2, W]
        See `run`.
    grads : float32 [P]
        Is added to.
    """
    half = 0
    room[0, : len(slope)] = slope
    for layer in range(len(program) - 1, -1, -1):
        n, m, at = program[layer, 1], program[layer, 2], program[layer, 3]
        if program[layer, 0] == 0:
            _linear_back(params, at, n, m, kept[layer], room[half], room[1 - half], grads)
            half = 1 - half
        else:
            kind = program[layer, 0]
            _bend_back(kind, params, at, n, kept[layer], kept[layer + 1], room[half], grads)


@compiled
def pull_back(program: Rows, turned: Singles, kept: Singles, slope: Singles, room: Singles) -> int:
    """Write the derivative of slope' output with respect to the input; not through a LayerNorm.

    Parameters
    ----------
    program, kept, slope, room
        See `backprop`.
    turned : float32 [P]
        The parameters with the weights as [n_out, n_in]; see `Mlp.turned`.

    Returns
    -------
    int
        Which half of the room holds it.
    """
    half = 0
    room[0, : len(slope)] = slope
    for layer in range(len(program) - 1, -1, -1):
        kind, n = program[layer, 0], program[layer, 1]
        m, at = program[layer, 2], program[layer, 3]
        if kind == 0:
            room[1 - half, :n] = 0.0
            add_linear(turned, at, m, n, room[half], room[1 - half])
            half = 1 - half
        else:
            _bend_back(kind, turned, at, n, kept[layer], kept[layer + 1], room[half], turned[:0])
    return half


@compiled
def _linear_back(
    params: Singles,
    at: int,
    n: int,
    m: int,
    x: Singles,
    slope: Singles,
    back: Singles,
    grads: Singles,
) -> None:
    for i in range(n):
        weights, gradient = params[at + i * m : at + i * m + m], grads[at + i * m : at + i * m + m]
        total = np.float32(0.0)
        for j in range(m):
            total += weights[j] * slope[j]
            gradient[j] += x[i] * slope[j]
        back[i] = total
    for j in range(m):
        grads[at + n * m + j] += slope[j]


@compiled
def _bend_back(
    kind: int,
    params: Singles,
    at: int,
    n: int,
    x: Singles,
    out: Singles,
    slope: Singles,
    grads: Singles,
) -> None:
    """Turn the slope of a layer's output into that of its input, in place."""
    if kind == 1:
        for i in range(n):
            if out[i] <= 0.0:
                slope[i] = 0.0
    elif kind == 2:
        for i in range(n):
            slope[i] *= np.float32(1.0) - out[i] * out[i]
    else:
        mean, scale = _moments(x[:n], params[at + 2 * n])
        total, dotted = 0.0, 0.0
        for i in range(n):
            level = (x[i] - mean) * scale
            grads[at + i] += slope[i] * level
            grads[at + n + i] += slope[i]
            slope[i] *= params[at + i]
            total += slope[i]
            dotted += slope[i] * level
        for i in range(n):
            level = (x[i] - mean) * scale
            slope[i] = scale * (slope[i] - np.float32(total / n) - level * np.float32(dotted / n))


@compiled
def adam(
    params: Singles, grads: Singles, mean: Singles, square: Singles, step: int, rate: float
) -> None:
    """Take one step of Adam (Kingma & Ba 2015, with their constants), and clear the gradients.

    Parameters
    ----------
    params, grads, mean, square : float32 [P]
        Parameters, the gradient, and its two running moments; all are changed.
    step : int
        How many steps were taken, this one included.
    rate : float
    """
    unbias = rate * sqrt(1.0 - 0.999**step) / (1.0 - 0.9**step)
    for i in range(len(params)):
        g = grads[i]
        mean[i] += np.float32(0.1) * (g - mean[i])
        square[i] += np.float32(0.001) * (g * g - square[i])
        params[i] -= np.float32(unbias) * mean[i] / (np.sqrt(square[i]) + np.float32(1e-8))
        grads[i] = 0.0
