"""Wolpertinger for slates: a continuous actor proposes, its critic disposes.

Dulac-Arnold et al. 2015, "Deep reinforcement learning in large discrete action spaces": of the
items nearest to the actor's point, those of the highest value are shown; what is learned from is
what was shown. For a slate of K items that is the mean of their features, the point of which the
slate is the nearest neighbourhood. Everything else is Stable-Baselines3's SAC and TD3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from stable_baselines3 import SAC, TD3

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class _Disposing:
    """Learns from the points that its environment says were shown, instead of those proposed."""

    env: Any
    policy: Any

    def _store_transition(
        self, replay_buffer: Any, buffer_action: NDArray[np.float32], *others: Any
    ) -> None:
        shown = self.policy.scale_action(self.env.actions.shown)
        super()._store_transition(replay_buffer, shown, *others)  # type: ignore[misc]


class WolpertingerSAC(_Disposing, SAC):
    """SAC whose environment shows the most valued of the items nearest to its action."""


class WolpertingerTD3(_Disposing, TD3):
    """TD3 whose environment shows the most valued of the items nearest to its action."""


def values_of(
    model: SAC | TD3, context: NDArray[np.float32], units: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return what a model's first critic says of items in situations.

    Parameters
    ----------
    model : SAC or TD3
    context : float32 [T, D]
    units : float32 [T, A]
        The items as actions in [-1, 1].

    Returns
    -------
    float32 [T]
    """
    rows = torch.cat([torch.from_numpy(context), torch.from_numpy(units)], dim=1)
    with torch.no_grad():
        values: NDArray[np.float32] = model.critic.q_networks[0](rows)[:, 0].numpy()
    return values
