"""What is learned item by item is a sum: over parts of a log, in any order, as it fades."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agents import Outcomes, added_up, additive_parts, first_slot, from_spec
from tests.agents.support import catalogue, outcomes, requests

SPECS = [
    "popular:half_life=3",
    "epsilon-greedy:window=20",
    "ucb1:half_life=30",
    "bernoulli-ts:half_life=20",
    "gaussian-ts:window=30",
    "exp3:half_life=40",
    "cascade-ucb",
    "cascade-ucb:kl=false,window=50",
    "cascade-ts",
    "pbm-ucb:half_life=20",
    "pbm-ts:examination=1/0.5",
]
COUNT, ITEMS = 60, 4


def clicks() -> Outcomes:
    """Return clicks on slates of two, a second apart."""
    rng = np.random.default_rng(3)
    asked = requests(catalogue(ITEMS), np.tile(np.arange(ITEMS), (COUNT, 1)), slots=2)
    asked = replace(asked, time=1000 * np.arange(COUNT))
    slates = np.argsort(rng.random((COUNT, ITEMS)), axis=1)[:, :2]
    facts = outcomes(asked, slates, rng.random((COUNT, 2)) < 0.4)
    chances = np.tile([1 / 4, 1 / 3], (COUNT, 1))
    return replace(facts, decisions=replace(facts.decisions, propensities=chances))


@pytest.mark.parametrize("spec", SPECS)
def test_parts_in_any_order_add_up_to_the_whole(spec: str) -> None:
    facts, whole, together = clicks(), from_spec(spec), from_spec(spec)
    whole.update(facts)
    order = np.random.default_rng(4).permutation(COUNT)
    states = []
    for start in range(3):
        part = from_spec(spec)
        part.update(facts.take(order[start::3]))
        states.append(part.state_dict())
    names = additive_parts(whole)
    assert names
    together.load_state_dict(added_up(states, names))
    decided = whole.decide(facts.requests)
    stated = together.propensities(facts.requests, decided.slates)
    np.testing.assert_allclose(stated, decided.propensities, rtol=1e-9)


@pytest.mark.parametrize("spec", SPECS)
def test_an_item_that_left_is_known_when_it_is_back(spec: str) -> None:
    """What is known goes by the key: that it left, and where it stands now, are nothing."""
    facts, policy, other = clicks(), from_spec(spec), from_spec(spec)
    policy.update(facts)
    other.update(facts)
    items = catalogue(ITEMS)
    grown = items.without(items.keys[:1]).with_items(["new"], np.zeros((1, 2)))
    meanwhile = requests(grown, np.tile([1, 2, 3, 4], (5, 1)), slots=2)
    policy.decide(meanwhile)
    back = requests(grown.with_items(["i0"], items.features[:1]), np.tile([0, 1, 2], (9, 1)))
    np.testing.assert_array_equal(
        first_slot(policy, back),
        first_slot(other, requests(items, np.tile([0, 1, 2], (9, 1)))),
    )


def test_newcomers_are_tried() -> None:
    items = catalogue(ITEMS)
    grown = items.with_items(["new"], np.zeros((1, 2)))
    asked = requests(grown, np.tile(np.arange(ITEMS + 1), (200, 1)))
    for spec in SPECS[2:]:
        policy = from_spec(spec)
        policy.update(clicks())
        assert (policy.decide(asked).slates == ITEMS).any(), spec
