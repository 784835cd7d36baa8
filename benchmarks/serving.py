"""How long a network takes to decide for one request, compiled and in torch, on one core.

    .venv/bin/python -m benchmarks.serving [decisions per line, 2000]

Slates of 3 out of 10 items with 20 features each, a context of 20. Medians of wall-clock time, the
two in turns, so that other work on the machine weighs on both.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from agents import Policy, Requests
from agents.deep.adapters import from_torch
from agents.deep.latent import Latent, LatentPolicy
from agents.deep.mlp import Mlp
from agents.deep.places import Places, SlotNet
from agents.deep.reinforce import Reinforce
from benchmarks.policies import requests

D = F = 20
M, K = 10, 3


def policies() -> dict[str, Policy]:
    """Return a policy of every kind, with networks of two hidden layers of 64."""
    ranker = Reinforce()
    ranker.adopt(Mlp.stack([D, 64, 64, 1 + F], 0))
    slots, logits = SlotNet(), M - np.arange(K)
    slots.adopt(Places(Mlp.stack([M * F + D, 64, 64, int(logits.sum())], 0)), logits, ranks=True)
    box = np.full(F, -1.0, np.float32), np.full(F, 1.0, np.float32)
    near, judged = LatentPolicy(), LatentPolicy()
    near.adopt(Mlp.stack([D, 64, 64, F], 0), Latent(*box))
    critic = Mlp.stack([D + F, 64, 64, 1], 1)
    judged.adopt(Mlp.stack([D, 64, 64, F], 0), Latent(*box, nearest=9), critic)
    layers = (nn.Linear(D + F, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    return {
        "reinforce, ppo, a2c": ranker,
        "slot-net (maskable-ppo)": slots,
        "latent top-k": near,
        "wolpertinger": judged,
        "torch stack, compiled": from_torch(nn.Sequential(*layers)),
    }


def in_torch() -> Callable[[Requests], object]:
    """Return what the last of these would be without compiling: scores and their order alone."""
    net = nn.Sequential(
        nn.Linear(D + F, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)
    )

    @torch.inference_mode()
    def decide(asked: Requests) -> object:
        items = asked.items.features[asked.candidates[0]]
        rows = np.concatenate([np.repeat(asked.context, M, axis=0), items], axis=1)
        return torch.topk(net(torch.from_numpy(rows))[:, 0], K).indices.numpy()

    return decide


def measure(decide: Callable[[Requests], object], asked: Requests) -> float:
    """Return how many microseconds a decision takes."""
    start = time.perf_counter()
    decide(asked)
    return 1e6 * (time.perf_counter() - start)


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    torch.set_num_threads(1)
    asked = requests(1, M, D, F, K)
    ways = {name: policy.decide for name, policy in policies().items()} | {"torch": in_torch()}
    took: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(count + 20):
        for name, decide in ways.items():
            spent = measure(decide, asked)
            if turn >= 20:  # kernels are compiled by then
                took[name].append(spent)
    for name, values in took.items():
        middle, late = np.percentile(values, [50, 99])
        print(f"{name:26s} {middle:6.1f} us   99 %: {late:6.1f} us")


if __name__ == "__main__":
    main()
