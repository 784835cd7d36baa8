"""Who decides for whom, what the others say of it, and what becomes of orders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from agents import Explore, LinTS, LinUCB, Popular, Uniform
from agents.api import keys_of
from streaming.pool import Loosened, Pool, in_canary
from streaming.roles import Canary, Promote, Raised, RoleError, Roles, Rollback
from streaming.roles import Explore as Exploring
from tests.agents.support import catalogue, experience, requests

if TYPE_CHECKING:
    from streaming.roles import Order

ITEMS = catalogue(5)
ASKED = requests(ITEMS, np.tile(np.arange(5), (400, 1)), slots=2, seed=3)
START = Roles(champion="a", policies=["a", "bold", "c"])


def pool() -> Pool:
    policies = Explore(LinUCB(), epsilon=0.2), LinTS(), Uniform()
    for policy in policies:
        policy.update(experience(ITEMS, 50))
    return Pool(policies)


def roles(made: Pool, **given: object) -> Roles:
    first = next(iter(made.policies))
    return Roles(champion=first, policies=list(made.policies)).changed("", **given)


def test_the_champion_decides_and_the_others_state_their_chances() -> None:
    policies = pool()
    champion, thompson, uniform = policies.policies.values()
    made = policies.decide(ASKED, roles(policies))
    decisions = champion.decide(ASKED)
    assert [one.slate for one in made] == decisions.slates.tolist()
    assert [one.propensities for one in made] == decisions.propensities.tolist()
    assert {one.policy for one in made} == {champion.name}
    assert {one.version for one in made} == {50}
    for other in (thompson, uniform):
        stated = other.propensities(ASKED, decisions.slates)
        np.testing.assert_array_equal([one.shadow[other.name] for one in made], stated)


def test_slates_end_where_the_candidates_do() -> None:
    few = requests(ITEMS, [[3, -1, -1], [1, 2, 4]], slots=2)
    policies = Pool([Uniform(), LinTS()])
    short, full = policies.decide(few, roles(policies))
    assert (short.slate, short.propensities) == ([3], [1.0])
    assert len(short.shadow["lints"]) == 1
    assert len(full.slate) == len(full.shadow["lints"]) == 2


def test_the_canary_decides_for_its_users_as_it_would_alone_and_the_champion_is_its_shadow() -> (
    None
):
    policies = pool()
    champion, thompson, _ = policies.policies.values()
    made = policies.decide(ASKED, roles(policies, canary="lints", share=0.5))
    mine = in_canary(ASKED.users, 0.5)
    assert [one.policy == "lints" for one in made] == mine.tolist()
    alone = thompson.decide(ASKED)
    stated = champion.propensities(ASKED, alone.slates)
    for n in np.flatnonzero(mine):
        assert made[n].slate == alone.slates[n].tolist()
        assert made[n].propensities == alone.propensities[n].tolist()
        np.testing.assert_array_equal(made[n].shadow[champion.name], stated[n])
        assert made[n].shadow.keys() == {champion.name, "uniform"}


def test_a_canary_that_grows_keeps_its_users() -> None:
    users = keys_of(f"user {n}" for n in range(20_000))
    before = np.zeros(len(users), dtype=bool)
    for share in (0.0, 0.05, 0.2, 0.7, 1.0):
        now = in_canary(users, share)
        assert not (before & ~now).any()
        assert abs(now.mean() - share) <= 4 * np.sqrt(share * (1 - share) / len(users))
        before = now


@pytest.mark.parametrize("policy", [Explore(LinUCB(), epsilon=0.2), LinTS(), Popular()])
def test_a_loosened_policy_states_what_it_does(policy: LinUCB) -> None:
    """By enumeration: the slate's probability is that of the mixture, and frequencies agree."""
    policy.update(experience(ITEMS, 50))
    epsilon = 0.4
    loosened, random = Loosened(policy, epsilon), Uniform()
    one = ASKED.take(np.zeros(1, dtype=np.int64))
    total = 0.0
    for a in range(5):
        for b in set(range(5)) - {a}:
            slate = np.array([[a, b]])
            mixture = (1 - epsilon) * policy.propensities(one, slate).prod()
            mixture += epsilon * random.propensities(one, slate).prod()
            assert loosened.propensities(one, slate).prod() == pytest.approx(mixture)
            total += mixture
    assert total == pytest.approx(1.0)
    decisions = loosened.decide(ASKED)
    np.testing.assert_array_equal(
        decisions.propensities, loosened.propensities(ASKED, decisions.slates)
    )
    same = (decisions.slates == policy.decide(ASKED).slates).all(axis=1).mean()
    random_alike = policy.propensities(ASKED, random.decide(ASKED).slates).prod(axis=1).mean()
    expected = 1 - epsilon + epsilon * random_alike
    assert abs(same - expected) < 5 * np.sqrt(0.25 / len(ASKED))


