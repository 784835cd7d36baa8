"""Cascade bandits: slates that are read from the top until something is clicked.

In the cascade model (Craswell et al. 2008) the user looks at one slot after the other, clicks the
first item that attracts, and leaves. So the slots before a click did not attract, the click did,
and the slots behind it say nothing, whatever the log has in them.
"""

from __future__ import annotations

from dataclasses import replace
from math import log, sqrt
from typing import TYPE_CHECKING

import numpy as np

from agents.bandits.thompson import BernoulliTS, within_unit
from agents.bandits.ucb import UCB1, total
from agents.jit import compiled
from agents.registry import register

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Outcomes, Requests, Rows
    from agents.lessons import Lessons


def until_click(outcomes: Outcomes) -> Outcomes:
    """Return the outcomes with nothing seen behind the first seen slot that was rewarded."""
    clicked = outcomes.seen & (outcomes.rewards > 0.0)
    before: NDArray[np.int64] = np.cumsum(clicked, axis=1) - clicked
    return replace(outcomes, seen=outcomes.seen & (before == 0))


@register("cascade-ucb")
class CascadeUCB(UCB1):
    """Orders items by upper bounds of their attraction (CascadeUCB1, KL-UCB; Kveton et al. 2015).

    An item that was looked at n times of t, and attracted with frequency f, scores
    f + scale sqrt(1.5 ln t / n); with `kl`, the highest q with
    n KL(f, q) <= scale^2 (ln t + 3 ln ln t), which is closer where clicks are rare. One that was
    never looked at scores infinity, or 1. It does not choose at random: wrap it in `Explore` before
    learning from its logs offline.

    Parameters
    ----------
    kl : bool
        Whether the bound is by the Kullback-Leibler divergence.
    scale : float
        Less than 1 is less cautious than the theorem asks for.
    half_life, window, seed
        See `UCB1`.
    """

    name = "cascade-ucb"

    def __init__(
        self,
        *,
        kl: bool = True,
        scale: float = 1.0,
        half_life: float = 0.0,
        window: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(scale=scale, half_life=half_life, window=window, seed=seed)
        self.kl = kl

    def read(self, outcomes: Outcomes) -> tuple[Lessons, Floats]:
        """Return what outcomes teach up to their first click."""
        taught, rows = super().read(until_click(outcomes))
        within_unit(taught.reward, self.name)
        return taught, rows

    def scores(self, requests: Requests) -> Floats:
        """Return the upper confidence bound of every candidate: float64 [B, M]."""
        seen = max(total(self.sums.now()), 1.0)
        if not self.kl:
            return self.bounds(requests, sqrt(1.5 * log(seen)))
        arms, known = self.sums.arms.of(requests), self.sums.of(requests)
        out, bounds = np.empty(arms.shape), np.full(len(self.sums.arms), np.nan)
        extra = 3.0 * log(log(seen)) if seen > np.e else 0.0
        _kl_bounds(arms, known, self.scale**2 * (log(seen) + extra), bounds, out)
        return out


@register("cascade-ts")
class CascadeTS(BernoulliTS):
    """Orders items by draws of their attraction, learned up to the click (Zhong et al. 2021).

    It is `BernoulliTS`, with its options, that reads a slate as the cascade model does.
    """

    name = "cascade-ts"

    def read(self, outcomes: Outcomes) -> tuple[Lessons, Floats]:
        """Return what outcomes teach up to their first click."""
        return super().read(until_click(outcomes))


@compiled
def _kl_bounds(arms: Rows, known: Floats, budget: float, bounds: Floats, out: Floats) -> None:
    """Fill out with the bound of every candidate, and `bounds` with that of every arm met."""
    for b in range(out.shape[0]):
        for m in range(out.shape[1]):
            arm = arms[b, m]
            won, count = known[b, m]
            if count <= 0.0:
                out[b, m] = 1.0
                continue
            if np.isnan(bounds[arm]):
                bounds[arm] = kl_bound(min(won / count, 1.0), budget / count)
            out[b, m] = bounds[arm]


@compiled
def kl_bound(mean: float, radius: float) -> float:
    """Return the highest q with KL(mean, q) <= radius, of Bernoulli distributions, by bisection."""
    low, high = mean, 1.0
    while high - low > 1e-9:
        q = 0.5 * (low + high)
        if _divergence(mean, q) > radius:
            high = q
        else:
            low = q
    return 0.5 * (low + high)


@compiled
def _divergence(p: float, q: float) -> float:
    first = p * log(p / q) if p > 0.0 else 0.0
    return first + ((1.0 - p) * log((1.0 - p) / (1.0 - q)) if p < 1.0 else 0.0)
