"""Slates filled slot by slot: the one place where a decision is drawn and its probability stated.

A `SlotPolicy` says how likely every open candidate is for the next slot; drawing, logging and
restating the probability of a slate follow from that alone, so that law 1 of `agents.api` holds by
construction. Whoever writes a policy subclasses `ScorePolicy` (scores, best first) or `SlotPolicy`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from agents.api import PAD, Decisions, RecloopError, ShapeError
from agents.jit import compiled
from agents.options import entry
from agents.streams import uniforms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Outcomes, Policy, Requests, Rows, State

View = TypeVar("View")

CHOICE = 1
"""The stream purpose that slots are drawn from; policies with draws of their own use others."""


class ScoreError(RecloopError, ValueError):
    """Scores that nothing can be chosen by."""


class SlotPolicy(ABC, Generic[View]):
    """A policy whose slates are drawn slot by slot, without replacement.

    A subclass implements `prepare` (what it needs to know of a batch, computed once) and `slot`,
    and extends `update`, `state_dict` and `load_state_dict` when it learns.

    Parameters
    ----------
    seed : int
        The root of the policy's randomness, with the request keys.
    """

    name: str
    seed: int = 0
    version: int = 0
    """How many outcomes it has learned from."""

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed

    @abstractmethod
    def prepare(self, requests: Requests) -> View:
        """Return what `slot` needs to know of a batch; computed once for all its slots."""

    @abstractmethod
    def slot(self, view: View, open_: NDArray[np.bool_]) -> Floats:
        """Return how likely each candidate is for the next slot.

        Parameters
        ----------
        view
            What `prepare` returned.
        open_ : bool [B, M]
            The candidates that no earlier slot has taken.

        Returns
        -------
        float64 [B, M]
            Each row sums to 1 over its open candidates and is 0 elsewhere; a row with no open
            candidate is all 0.
        """

    def decide(self, requests: Requests) -> Decisions:
        """Draw a slate for every request; see `Policy.decide`."""
        slates = np.full(requests.positions.shape, PAD, dtype=np.int64)
        propensities = np.ones(slates.shape)
        versions = np.full(len(requests), self.version, dtype=np.int64)
        if not len(requests):  # spares every subclass the arithmetic of nothing
            return Decisions(slates, propensities, versions, self.name)
        view, open_ = self.prepare(requests), requests.candidates != PAD
        draws = uniforms(self.seed, requests.keys, requests.slate_size, purpose=CHOICE)
        for k in range(requests.slate_size):
            chances = self._chances(view, open_)
            _draw(chances, draws, k, requests.candidates, open_, slates, propensities)
        return Decisions(slates, propensities, versions, self.name)

    def propensities(self, requests: Requests, slates: Rows) -> Floats:
        """Return the probability of each slot's item given those before; see `Policy`."""
        if slates.shape != requests.positions.shape:
            raise ShapeError(
                f"{len(requests)} requests for {requests.slate_size} slots cannot have been "
                f"answered by slates {slates.shape}"
            )
        view, open_ = self.prepare(requests), requests.candidates != PAD
        stated = np.ones(slates.shape)
        for k in range(slates.shape[1]):
            _state(self._chances(view, open_), slates, k, requests.candidates, open_, stated)
        return stated

    def distribution(self, requests: Requests) -> Floats:
        """Return how likely each candidate is for the first slot: float64 [B, M]."""
        return self._chances(self.prepare(requests), requests.candidates != PAD)

    def _chances(self, view: View, open_: NDArray[np.bool_]) -> Floats:
        """Return `slot`'s answer, once its shape is sure: kernels do not check their bounds."""
        chances = self.slot(view, open_)
        if chances.shape != open_.shape:
            raise ShapeError(
                f"{type(self).__name__}.slot answered {chances.shape} for candidates {open_.shape}"
            )
        return chances

    def update(self, outcomes: Outcomes) -> None:
        """Count the outcomes learned from; a subclass that learns extends this."""
        self.version += len(outcomes)

    def state_dict(self) -> State:
        """Return all that was learned; a subclass that learns extends this."""
        return {"version": np.array(self.version, dtype=np.int64)}

    def load_state_dict(self, state: State) -> None:
        """Take over a state; a subclass that learns extends this."""
        self.version = int(entry(state, "version", np.int64, ()))


class ScorePolicy(SlotPolicy["Floats"]):
    """A policy that shows the candidates with the highest scores, best first.

    Exact ties are broken at random, and the propensities say so; without ties they are 1. Wrap it
    in `Explore` before its decisions are logged to learn from.
    """

    @abstractmethod
    def scores(self, requests: Requests) -> Floats:
        """Return how good each candidate is: float64 [B, M]; padded candidates may say anything."""

    def prepare(self, requests: Requests) -> Floats:
        """Score the batch."""
        return self.scores(requests)

    def slot(self, view: Floats, open_: NDArray[np.bool_]) -> Floats:
        """Return the best open candidate, ties sharing."""
        return greedy(view, open_)


