"""`Explore`: a policy that only knows what is best, made safe to learn from.

A log of choices that could not have been otherwise says nothing of other choices. The wrapper adds
chance to any policy that scores its candidates, and states exactly how much.
"""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from agents.api import Policy, RecloopError
from agents.jit import compiled
from agents.options import OptionError, above, share
from agents.sharing import additive_parts
from agents.slots import SlotPolicy, checked, greedy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Outcomes, Requests, State


class NotScoredError(RecloopError, TypeError):
    """A policy that cannot say how good its candidates are."""


@runtime_checkable
class Scored(Policy, Protocol):
    """A policy that says how good its candidates are: what `Explore` can wrap."""

    def scores(self, requests: Requests) -> Floats:
        """Return how good each candidate is: float64 [B, M]; padded candidates may say anything."""


class Explore(SlotPolicy["Floats"]):
    """Shows what a policy scores highest, but not always.

    With epsilon: in every slot the best open candidate with probability 1 - epsilon, otherwise any
    open candidate. With temperature: slates drawn from the Plackett-Luce model (Plackett 1975), in
    which each slot goes to an open candidate with probability proportional to
    exp(score / temperature); it is the order of scores with Gumbel noise of that scale.

    Learning and state are the policy's own: states of wrapped and bare policies are the same.

    Parameters
    ----------
    policy : Scored
        Any policy with `scores`.
    epsilon : float, optional
        Between 0 and 1. Exactly one of epsilon and temperature is given.
    temperature : float, optional
        Above 0, in the units of the scores.
    seed : int
        The root of the choices' randomness.

    Raises
    ------
    NotScoredError
        If the policy has no `scores`.
    OptionError
        If not exactly one of epsilon and temperature is given, or it is out of range.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        epsilon: float | None = None,
        temperature: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(seed=seed)
        if not isinstance(policy, Scored):
            raise NotScoredError(
                f"Explore cannot wrap {getattr(policy, 'name', policy)!r}: it offers no "
                "scores(requests). A policy that chooses at random itself needs no wrapper"
            )
        if epsilon is not None and temperature is None:
            self.epsilon, self.temperature = share("epsilon", epsilon), None
            self.name = f"{policy.name}+epsilon={epsilon:g}"
        elif temperature is not None and epsilon is None:
            self.epsilon, self.temperature = 0.0, above("temperature", temperature, 0.0)
            self.name = f"{policy.name}+temperature={temperature:g}"
        else:
            raise OptionError("Explore needs either an epsilon or a temperature, and not both")
        self.policy: Scored = policy
        self.version = getattr(policy, "version", 0)

    @property
    def additive(self) -> tuple[str, ...] | None:
        """What of the state adds up: the wrapped policy knows; see `agents.sharing`."""
        return additive_parts(self.policy)

    def scores(self, requests: Requests) -> Floats:
        """Return the wrapped policy's scores."""
        return self.policy.scores(requests)

    def prepare(self, requests: Requests) -> Floats:
        """Score the batch."""
        return self.policy.scores(requests)

    def slot(self, view: Floats, open_: NDArray[np.bool_]) -> Floats:
        """Return epsilon-greedy over the scores, or their softmax at the temperature."""
        if self.temperature is None:
            return greedy(view, open_, self.epsilon)
        return softmax(view, open_, self.temperature)

    def update(self, outcomes: Outcomes) -> None:
        """Let the wrapped policy learn."""
        self.policy.update(outcomes)
        super().update(outcomes)

    def state_dict(self) -> State:
        """Return the wrapped policy's state."""
        return super().state_dict() | self.policy.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Take over a state of the wrapped policy."""
        self.policy.load_state_dict(state)
        super().load_state_dict(state)


def softmax(scores: Floats, open_: NDArray[np.bool_], temperature: float) -> Floats:
    """Return probabilities proportional to exp(score / temperature) over the open candidates.

    Parameters
    ----------
    scores : float64 [B, M]
        Finite for open candidates; -inf is never chosen while others are open.
    open_ : bool [B, M]
    temperature : float
        Above 0.

    Returns
    -------
    float64 [B, M]

    Raises
    ------
    ScoreError
        See `agents.slots.greedy`.
    """
    out = np.zeros(open_.shape)
    _softmax(checked(scores, open_), open_, temperature, out)
    return out


@compiled
def _softmax(scores: Floats, open_: NDArray[np.bool_], temperature: float, out: Floats) -> None:
    for b in range(out.shape[0]):
        best = -np.inf
        for m in range(out.shape[1]):
            if open_[b, m] and scores[b, m] > best:
                best = scores[b, m]
        total = 0.0
        for m in range(out.shape[1]):
            if open_[b, m]:
                # The best ones differ by 0 even where their difference is inf - inf.
                gap = 0.0 if scores[b, m] == best else scores[b, m] - best
                out[b, m] = exp(gap / temperature)
                total += out[b, m]
        for m in range(out.shape[1]):
            if open_[b, m]:
                out[b, m] /= total
