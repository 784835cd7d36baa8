"""Sequential estimators: exact in deterministic and in enumerated worlds, whatever the lengths."""

from __future__ import annotations

from itertools import product
from math import sqrt

import numpy as np
import pytest

from evaluation.accumulate import Accumulator
from evaluation.chunks.checks import FaultyLogError
from evaluation.chunks.trajectories import EpisodeError, Steps
from evaluation.estimators.sequential import SEQUENTIAL_ESTIMATORS
from evaluation.estimators.single import ModelNeededError
from tests.evaluation.logs import keys

WEIGHTED = ("TIS", "PDIS", "WTIS", "WPDIS")
GAMMA = 0.9


def values(steps: Steps, horizon: int, *names: str, discount: float = GAMMA) -> dict[str, float]:
    made = [SEQUENTIAL_ESTIMATORS[name](horizon) for name in names]
    accumulator = Accumulator(made, replicates=4)
    accumulator.add(steps.slates(horizon, discount))
    return {estimate.estimator: estimate.value for estimate in accumulator.results()}


def test_a_deterministic_on_policy_world_gives_its_truth() -> None:
    """1 at each of three steps, discounted by 0.9: 1 + 0.9 + 0.81 = 2.71, by every estimator."""
    n, ones = 12, np.ones(12)
    left = np.tile([2.71, 1.9, 1.0], 4)
    steps = Steps(np.repeat(keys(4, 0), 3), ones, ones, ones, q=left, v=left)
    assert len(steps.episodes) == n
    for horizon in (3, 7):
        for name, value in values(steps, horizon, *SEQUENTIAL_ESTIMATORS).items():
            assert value == pytest.approx(2.71, abs=1e-12), name


def test_on_policy_the_weighted_are_the_mean_return_whatever_the_lengths() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 6, size=50)
    episodes = np.repeat(keys(50, 0), lengths)
    reward, chance = rng.normal(size=len(episodes)), rng.uniform(0.1, 1.0, size=len(episodes))
    returns, at = [], 0
    for length in lengths:
        returns.append(sum(GAMMA**t * reward[at + t] for t in range(length)))
        at += length
    steps = Steps(episodes, reward, chance, chance)
    for name, value in values(steps, 5, *WEIGHTED).items():
        assert value == pytest.approx(np.mean(returns), rel=1e-12), name


class Walk:
    """Three steps, two states, two actions; an episode may end early, and all is enumerated.

    The next state is the action; action 1 in state 1 ends the episode.
    """

    HORIZON = 3
    LOGGING = np.array([[0.7, 0.3], [0.4, 0.6]])
    TARGET = np.array([[0.2, 0.8], [0.5, 0.5]])
    REWARD = np.array([[1.0, -0.5], [2.0, 0.3]])

    def episodes(self) -> list[list[tuple[int, int]]]:
        """All episodes: (state, action) step by step."""
        found = []
        for actions in product((0, 1), repeat=self.HORIZON):
            state, steps = 0, []
            for action in actions:
                steps.append((state, action))
                if state == action == 1:
                    break
                state = action
            if steps not in found:
                found.append(steps)
        return found

    def chance(self, policy: np.ndarray, episode: list[tuple[int, int]]) -> float:
        return float(np.prod([policy[step] for step in episode]))

    def value(self, t: int, state: int, policy: np.ndarray, reward: np.ndarray) -> float:
        """What is left to earn from step t on."""
        if t == self.HORIZON:
            return 0.0
        return float(sum(policy[state, a] * self.left(t, state, a, policy, reward) for a in (0, 1)))

    def left(
        self, t: int, state: int, action: int, policy: np.ndarray, reward: np.ndarray
    ) -> float:
        ended = state == action == 1
        after = 0.0 if ended else self.value(t + 1, action, policy, reward)
        return float(reward[state, action] + GAMMA * after)

    def steps(self, episodes: list[list[tuple[int, int]]], model: np.ndarray) -> Steps:
        """The episodes as a log, with the values of a model of the rewards."""
        flat = [
            (i, t, *step) for i, episode in enumerate(episodes) for t, step in enumerate(episode)
        ]
        names = keys(len(episodes), 0)
        at = tuple(np.array([(s, a) for _, _, s, a in flat]).T)
        return Steps(
            episodes=np.array([names[i] for i, *_ in flat]),
            reward=self.REWARD[at],
            logged=self.LOGGING[at],
            target=self.TARGET[at],
            q=np.array([self.left(t, s, a, self.TARGET, model) for _, t, s, a in flat]),
            v=np.array([self.value(t, s, self.TARGET, model) for _, t, s, _ in flat]),
        )


