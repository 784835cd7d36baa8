"""Towers of slates as compiled networks, their standardisation folded into the first layer."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import torch as th
from torch import nn

from agents.deep.export import compile_module

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
def folded(law: Standardise, tower: nn.Sequential) -> nn.Sequential:
    """Return a tower that reads features as they come."""
    tower = deepcopy(tower).cpu()
    first, (mean, spread) = tower[0], law.law()
    assert isinstance(first, nn.Linear)
    weight = first.weight.double() / spread.cpu().double()
    first.bias.copy_(first.bias - weight @ mean.cpu().double())
    first.weight.copy_(weight)
    return tower


def standardising(law: Standardise) -> nn.Linear:
    """Return the standardisation itself, as a layer."""
    layer = nn.Linear(len(law.mean), len(law.mean))
    with th.no_grad():
        layer.weight.copy_(th.eye(len(law.mean)))
        layer.bias.zero_()
    folded_ = folded(law, nn.Sequential(layer))[0]
    assert isinstance(folded_, nn.Linear)
    return folded_
