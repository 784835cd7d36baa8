"""Regret on a known linear world, beside dense reference implementations on the same world."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from agents import LinTS, LinUCB, from_spec
from tests.agents.support import catalogue, outcomes, requests

if TYPE_CHECKING:
    from collections.abc import Callable

    from agents import Policy
    from agents.api import Floats

ARMS, D, T, SEEDS = 8, 4, 600, 16


class World:
    """Rewards linear in the context, each arm by its own weights, with normal noise."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        theta = rng.normal(size=(ARMS, D + 1)) / np.sqrt(D + 1)
        self.asked = requests(
            catalogue(ARMS), np.tile(np.arange(ARMS), (T, 1)), width=D, seed=seed + 1000
        )
        self.x = np.insert(self.asked.context.astype(np.float64), 0, 1.0, axis=1)
        self.means = self.x @ theta.T
        self.noise = 0.5 * rng.normal(size=T)

    def reward(self, t: int, arm: int) -> float:
        return float(np.float32(self.means[t, arm] + self.noise[t]))

    def regret(self, choose: Callable[[int], int], learn: Callable[[int, int], None]) -> float:
        """Return the regret of all rounds; at first every arm is tried once, so that none tie."""
        total = 0.0
        for t in range(T):
            arm = choose(t) if t >= ARMS else t
            total += self.means[t].max() - self.means[t, arm]
            learn(t, arm)
        return total

    def of(self, policy: Policy) -> float:
        def choose(t: int) -> int:
            return int(policy.decide(self.asked.take([t])).slates[0, 0])

        def learn(t: int, arm: int) -> None:
            policy.update(outcomes(self.asked.take([t]), [[arm]], [[self.reward(t, arm)]]))

        return self.regret(choose, learn)

    def of_reference(self, score: Callable[[Floats, Floats, Floats], Floats]) -> float:
        """Return the regret of inverting every arm's matrix before every choice."""
        A, b = np.tile(np.eye(D + 1), (ARMS, 1, 1)), np.zeros((ARMS, D + 1))

        def choose(t: int) -> int:
            inverse: Floats = np.linalg.inv(A).astype(np.float64)
            theta = np.einsum("apq,aq->ap", inverse, b)
            return int(score(self.x[t], theta, inverse).argmax())

        def learn(t: int, arm: int) -> None:
            A[arm] += np.outer(self.x[t], self.x[t])
            b[arm] += self.reward(t, arm) * self.x[t]

        return self.regret(choose, learn)


def compared(policy: Callable[[int], Policy], reference: Callable[[int], float]) -> float:
    ours = np.array([World(seed).of(policy(seed)) for seed in range(SEEDS)])
    theirs = np.array([reference(seed) for seed in range(SEEDS)])
    uniform = sum(
        (w.means.max(axis=1) - w.means.mean(axis=1)).sum() for w in map(World, range(SEEDS))
    )
    assert ours.sum() < 0.25 * uniform
    return float(ours.sum() / theirs.sum())


def test_linucb_regrets_what_the_reference_does() -> None:
    def bound(x: Floats, theta: Floats, inverse: Floats) -> Floats:
        bounds: Floats = theta @ x + np.sqrt(np.einsum("p,apq,q->a", x, inverse, x))
        return bounds

    ratio = compared(
        lambda seed: LinUCB(shared=False, seed=seed), lambda seed: World(seed).of_reference(bound)
    )
    assert ratio == pytest.approx(1.0, abs=0.01)


def test_lints_regrets_what_the_reference_does() -> None:
    def reference(seed: int) -> float:
        rng = np.random.default_rng(seed)

        def draw(x: Floats, theta: Floats, inverse: Floats) -> Floats:
            spread = np.linalg.cholesky(inverse) @ rng.normal(size=(ARMS, D + 1, 1))
            drawn: Floats = (theta + 0.5 * spread[:, :, 0]) @ x
            return drawn

        return World(seed).of_reference(draw)

    ratio = compared(lambda seed: LinTS(shared=False, floor=0.0, seed=seed), reference)
    assert ratio == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("spec", ["linucb:shared=false", "lints:shared=false", "hybrid-linucb"])
def test_items_come_and_go_and_nothing_is_lost(spec: str) -> None:
    """Four items, then four others, then all: at once the best of all are shown."""
    world = World(3)
    policy = from_spec(spec)
    items, picked = world.asked.items, []
    for t in range(T):
        offered = np.arange(ARMS)
        if t < 200:
            offered = offered[:4]
        elif t < 400:
            offered = offered[4:]
        one = world.asked.take([t])
        gone = np.setdiff1d(np.arange(ARMS), offered)
        now = requests(items.without(items.keys[gone]), [offered], width=D)
        now.context[:] = one.context
        arm = int(policy.decide(now).slates[0, 0])
        policy.update(outcomes(now, [[arm]], [[world.reward(t, arm)]]))
        picked.append(arm)
    regret = sum(world.means[t].max() - world.means[t, picked[t]] for t in range(400, T))
    chance = world.means[400:].max(axis=1) - world.means[400:].mean(axis=1)
    assert regret < 0.25 * chance.sum()
    assert set(picked[400:430]) & set(range(4))
    assert set(picked[400:430]) & set(range(4, 8))