def test_the_least_likely_slate_has_chances_too() -> None:
    """Of 100 out of 30,000 items: its probability is less than any number that floats hold."""
    many = catalogue(30_000)
    asked = requests(many, [np.arange(30_000)], slots=100, seed=1)
    loosened, random = Loosened(Popular(), 0.5), Uniform()
    slates = random.decide(asked).slates
    chances = loosened.propensities(asked, slates)[0]
    own, any_ = (p.propensities(asked, slates)[0] for p in (Popular(), random))
    assert chances[0] == pytest.approx(0.5 * own[0] + 0.5 * any_[0])
    np.testing.assert_allclose(chances[1:], any_[1:])  # the first item has given it away


def test_raised_exploration_is_everyones_and_decays() -> None:
    policies = pool()
    champion, thompson, _ = policies.policies.values()
    raised = roles(policies, raised=Raised(0.8, at=100, half_life=50))
    assert [raised.exploring(n) for n in (100, 149, 150, 250)] == [0.8, 0.8, 0.4, 0.1]
    assert raised.exploring(100 + 50 * 8) == 0.0
    made = policies.decide(ASKED, raised, learned=170)
    decisions = Loosened(champion, 0.4).decide(ASKED)
    assert [one.propensities for one in made] == decisions.propensities.tolist()
    stated = Loosened(thompson, 0.4).propensities(ASKED, decisions.slates)
    np.testing.assert_array_equal([one.shadow["lints"] for one in made], stated)


def test_a_challengers_life() -> None:
    canary = Canary(policy="bold", share=0.1).obeyed(START, 10)
    assert (canary.champion, canary.canary, canary.share, canary.since) == ("a", "bold", 0.1, 0)
    promoted = Promote(policy="bold", reason="better").obeyed(canary, 20)
    assert (promoted.champion, promoted.before, promoted.canary) == ("bold", "a", None)
    assert (promoted.since, promoted.reason, promoted.revision) == (20, "better", 2)
    back = Rollback(reason="worse").obeyed(promoted, 30)
    assert (back.champion, back.before, back.since, back.reason) == ("a", None, 30, "worse")


def test_a_rollback_ends_the_canary_first() -> None:
    promoted = Promote(policy="bold").obeyed(START, 5)
    canary = Canary(policy="c", share=0.3).obeyed(promoted, 10)
    ended = Rollback().obeyed(canary, 20)
    assert (ended.champion, ended.canary, ended.share) == ("bold", None, 0.0)
    assert Rollback().obeyed(ended, 30).champion == "a"


def test_a_share_of_nothing_ends_a_canary() -> None:
    canary = Canary(policy="bold", share=0.3).obeyed(START, 10)
    ended = Canary(policy="bold", share=0.0).obeyed(canary, 20)
    assert (ended.canary, ended.share) == (None, 0.0)


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (Promote(policy="bald"), "did you mean 'bold'"),
        (Promote(policy="nobody"), "There are a, bold, c"),
        (Promote(policy="a"), "champion already"),
        (Canary(policy="a", share=0.1), "champion already"),
        (Canary(policy="bold", share=1.5), "between 0 and 1"),
        (Canary(policy="bold", share=0.0), "no canary"),
        (Rollback(), "nothing to roll back to"),
        (Exploring(epsilon=2.0), "probability"),
        (Exploring(epsilon=0.1, half_life=0), "one outcome or more"),
    ],
)
def test_orders_that_cannot_be_obeyed_are_refused(order: Order, said: str) -> None:
    with pytest.raises(RoleError, match=said):
        order.obeyed(START, 0)


def test_roles_are_kept_by_loops_that_still_serve_them() -> None:
    assert START.serving(["other", "a"]).champion == "other"  # nobody has ordered anything
    promoted = Promote(policy="bold").obeyed(START, 0)
    assert promoted.serving(["a", "bold"]).champion == "bold"
    with pytest.raises(RoleError, match="give it as a challenger"):
        promoted.serving(["a"])
    canary = Canary(policy="c", share=0.3).obeyed(promoted, 10)
    assert canary.serving(["a", "bold"]).canary is None


def test_two_policies_of_one_name_are_refused() -> None:
    with pytest.raises(RoleError, match="named 'uniform'"):
        Pool([Uniform(), Uniform(seed=1)])
