"""What policies know adds up over the parts of a log, and can be taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from agents import added_up, additive_parts, from_spec, nothing, taken_back
from tests.agents.support import catalogue, experience, requests

if TYPE_CHECKING:
    from agents import Outcomes
    from agents.api import Floats, Policy, State

ADDITIVE = (
    "uniform",
    "popular",
    "epsilon-greedy",
    "ucb1",
    "linucb+epsilon=0.1",
    "linucb:shared=false",
    "lints:interactions=false",
)
ITEMS = catalogue(5)


def learned(spec: str, *facts: Outcomes) -> Policy:
    policy = from_spec(spec)
    for part in facts:
        policy.update(part)
    return policy


def beliefs(policy: Policy) -> Floats:
    asked = requests(ITEMS, np.tile(np.arange(5), (40, 1)), width=3, seed=9)
    return policy.propensities(asked, policy.decide(asked).slates)


def close(one: State, other: State, parts: tuple[str, ...]) -> bool:
    """Return whether two states say the same of every arm, in whatever order."""
    if one["version"] != other["version"]:
        return False
    if not parts:
        return True
    first, second = np.argsort(one["arms"]), np.argsort(other["arms"])
    return np.array_equal(one["arms"][first], other["arms"][second]) and all(
        np.allclose(one[name][first], other[name][second], rtol=1e-9, atol=1e-9) for name in parts
    )


@pytest.mark.parametrize("spec", ADDITIVE)
def test_the_sum_of_the_parts_is_the_whole(spec: str) -> None:
    facts = experience(ITEMS, 60)
    whole = learned(spec, facts)
    parts = additive_parts(whole)
    assert parts is not None
    states = [learned(spec, facts.take(slice(place, None, 3))).state_dict() for place in range(3)]
    total = added_up([from_spec(spec).state_dict(), *states], parts)
    assert close(total, whole.state_dict(), parts)
    again = from_spec(spec)
    again.load_state_dict(total)
    assert np.allclose(beliefs(again), beliefs(whole), rtol=1e-9)


@pytest.mark.parametrize("spec", ADDITIVE)
def test_what_was_learned_can_be_taken_back(spec: str) -> None:
    facts = experience(ITEMS, 60)
    whole, parts = learned(spec, facts), additive_parts(from_spec(spec)) or ()
    wrong = learned(spec, facts.take(slice(0, 20))).state_dict()
    right = added_up([whole.state_dict(), taken_back(wrong, parts)], parts)
    expected = learned(spec, facts.take(slice(20, None))).state_dict()
    if parts:  # an item that was only shown by mistake stays known, and has nothing
        assert set(expected["arms"]) <= set(right["arms"])
        stay = np.isin(right["arms"], expected["arms"])
        gone = {name: right[name][~stay] for name in parts}
        assert all(np.allclose(rest, 0.0, atol=1e-9) for rest in gone.values())
        right = {n: a[stay] if n in ("arms", *parts) else a for n, a in right.items()}
    assert close(right, expected, parts)


@pytest.mark.parametrize("spec", ADDITIVE)
def test_a_policy_that_is_told_nothing_begins_anew_in_the_same_shape(spec: str) -> None:
    policy = learned(spec, experience(ITEMS, 30, seed=1))
    parts = additive_parts(policy) or ()
    policy.load_state_dict(nothing(policy.state_dict(), parts))
    facts = experience(ITEMS, 30, seed=2)
    policy.update(facts)
    assert close(policy.state_dict(), learned(spec, facts).state_dict(), parts)


def test_a_policy_that_hangs_on_the_order_of_what_it_learns_says_so() -> None:
    assert additive_parts(from_spec("squarecb")) is None
