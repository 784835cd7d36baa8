"""The join, case by case, and as laws under any order, redelivery and cut into batches."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.join import Join
from streaming.rules import Limits, RuleError, Rules
from streaming.state import PARTITION_KEY, Counts, Shard
from tests.streaming.support import PlainOpener, interaction, ranking, record_of, user

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from streaming.closing import Closed
    from streaming.events import Feedback
    from streaming.records import DeadLetter

RULES = Rules(window=100, lateness=20, horizon=300, quorum=1)


class Bench:
    """A join over one partition, fed batch by batch, its state promoted after each."""

    def __init__(self, rules: Rules = RULES, limits: Limits | None = None) -> None:
        self.rules, self.limits = rules, limits or Limits()
        self.shard = Shard(0, "")
        self.join = Join("feedback", self.shard, rules, self.limits)
        self.closed: list[Closed] = []
        self.letters: list[DeadLetter] = []
        self.changelog: dict[bytes, bytes] = {}
        self.offset = 0

    def feed(self, *events: Feedback) -> set[str]:
        """Take a batch in, and return who was touched."""
        for event in events:
            self.join.take([(event, record_of(event, self.offset))], PlainOpener())
            self.offset += 1
        batch = self.join.settle(self.join.watermark)
        self.closed += batch.closed
        self.letters += batch.letters
        changes = self.shard.changes()
        for key, value in changes.items():
            if value is None:
                del self.changelog[key]
            else:
                self.changelog[key] = value
        self.shard.promote(changes)
        return set(batch.touched)

    def tick(self, time: int) -> None:
        """Let event time move to here."""
        self.feed(user("clock", f"tick {time}", time + self.rules.lateness))

    def restart(self) -> None:
        """Forget everything and restore it from the changelog."""
        self.shard = Shard(0, "")
        self.shard.restore(self.changelog)
        self.join = Join("feedback", self.shard, self.rules, self.limits)

    @property
    def outcomes(self) -> list[tuple[str, str, list[float]]]:
        return [(c.user, c.ranking.id, c.rewards) for c in self.closed]

    @property
    def kinds(self) -> list[str]:
        return [letter.kind for letter in self.letters]

    @property
    def counts(self) -> Counts:
        return self.shard.state.counts


def test_a_ranking_closes_when_its_window_has_passed_and_collects_until_then() -> None:
    bench = Bench()
    bench.feed(ranking("u", "r", 1000))
    bench.feed(interaction("u", "i", 1099, "r", "b"))
    bench.tick(1099)
    assert bench.outcomes == []
    bench.tick(1100)
    assert bench.outcomes == [("u", "r", [0.0, 1.0])]
    assert bench.counts.rankings == bench.counts.interactions == bench.counts.outcomes == 1


def test_an_interaction_may_come_before_its_ranking_in_arrival_and_in_time() -> None:
    bench = Bench()
    bench.feed(interaction("u", "i", 1010, "r"), interaction("u", "early", 990, "r", "b"))
    assert bench.counts.waiting == 2
    bench.feed(ranking("u", "r", 1000))
    assert bench.counts.waiting == 0
    bench.tick(1100)
    assert bench.outcomes == [("u", "r", [1.0, 1.0])]


def test_an_interaction_without_its_ranking_is_buried_with_its_origin() -> None:
    bench = Bench()
    bench.feed(user("u", "e", 900), interaction("u", "i", 1000, "never"))
    bench.tick(1099)
    assert bench.letters == []
    bench.tick(1100)
    (letter,) = bench.letters
    assert letter.kind == "no-ranking"
    assert "interaction without its ranking" in letter.reason
    assert (letter.topic, letter.partition, letter.offset) == ("feedback", 0, 1)
    assert letter.value == record_of(interaction("u", "i", 1000, "never")).value
    assert letter.key == b"u"
    assert bench.counts.waiting == 0


def test_interactions_after_the_window_are_buried_whenever_they_come() -> None:
    bench = Bench()
    bench.feed(
        ranking("u", "r", 1000),
        interaction("u", "at its end", 1100, "r"),
        interaction("u", "waits", 1145, "s"),
    )
    assert bench.kinds == ["after-window"]
    bench.feed(ranking("u", "s", 1045))
    assert bench.kinds == ["after-window"] * 2
    bench.tick(1200)
    bench.feed(interaction("u", "came late", 1050, "r"))
    assert bench.kinds == ["after-window"] * 3
    assert all("after its attribution window" in letter.reason for letter in bench.letters)
    assert bench.outcomes == [("u", "r", [0.0, 0.0]), ("u", "s", [0.0, 0.0])]


def test_an_interaction_long_before_its_ranking_is_not_its() -> None:
    shown = ranking("u", "r", 1000)
    click = interaction("u", "i", 900, "r")
    orders: list[tuple[Feedback, Feedback]] = [(shown, click), (click, shown)]
    for first, second in orders:
        bench = Bench()
        bench.feed(first, second)
        assert bench.kinds == ["no-ranking"]


def test_what_cannot_be_joined_says_why() -> None:
    bench = Bench()
    bench.feed(ranking("u", "r", 1000, "a", "z"))
    bench.feed(ranking("u", "s", 1000, "a", "b"), interaction("u", "i", 1001, "s", "c"))
    bench.feed(interaction("v", "of another", 1001, "s"))
    bench.tick(1300)
    assert bench.kinds == ["unknown-item", "not-in-ranking", "no-ranking"]
    assert "'z' is not in the catalogue" in bench.letters[0].reason
    assert "'c' is not in ranking 's'" in bench.letters[1].reason
    assert bench.counts.dead == {"unknown-item": 1, "not-in-ranking": 1, "no-ranking": 1}


def test_a_ranking_refused_for_an_unknown_item_may_be_sent_again() -> None:
    bench = Bench()
    bench.feed(ranking("u", "r", 1000, "a", "z"), ranking("u", "r", 1000, "a", "b"))
    bench.tick(1100)
    assert bench.outcomes == [("u", "r", [0.0, 0.0])]


def test_times_ahead_of_production_and_beyond_memory_are_buried_and_move_nothing() -> None:
    bench = Bench()
    bench.feed(user("u", "now", 1000))
    ten_years = 10**12 + 10 * 365 * 86_400_000
    bench.feed(user("u", "ahead", ten_years))
    assert bench.join.watermark == 980
    assert "ahead of when it was produced" in bench.letters[0].reason
    bench.feed(user("u", "old", 680), user("u", "too old", 679))
    assert bench.kinds == ["ahead", "too-late"]
    assert "behind" in bench.letters[1].reason


def test_duplicates_are_counted_and_dropped_for_as_long_as_events_are_remembered() -> None:
    bench = Bench()
    click = interaction("u", "i", 1010, "r")
    bench.feed(ranking("u", "r", 1000), click, click)
    bench.feed(click, ranking("u", "r", 1000))
    bench.restart()
    bench.feed(click)
    assert bench.counts.duplicates == 4
    bench.tick(1300)
    assert bench.feed(click) == set()
    assert bench.counts.duplicates == 5
    bench.tick(1500)
    bench.feed(click)
    assert bench.kinds == ["too-late"]
    assert bench.outcomes == [("u", "r", [1.0, 0.0])]


def test_time_does_not_go_back_when_a_worker_begins_to_allow_more_lateness() -> None:
    bench = Bench()
    bench.feed(ranking("u", "r", 1000), interaction("u", "i", 1001, "r"))
    bench.tick(2000)
    bench.rules = replace(RULES, lateness=2000)
    bench.restart()
    assert bench.join.watermark == 2000
    bench.feed(ranking("u", "r", 1000), interaction("u", "i", 1001, "r"))
    bench.feed(user("clock", "much later", 9000))
    assert bench.outcomes == [("u", "r", [1.0, 0.0])]


def test_a_second_delivery_does_not_move_time() -> None:
    bench = Bench(Rules(window=100, lateness=0, horizon=300, quorum=3))
    wrong = user("u", "wrong clock", 10**9)
    bench.feed(user("u", "a", 1), user("u", "b", 2), user("u", "c", 3))
    bench.feed(wrong, wrong, wrong, wrong)
    assert bench.join.watermark == 2


def test_a_ranking_that_comes_after_its_window_is_buried() -> None:
    bench = Bench()
    bench.tick(1100)
    bench.feed(ranking("u", "r", 1000))
    assert bench.kinds == ["after-window"]
    assert bench.shard.user("u").rankings == 0


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [("first", 2.0), ("sum", 2.0 + 0.5 - 3.0), ("mean", (2.0 + 0.5 - 3.0) / 3), ("max", 2.0)],
)
def test_rewards_are_aggregated_in_event_time(aggregation: str, expected: float) -> None:
    rules = Rules(
        window=100,
        lateness=0,
        horizon=300,
        quorum=1,
        rewards={"click": 1.0, "dislike": -3.0, "watch": 0.5},
        aggregation=aggregation,
        default_reward=-0.25,
    )
    bench = Bench(rules)
    bench.feed(ranking("u", "r", 1000))
    bench.feed(
        interaction("u", "3", 1030, "r", type="dislike"),
        interaction("u", "0", 1000, "r", type="unrewarded", value=99.0),
        interaction("u", "2", 1020, "r", type="watch"),
        interaction("u", "1", 1010, "r", type="click", value=2.0),
    )
    bench.tick(1100)
    rewards = bench.closed[0].rewards
    assert rewards[0] == pytest.approx(expected, rel=1e-6)
    assert rewards[1] == -0.25
    assert bench.counts.interactions == 4


def test_types_of_interaction_may_have_windows_of_their_own() -> None:
    rules = Rules(
        window=100, windows={"click": 30}, lateness=0, horizon=300, rewards={"click": 1, "buy": 5}
    )
    bench = Bench(rules)
    bench.feed(interaction("u", "waits too long", 1030, "r"))
    bench.feed(
        ranking("u", "r", 1000),
        interaction("u", "in time", 1029, "r", "b"),
        interaction("u", "too late", 1030, "r"),
        interaction("u", "bought", 1099, "r", type="buy"),
    )
    bench.feed(*[user("clock", f"e{n}", 1100) for n in range(3)])
    assert bench.kinds == ["after-window", "after-window"]
    assert bench.outcomes == [("u", "r", [5.0, 1.0])]


def test_a_reward_that_does_not_fit_is_buried() -> None:
    bench = Bench(Rules(rewards={"click": 1e20}))
    bench.feed(ranking("u", "r", 1000), interaction("u", "i", 1000, "r", value=1e20))
    assert bench.kinds == ["contract"]


def test_limits_bound_what_a_user_takes_up() -> None:
    bench = Bench(limits=Limits(user_bytes=4000, slots=2, credits=3))
    bench.feed(ranking("u", "long", 1000, "a", "b", "c"))
    assert bench.kinds == ["overflow"]
    bench.feed(ranking("u", "r", 1000))
    bench.feed(*[interaction("u", f"i{n}", 1000 + n, "r") for n in range(5)])
    assert bench.kinds == ["overflow"] * 3
    bench.feed(*[user("flood", f"f{n}", 1000, noise="x" * 500) for n in range(20)])
    assert len(bench.letters) > 10
    assert len(bench.shard.live["flood"]) < 4000
    bench.feed(user("v", "e", 1000))
    assert "v" in bench.shard.live


def test_what_is_past_is_let_go_of() -> None:
    bench = Bench()
    for n in range(50):
        bench.feed(ranking("u", f"r{n}", 1000 + n), interaction("u", f"i{n}", 1000 + n, "never"))
    full = len(bench.shard.live["u"])
    bench.tick(2000)
    bench.restart()
    kept = bench.shard.user("u")
    assert (kept.open, kept.waiting, kept.remembered) == ({}, [], {})
    assert kept.rankings == 50
    assert len(bench.shard.live["u"]) < full / 50


@pytest.mark.parametrize("name", ["event_bytes", "user_bytes", "slots", "credits", "issued"])
def test_limits_that_limit_nothing_are_refused(name: str) -> None:
    with pytest.raises(RuleError, match=f"limits.{name} must be at least 1"):
        Limits(**{name: 0})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"aggregation": "median"}, "unknown aggregation 'median'"),
        ({"quorum": 0}, "quorum"),
        ({"window": 0}, "window"),
        ({"horizon": 1}, "remembered"),
        ({"windows": {"buy": 10**9}}, "window of 'buy'"),
        ({"rewards": {"click": math.inf}}, "finite"),
    ],
)
def test_rules_that_contradict_themselves_are_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(RuleError, match=message):
        Rules(**options)


# --- laws


@st.composite
def stories(draw: st.DrawFn) -> list[Feedback]:
    """Draw a story of a few users, in event-time order, with interactions of all kinds of luck."""
    events: list[Feedback] = []
    shown: list[tuple[str, str, int]] = []
    time = 1000
    for n in range(draw(st.integers(1, 40))):
        time += draw(st.integers(0, 60))
        name = draw(st.sampled_from("uvw"))
        match draw(st.sampled_from(["user", "ranking", "click", "stray"])):
            case "user":
                events.append(user(name, f"e{n}", time))
            case "ranking":
                events.append(ranking(name, f"r{n}", time))
                shown.append((name, f"r{n}", time))
            case "click" if shown:
                owner, id_, _ = draw(st.sampled_from(shown))
                value = draw(st.floats(0.125, 3.0))
                events.append(interaction(owner, f"c{n}", time, id_, value=value))
            case _:
                events.append(interaction(name, f"s{n}", time, f"r{draw(st.integers(0, 60))}"))
    return events


def told(events: Sequence[Feedback], cuts: Sequence[int], restarts: bool = False) -> Bench:
    """Feed a story cut into batches, and let all its windows pass."""
    bench = Bench(LAWS)
    places = sorted({0, len(events), *(cut % (len(events) + 1) for cut in cuts)})
    for start, stop in pairwise(places):
        bench.feed(*events[start:stop])
        if restarts:
            bench.restart()
    last = max(event.time for event in events)
    bench.feed(*[user("clock", f"end{n}", last + 10_000) for n in range(LAWS.quorum)])
    return bench


LAWS = Rules(window=100, lateness=50, horizon=400, quorum=2, aggregation="sum")


@settings(max_examples=150, deadline=None)
@given(stories(), st.lists(st.integers(0, 100), max_size=5), st.booleans())
def test_how_batches_fall_and_restarts_change_nothing(
    events: list[Feedback], cuts: list[int], restarts: bool
) -> None:
    once, cut = told(events, []), told(events, cuts, restarts)
    assert cut.outcomes == once.outcomes
    assert cut.counts == once.counts
    assert sorted(cut.kinds) == sorted(once.kinds)


@settings(max_examples=200, deadline=None)
@given(stories(), st.data())
def test_reordering_within_the_lateness_and_redelivery_give_the_same_outcomes_in_the_same_order(
    events: list[Feedback], data: st.DataObject
) -> None:
    # Whoever is delayed by less than the lateness overtakes nobody who is that much newer.
    delays = data.draw(
        st.lists(st.integers(0, LAWS.lateness), min_size=len(events), max_size=len(events))
    )
    arrivals = sorted(
        zip(events, delays, strict=True), key=lambda pair: (pair[0].time + pair[1], pair[0].id)
    )
    delivered: list[Feedback] = []
    for event, _ in arrivals:
        delivered.append(event)
        again = data.draw(st.integers(0, 3))
        if again == 0:
            delivered.append(event)
        elif again == 1:
            delivered.append(delivered[data.draw(st.integers(0, len(delivered) - 1))])
    cuts = data.draw(st.lists(st.integers(0, 100), max_size=5))
    plain, unruly = told(events, []), told(delivered, cuts)
    assert unruly.outcomes == plain.outcomes
    assert unruly.counts.rankings == plain.counts.rankings
    assert unruly.counts.interactions == plain.counts.interactions
    assert unruly.counts.users == plain.counts.users


@settings(max_examples=150, deadline=None)
@given(stories(), st.randoms(use_true_random=False), st.lists(st.integers(0, 100), max_size=5))
def test_every_event_is_counted_once_in_any_order_at_all(
    events: list[Feedback], random: Random, cuts: list[int]
) -> None:
    shuffled = [*events, *random.choices(events, k=5)]
    random.shuffle(shuffled)
    bench = told(shuffled, cuts, restarts=True)
    assert bench.counts.events == len(shuffled) + LAWS.quorum
    assert bench.counts.waiting == 0
    assert sum(bench.counts.dead.values()) == len(bench.letters)
    assert Counter(bench.kinds) == bench.counts.dead
    assert bench.counts.outcomes == bench.counts.rankings == len(bench.closed)


@settings(max_examples=100, deadline=None)
@given(stories(), st.data())
def test_one_absurd_timestamp_closes_nothing(events: list[Feedback], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(events)))
    absurd = user("x", "absurd", events[0].time + 80_000_000)
    plain, poisoned = told(events, [at]), told([*events[:at], absurd, *events[at:]], [at])
    # The absurd event is believed as one of a quorum, never alone: what had closed by the end of
    # the story without it has closed with it, and nothing that was open was buried for it.
    assert {o[1] for o in poisoned.outcomes} == {o[1] for o in plain.outcomes}
    assert poisoned.counts.rankings == plain.counts.rankings


def test_a_partition_s_own_state_is_no_users() -> None:
    bench = Bench()
    bench.feed(user("partition", "e", 1000), user("\x00partition", "f", 1000))
    assert set(bench.changelog) == {PARTITION_KEY, b"partition", b"\x00partition"}
    bench.restart()
    assert set(bench.shard.live) == {"partition", "\x00partition"}
