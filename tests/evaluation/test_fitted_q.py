"""Fitted Q evaluation finds the values of small worlds, and importers the episodes to fit it to."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from agents.api import ShapeError
from evaluation import (
    SEQUENTIAL_ESTIMATORS,
    Accumulator,
    Episodes,
    FittedQ,
    FittedQError,
    LogFormatError,
    from_minari,
    from_transitions,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats

GAMMA, HORIZON, N = 0.9, 40, 3
RNG = np.random.default_rng(5)
LOGGING = RNG.dirichlet(np.ones(2) * 4.0, size=N)
TARGET = RNG.dirichlet(np.ones(2) * 4.0, size=N)
REWARD = RNG.normal(1.0, 0.5, size=(N, 2))
NEXT = np.array([[1, 2], [2, 0], [0, 1]])
END = 0.3
"""After every step an episode ends with this chance."""


def truth() -> Floats:
    """The value of every action, by solving Bellman's equation of the world itself."""
    onward = np.zeros((2 * N, 2 * N))
    for s in range(N):
        for a in range(2):
            onward[2 * s + a, 2 * NEXT[s, a] : 2 * NEXT[s, a] + 2] = TARGET[NEXT[s, a]]
    solved = np.linalg.solve(np.eye(2 * N) - GAMMA * (1.0 - END) * onward, REWARD.ravel())
    return np.asarray(solved.reshape(N, 2))


VALUES = truth()
VALUE = float(TARGET[0] @ VALUES[0])


def logging(states: NDArray[np.float32]) -> Floats:
    return np.asarray(LOGGING[states.argmax(axis=1)])


def target(states: NDArray[np.float32]) -> Floats:
    return np.asarray(TARGET[states.argmax(axis=1)])


def played(episodes: int, seed: int) -> list[Any]:
    """Episodes of the world as Minari gives them, each beginning in state 0."""
    rng, log = np.random.default_rng(seed), []
    for _ in range(episodes):
        states, ends = [0], [False]
        actions: list[int] = []
        rewards: list[float] = []
        while not ends[-1] and len(actions) < HORIZON:
            action = int(rng.random() > LOGGING[states[-1], 0])
            rewards.append(REWARD[states[-1], action] + 0.1 * rng.normal())
            actions.append(action)
            states.append(int(NEXT[states[-1], action]))
            ends.append(bool(rng.random() < END))
        chance = LOGGING[states[:-1], actions]
        log.append(
            SimpleNamespace(
                observations=np.eye(N)[states],
                actions=np.array(actions),
                rewards=np.array(rewards),
                terminations=np.array(ends[1:]),
                infos={"chance": chance},
            )
        )
    return log


LOG = from_minari(played(1500, 0), "chance")
MODEL = FittedQ(hidden=(), iterations=20, updates=40, rate=0.02).fit([LOG], target, GAMMA)


def flat(log: list[Any]) -> dict[str, Any]:
    """The same episodes as d3rlpy's arrays."""
    return {
        "observations": np.concatenate([e.observations[:-1] for e in log]),
        "actions": np.concatenate([e.actions for e in log])[:, None],
        "rewards": np.concatenate([e.rewards for e in log])[:, None],
        "terminals": np.concatenate([e.terminations for e in log]),
    }


def test_the_values_of_a_small_world_are_found() -> None:
    told = MODEL.values(LOG)
    for state in range(N):
        mine = told[LOG.states[:, state] == 1.0].mean(axis=0)
        np.testing.assert_allclose(mine, VALUES[state], rtol=0.06)


def test_dm_and_dr_use_them() -> None:
    names = ("PDIS", "DR", "DM")
    made = [SEQUENTIAL_ESTIMATORS[name](HORIZON) for name in names]
    accumulator = Accumulator(made, replicates=400)
    accumulator.add(LOG.steps(target, MODEL).slates(HORIZON, GAMMA))
    pdis, dr, dm = accumulator.results()
    assert dr.low < VALUE < dr.high
    assert dr.high - dr.low < 0.8 * (pdis.high - pdis.low)
    assert dm.value == pytest.approx(VALUE, rel=0.03)


def test_a_deterministic_world_gives_its_truth() -> None:
    """1 at each of three steps, discounted by 0.9: 2.71."""
    steps = SimpleNamespace(
        observations=np.eye(4),
        actions=np.zeros(3, dtype=np.int64),
        rewards=np.ones(3),
        terminations=np.array([False, False, True]),
        infos={},
    )

    def only(states: NDArray[np.float32]) -> Floats:
        return np.ones((len(states), 1))

    log = from_minari([steps] * 8, only)
    model = FittedQ(hidden=(), iterations=8, updates=60, batch=16, rate=0.05).fit(
        [log], only, GAMMA
    )
    accumulator = Accumulator([make(3) for make in SEQUENTIAL_ESTIMATORS.values()], replicates=5)
    accumulator.add(log.steps(only, model).slates(3, GAMMA))
    for estimate in accumulator.results():
        assert estimate.value == pytest.approx(2.71, abs=0.01), estimate.estimator


def test_an_episode_is_valued_by_what_has_not_seen_it() -> None:
    """Two episodes in two folds: the rewards of one are what the other is worth."""
    for seed in range(4):
        keys = np.array([1, 2], dtype=np.uint64)
        states = np.zeros((2, 1), dtype=np.float32)
        none = np.full((2, 1), np.nan, dtype=np.float32)
        log = Episodes(
            keys, states, np.zeros(2, int), np.array([1.0, 5.0]), np.ones(2), none, np.ones(2, bool)
        )
        model = FittedQ(hidden=(), iterations=1, updates=200, batch=8, seed=seed, rate=0.1)
        folds = model._folds(keys)
        if folds[0] != folds[1]:
            told = model.fit([log], lambda s: np.ones((len(s), 1)), 1.0).values(log)[:, 0]
            np.testing.assert_allclose(told, [5.0, 1.0], rtol=0.02)
            return
    raise AssertionError("four seeds put both episodes into one fold")


