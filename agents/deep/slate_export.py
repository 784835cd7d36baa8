"""SlateQ's towers as compiled networks, their standardisation folded into the first layer."""

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
        compile_module(_folded(towers.context_law, towers.context)),
        compile_module(_folded(towers.item_law, towers.item)),
    )


@th.no_grad()
def _folded(law: Standardise, tower: nn.Sequential) -> nn.Sequential:
    tower = deepcopy(tower).cpu()
    first, (mean, spread) = tower[0], law.law()
    assert isinstance(first, nn.Linear)
    weight = first.weight.double() / spread.cpu().double()
    first.bias.copy_(first.bias - weight @ mean.cpu().double())
    first.weight.copy_(weight)
    return tower
