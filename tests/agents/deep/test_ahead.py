"""SlateAhead: that it learns, its targets, the slates that it finds, and that nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch as th

from agents import ShapeError, SlateAhead, SlateAheadPolicy, Spec, check_policy
from agents.store import load, save
from envs import WorldVectorEnv
from envs.sb3 import SlateVecEnv, make_sb3
from simulators import make_world, returns
from tests.agents.deep.bores import Bores, best_return, dull_return

if TYPE_CHECKING:
    from pathlib import Path

SMALL: dict[str, Any] = {
    "policy_kwargs": {"net_arch": (16,), "item_arch": (8,), "click_arch": (8,), "embedding": 4},
    "batch_size": 64,
    "gradient_steps": 2,
    "learning_starts": 64,
    "buffer_size": 2000,
    "seed": 5,
}
CATALOGUE, DRAWN = "SlateRerank-Bored", "InterestEvolution"


def small(world: str = CATALOGUE, **options: Any) -> SlateAhead:
    known = {"num_candidates": 6, "slate_size": 3} if world == DRAWN else {}
    env = make_sb3(f"recloop/{world}-v0", 8, session="brief", **known)
    return SlateAhead("MultiInputPolicy", env, **(SMALL | options))


def test_it_learns_what_clicks_do_together() -> None:
    env = SlateVecEnv(WorldVectorEnv(Bores(), 128, autoreset_mode="SameStep"))
    env.seed(0)
    model = SlateAhead("MultiInputPolicy", env, 3e-3, n_steps=3, **SMALL | {"batch_size": 256})
    model.learn(128 * 200)
    users = np.arange(10_000, 11_000, dtype=np.uint64)
    totals = returns(Bores(), model.to_policy(), users)
    error = totals.std() / len(totals) ** 0.5
    best, dull = best_return(), dull_return()
    assert best > 2 * dull
    assert totals.mean() > dull + 0.9 * (best - dull) + 3 * error
    assert totals.mean() < best + 4 * error


@pytest.mark.parametrize("world", [CATALOGUE, DRAWN])
def test_slates_are_filled_by_what_each_item_adds(world: str) -> None:
    """The derivative by differences, in double precision, slot by slot and item by item."""
    model = small(world).learn(400)
    batch = model.replay_buffer.draw(20, 1, 0.8, np.random.default_rng(1))
    nets = model.policy
    items, context = nets.on_offer(batch.documents), batch.context
    with th.no_grad():
        found = nets.best_for(context, items)
        chances, pay = nets.chances(context, items), nets.pay(context, items)
        traits, states = nets.traits(items), nets.standard(context)
        nets.double()
        for b in range(20):
            its = (traits if traits.ndim == 2 else traits[b]).double()
            clicked, open_ = th.zeros_like(its[0]), set(range(len(its)))
            for k in range(found.shape[1]):

                def worth(more: th.Tensor, b: int = b, clicked: th.Tensor = clicked) -> float:
                    state = nets.moved(states[b : b + 1].double(), (clicked + more)[None])
                    return float(nets.value(state))

                step = 1e-5
                adds = {
                    j: float(chances[b, j])
                    * (
                        float(pay[b, j])
                        + 0.8 * (worth(step * its[j]) - worth(-step * its[j])) / (2 * step)
                    )
                    for j in open_
                }
                chosen = int(found[b, k])
                assert adds[chosen] == pytest.approx(max(adds.values()), rel=1e-3, abs=1e-5)
                open_.remove(chosen)
                likely = float(nets.looked_at()[k]) * float(chances[b, chosen])
                clicked = clicked + likely * its[chosen]


def test_learning_targets_are_returns_and_the_value_after_them() -> None:
    model = small(n_steps=3, gamma=0.9).learn(400)
    batch = model.replay_buffer.draw(50, 3, 0.9, np.random.default_rng(1))
    laws = model.policy.clicks.context_law.law()
    with th.no_grad():
        ahead = model.policy.target((batch.next_context - laws[0]) / laws[1])[:, 0]
    wanted = batch.rewards / model.unit + batch.discounts * ahead
    np.testing.assert_allclose(model.wanted(batch).numpy(), wanted.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("world", [CATALOGUE, DRAWN])
def test_the_policy_shows_what_torch_would(world: str, tmp_path: Path) -> None:
    model = small(world).learn(600)
    known = {"num_candidates": 6, "slate_size": 3} if world == DRAWN else {}
    users = make_world(world, session="brief", **known)
    users.reset(np.arange(200, dtype=np.uint64))
    observed = {"user": users.context()}
    if world == DRAWN:
        observed["documents"] = users.documents()
    slates = model.policy.slates(observed)
    requests, policy = users.requests(), model.to_policy()
    decisions = policy.decide(requests)
    wanted = np.take_along_axis(requests.candidates, slates, axis=1)
    shown = requests.items.features[decisions.slates]
    alike = (shown == requests.items.features[wanted]).all(axis=(1, 2))
    assert alike.mean() > 0.98  # rounding decides between values that are all but equal
    save(policy, Spec.parse("slate-ahead"), tmp_path)
    np.testing.assert_array_equal(load(tmp_path).decide(requests).slates, decisions.slates)


def same(one: SlateAhead, other: SlateAhead) -> bool:
    states = one.policy.state_dict(), other.policy.state_dict()
    return all(th.equal(states[0][name], states[1][name]) for name in states[0])


def test_runs_are_the_same_bits_and_one_that_was_saved_goes_on(tmp_path: Path) -> None:
    kept = small().learn(600)
    assert same(kept, small().learn(600))
    assert not same(kept, small(seed=6).learn(600))
    kept.save(tmp_path / "model.zip")
    kept.save_replay_buffer(tmp_path / "buffer.pkl")
    loaded = SlateAhead.load(tmp_path / "model.zip")
    loaded.load_replay_buffer(tmp_path / "buffer.pkl")
    for model in (kept, loaded):
        env = make_sb3(f"recloop/{CATALOGUE}-v0", 8, session="brief")
        env.seed(9)
        model.set_env(env)
        model.learn(400, reset_num_timesteps=False)
    assert same(kept, loaded)


def test_a_policy_that_learned_nothing_keeps_the_laws() -> None:
    check_policy(SlateAheadPolicy)


def test_what_it_cannot_decide_for_is_said() -> None:
    world = make_world(CATALOGUE)
    world.reset(np.arange(3, dtype=np.uint64))
    with pytest.raises(ShapeError, match=r"trained on contexts of \d+ features and items of 10"):
        small().to_policy().decide(world.requests())