def test_it_replays_and_leaves_the_global_generator_alone() -> None:
    few = from_minari(played(30, 1), "chance")
    before = torch.get_rng_state()
    one, other = (
        FittedQ(iterations=2, updates=5, seed=3).fit([few], target, GAMMA).values(few)
        for _ in range(2)
    )
    np.testing.assert_array_equal(one, other)
    assert torch.equal(before, torch.get_rng_state())
    cut = len(few) // 2
    parts = [
        Episodes(*(getattr(few, name)[rows] for name in Episodes.__slots__))
        for rows in (slice(0, cut), slice(cut, None))
    ]
    again = FittedQ(iterations=2, updates=5, seed=3).fit(parts, target, GAMMA).values(few)
    np.testing.assert_array_equal(one, again)


def test_flat_arrays_are_the_same_episodes() -> None:
    log = [e for e in played(50, 2) if e.terminations[-1]]
    one = from_minari(log, "chance")
    other = from_transitions(**flat(log), logged=logging)
    for name in ("keys", "states", "actions", "reward", "logged", "ended"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    onward = ~one.ended
    np.testing.assert_array_equal(one.following[onward], other.following[onward])


def test_what_follows_a_time_limit_is_not_known_and_not_learned_from() -> None:
    n = 400
    arrays: dict[str, Any] = {
        "observations": np.ones((n, 1)),
        "actions": np.zeros(n, dtype=np.int64),
        "rewards": np.tile([1.0, 99.0], n // 2),
        "terminals": np.zeros(n),
    }
    log = from_transitions(**arrays, timeouts=np.tile([0, 1], n // 2), logged=np.ones(n))
    assert np.isnan(log.following[1::2]).all()
    assert not log.ended.any()
    model = FittedQ(hidden=(), iterations=12, updates=15, batch=32, rate=0.1)
    told = model.fit([log], lambda s: np.ones((len(s), 1)), 0.5).values(log)
    np.testing.assert_allclose(told, 2.0, rtol=0.05)  # 1 / (1 - 0.5): the 99 are never learned


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"observations": np.ones((2, 3))}, "episode 1 has 2 actions, so there must be 3"),
        ({"observations": (np.ones(3),)}, "episode 1: observations are of several parts"),
        ({"observations": {"b": np.ones(2)}}, "episode 1 has 2 actions, so there must be 3"),
        ({"observations": np.full((3, 3), np.nan)}, "episode 1: observations are NaN"),
        ({"actions": np.array([0.5, 0.1])}, "episode 1: actions must be whole numbers"),
        ({"actions": np.array([0, -1])}, "episode 1: actions are negative in row 1"),
        ({"rewards": np.ones(3)}, "episode 1: rewards must be 2 numbers"),
        ({"infos": {"odds": 1}}, r"episode 1 has no 'chance' in infos, only \['odds'\]"),
    ],
)
def test_an_episode_that_can_not_be_read_is_named(change: dict[str, Any], words: str) -> None:
    good = {
        "observations": np.eye(3),
        "actions": np.array([0, 1]),
        "rewards": np.ones(2),
        "terminations": np.array([False, True]),
        "infos": {"chance": np.full(2, 0.5)},
    }
    with pytest.raises(LogFormatError, match=words):
        from_minari([SimpleNamespace(**good), SimpleNamespace(**good | change)], "chance")


def test_observations_of_several_parts_are_flattened_in_the_order_of_their_names() -> None:
    (steps,) = played(1, 4)
    parts = {"b": steps.observations[:, 1:], "a": steps.observations[:, :1]}
    split = SimpleNamespace(**{**vars(steps), "observations": parts})
    one, other = from_minari([steps], "chance"), from_minari([split], "chance")
    np.testing.assert_array_equal(one.states, other.states)
    np.testing.assert_array_equal(one.following, other.following)


def test_what_makes_no_episodes_or_values_is_refused() -> None:
    arrays = flat(played(5, 3))
    with pytest.raises(LogFormatError, match="neither ends nor cuts off"):
        from_transitions(**arrays | {"terminals": 0 * arrays["terminals"]}, logged=logging)
    with pytest.raises(LogFormatError, match="knows 1 actions, but there are others in row"):
        from_transitions(**arrays, logged=lambda s: np.ones((len(s), 1)))
    with pytest.raises(LogFormatError, match="no episode"):
        from_minari([], "chance")
    with pytest.raises(FittedQError, match="before asking"):
        FittedQ().values(LOG)
    with pytest.raises(FittedQError, match="discount"):
        FittedQ().fit([LOG], target, 1.1)
    with pytest.raises(FittedQError, match="too few"):
        FittedQ().fit([from_minari(played(1, 0), "chance")], target, GAMMA)
    with pytest.raises(FittedQError, match="no numbers"):
        FittedQ().fit([replace(LOG, reward=LOG.reward * np.nan)], target, GAMMA)
    with pytest.raises(ShapeError, match="sum to 1"):
        LOG.steps(lambda states: np.ones((len(states), 2)))
    with pytest.raises(ShapeError, match="knows 1 actions"):
        LOG.steps(lambda states: np.ones((len(states), 1)))
