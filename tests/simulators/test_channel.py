"""What goes through a channel: all of it, late, twice, or without its rewards, and counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from math import sqrt

import numpy as np
import pytest

from agents import Outcomes, Uniform
from simulators import Channel, Response, WorldError, make_world, rollout
from tests.simulators.support import seeds

Told = tuple[int, Outcomes]


def played(lanes: int = 50, steps: int = 30, name: str = "InterestExploration") -> list[Response]:
    world = make_world(name, num_candidates=4)
    world.reset(seeds(lanes))
    return list(rollout(world, Uniform(), steps))


def sent(channel: Channel, responses: list[Response]) -> list[Told]:
    """Everything that comes through, with the step at which it does."""
    told = [(step, o) for step, r in enumerate(responses) for o in channel.through(r)]
    return told + [(len(responses), o) for o in channel.rest()]


def keys_of(told: list[Told]) -> list[int]:
    return [key for _, outcomes in told for key in outcomes.requests.keys.tolist()]


RESPONSES = played()
ROWS = 50 * 30
ASKED = {int(k): step for step, r in enumerate(RESPONSES) for k in r.facts.requests.keys}


def waits_of(told: list[Told]) -> dict[int, list[int]]:
    waits = defaultdict(list)
    for step, outcomes in told:
        for key in outcomes.requests.keys.tolist():
            waits[key].append(step - ASKED[key])
    return waits


def test_without_faults_it_is_as_if_there_were_none() -> None:
    told = sent(Channel(), RESPONSES)
    assert [step for step, _ in told] == list(range(30))
    for (_, outcomes), response in zip(told, RESPONSES, strict=True):
        assert np.array_equal(outcomes.rewards, response.facts.rewards)
        assert np.array_equal(outcomes.decisions.slates, response.facts.decisions.slates)


def test_delays_are_geometric_and_everything_arrives_once() -> None:
    channel = Channel(delay=2.0)
    early = [(step, o) for step, r in enumerate(RESPONSES) for o in channel.through(r)]
    waiting = channel.under_way
    assert waiting == ROWS - len(keys_of(early)) > 0
    told = early + [(30, o) for o in channel.rest()]
    assert sorted(keys_of(told)) == sorted(ASKED)
    assert channel.counts["delivered"] == channel.counts["sent"] == ROWS
    assert channel.under_way == 0
    waits = [
        w for key, (w,) in waits_of(early).items() if ASKED[key] < 15
    ]  # all have arrived by then
    for n in range(1, 6):  # P(n or more) = (2 / 3)^n
        right = (2 / 3) ** n
        rate = np.mean([w >= n for w in waits])
        assert abs(rate - right) < 4 * sqrt(right * (1 - right) / len(waits)) + (2 / 3) ** 15


def test_an_outcome_waits_alike_alone_and_in_a_batch() -> None:
    together = waits_of(sent(Channel(delay=3.0, seed=4), RESPONSES[:10]))
    world = make_world("InterestExploration", num_candidates=4)
    world.reset(seeds(1, first=7))
    alone = sent(Channel(delay=3.0, seed=4), list(rollout(world, Uniform(), 10)))
    for key, waited in waits_of(alone).items():
        assert together[key] == waited
    other = waits_of(sent(Channel(delay=3.0, seed=5), RESPONSES[:10]))
    assert other != together


def test_rewards_are_lost_as_often_as_said() -> None:
    channel = Channel(lost=0.3)
    told = sent(channel, RESPONSES)
    clicks = sum(int((r.facts.rewards != 0).sum()) for r in RESPONSES)
    left = sum(int((o.rewards != 0).sum()) for _, o in told)
    assert clicks - left == channel.counts["lost"]
    assert abs(channel.counts["lost"] / clicks - 0.3) < 4 * sqrt(0.21 / clicks)
    for (_, outcomes), response in zip(told, RESPONSES, strict=True):
        assert (outcomes.rewards <= response.facts.rewards).all()
        assert np.array_equal(outcomes.seen, response.facts.seen)


def test_some_arrive_twice() -> None:
    channel = Channel(duplicate=0.2, delay=1.0)
    times = Counter(keys_of(sent(channel, RESPONSES)))
    twice = sum(n == 2 for n in times.values())
    assert set(times) == set(ASKED)
    assert max(times.values()) == 2
    assert twice == channel.counts["duplicated"] == channel.counts["delivered"] - ROWS
    assert abs(twice / ROWS - 0.2) < 4 * sqrt(0.16 / ROWS)


def test_delays_let_rows_overtake_and_shuffling_lets_any() -> None:
    calm, late, mixed = Channel(), Channel(delay=2.0), Channel(delay=2.0, shuffle=True)
    orders = [keys_of(sent(channel, RESPONSES)) for channel in (calm, late, mixed)]
    assert calm.counts["overtaken"] == 0
    assert late.counts["overtaken"] > ROWS / 5
    assert mixed.counts["overtaken"] > 0
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(orders[2])
    assert orders[1] != orders[2]
    assert orders[2] == keys_of(sent(Channel(delay=2.0, shuffle=True), RESPONSES))


def test_a_window_closes_and_what_is_late_is_taken_for_none() -> None:
    channel = Channel(delay=2.0, window=3)
    told = sent(channel, RESPONSES)
    assert {w for (w,) in waits_of([t for t in told if t[0] < 30]).values()} == {3}
    clicks = sum(int((r.facts.rewards != 0).sum()) for r in RESPONSES)
    left = sum(int((o.rewards != 0).sum()) for _, o in told)
    assert clicks - left == channel.counts["late"]
    late = (2 / 3) ** 4  # under way for 4 steps or more
    assert abs(channel.counts["late"] / clicks - late) < 4 * sqrt(late * (1 - late) / clicks)


def test_slow_signals_take_longer() -> None:
    told = waits_of(sent(Channel(slow={"clicked": 6.0}), RESPONSES))
    clicked = {
        int(key)
        for r in RESPONSES[:5]
        for key in r.facts.requests.keys[(r.facts.rewards > 0).any(axis=1)]
    }
    early = {key for key, step in ASKED.items() if step < 5}
    assert all(told[key] == [0] for key in early - clicked)
    waits = [min(told[key][0], 25) for key in clicked]  # the rest came at the end
    mean = sum((6 / 7) ** n for n in range(1, 26))
    assert abs(np.mean(waits) - mean) < 4 * np.std(waits) / sqrt(len(waits))


def test_a_policy_learns_from_what_arrives() -> None:
    channel, policy = Channel(delay=3.0, lost=0.1, duplicate=0.1), Uniform()
    world = make_world("Education", num_candidates=6)
    world.reset(seeds(20))
    for response in rollout(world, policy, 20, channel=channel):
        assert response.outcomes.rewards.sum() >= 0  # the world's response is whole
    assert policy.version == channel.counts["delivered"]
    assert (
        channel.under_way == channel.counts["sent"] + channel.counts["duplicated"] - policy.version
    )
    for outcomes in channel.rest():
        policy.update(outcomes)
    assert policy.version == channel.counts["sent"] + channel.counts["duplicated"]


@pytest.mark.parametrize("name", ["ECommerce", "StreamingMedia", "News", "Education", "Travel"])
def test_industries_have_channels(name: str) -> None:
    world = make_world(name, num_candidates=6, slate_size=3)
    world.reset(seeds(20))
    channel = world.channel()  # type: ignore[attr-defined]
    for _ in rollout(world, Uniform(), 5, channel=channel):
        pass
    assert channel.counts["sent"] > 0
    assert channel.under_way > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"delay": -1.0}, "delay is a number of steps"),
        ({"slow": {"clicked": float("nan")}}, "slow"),
        ({"lost": 1.5}, "lost is a probability"),
        ({"duplicate": -0.1}, "duplicate is a probability"),
        ({"window": -1}, "window"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, float], words: str) -> None:
    with pytest.raises(WorldError, match=words):
        Channel(**options)  # type: ignore[arg-type]


def test_a_signal_that_is_not_there_is_guessed_at() -> None:
    with pytest.raises(WorldError, match="did you mean clicked"):
        Channel(slow={"click": 1.0}).through(RESPONSES[0])
