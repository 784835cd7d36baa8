"""REINFORCE with the top-K off-policy correction, from live outcomes or from logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.deep.layers import backprop, run, trace, width
from agents.deep.ranker import ContextRanker, lean, value
from agents.jit import compiled
from agents.options import above, at_least
from agents.registry import register

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Rows
    from agents.deep.mlp import Mlp, Singles

NEGLIGIBLE = 0.01
"""What is discounted to less than this share is left out of a return."""
SMALLEST = 1e-300
"""A share of less counts as none: numbers near the least there is have no logarithm any more."""


@register("reinforce")
class Reinforce(ContextRanker):
    """A network learns how likely to show items (REINFORCE corrected for slates, Chen et al. 2019).

    pi is the softmax of the scores. A seen slot with item a, logged with propensity b, moves the
    scores along rho lambda A grad log pi(a): rho = min(cap, pi's propensity / b) corrects for who
    chose, lambda = K (1 - pi(a))^(K - 1) for the other K - 1 slots that may show a as well. A is
    the slot's reward and the discounted rewards of the user's later visits, less what the network
    expects of the situation, in units of its deviation in the batch.

    Parameters
    ----------
    entropy : float
        What a unit of pi's entropy is worth beside A: keeps it from settling too soon.
    cap : float
        The largest rho.
    top_k : bool
        Whether lambda is applied; without it K slots are K choices of one item.
    **others
        See `ContextRanker`.
    """

    name = "reinforce"

    def __init__(
        self,
        *,
        hidden: int | str = 64,
        rate: float = 0.003,
        temperature: float = 1.0,
        discount: float = 0.0,
        entropy: float = 0.01,
        cap: float = 5.0,
        top_k: bool = True,
        memory: int = 2048,
        sample: int = 16,
        batch: int = 64,
        every: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__(
            hidden=hidden,
            rate=rate,
            temperature=temperature,
            discount=discount,
            memory=memory,
            sample=sample,
            batch=batch,
            every=every,
            seed=seed,
        )
        self.entropy, self.cap = at_least("entropy", entropy, 0.0), above("cap", cap, 0.0)
        self.top_k = top_k

    def _gradient(self, net: Mlp, chosen: Rows) -> Singles:
        memory, grads = self.memory, np.zeros_like(net.params)
        K = memory.widths[1]
        gains = np.zeros((len(chosen), K))
        _gains(
            net.program,
            net.params,
            memory.context,
            memory.rewards,
            memory.after,
            chosen,
            self.discount,
            self.scale,
            gains,
        )
        taught = memory.taught[chosen]
        spread = float(np.sqrt((gains[taught] ** 2).mean()))
        _policy_gradient(
            net.program,
            net.params,
            memory.context,
            memory.offered,
            memory.weights,
            memory.taught,
            memory.chances,
            chosen,
            gains,
            1.0 / max(spread, 1e-6),
            self.temperature,
            self.entropy,
            self.cap,
            K if self.top_k else 1,
            grads,
        )
        return grads


@compiled
def _gains(
    program: Rows,
    params: Singles,
    context: Singles,
    rewards: Singles,
    after: Rows,
    chosen: Rows,
    discount: float,
    scale: float,
    gains: Floats,
) -> None:
    """Write every slot's return, less the expected one."""
    C, K = rewards.shape
    room = np.empty((2, width(program)), dtype=np.float32)
    for i in range(len(chosen)):
        b = chosen[i]
        future, share, j = 0.0, discount, after[b]
        while share > NEGLIGIBLE and j >= 0:
            for k in range(K):
                future += share * rewards[j % C, k]
            share, j = share * discount, after[j % C]
        half = run(program, params, context[b], room)
        for k in range(K):
            gains[i, k] = (rewards[b, k] + future) / scale - room[half, 0]


@compiled
def _policy_gradient(
    program: Rows,
    params: Singles,
    context: Singles,
    offered: Singles,
    weights: Singles,
    taught: NDArray[np.bool_],
    chances: Floats,
    chosen: Rows,
    gains: Floats,
    unit: float,
    temperature: float,
    entropy: float,
    cap: float,
    slots: int,
    grads: Singles,
) -> None:
    """Add the gradient of the mean loss of the chosen rows; see `Reinforce`."""
    W, S = width(program), weights.shape[1]
    kept, room = np.empty((len(program) + 1, W), np.float32), np.empty((2, W), np.float32)
    slope, pi, by = np.empty(program[-1, 2], np.float32), np.empty(S), np.empty(S)
    for i in range(len(chosen)):
        b = chosen[i]
        trace(program, params, context[b], kept)
        _softmax(kept[len(program)], offered[b], weights[b], temperature, pi)
        by[:] = 0.0
        level, left = 0.0, 1.0
        for k in range(taught.shape[1]):
            if taught[b, k]:
                # Rounding may leave nothing to share where an item's share is nothing as well.
                ratio = min(cap, pi[k] / max(left, pi[k], SMALLEST) / chances[b, k])
                others = slots * (1.0 - pi[k]) ** (slots - 1)
                push = ratio * others * gains[i, k] * unit
                for s in range(S):
                    by[s] += push * pi[s]
                by[k] -= push
                level -= gains[i, k]
            left -= pi[k]
        surprise = 0.0
        for s in range(S):
            if pi[s] > 0.0:
                surprise -= pi[s] * np.log(pi[s] / weights[b, s])
        for s in range(S):
            if pi[s] > 0.0:
                by[s] += entropy * pi[s] * (np.log(pi[s] / weights[b, s]) + surprise)
        slope[:] = 0.0
        for s in range(S):
            lean(slope, by[s] / (temperature * len(chosen)), offered[b, s])
        slope[0] = level / len(chosen)
        backprop(program, params, kept, slope, room, grads)


@compiled
def _softmax(
    answer: Singles, offered: Singles, weights: Singles, temperature: float, pi: Floats
) -> None:
    """Write the share of every offered item, which may stand for several, in the softmax."""
    top, total = -np.inf, 0.0
    for s in range(len(pi)):
        pi[s] = value(answer, offered[s]) / temperature
        if weights[s] > 0.0:
            top = max(top, pi[s])
    for s in range(len(pi)):
        pi[s] = weights[s] * np.exp(pi[s] - top) if weights[s] > 0.0 else 0.0
        total += pi[s]
    for s in range(len(pi)):
        pi[s] = pi[s] / total if pi[s] > SMALLEST * total else 0.0
