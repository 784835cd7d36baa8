"""Why a policy chose what it chose: what it expects of each item, how sure it is, and why.

It works for every policy, because it asks nothing but what policies offer: a feature matters as
much as what the policy says changes when the feature is not there (occlusion, Zeiler & Fergus
2014). For a linear model without interactions that is exactly the feature's term.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from agents.api import PAD, ShapeError
from agents.explore import Explore, Scored
from agents.slots import first_slot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Policy, Requests, Rows


@runtime_checkable
class Estimating(Protocol):
    """A policy that knows how sure it is of what it expects."""

    def estimate(self, requests: Requests) -> tuple[Floats, Floats]:
        """Return the expected reward of every candidate and its standard deviation.

        Both are float64 [B, M]; padded candidates may say anything.
        """


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a policy says of a slate of K items now.

    Parameters
    ----------
    measure : str
        What `scores` are: `expected reward`, `score`, or `probability` (of the first slot) where
        the policy has neither.
    scores : float64 [K]
    deviations : float64 [K] or None
        Standard deviations of the expected rewards, where the policy knows them.
    propensities : float64 [K]
        The probability of each slot's item given those before it.
    context_effects : float64 [K, D]
        How much each item's score falls when a context feature is set to 0.
    item_effects : float64 [K, F]
        How much each item's score falls when its feature is set to 0.
    """

    measure: str
    scores: Floats
    deviations: Floats | None
    propensities: Floats
    context_effects: Floats
    item_effects: Floats


def explain(policy: Policy, requests: Requests, slate: Rows) -> Explanation:
    """Explain one slate.

    Parameters
    ----------
    policy : Policy
        Is asked, not changed.
    requests : Requests
        One request, for K slots.
    slate : int64 [K]
        Rows of the request's items, all among its candidates, without gaps.

    Raises
    ------
    ShapeError
        If it is not one request, or the slate is not one of its candidates'.
    """
    if len(requests) != 1 or slate.shape != (requests.slate_size,):
        raise ShapeError(
            f"one request for {requests.slate_size} slots and its slate can be explained, "
            f"not {len(requests)} and a slate {slate.shape}"
        )
    places = np.array([_place(requests, item) for item in slate.tolist()])
    source = policy.policy if isinstance(policy, Explore) else policy
    whole, deviations = _told(source, requests)
    scores = whole[0, places]
    D, F = requests.context.shape[1], requests.items.features.shape[1]
    context_effects = np.zeros((len(slate), D))
    if D:
        hidden = np.repeat(requests.context, D, axis=0)
        np.fill_diagonal(hidden, 0.0)
        without = replace(requests.take(np.zeros(D, dtype=np.int64)), context=hidden)
        context_effects[:] = scores[:, None] - _told(source, without)[0][:, places].T
    item_effects = np.zeros((len(slate), F))
    for f in range(F):
        features = requests.items.features.copy()
        features[:, f] = 0.0
        blank = replace(requests, items=replace(requests.items, features=features))
        item_effects[:, f] = scores - _told(source, blank)[0][0, places]
    return Explanation(
        measure=_measure(source),
        scores=scores,
        deviations=None if deviations is None else deviations[0, places],
        propensities=policy.propensities(requests, slate[None, :])[0],
        context_effects=context_effects,
        item_effects=item_effects,
    )


def _place(requests: Requests, item: int) -> int:
    (places,) = np.nonzero(requests.candidates[0] == item)
    if item == PAD or not len(places):
        raise ShapeError(f"row {item} is not among the candidates of the request")
    return int(places[0])


def _measure(policy: Policy) -> str:
    if isinstance(policy, Estimating):
        return "expected reward"
    return "score" if isinstance(policy, Scored) else "probability"


def _told(policy: Policy, requests: Requests) -> tuple[Floats, NDArray[np.float64] | None]:
    """Return what a policy thinks of every candidate, and how sure it is if it knows."""
    if isinstance(policy, Estimating):
        return policy.estimate(requests)
    if isinstance(policy, Scored):
        return policy.scores(requests), None
    return first_slot(policy, requests), None
