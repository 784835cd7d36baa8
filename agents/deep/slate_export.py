"""Towers of slates as compiled networks, their standardisation folded into the first layer."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import torch as th
from torch import nn

from agents.deep.export import compile_module
from agents.deep.slate_net import Tower

if TYPE_CHECKING:
    from agents.deep.mlp import Mlp
    from agents.deep.slate_net import Standardise, Towers


def compile_towers(towers: Towers) -> tuple[Mlp, Mlp]:
    """Return the context's and the item's tower, reading features as they come."""
    return (
        compile_module(folded(towers.context_law, towers.context)),
        compile_module(folded(towers.item_law, towers.item)),
    )


@th.no_grad()
def folded(law: Standardise, tower: nn.Module) -> nn.Sequential:
    """Return a tower that reads features as they come."""
    tower = plain(tower) if isinstance(tower, Tower) else deepcopy(tower).cpu()
    assert isinstance(tower, nn.Sequential)
    first, (mean, spread) = tower[0], law.law()
    assert isinstance(first, nn.Linear)
    weight = first.weight.double() / spread.cpu().double()
    first.bias.copy_(first.bias - weight @ mean.cpu().double())
    first.weight.copy_(weight)
    return tower


@th.no_grad()
def plain(tower: Tower) -> nn.Sequential:
    """Return a tower as layers alone.

    What the straight line answers passes the layers as it is: each ReLU lets through its positive
    part and that of its opposite, whose difference it is again.
    """
    linear = [layer for layer in deepcopy(tower.layers).cpu() if isinstance(layer, nn.Linear)]
    straight = tower.straight.weight.cpu()
    if len(linear) == 1:
        linear[0].weight += straight
        return nn.Sequential(linear[0])
    n = len(straight)
    pair = th.cat([th.eye(n), -th.eye(n)])
    weights = [layer.weight for layer in linear]
    wide = [th.cat([weights[0], pair @ straight])]
    wide += [_beside(weight, th.eye(2 * n)) for weight in weights[1:-1]]
    wide.append(th.cat([weights[-1], pair.T], dim=1))
    layers: list[nn.Module] = []
    for weight, layer in zip(wide, linear, strict=True):
        layers += [_linear(weight, layer.bias), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _beside(one: th.Tensor, other: th.Tensor) -> th.Tensor:
    """Return the matrix that applies two to inputs of their own."""
    (n, m), (o, p) = one.shape, other.shape
    return th.cat(
        [th.cat([one, th.zeros(n, p)], dim=1), th.cat([th.zeros(o, m), other], dim=1)], dim=0
    )


def _linear(weight: th.Tensor, bias: th.Tensor) -> nn.Linear:
    """Return a layer of these weights; outputs beyond the bias have none."""
    layer = _empty(weight.shape[1], weight.shape[0])
    layer.weight.copy_(weight)
    layer.bias.zero_()[: len(bias)] = bias
    return layer


def _empty(n_in: int, n_out: int) -> nn.Linear:
    """Return a layer whose weights are still to be written: nothing is drawn for them."""
    return nn.Linear(n_in, n_out, device="meta").to_empty(device="cpu")


def standardising(law: Standardise) -> nn.Linear:
    """Return the standardisation itself, as a layer."""
    layer = _empty(len(law.mean), len(law.mean))
    with th.no_grad():
        layer.weight.copy_(th.eye(len(law.mean)))
        layer.bias.zero_()
    folded_ = folded(law, nn.Sequential(layer))[0]
    assert isinstance(folded_, nn.Linear)
    return folded_
