"""Who decides for whom, and what the others say of it."""

from __future__ import annotations

import numpy as np
import pytest

from agents import Explore, LinTS, LinUCB, Popular, Uniform
from streaming.roles import Pool, RoleError, Roles
from tests.agents.support import catalogue, experience, requests

ITEMS = catalogue(5)
ASKED = requests(ITEMS, np.tile(np.arange(5), (400, 1)), slots=2, seed=3)


def pool() -> Pool:
    made = Pool([Explore(LinUCB(), epsilon=0.2), LinTS(), Uniform()])
    made.update(experience(ITEMS, 50))
    return made


def test_the_champion_decides_and_the_others_state_their_chances() -> None:
    policies = pool()
    champion, thompson, uniform = policies.policies
    made = policies.decide(ASKED, policies.first)
    decisions = champion.decide(ASKED)
    assert [one.slate for one in made] == decisions.slates.tolist()
    assert [one.propensities for one in made] == decisions.propensities.tolist()
    assert {one.policy for one in made} == {champion.name}
    assert {one.version for one in made} == {50}
    for other in (thompson, uniform):
        stated = other.propensities(ASKED, decisions.slates)
        np.testing.assert_array_equal([one.shadow[other.name] for one in made], stated)


def test_the_canary_is_a_stable_share_of_users() -> None:
    policies = pool()
    shares = {}
    for share in (0.1, 0.3):
        roles = Roles(champion=policies.first.champion, challenger="lints", canary=share)
        made = policies.decide(ASKED, roles)
        shares[share] = {n for n, one in enumerate(made) if one.policy == "lints"}
        expected = 400 * share
        assert abs(len(shares[share]) - expected) < 4 * np.sqrt(400 * share * (1 - share))
        for n, one in enumerate(made):
            mate = policies.first.champion if n in shares[share] else "lints"
            assert set(one.shadow) == {mate, "uniform"}
    assert shares[0.1] < shares[0.3]


def test_decisions_of_the_canary_are_the_challengers_own() -> None:
    policies = pool()
    roles = Roles(champion=policies.first.champion, challenger="lints", canary=0.5)
    mixed = policies.decide(ASKED, roles)
    alone = policies.policies[1].decide(ASKED)
    for n, one in enumerate(mixed):
        if one.policy == "lints":
            assert one.slate == alone.slates[n].tolist()
            assert one.propensities == alone.propensities[n].tolist()


def test_everyone_is_in_a_canary_of_all_and_nobody_in_one_of_none() -> None:
    policies = pool()
    champion = policies.first.champion
    all_of_them = Roles(champion=champion, challenger="uniform", canary=1.0)
    assert {one.policy for one in policies.decide(ASKED, all_of_them)} == {"uniform"}
    none = Roles(champion=champion, challenger="uniform", canary=0.0)
    assert {one.policy for one in policies.decide(ASKED, none)} == {champion}


def test_promotion_and_rollback_undo_each_other() -> None:
    start = Roles(champion="a", challenger="b", canary=0.2)
    assert start.rolled_back("bad") == Roles(champion="a", reason="bad")
    promoted = start.promoted("b", "better")
    assert promoted == Roles(champion="b", before="a", reason="better")
    assert promoted.rolled_back("worse") == Roles(champion="a", reason="worse")
    with pytest.raises(RoleError, match="nothing to roll back to"):
        promoted.rolled_back("worse").rolled_back("worse")


@pytest.mark.parametrize(
    ("roles", "said"),
    [
        (Roles(champion="lintz"), "did you mean 'lints'"),
        (Roles(champion="lints", challenger="nobody"), "there are"),
        (Roles(champion="lints", canary=0.5), "needs a challenger"),
        (Roles(champion="lints", challenger="uniform", canary=1.5), "between 0 and 1"),
    ],
)
def test_roles_that_nobody_can_take_are_refused(roles: Roles, said: str) -> None:
    with pytest.raises(RoleError, match=said):
        pool().check(roles)


def test_two_policies_of_one_name_are_refused() -> None:
    with pytest.raises(RoleError, match="named 'uniform'"):
        Pool([Uniform(), Uniform(seed=1)])


def test_raised_exploration_is_stated_exactly() -> None:
    policies = pool()
    policies.raised = 0.6
    made = policies.decide(ASKED, policies.first)
    wrapped = policies.policies[0]
    assert isinstance(wrapped, Explore)
    exploring = Explore(wrapped.policy, epsilon=0.6, seed=wrapped.seed).decide(ASKED)
    assert [one.propensities for one in made] == exploring.propensities.tolist()
    assert {one.version for one in made} == {50}


def test_raised_exploration_lowers_nobodys_and_leaves_those_alone_who_choose_at_random() -> None:
    bold = Pool([Explore(Popular(), epsilon=0.9), LinTS()])
    before = bold.decide(ASKED, bold.first)
    lints = Roles(champion="lints")
    thompson = bold.decide(ASKED, lints)
    bold.raised = 0.5
    assert bold.decide(ASKED, bold.first) == before
    assert bold.decide(ASKED, lints) == thompson
