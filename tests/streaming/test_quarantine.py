"""Bots and floods in the loop: published with a reason, and learned by nobody."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agents import additive_parts, from_spec
from streaming.config import WorkerConfig
from streaming.events import RankingEvent
from streaming.export import Logged
from streaming.records import outcomes_of
from streaming.rules import Quarantine, RuleError, Rules
from streaming.transport.memory import MemoryBus
from streaming.worker import Worker
from tests.streaming.support import (
    CONFIG,
    ITEMS,
    Loop,
    OrderPolicy,
    drain,
    fold,
    interaction,
    ranking,
    same_state,
    user,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agents.api import Policy
    from streaming.events import Feedback, InteractionEvent
    from streaming.records import OutcomeRecord

STEP, STEPS, PEOPLE = 70_000, 24, 20
BOT_FROM = 20

WATCHED = replace(
    CONFIG,
    partitions=1,
    rules=Rules(window=60_000, lateness=100, horizon=200_000, quorum=2),
    quarantine=Quarantine(threshold=0.97, flood=80.0),
)
LATE = replace(
    WATCHED, rules=Rules(window=60_000, lateness=100, late=60_000, horizon=200_000, quorum=2)
)


def told() -> list[list[Feedback]]:
    """Return what happens, step by step: people click now and then, later a bot and a flood do."""
    rng = np.random.default_rng(0)
    steps: list[list[Feedback]] = []
    for step in range(STEPS):
        time = 100_000 + STEP * step
        events: list[Feedback] = []
        for n in range(PEOPLE):
            items = [str(item) for item in rng.choice(ITEMS, size=2, replace=False)]
            id_ = f"r{step}-{n}"
            events.append(ranking(f"u{n}", id_, time, *items))
            if rng.random() < 0.5:
                delay = 1000 + int(rng.integers(20_000))
                events.append(interaction(f"u{n}", f"c{id_}", time + delay, id_, items[0]))
        if step >= BOT_FROM:
            events.append(ranking("bot", f"b{step}", time, "a", "b"))
            events += [
                interaction("bot", f"b{step}-{n}", time + 1, f"b{step}", "ab"[n % 2])
                for n in range(50)
            ]
            events.append(ranking("flood", f"f{step}", time, "a", "b"))
            events += [user("flood", f"f{step}-{n}", time + 100 * n) for n in range(1, 100)]
        steps.append(events)
    return steps


def late_clicks(events: Sequence[Feedback], time: int) -> list[InteractionEvent]:
    """Return a late click, worth more than others, on the first item of every ranking."""
    return [
        interaction(e.user, f"late {e.id}", time, e.id, e.items[0].id, value=2.0)
        for e in events
        if isinstance(e, RankingEvent)
    ]


def lived(config: WorkerConfig, restarts: bool) -> tuple[Loop, list[OutcomeRecord]]:
    """Tell it all, with or without a new worker at every step; return what was published."""
    loop = Loop(MemoryBus(), config)
    loop.announce()
    worker = Worker(loop.transport, OrderPolicy, config)
    for step, events in enumerate(told()):
        loop.send(*events)
        drain(worker)
        if config.rules.late and step >= BOT_FROM:  # the bot's ranking has closed meanwhile
            loop.tick(100_000 + STEP * step + 60_000)
            late = 100_000 + STEP * step + 61_000
            loop.send(*late_clicks(events, late))
            drain(worker)
        if restarts:
            worker.close()
            worker = Worker(loop.transport, OrderPolicy, config)
    loop.tick(100_000 + STEP * STEPS)
    drain(worker)
    outcomes = loop.outcomes()
    trusted = [o for o in outcomes if o.quarantined is None and o.corrects is None]
    assert same_state(worker.learner.policy.state_dict(), fold(trusted))
    caught = [o for o in outcomes if o.quarantined is not None and o.corrects is None]
    assert worker.report().quarantined == len(caught)
    worker.close()
    again = Worker(loop.transport, OrderPolicy, config)
    assert same_state(again.learner.policy.state_dict(), fold(trusted))
    again.close()
    return loop, outcomes


def test_bots_and_floods_are_published_with_the_reason_and_nobody_learns_from_them() -> None:
    _, outcomes = lived(WATCHED, restarts=False)
    reasons = {o.ranking: o.quarantined for o in outcomes if o.quarantined}
    for step in range(BOT_FROM, STEPS):
        assert "unusual" in (reasons.pop(f"b{step}") or "")
        assert (reasons.pop(f"f{step}") or "").startswith("flood: 99 events")
    assert len(reasons) <= 0.02 * PEOPLE * STEPS  # people who are taken for bots
    assert [o.number for o in outcomes] == list(range(len(outcomes)))
    assert all(not o.predictions for o in outcomes if o.quarantined)


def test_a_worker_that_restores_itself_judges_as_the_one_before_would_have() -> None:
    assert lived(WATCHED, restarts=True)[1] == lived(WATCHED, restarts=False)[1]


def test_a_correction_of_what_is_quarantined_is_quarantined() -> None:
    loop, outcomes = lived(LATE, restarts=True)
    reasons = {o.number: o.quarantined for o in outcomes if o.corrects is None}
    corrected = {o.corrects: o for o in outcomes if o.corrects is not None}
    assert all(o.quarantined == reasons[number] for number, o in corrected.items() if number)
    kept = [o.quarantined is None for o in corrected.values()]
    assert any(kept)
    assert not all(kept)

    def make() -> Policy:
        return from_spec("linucb:interactions=false")

    last = Worker(loop.transport, make, LATE)
    learned = last.learner.policy.state_dict()
    last.close()
    policy = make()
    for outcome in outcomes:
        if outcome.corrects is None and outcome.quarantined is None:
            policy.update(outcomes_of([corrected.get(outcome.number, outcome)]))
    for name in additive_parts(policy) or ():
        np.testing.assert_allclose(learned[name], policy.state_dict()[name], rtol=1e-9, atol=1e-9)


def test_what_is_quarantined_is_left_out_of_the_log_and_counted() -> None:
    loop, outcomes = lived(WATCHED, restarts=False)
    logged = Logged(loop.transport, WATCHED)
    list(logged)
    caught = sum(outcome.quarantined is not None for outcome in outcomes)
    assert logged.left_out["it is quarantined: a bot's, or a flood"] == caught


def test_without_quarantine_nothing_is_judged() -> None:
    _, outcomes = lived(replace(WATCHED, quarantine=None), restarts=False)
    assert not any(outcome.quarantined or outcome.signs for outcome in outcomes)


@pytest.mark.parametrize(("threshold", "flood"), [(0.0, 1.0), (97.0, 1.0), (0.97, 0.0)])
def test_thresholds_that_are_none_are_refused(threshold: float, flood: float) -> None:
    with pytest.raises(RuleError, match="quarantine"):
        Quarantine(threshold, flood)
