"""Why a slate is what it is, in the names that the loop's features were declared by."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from agents import explain
from agents.api import keys_of
from streaming.edge.answers import Effect, Explained, ExplainedItem
from streaming.state import UserState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from numpy.typing import NDArray

    from agents.api import Floats, Policy
    from streaming.config import WorkerConfig
    from streaming.records import Recommendation
    from streaming.slates import Slates

_MOST_EFFECTS = 8


def explained(
    made: Recommendation,
    source: Literal["policy", "exploration"],
    policy: Policy,
    slates: Slates,
    config: WorkerConfig,
) -> Explained:
    """Explain a recommendation by the model of now.

    Parameters
    ----------
    made : Recommendation
        With at least one item, all of which can be shown.
    source : str
        Who decided it.
    policy : Policy
        The same policy as decided it, with what it has learned by now.
    slates : Slates
    config : WorkerConfig
        Whose declarations name the features.
    """
    asked = slates.requests([made.user], [UserState(rankings=made.ordinal)], [made.time])
    requests = replace(
        asked,
        context=np.array([made.context], dtype=np.float32),
        positions=np.arange(len(made.items))[None, :],
    )
    rows = slates.catalogue.rows_of(keys_of(slot.id for slot in made.items))
    told = explain(policy, requests, rows)
    features = slates.catalogue.features[rows]
    names = [*config.users.columns, *(f"item {column}" for column in config.items.columns)]
    items = [
        ExplainedItem(
            id=slot.id,
            position=slot.position,
            propensity=slot.propensity,
            propensity_now=float(told.propensities[k]),
            score=float(told.scores[k]),
            uncertainty=None if told.deviations is None else float(told.deviations[k]),
            effects=_largest(
                names,
                np.concatenate([requests.context[0], features[k]]),
                np.concatenate([told.context_effects[k], told.item_effects[k]]),
            ),
        )
        for k, slot in enumerate(made.items)
    ]
    return Explained(
        user=made.user,
        id=made.id,
        source=source,
        policy=made.policy,
        version=made.version,
        learned=int(getattr(policy, "version", 0)),
        measure=told.measure,
        items=items,
    )


def _largest(names: Sequence[str], values: NDArray[np.float32], effects: Floats) -> list[Effect]:
    """Return the effects that are not nothing, the largest first."""
    order = np.argsort(-np.abs(effects), kind="stable")[:_MOST_EFFECTS]
    return [
        Effect(names[i], float(values[i]), float(effects[i])) for i in order.tolist() if effects[i]
    ]
