"""Challengers in the shadow: they decide nothing, learn the same, and their chances are logged."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agents import from_spec
from streaming.events import RankedItem, RankingEvent
from streaming.exchange import ShareError
from streaming.records import outcomes_of
from streaming.roles import RoleError
from streaming.rules import GateRules
from streaming.state import UserState
from streaming.transport.memory import MemoryBus
from streaming.worker import Worker
from tests.streaming.support import (
    CONFIG,
    Loop,
    OrderPolicy,
    drain,
    fold,
    interaction,
    same_state,
    user,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from agents.api import Policy
    from streaming.records import OutcomeRecord

CHALLENGERS: tuple[Callable[[], Policy], ...] = (
    lambda: from_spec("uniform"),
    lambda: from_spec("linucb:interactions=false+epsilon=0.1"),
)


def lived(challengers: tuple[Callable[[], Policy], ...], restarts: bool = False) -> Loop:
    """Let users be shown what they are recommended; return what came of it."""
    loop = Loop(MemoryBus())
    loop.announce()
    worker = Worker(loop.transport, OrderPolicy, CONFIG, challengers=challengers)
    loop.send(*[user(f"u{n}", "hello", 1000, x=0.1 * n, y=-0.5) for n in range(10)])
    drain(worker)
    for step in range(6):
        time = 2000 + 1500 * step
        for name, told in sorted(loop.recommended().items()):
            if not name.startswith("u"):
                continue
            items = [RankedItem(slot.id) for slot in told.items]
            loop.send(RankingEvent(id=told.id, timestamp=time, user=name, items=items))
            if told.items[0].id in "ab":
                loop.send(interaction(name, f"c{told.id}", time + 10, told.id, items[0].id))
        loop.tick(time + 1000)
        drain(worker)
        if restarts:
            worker.close()
            worker = Worker(loop.transport, OrderPolicy, CONFIG, challengers=challengers)
    _, *shadows = worker.learner.pool.policies.values()
    for challenger, learned in zip(challengers, shadows, strict=True):
        agrees(challenger(), learned, loop.outcomes())
    assert same_state(worker.learner.policy.state_dict(), fold(loop.outcomes()))
    worker.close()
    return loop


def agrees(new: Policy, learned: Policy, outcomes: list[OutcomeRecord]) -> None:
    """Check that a policy would decide as one that folds the outcomes."""
    for outcome in outcomes:
        new.update(outcomes_of([outcome]))
    asked = outcomes_of(outcomes[-1:])
    args = asked.requests, asked.decisions.slates
    np.testing.assert_allclose(learned.propensities(*args), new.propensities(*args), rtol=1e-9)


def test_a_challenger_changes_nothing_of_what_is_shown() -> None:
    alone, shadowed = lived(()), lived(CHALLENGERS)
    assert len(alone.outcomes()) == 60
    for one, other in zip(alone.outcomes(), shadowed.outcomes(), strict=True):
        assert (one.items, one.propensities) == (other.items, other.propensities)
        assert one.shadow == {}


def test_what_challengers_would_have_shown_is_logged_with_decision_and_outcome() -> None:
    loop = lived(CHALLENGERS)
    decided = {decision.id: decision for decision in loop.decisions()}
    for outcome in loop.outcomes():
        assert outcome.shadow == decided[outcome.ranking].shadow
        assert outcome.shadow["uniform"] == pytest.approx([1 / 5, 1 / 4])
        assert len(outcome.shadow) == 2


def test_a_slate_that_stays_is_told_anew_when_a_challenger_has_learned() -> None:
    """Else chances would be old for slates that stay and new for others: no policy's."""
    loop = Loop(MemoryBus())
    loop.announce()
    worker = Worker(
        loop.transport, CHALLENGERS[0], CONFIG, challengers=[lambda: from_spec("lints")]
    )
    hello = user("u0", "hello", 1000, x=0.3, y=-0.5)
    loop.send(hello, user("u1", "hello", 1000, x=0.3, y=-0.5))
    drain(worker)
    before, told = loop.recommended()["u0"], loop.recommended()["u1"]
    items = [RankedItem(slot.id) for slot in told.items]
    loop.send(RankingEvent(id=told.id, timestamp=2000, user="u1", items=items))
    loop.send(interaction("u1", "click", 2010, told.id, items[1].id))
    loop.tick(4000)
    drain(worker)
    loop.send(interaction("u0", "early", 4000, "still to come"))
    drain(worker)
    after, slates = loop.recommended()["u0"], worker._shelf.slates
    assert after.items == before.items
    requests = slates.requests(["u0"], [UserState(fields=hello.fields)], [4000])
    shown = np.array([slates.rows([slot.id for slot in after.items])])
    challenger = worker.learner.pool.policies["lints"]
    assert after.shadow["lints"] == challenger.propensities(requests, shown)[0].tolist()
    assert after.shadow != before.shadow
    worker.close()


def test_a_worker_that_restores_itself_has_the_challengers_it_had() -> None:
    one, other = lived(CHALLENGERS, restarts=True), lived(CHALLENGERS)
    for mine, theirs in zip(one.outcomes(), other.outcomes(), strict=True):
        for name, chances in mine.shadow.items():
            assert chances == pytest.approx(theirs.shadow[name], rel=1e-9)


def test_two_policies_of_one_name_are_refused() -> None:
    with pytest.raises(RoleError, match="'order'"):
        Worker(MemoryBus(), OrderPolicy, CONFIG, challengers=[OrderPolicy])


def test_a_gate_is_refused_where_workers_share_the_partitions() -> None:
    loop = Loop(MemoryBus())
    loop.announce()
    gated = replace(CONFIG, gate=GateRules())
    judging = Worker(loop.transport, OrderPolicy, gated, challengers=CHALLENGERS)
    other = Worker(
        loop.transport, OrderPolicy, replace(CONFIG, worker="2"), challengers=CHALLENGERS
    )
    other.step()
    with pytest.raises(ShareError, match="gate"):
        judging.step()
    judging.close()
    again = Worker(loop.transport, OrderPolicy, gated, challengers=CHALLENGERS)
    assert len(again.partitions) < CONFIG.partitions  # what it had is its own at once
    with pytest.raises(ShareError, match="gate"):
        again.step()
    again.close()
    other.close()
