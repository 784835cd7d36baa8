"""Networks that were trained elsewhere, served without torch: laws, choices, saving, speed."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from agents import PAD, RecloopError, Spec, check_policy
from agents.deep.latent import Latent, LatentPolicy, judged
from agents.deep.places import SlotNet
from agents.situations import CANDIDATES, CONTEXT, SLOTS, WIDTH
from agents.store import load, save
from tests.agents.deep import made
from tests.agents.support import catalogue, requests

if TYPE_CHECKING:
    from pathlib import Path

MADE = [made.ranks, made.places, made.values, made.wolpertinger, made.gems]


def asked(count: int = 5, slots: int = SLOTS) -> Any:
    everything = np.tile(np.arange(CANDIDATES), (count, 1))
    return requests(catalogue(9, WIDTH), everything, slots=slots, width=CONTEXT)


@pytest.mark.parametrize("make", MADE, ids=lambda make: str(make.__name__))
def test_they_keep_the_laws(make: Any) -> None:
    check_policy(make)


@pytest.mark.parametrize(
    ("make", "spec"),
    [
        (made.ranks, "slot-net"),
        (made.places, "slot-net"),
        (made.values, "place-net+epsilon=0.2"),
        (made.wolpertinger, "latent:epsilon=0.1"),
        (made.gems, "latent:epsilon=0.1"),
    ],
    ids=lambda part: getattr(part, "__name__", part),
)
def test_they_are_saved_and_come_back(make: Any, spec: str, tmp_path: Path) -> None:
    policy = make()
    save(policy, Spec.parse(spec, getattr(policy, "seed", 0)), tmp_path)
    mine, theirs = policy.decide(asked()), load(tmp_path).decide(asked())
    np.testing.assert_array_equal(mine.slates, theirs.slates)
    np.testing.assert_array_equal(mine.propensities, theirs.propensities)


def test_serving_needs_no_torch() -> None:
    code = (
        "import sys; from tests.agents.deep import made, test_serving as t; "
        "made.ranks().decide(t.asked()); made.gems().decide(t.asked()); print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"torch", "stable_baselines3", "gymnasium"}.isdisjoint(run.stdout.split())


def test_the_critic_chooses_among_the_nearest() -> None:
    latent = Latent(np.full(2, -1.0, np.float32), np.full(2, 1.0, np.float32), nearest=2)
    items = np.array([[0.1, 0.0], [0.9, 0.9], [0.0, 0.2], [-1.0, 0.0]], np.float32)
    candidates = np.array([[0, 1, 2, 3, PAD]])
    fits = latent.scores(np.zeros((1, 2), np.float32), items, candidates)
    np.testing.assert_allclose(fits[0, 0, :4], [-0.01, -1.62, -0.04, -1.0], rtol=1e-5)
    near = latent.near(fits, candidates)
    np.testing.assert_array_equal(near, [[0, PAD, 2, PAD, PAD]])
    order = judged(fits, near, np.array([[3.0, 0.0, 7.0, 0.0, 0.0]]))[0, 0, :4].argsort()[::-1]
    np.testing.assert_array_equal(order, [2, 0, 3, 1])


def test_points_and_actions_are_each_others_inverse_within_the_box() -> None:
    latent = Latent(np.array([-2.0, 0.0], np.float32), np.array([2.0, 10.0], np.float32))
    actions = np.array([[-1.0, 1.0], [0.5, 0.0]], np.float32)
    np.testing.assert_allclose(latent.points(actions), [[-2.0, 10.0], [1.0, 5.0]])
    np.testing.assert_allclose(latent.actions(latent.points(actions)), actions)
    np.testing.assert_allclose(latent.points(actions * 9), [[-2.0, 10.0], [2.0, 5.0]])


def test_requests_that_a_network_was_not_trained_for_are_refused() -> None:
    with pytest.raises(RecloopError, match="trained for slates of 3, not of 4"):
        made.ranks().decide(asked(slots=4))
    narrow = requests(catalogue(9, WIDTH), [[0, 1]], width=CONTEXT + 1)
    with pytest.raises(RecloopError, match="do not make one"):
        made.ranks().decide(narrow)
    with pytest.raises(RecloopError, match="no items of 2 features"):
        made.wolpertinger().decide(requests(catalogue(9, 2), [[0, 1]], width=CONTEXT))
    policy = made.ranks()
    assert isinstance(policy, SlotNet)
    before = policy.decide(asked())
    with pytest.raises(RecloopError, match="'logits'"):
        policy.load_state_dict(policy.state_dict() | {"logits": np.array([3, 2, 1])})
    np.testing.assert_array_equal(policy.decide(asked()).propensities, before.propensities)
    assert LatentPolicy().decide(asked()).slates.shape == (5, SLOTS)
