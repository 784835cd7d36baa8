"""The champion decides, and its challengers state their chances."""

from __future__ import annotations

import numpy as np
import pytest

from agents import Explore, LinTS, LinUCB, Uniform
from streaming.roles import Pool, RoleError
from tests.agents.support import catalogue, experience, requests

ITEMS = catalogue(5)
ASKED = requests(ITEMS, np.tile(np.arange(5), (40, 1)), slots=2, seed=3)


def test_the_champion_decides_and_the_others_state_their_chances() -> None:
    champion, thompson, uniform = Explore(LinUCB(), epsilon=0.2), LinTS(), Uniform()
    for policy in (champion, thompson, uniform):
        policy.update(experience(ITEMS, 50))
    made = Pool(champion, [thompson, uniform]).decide(ASKED)
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
    short, full = Pool(Uniform(), [LinTS()]).decide(few)
    assert (short.slate, short.propensities) == ([3], [1.0])
    assert len(short.shadow["lints"]) == 1
    assert len(full.slate) == len(full.shadow["lints"]) == 2


def test_two_policies_of_one_name_are_refused() -> None:
    with pytest.raises(RoleError, match="named 'uniform'"):
        Pool(Uniform(), [Uniform(seed=1)])
