"""What others trained, as policies: the same probabilities and choices, or a reason why not."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from river.linear_model import LinearRegression
from sb3_contrib import RecurrentPPO
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.utils import obs_as_tensor
from torch import nn

from agents import PAD, Explore, RecloopError, Requests, check_policy
from agents.deep.adapters import from_sb3, from_torch
from agents.river import from_river
from agents.situations import CANDIDATES, CONTEXT, WIDTH
from envs.sb3 import make_sb3
from envs.served import make_served
from tests.agents.support import catalogue, experience, requests

if TYPE_CHECKING:
    from agents import Policy
    from agents.api import Floats

BOX = partial(spaces.Box, -1.0, 1.0, dtype=np.float32)


class Stage(gymnasium.Env[Any, Any]):
    """An environment that has spaces, and nothing that happens in it."""

    def __init__(self, observation: spaces.Space[Any], action: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = observation, action

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 0.0, False, True, {}


def situation(documents: bool = True) -> spaces.Space[Any]:
    user = BOX((CONTEXT,))
    return spaces.Dict(documents=BOX((CANDIDATES, WIDTH)), user=user) if documents else user


def untrained(kind: Any, observation: Any, action: Any, **options: Any) -> Any:
    """A model of SB3 with a small network, its last layers away from zero."""
    policy = "MultiInputPolicy" if isinstance(observation, spaces.Dict) else "MlpPolicy"
    with torch.random.fork_rng():
        model = kind(
            policy,
            Stage(observation, action),
            policy_kwargs={"net_arch": [8]},
            device="cpu",
            **options,
        )
        torch.manual_seed(3)
        for parameter in model.policy.parameters():
            nn.init.normal_(parameter, std=0.7)
    return model


class Bilinear(nn.Module):
    """A module that is no stack: context and items meet in a product."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(CONTEXT, WIDTH)

    def forward(self, context: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = (self.layer(context)[:, None, :] * items).sum(dim=2)
        return scores


class Echo(nn.Module):
    """A module that answers no scores."""

    def forward(self, context: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        return items


def bilinear() -> Policy:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return Explore(from_torch(Bilinear()), temperature=0.5)


def stack() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(CONTEXT + WIDTH, 6), nn.Tanh(), nn.Linear(6, 1))


def test_a_policy_that_asks_torch_keeps_the_laws() -> None:
    check_policy(bilinear)


def visits(env: Any, seen: Any) -> Requests:
    """The requests that an environment's observation stands for."""
    _, M, F = seen["documents"].shape
    B = env.num_envs
    items = catalogue(B * M, F)
    items.features[:] = seen["documents"].reshape(B * M, F)
    asked = requests(items, np.arange(B * M).reshape(B, M), slots=env.env.world.slate_size)
    return Requests(
        asked.keys, asked.users, seen["user"], asked.candidates, items, asked.positions, asked.time
    )


def test_a_slates_probability_is_the_models_own() -> None:
    env = make_served("recloop/InterestEvolution-v0", 12, num_candidates=6, slate_size=3)
    torch.set_num_threads(1)
    model = PPO("MultiInputPolicy", env, n_steps=8, batch_size=32, n_epochs=1, seed=1, device="cpu")
    model.learn(96)
    policy, seen = from_sb3(model, seed=2), env.reset()
    asked = visits(env, seen)
    decided = policy.decide(asked)
    ranks = np.empty_like(decided.slates)
    for b, slate in enumerate(decided.slates):
        left = asked.candidates[b].tolist()
        for k, item in enumerate(slate.tolist()):
            ranks[b, k] = left.index(item)
            left.remove(item)
    with torch.no_grad():
        _, log_prob, _ = model.policy.evaluate_actions(
            obs_as_tensor(seen, model.device), torch.from_numpy(ranks)
        )
    np.testing.assert_allclose(
        np.log(decided.propensities).sum(axis=1), log_prob.numpy(), rtol=1e-4, atol=1e-5
    )


def renormalised(logits: Floats, slate: list[int]) -> Floats:
    """The probability of every slot's place: its softmax without what stands before it."""
    chances = np.exp(logits)
    left, found = np.ones(logits.shape[1], dtype=bool), []
    for k, place in enumerate(slate):
        found.append(chances[k, place] / chances[k, left].sum())
        left[place] = False
    return np.array(found)


def test_places_are_drawn_without_replacement_and_renormalised() -> None:
    model = untrained(A2C, situation(documents=False), spaces.MultiDiscrete([5, 5, 5]))
    keys = catalogue(7).keys[[6, 2, 0, 3, 5]]
    policy = from_sb3(model, keys=keys, seed=1)
    asked = requests(catalogue(7, WIDTH), [[0, 1, 2, 3, 5, 6]] * 9, slots=3, width=CONTEXT)
    with torch.no_grad():
        hidden = model.policy.mlp_extractor.policy_net(torch.from_numpy(asked.context))
        logits = model.policy.action_net(hidden).double().numpy().reshape(9, 3, 5)
    place = {6: 0, 2: 1, 0: 2, 3: 3, 5: 4}
    decided = policy.decide(asked)
    for b, slate in enumerate(decided.slates.tolist()):
        wanted = renormalised(logits[b], [place[item] for item in slate])
        np.testing.assert_allclose(decided.propensities[b], wanted, rtol=1e-4)


def test_values_and_points_choose_as_the_model_does() -> None:
    dqn = untrained(DQN, situation(), spaces.Discrete(CANDIDATES), buffer_size=10)
    asked = requests(catalogue(9, WIDTH), np.tile(np.arange(CANDIDATES), (20, 1)), width=CONTEXT)
    documents = asked.items.features[asked.candidates]
    chosen, _ = dqn.predict({"documents": documents, "user": asked.context}, deterministic=True)
    decided = from_sb3(dqn).decide(asked)
    np.testing.assert_array_equal(decided.slates[:, 0], chosen)
    assert (decided.propensities == 1.0).all()
    box = spaces.Box(np.float32(-2.0), np.float32(3.0), (WIDTH,))
    for model in (
        untrained(SAC, situation(documents=False), box, buffer_size=10),
        untrained(TD3, situation(documents=False), box, buffer_size=10),
        untrained(PPO, situation(documents=False), box),
    ):
        points, _ = model.predict(asked.context, deterministic=True)
        away = ((documents - points[:, None, :]) ** 2).sum(axis=2)
        decided = from_sb3(model).decide(asked)
        np.testing.assert_array_equal(decided.slates[:, 0], away.argmin(axis=1))


def test_torch_and_river_are_asked_what_they_would_answer_alone() -> None:
    module = Bilinear()
    asked = requests(catalogue(9, WIDTH), [[1, 4, PAD, 8]] * 3, width=CONTEXT)
    scores = from_torch(module).scores(asked)
    with torch.no_grad():
        items = torch.from_numpy(asked.items.features[[1, 4, 8]])
        wanted = module(torch.from_numpy(asked.context), items.expand(3, 3, WIDTH)).numpy()
    np.testing.assert_allclose(scores[:, [0, 1, 3]], wanted, rtol=1e-5, atol=1e-6)
    rows = np.concatenate([np.tile(asked.context[:1], (3, 1)), items.numpy()], axis=1)
    compiled = from_torch(stack())
    assert compiled.net is not None
    with torch.no_grad():
        wanted = stack()(torch.from_numpy(rows)).numpy()[:, 0]
    np.testing.assert_allclose(compiled.scores(asked)[0, [0, 1, 3]], wanted, rtol=1e-5, atol=1e-6)
    policy = from_river(LinearRegression())
    policy.update(experience(catalogue(4), 50))
    decided = policy.decide(requests(catalogue(4), [[0, 1, 2, 3]]))
    assert decided.slates[0, 0] == policy.scores(requests(catalogue(4), [[0, 1, 2, 3]])).argmax()
    assert decided.propensities[0, 0] == 1.0


def test_what_cannot_be_served_is_refused_with_the_reason() -> None:
    env = make_sb3("recloop/InterestEvolution-v0", 2)
    flat = situation(documents=False)
    for model, reason in (
        (
            PPO("MultiInputPolicy", env, device="cpu"),
            "clicked, quality, topic, watch_time, w",
        ),
        (untrained(PPO, flat, spaces.MultiBinary(4)), "are no slates"),
        (untrained(PPO, BOX((2, 3, 4)), spaces.Discrete(3)), "a row of numbers"),
        (
            untrained(SAC, flat, BOX((2, 2)), buffer_size=10),
            "must be a bounded Box",
        ),
        (
            PPO(
                "MlpPolicy",
                Stage(flat, spaces.Discrete(3)),
                policy_kwargs={"activation_fn": nn.SiLU},
                device="cpu",
            ),
            "a SiLU cannot be compiled",
        ),
        (RecurrentPPO("MlpLstmPolicy", Stage(flat, spaces.Discrete(3)), device="cpu"), "earlier"),
    ):
        with pytest.raises(RecloopError, match=reason):
            from_sb3(model)
    with pytest.raises(RecloopError, match="must answer a score for every item"):
        from_torch(Echo()).decide(requests(catalogue(9, WIDTH), [[0, 1]], width=CONTEXT))
