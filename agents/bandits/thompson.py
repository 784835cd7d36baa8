"""Thompson sampling, item by item: of chances (Bernoulli) and of means (Gaussian)."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from agents.api import PAD
from agents.bandits.beliefs import Beliefs, draw_chances
from agents.bandits.items import REWARDS, ItemPolicy
from agents.forgetting import Memory
from agents.lessons import LessonError
from agents.options import OptionError, above, at_least, finite, share
from agents.posterior import sample_disjoint, vote
from agents.registry import register
from agents.streams import word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from agents.api import Floats, Outcomes, Requests, Rows
    from agents.lessons import Lessons


class Thompson(ItemPolicy["Rows"]):
    """What Thompson sampling of items is, whatever is believed of them.

    Parameters
    ----------
    samples : int
        How many draws a request's distribution is made of.
    floor : float
        The share of a slot that is spread evenly over all open candidates.
    memory, seed, parts
        See `ItemPolicy`.
    """

    def __init__(
        self,
        samples: int,
        floor: float,
        memory: Memory,
        seed: int,
        parts: Mapping[str, int] = REWARDS,
    ) -> None:
        super().__init__(memory, seed, parts)
        if samples < 1:
            raise OptionError(f"samples must be at least 1, not {samples}")
        self.samples, self.floor = samples, share("floor", floor)

    @abstractmethod
    def draw(self, requests: Requests, best: Rows) -> None:
        """Fill `best`, int64 [B, S, K], with the candidates that lead each draw, best first."""

    def prepare(self, requests: Requests) -> Rows:
        """Draw the samples: int64 [B, S, min(K, M)], `PAD` after the last candidate."""
        B, M = requests.candidates.shape
        kept = max(1, min(requests.slate_size, M))
        best = np.full((B, self.samples, kept), PAD, dtype=np.int64)
        self.draw(requests, best)
        return best

    def slot(self, view: Rows, open_: NDArray[np.bool_]) -> Floats:
        """Return the share of samples each open candidate is the best of, mixed with the floor."""
        out = np.zeros(open_.shape)
        vote(view, open_, self.floor, out)
        return out


@register("bernoulli-ts")
class BernoulliTS(Thompson):
    """Shows what is best in a draw of every item's chance (Thompson 1933; Chapelle & Li 2011).

    After rewards of sum s in n slots, an item's chance is believed to be
    Beta(alpha + s, beta + n - s). `samples` draws come from the request's own stream; a slot goes
    to each open candidate with the share of draws in which it is the best of the open ones, mixed
    with a floor: probabilities that are exact given the request key.

    Parameters
    ----------
    alpha, beta : float
        What is believed of an item that nothing is known of: Beta(alpha, beta).
    samples : int
        How many draws a request's distribution is made of.
    floor : float
        The share of a slot that is spread evenly over all open candidates.
    half_life, window : float
        Seconds of event time after which an observation counts half, or not at all; see `Memory`.
    seed : int
        The root of its randomness.
    """

    name = "bernoulli-ts"

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        beta: float = 1.0,
        samples: int = 64,
        floor: float = 0.05,
        half_life: float = 0.0,
        window: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(samples, floor, Memory(half_life, window), seed)
        self.beliefs = Beliefs(alpha, beta)

    def read(self, outcomes: Outcomes) -> tuple[Lessons, Floats]:
        """Return what outcomes teach, once it is sure that rewards are between 0 and 1."""
        taught, rows = super().read(outcomes)
        within_unit(taught.reward, self.name)
        return taught, rows

    def draw(self, requests: Requests, best: Rows) -> None:
        """Draw chances."""
        arms, known = self.sums.arms.of(requests), self.sums.of(requests)
        known[:, :, 1] -= known[:, :, 0]
        tables = self.beliefs.renew(arms, known, np.zeros(0))
        draw_chances(word(self.seed), requests, arms, tables, best)


def within_unit(rewards: Floats, name: str) -> None:
    """Raise `LessonError` if a reward cannot be the outcome of a chance."""
    wrong = (rewards < 0.0) | (rewards > 1.0)
    if wrong.any():
        raise LessonError(
            f"{name} learns rewards between 0 and 1, not {rewards[wrong][0]:g}; nothing was "
            "learned from the batch. Scale them, or take gaussian-ts"
        )


@register("gaussian-ts")
class GaussianTS(Thompson):
    """Shows what is best in a draw of every item's mean reward (Agrawal & Goyal 2013).

    After rewards of sum s in n slots, an item's mean is believed to be
    N((prior weight + s) / (weight + n), scale^2 / (weight + n)): the posterior of rewards with
    normal noise, and right enough for any that have about that noise. Slots are filled as
    `BernoulliTS` does.

    Parameters
    ----------
    prior : float
        The mean reward of an item that nothing is known of.
    weight : float
        How many observations the prior counts for.
    scale : float
        The standard deviation of the reward's noise; more explores more.
    samples, floor, half_life, window, seed
        See `BernoulliTS`.
    """

    name = "gaussian-ts"

    def __init__(
        self,
        *,
        prior: float = 0.0,
        weight: float = 1.0,
        scale: float = 0.5,
        samples: int = 64,
        floor: float = 0.05,
        half_life: float = 0.0,
        window: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(samples, floor, Memory(half_life, window), seed)
        self.prior, self.weight = finite("prior", prior), above("weight", weight, 0.0)
        self.scale = at_least("scale", scale, 0.0)

    def draw(self, requests: Requests, best: Rows) -> None:
        """Draw means."""
        known = self.sums.of(requests)
        weight = self.weight + known[:, :, 1]
        mean = (self.prior * self.weight + known[:, :, 0]) / weight
        deviation, seed = 1.0 / np.sqrt(weight), word(self.seed)
        candidates = requests.candidates
        sample_disjoint(seed, requests.keys, candidates, mean, deviation, self.scale, best)