WALK = Walk()
TRUTH = WALK.value(0, 0, WALK.TARGET, WALK.REWARD)


def test_unbiased_by_enumeration_with_a_wrong_model() -> None:
    episodes = WALK.episodes()
    likely = np.array([WALK.chance(WALK.LOGGING, episode) for episode in episodes])
    assert likely.sum() == pytest.approx(1.0)
    assert {len(episode) for episode in episodes} == {2, 3}
    slates = WALK.steps(episodes, model=WALK.REWARD + 0.7).slates(5, GAMMA)
    for name in ("TIS", "PDIS", "DR"):
        (part,) = SEQUENTIAL_ESTIMATORS[name](5).parts
        assert float(likely @ part.over(slates)) == pytest.approx(TRUTH, abs=1e-12), name
    for name in ("WTIS", "WPDIS"):
        total = 0.0
        for part in SEQUENTIAL_ESTIMATORS[name](5).parts:
            assert part.under is not None
            assert float(likely @ part.under(slates)) == pytest.approx(1.0), name
            total += float(likely @ part.over(slates))
        assert total == pytest.approx(TRUTH, abs=1e-12), name


def test_a_right_model_leaves_no_noise_but_that_of_the_world() -> None:
    """The walk is deterministic given the actions, so DR is the truth in every single episode."""
    slates = WALK.steps(WALK.episodes(), model=WALK.REWARD).slates(3, GAMMA)
    (part,) = SEQUENTIAL_ESTIMATORS["DR"](3).parts
    np.testing.assert_allclose(part.over(slates), TRUTH, atol=1e-12)
    (part,) = SEQUENTIAL_ESTIMATORS["DM"](3).parts
    np.testing.assert_allclose(part.over(slates), TRUTH, atol=1e-12)


def test_intervals_cover_the_truth() -> None:
    episodes, logs = WALK.episodes(), 100
    likely = np.array([WALK.chance(WALK.LOGGING, episode) for episode in episodes])
    hits = dict.fromkeys(("PDIS", "WPDIS", "DR"), 0)
    for seed in range(logs):
        rng = np.random.default_rng(seed)
        drawn = [episodes[i] for i in rng.choice(len(episodes), size=300, p=likely)]
        steps = WALK.steps(drawn, model=WALK.REWARD + 0.7)
        accumulator = Accumulator(
            [SEQUENTIAL_ESTIMATORS[name](3) for name in hits], seed=seed, replicates=200
        )
        accumulator.add(steps.slates(3, GAMMA))
        for estimate in accumulator.results():
            hits[estimate.estimator] += estimate.low <= TRUTH <= estimate.high
    for name, count in hits.items():
        assert count / logs > 0.95 - 3 * sqrt(0.95 * 0.05 / logs), name


def test_what_makes_no_episodes_is_refused() -> None:
    episodes, ones = np.array([1, 1, 2, 1], dtype=np.uint64), np.ones(4)
    with pytest.raises(EpisodeError, match="stand together"):
        Steps(episodes, ones, ones, ones).slates(4)
    together = Steps(np.sort(episodes), ones, ones, ones)
    with pytest.raises(EpisodeError, match="3 steps, more than the horizon 2"):
        together.slates(2)
    with pytest.raises(EpisodeError, match="discount"):
        together.slates(3, 1.5)
    with pytest.raises(ModelNeededError, match="DM reads a model's values"):
        values(together, 3, "DM")
    with pytest.raises(FaultyLogError, match="zero in rows 0, 1 "):
        values(Steps(np.sort(episodes), ones, 0 * ones, ones), 3, "PDIS")
