"""Bots and floods are told from people by how a ranking was answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from streaming.state import Credit, OpenRanking, UserState
from streaming.suspicion import Signs, Suspicion, signs_of

if TYPE_CHECKING:
    from collections.abc import Iterator

WINDOW = 1_800_000


def ranking(time: int, *credits: tuple[int, int]) -> OpenRanking:
    return OpenRanking(
        id="r",
        time=time,
        session=None,
        key=0,
        context=b"",
        items=["a", "b", "c", "d"],
        features=b"",
        positions=[0, 1, 2, 3],
        propensities=None,
        seen=[True] * 4,
        policy="test",
        version=0,
        candidates=None,
        credits=[Credit(at, f"i{n}", slot, 1.0) for n, (at, slot) in enumerate(credits)],
    )


def people(seed: int, count: int) -> Iterator[Signs]:
    """Return how people answer: few clicks after some seconds, most rankings none."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        clicks = rng.binomial(3, 0.2)
        delay = 1000.0 * rng.lognormal(2.5, 0.8) if clicks else float(WINDOW)
        yield Signs(float(clicks), float(1 + rng.poisson(2 + clicks)), delay, clicks / 4)


BOT = Signs(interactions=40.0, pace=60.0, delay=3.0, share=1.0)


def test_signs_are_counted_as_they_are_described() -> None:
    user = UserState(
        remembered={1: 40_000, 2: 100_000, 3: 100_001, 4: 130_000, 5: 160_000, 6: 160_001}
    )
    shown = ranking(100_000, (130_000, 2), (100_500, 0), (131_000, 2))
    assert signs_of(shown, user, WINDOW) == Signs(3.0, 3.0, 500.0, 0.5)
    assert signs_of(ranking(100_000), UserState(), WINDOW) == Signs(0.0, 0.0, WINDOW, 0.0)
    early = ranking(100_000, (90_000, 1))
    assert signs_of(early, UserState(), WINDOW).delay == 0.0


def test_a_bot_is_found_among_people_and_people_are_let_be() -> None:
    suspicion = Suspicion(threshold=0.97, flood=1000.0)
    for signs in people(0, 1000):
        suspicion.learn(signs)
    reason = suspicion.judge(BOT)
    assert reason is not None
    assert "40 interactions, the first after 0.0 s, 60 events" in reason
    suspected = sum(suspicion.judge(signs) is not None for signs in people(1, 1000))
    assert suspected <= 20


def test_nobody_is_suspected_before_it_is_known_what_is_usual() -> None:
    suspicion = Suspicion(threshold=0.5, flood=1000.0)
    for signs in people(2, 249):
        assert suspicion.judge(BOT) is None
        suspicion.learn(signs)


@pytest.mark.parametrize(("pace", "flooded"), [(119.0, False), (120.0, True)])
def test_a_flood_is_a_flood_from_the_first_ranking_on(pace: float, flooded: bool) -> None:
    reason = Suspicion(threshold=1.0, flood=120.0).judge(BOT._replace(pace=pace))
    assert (reason is not None) == flooded
    if reason is not None:
        assert reason == "flood: 120 events within a minute"


def test_judging_changes_nothing_and_two_that_learned_the_same_judge_the_same() -> None:
    one, other = Suspicion(0.97, 1000.0), Suspicion(0.97, 1000.0)
    for signs in people(3, 600):
        one.judge(BOT)
        one.learn(signs)
        other.learn(signs)
    assert [one.judge(s) for s in people(4, 200)] == [other.judge(s) for s in people(4, 200)]
