"""Sessions: where a log's begin and end, when users leave, and that the world's do so too."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agents import Uniform
from simulators import FitError, LoggedWorld, Sessions, hazards, rollout
from simulators.leaving import LONGEST, played
from tests.simulators.support import Truth, seeds, small_logged

if TYPE_CHECKING:
    from pathlib import Path

    from agents import Outcomes

HOUR = 3_600_000


def log_with(users: list[int], times: list[int], clicks: list[int]) -> Outcomes:
    log = Truth.drawn().log(len(users))
    requests = replace(
        log.requests, users=np.array(users, dtype=np.uint64), time=np.array(times, dtype=np.int64)
    )
    rewards = np.zeros_like(log.rewards)
    rewards[:, 1] = clicks
    return replace(log, requests=requests, rewards=rewards)


def test_a_silence_ends_a_session() -> None:
    minute = 60_000
    told = log_with(
        [1, 2, 1, 1, 2, 1, 1],
        [0, 1, 30 * minute, 61 * minute, 62 * minute, 10 * HOUR, 10 * HOUR + 5],
        [0, 1, 0, 1, 0, 0, 1],
    )
    found = Sessions.of(told, gap=30 * minute)
    assert found.row.tolist() == [0, 2, 3, 5, 6, 1, 4]
    assert found.session.tolist() == [0, 0, 1, 2, 2, 3, 4]
    assert found.visit.tolist() == [0, 1, 0, 0, 1, 0, 0]
    assert found.left.tolist() == [False, True, True, False, True, True, True]
    assert found.clicked.tolist() == [False, False, True, False, True, True, False]
    assert found.known.tolist() == [True, True, True, True, False, True, True]  # the log ends there
    assert found.lengths().tolist() == [2, 1, 1, 1]


@pytest.mark.parametrize(("users", "times"), [([1, 1], [0, 9]), ([1, 2], [5, 5])])
def test_a_log_without_users_or_time_has_no_sessions(users: list[int], times: list[int]) -> None:
    with pytest.raises(FitError, match="the log has no sessions"):
        Sessions.of(log_with(users, times, [0, 1]))


def law(visit: int, clicked: bool) -> float:
    """How likely a user leaves: less when they clicked, more the longer they are there."""
    return min(0.9, 0.15 + 0.1 * visit) * (0.4 if clicked else 1.0)


def drawn(sessions: int, seed: int = 0) -> Outcomes:
    rng = np.random.default_rng(seed)
    users, times, clicks = [], [], []
    for session in range(sessions):
        visit, there = 0, True
        while there:
            clicked = rng.random() < 0.4
            users.append(session // 3)
            times.append(session * 24 * HOUR + visit * 1000)
            clicks.append(int(clicked))
            there = rng.random() >= law(visit, clicked)
            visit += 1
    return log_with(users, times, clicks)


def test_hazards_are_the_law_that_users_left_by() -> None:
    table = hazards(Sessions.of(drawn(4000)))
    assert table.shape == (2, LONGEST)
    for visit in range(4):
        for clicked in (False, True):
            assert table[int(clicked), visit] == pytest.approx(law(visit, clicked), abs=0.04)
    assert ((table > 0) & (table < 1)).all()


def test_played_sessions_are_as_long_as_the_law_says() -> None:
    sessions = Sessions.of(drawn(300))
    table = np.tile(np.array([law(v, False) for v in range(LONGEST)]), (2, 1))
    rng = np.random.default_rng(1)
    lengths = np.concatenate(
        [played(sessions, np.full(len(sessions), 0.4), table, rng) for _ in range(20)]
    )
    stays = np.cumprod([1 - law(v, False) for v in range(60)])
    assert lengths.mean() == pytest.approx(
        1 + stays.sum(), abs=5 * lengths.std() / len(lengths) ** 0.5
    )
    assert (lengths == 1).mean() == pytest.approx(0.15, abs=0.02)


def test_the_worlds_users_leave_by_its_hazards(tmp_path: Path) -> None:
    table = np.array([[0.1, 0.5, 0.3], [0.05, 0.2, 0.8]])
    plain = small_logged()
    assert plain.catalogue is not None
    world = LoggedWorld(
        plain.model, plain.catalogue, plain.contexts, plain.counts, leaving=table, slate_size=2
    )
    assert plain.endless
    assert not world.endless
    world.save(tmp_path)
    for made in (world.resized(slate_size=2), LoggedWorld.load(tmp_path)):
        made.reset(seeds(2000))
        stood, went = np.zeros((2, 3)), np.zeros((2, 3))
        for _ in range(6):
            visit = np.minimum(made.lanes["visit"].astype(np.int64), 2)
            (step,) = rollout(made, Uniform(), 1)
            at = step.outcomes.rewards.any(axis=1).astype(np.int64), visit
            np.add.at(stood, at, 1)
            np.add.at(went, at, step.feedback.terminated)
        error = np.sqrt(table * (1 - table) / stood)
        assert (abs(went / stood - table) < 4 * error).all()
