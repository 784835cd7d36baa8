"""What outcomes teach, and what would ruin a policy for good."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agents import PAD, LessonError, Outcomes, Popular, make
from agents.lessons import lessons_of
from tests.agents.support import catalogue, experience, outcomes, requests


def facts() -> Outcomes:
    asked = requests(catalogue(4), [[0, 1, 2], [3, 2, PAD]], slots=3)
    return outcomes(asked, [[2, 0, 1], [3, 2, PAD]], [[0.5, 1.0, 0.0], [2.0, -1.0, 0.0]])


def test_lessons_are_the_seen_slots_in_their_order() -> None:
    seen = np.array([[True, False, True], [True, True, True]])
    found = lessons_of(replace(facts(), seen=seen))
    assert found.request.tolist() == [0, 0, 1, 1]
    assert found.item.tolist() == [2, 1, 3, 2]
    assert found.reward.tolist() == [0.5, 0, 2, -1]
    np.testing.assert_array_equal(found.key, catalogue(4).keys[found.item])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["reward", "context", "features"])
@pytest.mark.parametrize("name", ["popular", "linucb", "lints", "squarecb"])
def test_a_policy_is_not_ruined_by_what_is_no_number(name: str, where: str, bad: float) -> None:
    policy, good = make(name), experience(catalogue(4), 20)
    good = replace(good, rewards=(good.rewards > 0).astype(np.float32))
    policy.update(good)
    before = policy.state_dict()
    asked = good.requests
    if where == "reward":
        rewards = good.rewards.copy()
        rewards[7, 0] = bad
        wrong = replace(good, rewards=rewards)
    elif where == "context":
        context = asked.context.copy()
        context[7, 1] = bad
        wrong = replace(good, requests=replace(asked, context=context))
    else:
        features = asked.items.features.copy()
        features[good.decisions.slates[7, 0], 0] = bad
        wrong = replace(
            good, requests=replace(asked, items=replace(asked.items, features=features))
        )
    with pytest.raises(LessonError, match=r"outcome \d+ of the batch"):
        policy.update(wrong)
    after = policy.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_unseen_rewards_may_be_anything() -> None:
    rewards = facts().rewards.copy()
    rewards[0, 0] = np.nan
    seen = facts().seen.copy()
    seen[0, 0] = False
    Popular().update(replace(facts(), rewards=rewards, seen=seen))
