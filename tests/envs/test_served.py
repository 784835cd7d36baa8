"""Worlds as they are met by what serves: what is shown, and how actions are read."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from sb3_contrib.common.maskable.utils import get_action_masks

from agents.deep.latent import Latent
from envs import slates_from
from envs.served import MaskedRanks, Points, Ranks, ServedVecEnv, Whole, best, make_served, served
from simulators import WorldError
from tests.envs.support import IDS
from tests.envs.tiny import Tiny

UNIT = Latent(np.zeros(2, np.float32), np.ones(2, np.float32))


def test_only_what_requests_carry_is_observed() -> None:
    env = make_served("recloop/InterestEvolution-v0", 3)
    assert isinstance(env.observation_space, spaces.Dict)
    assert set(env.observation_space.spaces) == {"documents", "user"}
    seen = env.reset()
    assert set(seen) == {"documents", "user"}
    infos: list[dict[str, object]] = [{}]
    while not any(infos):
        seen, _, _, infos = env.step(np.zeros((3, 3), dtype=np.int64))
    ended = next(info for info in infos if info)
    last = ended["terminal_observation"]
    assert isinstance(last, dict)
    assert set(last) == {"documents", "user"}
    fixed = make_served("recloop/SlateTopK-Bored-v0", 2, **IDS["recloop/SlateTopK-Bored-v0"])
    assert fixed.observation_space.shape == fixed.reset().shape[1:]


@pytest.mark.parametrize("way", ["ranks", "masked", "slates", "points"])
def test_actions_mean_the_slates_that_the_world_is_shown(way: str) -> None:
    one, other = Tiny(), Tiny()
    actions = {
        "ranks": Ranks(one),
        "masked": MaskedRanks(one),
        "slates": Whole(one),
        "points": Points(one, UNIT),
    }[way]
    env = ServedVecEnv(served(one, 4), actions)
    env.seed(5)
    seen = env.reset()
    other.reset(np.arange(5, 9, dtype=np.uint64))
    env.action_space.seed(1)
    for _ in range(4):
        given = np.stack([env.action_space.sample() for _ in range(4)])
        if way == "points":
            away = ((seen["documents"] - given[:, None, :]) ** 2).sum(axis=2)
            slates = away.argsort(axis=1)[:, :2]
        elif way == "slates":
            slates = given
        else:
            given[:, 1] = np.minimum(given[:, 1], 4)
            slates = slates_from(given)
        seen, rewards, _, _ = env.step(given)
        np.testing.assert_array_equal(rewards, other.step(slates).reward)
        if other.lanes["ended"].all():
            other.renew(np.ones(4, dtype=np.bool_))


def test_masks_leave_every_slot_the_ranks_that_are_left() -> None:
    env = make_served("recloop/InterestEvolution-v0", 2, "masked", num_candidates=4, slate_size=3)
    wanted = [[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0]]
    np.testing.assert_array_equal(get_action_masks(env), [np.ravel(wanted)] * 2)


def test_no_place_is_shown_twice() -> None:
    scores = np.array([[[0.1, 0.9, 0.5], [0.2, 0.8, 0.3]]])
    np.testing.assert_array_equal(best(scores, 2), [[1, 2]])
    np.testing.assert_array_equal(best(scores[:, :1], 3), [[1, 2, 0]])


def test_what_there_is_not_is_refused() -> None:
    with pytest.raises(WorldError, match="ranks, masked, slates"):
        make_served("recloop/InterestEvolution-v0", 2, "points")
    with pytest.raises(WorldError, match="not a world"):
        make_served("CartPole-v1", 2)
    env = ServedVecEnv(served(Tiny(), 2), Whole(Tiny()))
    with pytest.raises(WorldError, match="one object"):
        env.env_method("action_masks_of_somebody_else")
