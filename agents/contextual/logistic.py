"""Logistic Thompson sampling: draws from what is known of the chance of a click.

A click is no number with normal noise: where it is rare, its variance is small, and a linear model
is far too unsure of it. A logistic regression knows that.
"""

from __future__ import annotations

from math import pi
from typing import TYPE_CHECKING

import numpy as np

from agents.forgetting import Memory
from agents.linear import RewardModel, Sampled
from agents.registry import register

if TYPE_CHECKING:
    from agents.api import Floats, Requests


@register("logistic-ts")
class LogisticTS(Sampled):
    """Shows what is best in a draw of the chances of a click (Chapelle & Li 2011).

    P(reward = 1) = 1 / (1 + exp(-theta' x)). After every observation the posterior of theta is
    replaced by its Laplace approximation, a normal around the mode with the curvature there
    (Spiegelhalter & Lauritzen 1990), with the full covariance instead of the paper's diagonal. See
    `Sampled` for the probabilities.

    Parameters
    ----------
    shared : bool
        One regression on request and item together, or one an item on the request alone.
    scale : float
        Standard deviations of the draws, in those of the posterior; more explores more.
    samples : int
        How many draws a request's distribution is made of.
    floor : float
        The share of a slot that is spread evenly over all open candidates.
    l2 : float
        The precision of the normal prior of every weight.
    interactions : bool
        Whether the shared regression also sees all products of context and item features.
    half_life, window : float
        Seconds of event time after which an observation counts half, or not at all; see `Memory`.
    seed : int
        The root of its randomness.
    """

    name = "logistic-ts"
    additive = None  # where a chance was linearised depends on what was known by then

    def __init__(
        self,
        *,
        shared: bool = True,
        scale: float = 1.0,
        samples: int = 64,
        floor: float = 0.05,
        l2: float = 1.0,
        interactions: bool = True,
        half_life: float = 0.0,
        window: float = 0.0,
        seed: int = 0,
    ) -> None:
        memory = Memory(half_life, window)
        model = RewardModel(shared, interactions, l2, memory, logistic=True)
        super().__init__(model, scale, samples, floor, seed)

    def estimate(self, requests: Requests) -> tuple[Floats, Floats]:
        """Return the chance of a click, and its standard deviation: float64 [B, M] each.

        The chance is averaged over the posterior, by MacKay's formula (1992).
        """
        mean, deviation = self.model.posterior(requests)
        chance = 1.0 / (1.0 + np.exp(-mean / np.sqrt(1.0 + pi * deviation**2 / 8.0)))
        return chance, deviation * chance * (1.0 - chance)
