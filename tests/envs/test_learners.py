"""What is trained in environments: that it learns, and goes on where it was broken off."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

import envs.deep_learners
from agents import RecloopError
from agents.deep.actors import log_probability
from agents.store import load, save
from envs.deep_learners import BUILDERS
from envs.learners import DEEP, Learner, make_learner, own_generators
from simulators import make_world
from tests.envs.tiny import Tiny, judge

if TYPE_CHECKING:
    from pathlib import Path


def taught(
    agent: str, chapters: list[int], *, lanes: int = 20, world: Tiny | None = None
) -> Learner:
    learner = make_learner(agent, Tiny() if world is None else world, lanes, 1)
    for chapter, steps in enumerate(chapters):
        learner.learn(chapter, steps, lambda _: None, lambda: False)
    return learner


@pytest.fixture(autouse=True)
def _small_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envs.deep_learners, "LOGGED", (40, 25))


@pytest.mark.parametrize(
    ("agent", "lanes", "steps", "share"),
    [
        ("ppo", 40, 200, 0.7),
        ("a2c", 40, 200, 0.55),
        ("latent-topk", 20, 80, 0.4),
        ("latent-topk-td3", 20, 80, 0.4),
        ("latent-topk-ppo", 40, 160, 0.7),
        ("wolpertinger-sac", 20, 60, 0.85),
        ("wolpertinger-td3", 20, 60, 0.85),
        ("gems", 20, 80, 0.5),
        ("slateq", 40, 150, 0.5),
        ("slate-ahead", 40, 80, 0.85),
        ("reinforce", 20, 80, 0.9),
        ("neural-ranker", 20, 80, 0.85),
        ("cql", 20, 80, 0.85),
    ],
)
def test_they_learn_a_tiny_world(
    agent: str, lanes: int, steps: int, share: float, tmp_path: Path
) -> None:
    """`share` of the way from random to the best there is, and far beyond chance."""
    policy, spec = taught(agent, [steps], lanes=lanes).policy()
    save(policy, spec, tmp_path)
    found = judge(load(tmp_path), Tiny())
    assert found.gain > 8 * found.error
    assert found.score > share


def test_numbers_for_places_learn_slowly_what_features_tell_at_once() -> None:
    """MaskablePPO must learn for every place and rank alone what an item's features mean."""
    policy, _ = taught("maskable-ppo", [300], lanes=40, world=Tiny(3, 1)).policy()
    found = judge(policy, Tiny(3, 1))
    assert found.gain > 5 * found.error
    assert found.score > 0.4


@pytest.mark.parametrize(
    "agent", ["a2c", "maskable-ppo", "latent-topk", "wolpertinger-td3", "slateq"]
)
def test_a_training_that_goes_on_is_the_one_that_was_not_broken_off(agent: str) -> None:
    whole = taught(agent, [30, 30], lanes=10)
    first, second = taught(agent, [30], lanes=10), taught(agent, [], lanes=10)
    second.load_state_dict({name: part.copy() for name, part in first.state_dict().items()})
    curve = second.learn(1, 30, lambda _: None, lambda: False)
    assert len(curve) == 30
    state, wanted = second.state_dict(), whole.state_dict()
    assert state.keys() == wanted.keys()
    for name, part in wanted.items():
        np.testing.assert_array_equal(state[name], part, err_msg=name)


def test_a_state_of_another_model_is_refused() -> None:
    with pytest.raises(RecloopError, match="another model"):
        taught("a2c", []).load_state_dict(taught("latent-topk", []).state_dict())
    with pytest.raises(RecloopError, match="holds no model"):
        taught("a2c", []).load_state_dict({})


def test_the_names_are_those_that_can_be_built() -> None:
    assert set(DEEP) == set(BUILDERS)
    with pytest.raises(RecloopError, match="did you mean 'wolpertinger-sac'"):
        taught("wolpertinger-sca", [])
    with pytest.raises(RecloopError, match="takes no options"):
        taught("ppo:rate=1", [])
    with pytest.raises(RecloopError, match="items without features"):
        make_learner("latent-topk", make_world("RecoGym"), 4, 0)


def test_a_training_stops_when_it_is_told_to_and_says_how_far_it_is() -> None:
    learner, told = make_learner("a2c", Tiny(), 10, 0), list[int]()
    curve = learner.learn(0, 50, told.append, lambda: len(told) == 7)
    assert told == list(range(1, 8))
    assert len(curve) == 7


def test_lent_generators_are_given_back() -> None:
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    torch.manual_seed(3)
    threads = torch.get_num_threads()

    def draw() -> tuple[float, float, float]:
        return np.random.random(), random.random(), float(torch.rand(()))  # noqa: NPY002

    with own_generators(8):
        first = draw()
    undisturbed = draw()
    with own_generators(8):
        assert draw() == first
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    torch.manual_seed(3)
    assert draw() == undisturbed
    assert torch.get_num_threads() == threads


def test_slates_are_drawn_with_the_probability_that_is_stated() -> None:
    scores = torch.tensor([[0.3, -1.0, 0.8, 0.0]], dtype=torch.float64)
    pairs = torch.tensor([[i, j] for i in range(4) for j in range(4) if i != j])
    log_prob, entropy = log_probability(scores.expand(12, 4), pairs)
    worth = np.exp(scores.numpy()[0])
    for (i, j), found in zip(pairs.tolist(), log_prob.exp().tolist(), strict=True):
        wanted = worth[i] / worth.sum() * worth[j] / (worth.sum() - worth[i])
        assert found == pytest.approx(wanted)
    assert float(log_prob.exp().sum()) == pytest.approx(1.0)
    first = worth / worth.sum()
    rest = [np.delete(worth, i) / np.delete(worth, i).sum() for i in range(4)]
    for (i, _), found in zip(pairs.tolist(), entropy.tolist(), strict=True):
        wanted = -(first * np.log(first)).sum() - (rest[i] * np.log(rest[i])).sum()
        assert found == pytest.approx(wanted)


def test_an_actor_draws_as_it_states_and_its_policy_states_the_same() -> None:
    learner = taught("ppo", [20], lanes=40)
    world = learner.world
    policy, _ = learner.policy()
    asked = world.requests()
    first = policy.distribution(asked)  # type: ignore[attr-defined]
    model = learner.model  # type: ignore[attr-defined]
    documents, user = asked.items.features[asked.candidates], asked.context
    obs = {"documents": torch.from_numpy(documents), "user": torch.from_numpy(user)}
    draws = 400
    with own_generators(5), torch.no_grad():
        drawn = torch.stack([model.policy(obs)[0][:, 0] for _ in range(draws)]).numpy()
    for m in range(documents.shape[1]):
        seen, stated = (drawn == m).mean(axis=0), first[:, m]
        error = np.sqrt(stated * (1 - stated) / draws)
        assert (np.abs(seen - stated) < 5 * error + 1e-3).all()
