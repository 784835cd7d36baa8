"""Exp3: exponential weights for rewards that follow no law, or an adversary's."""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING

import numpy as np

from agents.bandits.items import ItemPolicy
from agents.forgetting import Memory
from agents.jit import compiled
from agents.lessons import LessonError, Lessons, lessons_of
from agents.options import OptionError, above
from agents.registry import register

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Outcomes, Requests, Rows


@register("exp3")
class Exp3(ItemPolicy["Floats"]):
    """Prefers items by exponential weights of what they would have earned (Auer et al. 2002b).

    With G an item's estimated total reward and M candidates, a slot goes to each of its n open ones
    with probability (1 - gamma) exp(gamma G / M) / (sum over the open ones) + gamma / n.

    A reward teaches reward / p of its item, p being the probability that its slot was *logged*
    with. So outcomes may come late, in any order, and from any policy: the estimate stays unbiased.
    Of a slate with L seen slots, the k-th teaches reward (1 / p + L - k) / L, the mean over the
    slots of what Des Raj (1956) estimates from draws without replacement: unbiased too where
    what was seen is the slate's head and does not hang on the rewards.

    Parameters
    ----------
    gamma : float
        Above 0, at most 1: how much is left to chance, and how fast it learns. Over T rounds of M
        items, min(1, sqrt(M ln M / ((e - 1) T))) has the least regret that can be promised.
    scale : float
        The largest reward; none is negative.
    half_life, window : float
        Seconds of event time after which an observation counts half, or not at all; see `Memory`.
    seed : int
        The root of its randomness.
    """

    name = "exp3"

    def __init__(
        self,
        *,
        gamma: float = 0.1,
        scale: float = 1.0,
        half_life: float = 0.0,
        window: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(Memory(half_life, window), seed, {"gains": 1})
        if not 0.0 < gamma <= 1.0:
            raise OptionError(f"gamma must be above 0 and at most 1, not {gamma}")
        self.gamma, self.scale = gamma, above("scale", scale, 0.0)

    def read(self, outcomes: Outcomes) -> tuple[Lessons, Floats]:
        """Return what outcomes teach: estimates of what each item would have earned.

        Raises
        ------
        LessonError
            If a reward is negative or above `scale`, or a propensity is no probability above 0.
        """
        taught = lessons_of(outcomes)
        gains = np.zeros((len(taught), 1))
        decisions = outcomes.decisions
        wrong = _estimate(
            decisions.slates,
            outcomes.seen,
            outcomes.rewards,
            decisions.propensities,
            self.scale,
            gains[:, 0],
        )
        if wrong >= 0:
            raise LessonError(
                f"outcome {wrong} of the batch has a reward that is not between 0 and scale="
                f"{self.scale:g}, or a propensity that is no probability above 0; nothing was "
                "learned from the batch. exp3 needs both"
            )
        return taught, gains

    def prepare(self, requests: Requests) -> Floats:
        """Return the logarithm of every candidate's weight: float64 [B, M]."""
        offered = (requests.candidates >= 0).sum(axis=1, keepdims=True)
        found: Floats = self.gamma * self.sums.of(requests)[:, :, 0] / np.maximum(offered, 1)
        return found

    def slot(self, view: Floats, open_: NDArray[np.bool_]) -> Floats:
        """Return exponential weights over the open candidates, mixed with chance."""
        out = np.zeros(open_.shape)
        _mix(view, open_, self.gamma, out)
        return out


@compiled
def _estimate(
    slates: Rows,
    seen: NDArray[np.bool_],
    rewards: NDArray[np.float32],
    propensities: Floats,
    scale: float,
    gains: Floats,
) -> int:
    """Fill in what every lesson teaches; return a row that cannot be learned from, or -1."""
    t = 0
    for b in range(slates.shape[0]):
        left = 0
        for k in range(slates.shape[1]):
            left += seen[b, k] and slates[b, k] >= 0
        count = left
        for k in range(slates.shape[1]):
            if seen[b, k] and slates[b, k] >= 0:
                reward, chance = rewards[b, k] / scale, propensities[b, k]
                if not (0.0 <= reward <= 1.0 and 0.0 < chance <= 1.0):
                    return b
                left -= 1
                gains[t] = reward * (1.0 / chance + left) / count
                t += 1
    return -1


@compiled
def _mix(weights: Floats, open_: NDArray[np.bool_], gamma: float, out: Floats) -> None:
    for b in range(out.shape[0]):
        best, count, total = -np.inf, 0, 0.0
        for m in range(out.shape[1]):
            if open_[b, m]:
                count += 1
                best = max(best, weights[b, m])
        for m in range(out.shape[1]):
            if open_[b, m]:
                out[b, m] = exp(weights[b, m] - best)
                total += out[b, m]
        for m in range(out.shape[1]):
            if open_[b, m]:
                out[b, m] = (1.0 - gamma) * out[b, m] / total + gamma / count
