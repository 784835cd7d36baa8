"""Policies whose knowledge adds up: what several learners know of parts of a log is one policy.

The state of such a policy is sums over observations, so the state of a whole log is the sum of the
states of its parts, and what was learned wrongly can be taken back. This is how workers of the live
loop share a model, how outcomes are corrected, and how logs could be learned from side by side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.forgetting import merged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agents.api import Policy, State


def additive_parts(policy: Policy) -> tuple[str, ...] | None:
    """Return which entries of a policy's state add up over the parts of a log.

    Returns
    -------
    tuple of str or None
        What its attribute `additive` says: entries with a row for each of `arms`, beside `version`
        and, where the past fades, `ticks`. All others follow from these, and a state without them
        can be loaded. None if the policy does not say so: its state is no sum.
    """
    parts: tuple[str, ...] | None = getattr(policy, "additive", None)
    return parts


def nothing(state: State, parts: Sequence[str]) -> State:
    """Return the state, of the same shape, of a policy that has learned nothing."""
    zero = {name: state[name][:0] for name in ("arms", "ticks", *parts) if name in state}
    return zero | {"version": np.zeros_like(state["version"])}


def taken_back(state: State, parts: Sequence[str]) -> State:
    """Return what has to be added to undo a state."""
    undone = {name: -state[name] for name in ("version", *parts)}
    return undone | {name: state[name] for name in ("arms", "ticks") if name in state}


def added_up(states: Sequence[State], parts: Sequence[str]) -> State:
    """Return the state of a policy that has learned what each of these has learned.

    Parameters
    ----------
    states : sequence of at least one dict
        Of policies built alike.
    parts : sequence of str
        What `additive_parts` says of them.
    """
    version = np.sum([state["version"] for state in states], dtype=np.int64)
    total: State = {"version": np.array(version, dtype=np.int64)}
    if not parts:
        return total
    known = [state for state in states if len(state["arms"])] or [states[0]]
    found = merged(known, parts)
    for name in parts:
        found[name] = found[name].astype(known[0][name].dtype, copy=False)
    return found | total
