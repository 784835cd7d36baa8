"""Policies that know no context: chance, the most rewarded, and the most rewarded with chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.arms import Arms
from agents.jit import compiled
from agents.lessons import lessons_of
from agents.options import StateError, above, entry, finite, share
from agents.registry import register
from agents.slots import ScorePolicy, SlotPolicy, greedy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Outcomes, Requests, Rows, State


@register("uniform")
class Uniform(SlotPolicy[None]):
    """Every open candidate is as likely as any other: the policy whose logs teach the most."""

    name = "uniform"
    additive = ()

    def prepare(self, requests: Requests) -> None:
        """There is nothing to know of a batch."""

    def slot(self, view: None, open_: NDArray[np.bool_]) -> Floats:
        """Return one over the number of open candidates."""
        count = np.maximum(open_.sum(axis=1, keepdims=True), 1)
        chances: Floats = open_ / count
        return chances


class Means:
    """The running mean reward of every item, drawn towards a prior.

    mean(item) = (prior * weight + sum of rewards) / (weight + number of rewards)

    Parameters
    ----------
    prior : float
        The mean of an item that nothing is known of.
    weight : float
        How many observations the prior counts for.
    """

    def __init__(self, prior: float, weight: float) -> None:
        self.prior = finite("prior", prior)
        self.weight = above("weight", weight, 0.0)
        self.arms = Arms()
        self.sums, self.counts = np.zeros(0), np.zeros(0, dtype=np.int64)

    def of(self, requests: Requests) -> Floats:
        """Return the mean of every candidate: float64 [B, M]."""
        arms = self.arms.of(requests)
        out = np.empty(arms.shape)
        _means(arms, self.sums, self.counts, self.prior, self.weight, out)
        return out

    def learn(self, outcomes: Outcomes) -> None:
        """Add the rewards of all seen slots, one by one and in their order."""
        taught = lessons_of(outcomes)
        arms = self.arms.admit(taught.key)
        fresh = len(self.arms) - len(self.sums)
        if fresh:
            self.sums = np.concatenate([self.sums, np.zeros(fresh)])
            self.counts = np.concatenate([self.counts, np.zeros(fresh, dtype=np.int64)])
        np.add.at(self.sums, arms, taught.reward)
        np.add.at(self.counts, arms, 1)

    def state(self) -> State:
        """Return keys uint64 [n], sums float64 [n] and counts int64 [n]: they add up over logs."""
        return {"arms": self.arms.keys, "sums": self.sums.copy(), "counts": self.counts.copy()}

    def load(self, state: State) -> None:
        """Take over a state that `state` returned."""
        keys = entry(state, "arms", np.uint64, (None,))
        sums = entry(state, "sums", np.float64, (len(keys),))
        counts = entry(state, "counts", np.int64, (len(keys),))
        self.arms, self.sums, self.counts = arms_from(keys), sums, counts


def arms_from(keys: NDArray[np.uint64]) -> Arms:
    """Return the arms of a state, or raise `StateError` if an item has two."""
    arms = Arms(keys)
    if len(arms) != len(keys):
        raise StateError("an item has two arms in the state: it was not written by a policy")
    return arms


@register("popular")
class Popular(ScorePolicy):
    """The items with the highest mean reward so far, whoever asks.

    Parameters
    ----------
    prior : float
        The mean reward of an item that nothing is known of.
    weight : float
        How many observations the prior counts for.
    seed : int
        Ties are broken by it.
    """

    name = "popular"
    additive = ("sums", "counts")

    def __init__(self, *, prior: float = 0.0, weight: float = 1.0, seed: int = 0) -> None:
        super().__init__(seed=seed)
        self.means = Means(prior, weight)

    def scores(self, requests: Requests) -> Floats:
        """Return the mean reward of every candidate: float64 [B, M]."""
        return self.means.of(requests)

    def update(self, outcomes: Outcomes) -> None:
        """Add the rewards of what was seen."""
        self.means.learn(outcomes)
        super().update(outcomes)

    def state_dict(self) -> State:
        """Return keys, sums and counts of the items shown so far."""
        return super().state_dict() | self.means.state()

    def load_state_dict(self, state: State) -> None:
        """Take over a state."""
        self.means.load(state)
        super().load_state_dict(state)


@register("epsilon-greedy")
class EpsilonGreedy(Popular):
    """The most rewarded item, but with probability epsilon any item, slot by slot.

    Parameters
    ----------
    epsilon : float
        The share of slots that is spread evenly over all open candidates.
    prior, weight : float
        See `Popular`.
    seed : int
        The root of its randomness.
    """

    name = "epsilon-greedy"

    def __init__(
        self, *, epsilon: float = 0.1, prior: float = 0.0, weight: float = 1.0, seed: int = 0
    ) -> None:
        super().__init__(prior=prior, weight=weight, seed=seed)
        self.epsilon = share("epsilon", epsilon)

    def slot(self, view: Floats, open_: NDArray[np.bool_]) -> Floats:
        """Return epsilon-greedy over the mean rewards."""
        return greedy(view, open_, self.epsilon)


@compiled
def _means(
    arms: Rows,
    sums: Floats,
    counts: NDArray[np.int64],
    prior: float,
    weight: float,
    out: Floats,
) -> None:
    for b in range(arms.shape[0]):
        for m in range(arms.shape[1]):
            arm = arms[b, m]
            if arm < 0:
                out[b, m] = prior
            else:
                out[b, m] = (prior * weight + sums[arm]) / (weight + counts[arm])
