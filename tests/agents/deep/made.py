"""Policies with networks that nobody trained, built alike in any process, for the laws."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents import Explore, Policy
from agents.deep.ahead_policy import SlateAheadPolicy
from agents.deep.latent import Latent, LatentPolicy
from agents.deep.mlp import Mlp
from agents.deep.places import PlaceNet, Places, SlotNet
from agents.deep.slate_policy import FLAGS, SlateQPolicy
from agents.situations import CANDIDATES, CONTEXT, ITEMS, SLOTS, WIDTH, Situations

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agents.api import State

SITUATION = CANDIDATES * WIDTH + CONTEXT


def ranks() -> Policy:
    policy, logits = SlotNet(seed=5), CANDIDATES - np.arange(SLOTS)
    net = Mlp.stack([SITUATION, 8, int(logits.sum())], 1)
    policy.adopt(Places(net), logits, ranks=True)
    return policy


def places() -> Policy:
    """Two of the nine items have no place."""
    keys = Situations(0).catalogue().keys[[8, 1, 3, 0, 5, 7, 2]]
    policy, logits = SlotNet(seed=5), np.full(SLOTS, ITEMS - 2)
    net = Mlp.stack([CONTEXT, 8, int(logits.sum())], 1, activation="tanh")
    policy.adopt(Places(net, keys), logits, ranks=False)
    return policy


def values() -> Policy:
    keys = Situations(0).catalogue().keys[:-2]
    policy = PlaceNet()
    policy.adopt(Places(Mlp.stack([CONTEXT, 8, ITEMS - 2], 1), keys))
    return Explore(policy, epsilon=0.2)


def wolpertinger() -> Policy:
    policy = LatentPolicy(epsilon=0.1)
    low, high = np.full(WIDTH, -2.0, np.float32), np.full(WIDTH, 2.0, np.float32)
    critic = Mlp.stack([CONTEXT + WIDTH, 8, 1], 2)
    policy.adopt(Mlp.stack([CONTEXT, 8, WIDTH], 1), Latent(low, high, nearest=4), critic)
    return policy


def gems() -> Policy:
    policy = LatentPolicy(epsilon=0.1)
    low, high = np.full(2, -3.0, np.float32), np.full(2, 3.0, np.float32)
    decoder = Mlp.stack([2, 8, SLOTS * WIDTH], 2)
    policy.adopt(Mlp.stack([CONTEXT, 8, 2], 1), Latent(low, high, decoder))
    return policy


def slateq() -> Policy:
    policy = SlateQPolicy(seed=5)
    nets = {
        "value.context": (CONTEXT, 8, 1 + 4),
        "value.item": (WIDTH, 8, 4),
        "choice.context": (CONTEXT, 8, 1 + 4),
        "choice.item": (WIDTH, 8, 4),
    }
    flags = {name: np.array(name != "independent") for name in FLAGS}
    policy.load_state_dict(policy.state_dict() | _networks(nets) | flags)
    return Explore(policy, epsilon=0.2)


def ahead() -> Policy:
    """Has learned of two slots, and is asked for three."""
    policy = SlateAheadPolicy(seed=5)
    known = CONTEXT + 4 + WIDTH
    nets = {
        "click.context": (CONTEXT, 8, 1 + 4),
        "click.item": (WIDTH, 8, 4),
        "reward.context": (CONTEXT, 8, 1 + 4),
        "reward.item": (WIDTH, 8, 4),
        "item": (WIDTH, 8, 4),
        "state": (CONTEXT, CONTEXT),
        "item.state": (WIDTH, WIDTH),
        "straight": (known, CONTEXT),
        "move": (known, 8, CONTEXT),
        "value": (CONTEXT, 8, 1),
    }
    looked_at = np.array([0.9, 0.6], np.float32)
    others = {"looked_at": looked_at, "gamma": np.array(0.8)}
    policy.load_state_dict(policy.state_dict() | _networks(nets) | others)
    return Explore(policy, temperature=0.5)


def _networks(widths: Mapping[str, tuple[int, ...]]) -> State:
    state: State = {}
    for seed, (name, its) in enumerate(widths.items()):
        state |= Mlp.stack(its, seed).state(name)
    return state
