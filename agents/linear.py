"""Linear bandits: LinUCB and linear Thompson sampling, over shared or disjoint parameters.

Shared: one regression on the joint features of request and item (`agents.features`), which knows
something of an item that it has never shown. Disjoint: one regression an item on context and bias,
which needs no item features and starts every item from nothing. Both learn by `agents.ridge`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from agents.api import PAD
from agents.features import joint, joint_width
from agents.forgetting import Memory
from agents.lessons import LessonError, lessons_of
from agents.options import OptionError, above, at_least, share
from agents.posterior import sample_disjoint, sample_shared, score_disjoint, score_shared, vote
from agents.registry import register
from agents.ridge import Ridge
from agents.slots import ScoreError, ScorePolicy, SlotPolicy
from agents.streams import word

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Outcomes, Requests, Rows, State

View = TypeVar("View")


class RewardModel:
    """A linear model of the reward, with its uncertainty.

    Parameters
    ----------
    shared : bool
        One regression for all items, or one an item.
    interactions : bool
        Whether a shared regression also sees all products of context and item features.
    l2 : float
        The weight of the ridge prior.
    memory : Memory
        How long observations count.
    logistic : bool
        Whether the regression is a logistic one; see `Ridge`.
    """

    def __init__(
        self,
        shared: bool,
        interactions: bool,
        l2: float,
        memory: Memory,
        logistic: bool = False,
    ) -> None:
        self.shared, self.interactions = shared, interactions
        self.ridge = Ridge(above("l2", l2, 0.0), memory, logistic)

    def width(self, requests: Requests) -> int:
        """Return P, the number of features that these requests give the regression."""
        D, F = requests.context.shape[1], requests.items.features.shape[1]
        P = joint_width(D, F, self.interactions) if self.shared else 1 + D
        self.ridge.expect(P)
        return P

    def learn(self, outcomes: Outcomes) -> None:
        """Regress the rewards of all seen slots, one by one and in their order.

        Raises
        ------
        LessonError
            If a logistic regression is to learn a reward that is no chance.
        """
        taught, requests = lessons_of(outcomes), outcomes.requests
        if self.ridge.logistic and not ((taught.reward >= 0) & (taught.reward <= 1)).all():
            raise LessonError(
                "a logistic regression learns rewards between 0 and 1 only: scale them, or use "
                "lints for others"
            )
        context, time = requests.context[taught.request], requests.time[taught.request]
        if self.shared:
            items = requests.items.features[taught.item][:, None, :]
            x = joint(context, items, self.interactions)[:, 0]
            self.ridge.learn(np.zeros(len(x), dtype=np.uint64), x, taught.reward, time)
        else:
            x = np.ones((len(context), 1 + context.shape[1]))
            x[:, 1:] = context
            self.ridge.learn(taught.key, x, taught.reward, time)

    def posterior(self, requests: Requests) -> tuple[Floats, Floats]:
        """Return estimate and standard deviation (of unit noise) of every candidate's reward.

        Returns
        -------
        mean, deviation : float64 [B, M]
            theta' x and sqrt(x' A^-1 x); zeros for padded candidates.

        Raises
        ------
        ScoreError
            If a request's context or a candidate's features are not finite numbers.
        """
        P, ridge, candidates = self.width(requests), self.ridge, requests.candidates
        mean, deviation = np.zeros(candidates.shape), np.zeros(candidates.shape)
        if self.shared:
            theta, inverse = ridge.only(P)
            items = requests.items.features
            strange = score_shared(
                requests.context,
                items,
                candidates,
                self.interactions,
                theta,
                inverse,
                mean,
                deviation,
            )
        else:
            ridge.freshen()
            arms, prior = ridge.arms.of(requests), 1.0 / ridge.l2
            strange = score_disjoint(
                requests.context,
                candidates,
                arms,
                prior,
                ridge.theta,
                ridge.inverse,
                mean,
                deviation,
            )
        expect_finite(strange)
        return mean, deviation


def expect_finite(strange: int) -> None:
    """Raise `ScoreError` if a kernel met a request, `strange`, that cannot be scored."""
    if strange >= 0:
        raise ScoreError(
            f"the context of request {strange} of the batch, or the features of one of its "
            "candidates, are not finite numbers: nothing can be chosen by them"
        )


class Linear(SlotPolicy[View]):
    """What the linear policies share: a reward model, and learning it.

    Parameters
    ----------
    model : RewardModel
    seed : int
        The root of the policy's randomness.
    """

    additive: tuple[str, ...] | None = ("gram", "moment")

    def __init__(self, model: RewardModel, seed: int) -> None:
        super().__init__(seed=seed)
        self.model = model

    def learn(self, outcomes: Outcomes) -> None:
        """Regress the rewards of what was seen."""
        self.model.learn(outcomes)

    def update(self, outcomes: Outcomes) -> None:
        """Learn from what was seen, and count the outcomes."""
        self.learn(outcomes)
        super().update(outcomes)

    def estimate(self, requests: Requests) -> tuple[Floats, Floats]:
        """Return what is expected of every candidate, and how surely, as `RewardModel` does."""
        return self.model.posterior(requests)

    def state_dict(self) -> State:
        """Return the regressions; `gram` and `moment` add up over partitions of a log."""
        return super().state_dict() | self.model.ridge.state()

    def load_state_dict(self, state: State) -> None:
        """Take over a state; see `Ridge.load`."""
        self.model.ridge.load(state)
        super().load_state_dict(state)


@register("linucb")
class LinUCB(Linear["Floats"], ScorePolicy):
    """Shows what could be best: estimated reward plus alpha standard deviations (Li et al. 2010).

    It does not choose at random: wrap it in `Explore` before learning from its logs offline.

    Parameters
    ----------
    shared : bool
        One regression on request and item together, or one an item on the request alone.
    alpha : float
        How many standard deviations optimism adds.
    l2 : float
        The weight of the ridge prior.
    interactions : bool
        Whether the shared regression also sees all products of context and item features.
    half_life, window : float
        Seconds of event time after which an observation counts half, or not at all; see `Memory`.
    seed : int
        Ties are broken by it.
    """

    name = "linucb"

    def __init__(
        self,
        *,
        shared: bool = True,
        alpha: float = 1.0,
        l2: float = 1.0,
        interactions: bool = True,
        half_life: float = 0.0,
        window: float = 0.0,
        seed: int = 0,
    ) -> None:
        memory = Memory(half_life, window)
        super().__init__(RewardModel(shared, interactions, l2, memory), seed)
        self.alpha = at_least("alpha", alpha, 0.0)

    def scores(self, requests: Requests) -> Floats:
        """Return the upper confidence bound of every candidate: float64 [B, M]."""
        mean, deviation = self.model.posterior(requests)
        return mean + self.alpha * deviation


class Sampled(Linear["Rows"]):
    """What policies share that choose by draws from a linear model's posterior.

    `samples` draws come from the request's own stream; a slot goes to each open candidate with the
    share of draws in which it is the best of the open ones, mixed with a floor: probabilities that
    are exact given the request key.

    Parameters
    ----------
    model : RewardModel
    scale : float
        Standard deviations of the draws, in those of the posterior.
    samples : int
        How many draws a request's distribution is made of.
    floor : float
        The share of a slot that is spread evenly over all open candidates.
    seed : int
        The root of its randomness.
    """

    def __init__(
        self, model: RewardModel, scale: float, samples: int, floor: float, seed: int
    ) -> None:
        super().__init__(model, seed)
        if samples < 1:
            raise OptionError(f"samples must be at least 1, not {samples}")
        self.scale = at_least("scale", scale, 0.0)
        self.samples, self.floor = samples, share("floor", floor)

    def prepare(self, requests: Requests) -> Rows:
        """Draw the samples.

        Returns
        -------
        int64 [B, S, min(K, M)]
            The best candidates of every sample, best first, `PAD` after the last. K of them are
            enough: no more than k are closed when slot k is filled.
        """
        B, M = requests.candidates.shape
        kept = max(1, min(requests.slate_size, M))
        best = np.full((B, self.samples, kept), PAD, dtype=np.int64)
        seed, model, ridge = word(self.seed), self.model, self.model.ridge
        if model.shared:
            theta, inverse = ridge.only(model.width(requests))
            items = requests.items.features
            strange = sample_shared(
                seed,
                requests.keys,
                requests.context,
                items,
                requests.candidates,
                model.interactions,
                theta,
                inverse,
                self.scale,
                best,
            )
            expect_finite(strange)
        else:
            mean, deviation = model.posterior(requests)
            scale = self.scale
            sample_disjoint(seed, requests.keys, requests.candidates, mean, deviation, scale, best)
        return best

    def slot(self, view: Rows, open_: NDArray[np.bool_]) -> Floats:
        """Return the share of samples each open candidate is the best of, mixed with the floor."""
        out = np.zeros(open_.shape)
        vote(view, open_, self.floor, out)
        return out


@register("lints")
class LinTS(Sampled):
    """Shows what is best in a draw from the posterior (Thompson sampling; Agrawal & Goyal 2013).

    The posterior of theta is N(A^-1 b, scale^2 A^-1); see `Sampled` for the probabilities.

    Parameters
    ----------
    shared : bool
        One regression on request and item together, or one an item on the request alone.
    scale : float
        The standard deviation of the reward's noise; more explores more.
    samples : int
        How many draws a request's distribution is made of.
    floor : float
        The share of a slot that is spread evenly over all open candidates.
    l2 : float
        The weight of the ridge prior.
    interactions : bool
        Whether the shared regression also sees all products of context and item features.
    half_life, window : float
        Seconds of event time after which an observation counts half, or not at all; see `Memory`.
    seed : int
        The root of its randomness.
    """

    name = "lints"

    def __init__(
        self,
        *,
        shared: bool = True,
        scale: float = 0.5,
        samples: int = 64,
        floor: float = 0.05,
        l2: float = 1.0,
        interactions: bool = True,
        half_life: float = 0.0,
        window: float = 0.0,
        seed: int = 0,
    ) -> None:
        model = RewardModel(shared, interactions, l2, Memory(half_life, window))
        super().__init__(model, scale, samples, floor, seed)
