"""Networks that were trained elsewhere, served without torch: laws, choices, saving, speed."""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from agents import PAD, Policy, RecloopError, Spec, StateError, check_policy
from agents.deep.latent import Latent, LatentPolicy, judged
from agents.deep.mlp import LAYERNORM, Layer, Mlp
from agents.deep.places import SlotNet
from agents.situations import CANDIDATES, CONTEXT, SLOTS, WIDTH
from agents.store import load, save
from tests.agents.deep import made
from tests.agents.support import catalogue, requests

if TYPE_CHECKING:
    from pathlib import Path

MADE = [
    made.ranks,
    made.places,
    made.values,
    made.wolpertinger,
    made.gems,
    made.slateq,
    made.ahead,
]


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
        (made.slateq, "slateq+epsilon=0.2"),
        (made.ahead, "slate-ahead+temperature=0.5"),
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
        "made.ranks().decide(t.asked()); made.gems().decide(t.asked()); "
        "made.slateq().decide(t.asked()); made.ahead().decide(t.asked()); print(*sys.modules)"
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
    state = policy.state_dict() | {"ranks": np.array(False)}
    del state["version"]
    with pytest.raises(StateError, match="'version'"):
        policy.load_state_dict(state)
    np.testing.assert_array_equal(policy.decide(asked()).propensities, before.propensities)


@pytest.mark.parametrize("make", MADE, ids=lambda make: str(make.__name__))
def test_a_row_beyond_the_catalogue_is_not_read(make: Any) -> None:
    far = requests(catalogue(9, WIDTH), [[0, 1, 10**9, 3, 4, 5]], slots=SLOTS, width=CONTEXT)
    with pytest.raises(IndexError):
        make().decide(far)


def refused(policy: Policy, changes: Any, said: str) -> None:
    """See that a state with these changes is refused, and nothing has changed then."""
    before = policy.propensities(asked(), policy.decide(asked()).slates)
    with pytest.raises(StateError, match=said):
        policy.load_state_dict(policy.state_dict() | changes)
    after = policy.propensities(asked(), policy.decide(asked()).slates)
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("make", [made.slateq, made.ahead], ids=["slateq", "ahead"])
def test_networks_that_do_not_fit_together_are_refused(make: Any) -> None:
    policy = make()
    state = policy.state_dict()
    nets = [name.removesuffix(".program") for name in state if name.endswith(".program")]
    for name in nets:
        net = Mlp.load(state, name)
        for widths in ((net.n_in + 1, net.n_out), (net.n_in, net.n_out + 1)):
            refused(policy, Mlp.stack(widths, 0).state(name), "do not fit together")


def test_slate_ahead_takes_no_networks_that_it_cannot_step_back_through() -> None:
    policy = made.ahead()
    for name in ("move", "value", "straight"):
        net = Mlp.load(policy.state_dict(), name)
        norm = Layer(LAYERNORM, net.n_in, net.n_in, np.ones(2 * net.n_in + 1, np.float32))
        linear = Mlp.stack([net.n_in, net.n_out], 0)
        normed = Mlp.of([norm, Layer(0, net.n_in, net.n_out, linear.params)])
        refused(policy, normed.state(name), "LayerNorm|one linear layer")
    for looked_at in (np.zeros(0, np.float32), np.ones((2, 2), np.float32)):
        refused(policy, {"looked_at": looked_at}, "looked_at")


@pytest.mark.parametrize("slots", [1, 2, SLOTS, CANDIDATES + 1])
def test_around_slate_ahead_every_slate_is_as_likely_as_is_said(slots: int) -> None:
    """Plackett-Luce written out over all slates there are; the policy has learned of two slots."""
    policy, offered = made.ahead(), [3, PAD, 0, 7, PAD, 5]
    one = requests(catalogue(9, WIDTH), offered, slots=slots, width=CONTEXT)
    scores = dict(zip(offered, policy.scores(one)[0], strict=True))  # type: ignore[attr-defined]
    shown, total = min(slots, 4), 0.0
    for slate in itertools.permutations([item for item in offered if item != PAD], shown):
        full = np.array([[*slate, *[PAD] * (slots - shown)]])
        stated = policy.propensities(one, full)[0]
        for k in range(shown):
            left = [np.exp(2 * scores[item]) for item in scores if item not in (PAD, *slate[:k])]
            assert stated[k] == pytest.approx(np.exp(2 * scores[slate[k]]) / sum(left))
        total += stated.prod()
    assert total == pytest.approx(1.0)
    many = one.take(np.zeros(4000, np.int64))
    many = dataclasses.replace(many, keys=np.arange(4000, dtype=np.uint64))
    decisions = policy.decide(many)
    np.testing.assert_array_equal(
        policy.propensities(many, decisions.slates), decisions.propensities
    )
    for item in (3, 0, 7, 5):
        chance = float(policy.propensities(one, np.array([[item, *[PAD] * (slots - 1)]]))[0, 0])
        share, error = (
            (decisions.slates[:, 0] == item).mean(),
            (chance * (1 - chance) / 4000) ** 0.5,
        )
        assert abs(share - chance) < 4 * error
