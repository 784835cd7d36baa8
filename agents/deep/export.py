"""Networks of torch, compiled: what can be run without torch is turned into an `Mlp`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from agents.api import RecloopError
from agents.deep.mlp import LAYERNORM, LINEAR, RELU, TANH, Layer, Mlp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

PASSING = (nn.Identity, nn.Flatten, nn.Dropout)
"""What a row passes unchanged when nothing is trained."""


class ExportError(RecloopError, TypeError):
    """A network that is no stack of Linear, ReLU, Tanh and LayerNorm."""


def compile_module(*modules: nn.Module) -> Mlp:
    """Return the compiled network of torch modules, one after the other.

    Parameters
    ----------
    *modules : torch module
        Linear, ReLU, Tanh, LayerNorm over the last axis, Sequential of these, and what changes
        nothing (Identity, Flatten of rows, Dropout).

    Raises
    ------
    ExportError
        If there is another kind of layer in them; the message names it.
    """
    layers: list[Layer] = []
    for module in modules:
        for part in _parts(module):
            layers.append(_layer(part, layers[-1].n_out if layers else None))
    if not layers:
        raise ExportError("there is no layer in the network")
    return Mlp.of(layers)


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    if isinstance(module, nn.Sequential):
        for part in module:
            yield from _parts(part)
    elif not isinstance(module, PASSING):
        yield module


def _layer(module: nn.Module, width: int | None) -> Layer:
    """Return one layer; what bends has the width of what comes before it."""
    if isinstance(module, nn.Linear):
        weights = _numbers(module.weight)
        bias = np.zeros(len(weights), np.float32) if module.bias is None else _numbers(module.bias)
        params = np.concatenate([weights.T.ravel(), bias])
        return Layer(LINEAR, module.in_features, module.out_features, params)
    if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) == 1:
        n = module.normalized_shape[0]
        gain = np.ones(n, np.float32) if module.weight is None else _numbers(module.weight)
        bias = np.zeros(n, np.float32) if module.bias is None else _numbers(module.bias)
        params = np.concatenate([gain, bias, np.array([module.eps], np.float32)])
        return Layer(LAYERNORM, n, n, params)
    if isinstance(module, nn.ReLU | nn.Tanh):
        if width is None:
            raise ExportError(
                f"{type(module).__name__} stands first: no linear layer says how wide it is"
            )
        kind = RELU if isinstance(module, nn.ReLU) else TANH
        return Layer(kind, width, width, np.zeros(0, np.float32))
    raise ExportError(
        f"a {type(module).__name__} cannot be compiled: Linear, ReLU, Tanh, LayerNorm over the "
        "last axis and Sequential of them can"
    )


def _numbers(tensor: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return tensor.detach().cpu().numpy().astype(np.float32)