def greedy(scores: Floats, open_: NDArray[np.bool_], epsilon: float = 0.0) -> Floats:
    """Return the epsilon-greedy distribution over open candidates.

    Parameters
    ----------
    scores : float64 [B, M]
    open_ : bool [B, M]
    epsilon : float
        The share that is spread evenly over all open candidates; the rest goes to the best one, or
        evenly to all that tie with it.

    Returns
    -------
    float64 [B, M]

    Raises
    ------
    ScoreError
        If the scores are not [B, M], or an open candidate's score is not a number.
    """
    out = np.zeros(open_.shape)
    _greedy(checked(scores, open_), open_, epsilon, out)
    return out


def checked(scores: Floats, open_: NDArray[np.bool_]) -> Floats:
    """Return the scores of candidates as contiguous float64 [B, M]; see `greedy` for its errors."""
    if np.shape(scores) != open_.shape:
        raise ScoreError(f"scores must be {open_.shape}, as the candidates, not {np.shape(scores)}")
    table = np.ascontiguousarray(scores, dtype=np.float64)
    row = _unscored(table, open_)
    if row >= 0:
        raise ScoreError(f"a candidate of request {row} of the batch scored NaN")
    return table


@compiled
def _unscored(scores: Floats, open_: NDArray[np.bool_]) -> int:
    for b in range(scores.shape[0]):
        for j in range(scores.shape[1]):
            if open_[b, j] and np.isnan(scores[b, j]):
                return b
    return -1


@compiled
def _greedy(scores: Floats, open_: NDArray[np.bool_], epsilon: float, out: Floats) -> None:
    for b in range(out.shape[0]):
        best, ties, count = -np.inf, 0, 0
        for j in range(out.shape[1]):
            if open_[b, j]:
                count += 1
                if ties == 0 or scores[b, j] > best:
                    best, ties = scores[b, j], 1
                elif scores[b, j] == best:
                    ties += 1
        for j in range(out.shape[1]):
            if open_[b, j]:
                out[b, j] = epsilon / count
                if scores[b, j] == best:
                    out[b, j] += (1.0 - epsilon) / ties


@compiled
def _draw(
    chances: Floats,
    draws: Floats,
    k: int,
    candidates: Rows,
    open_: NDArray[np.bool_],
    slates: Rows,
    propensities: Floats,
) -> None:
    """Fill slot k of every slate by inverting the distribution, and close what was drawn."""
    for b in range(chances.shape[0]):
        left, chosen = draws[b, k], -1
        for j in range(chances.shape[1]):
            if chances[b, j] > 0.0:
                chosen = j
                left -= chances[b, j]
                if left < 0.0:
                    break
        if chosen >= 0:
            slates[b, k] = candidates[b, chosen]
            propensities[b, k] = chances[b, chosen]
            open_[b, chosen] = False


@compiled
def _state(
    chances: Floats,
    slates: Rows,
    k: int,
    candidates: Rows,
    open_: NDArray[np.bool_],
    stated: Floats,
) -> None:
    """Look up slot k of every slate in the distribution, and close what stands there."""
    for b in range(chances.shape[0]):
        if slates[b, k] == -1:
            continue
        stated[b, k] = 0.0
        for j in range(chances.shape[1]):
            if candidates[b, j] == slates[b, k] and open_[b, j]:
                stated[b, k] = chances[b, j]
                open_[b, j] = False
                break


FIRST_CHUNK = 1 << 20
"""How many candidates, pads included, `first_slot` puts into one call of `propensities`."""


def first_slot(policy: Policy, requests: Requests) -> Floats:
    """Return how likely each candidate is for the first slot, whatever the policy.

    Parameters
    ----------
    policy : Policy
        Its `distribution` is asked where it offers one; otherwise its `propensities`, for every
        candidate in turn, in calls of bounded size.
    requests : Requests

    Returns
    -------
    float64 [B, M]
        0 for padded candidates.
    """
    distribution = getattr(policy, "distribution", None)
    if distribution is not None:
        return np.asarray(distribution(requests), dtype=np.float64)
    out = np.zeros(requests.candidates.shape)
    which, column = np.nonzero(requests.candidates != PAD)
    step = max(1, FIRST_CHUNK // max(1, requests.candidates.shape[1]))
    for start in range(0, len(which), step):
        b, m = which[start : start + step], column[start : start + step]
        slates = np.full((len(b), requests.slate_size), PAD, dtype=np.int64)
        slates[:, 0] = requests.candidates[b, m]
        out[b, m] = policy.propensities(requests.take(b), slates)[:, 0]
    return out
