"""A shift of the reward is noticed soon, its absence is not, and what was agreed on follows."""

from __future__ import annotations

import numpy as np
import pytest

from streaming.drift import Watch
from streaming.knowledge import Weights
from streaming.learner import Learner
from streaming.roles import Explore, Roles, Rollback
from streaming.rules import DriftRules, RuleError
from tests.streaming.support import OrderPolicy
from tests.streaming.test_learner import outcomes
from tests.streaming.test_records import outcome

ROLES = Roles(champion="a", policies=["a"])
STEADY, SHIFTED = 3000, 1000
BOUND = 300
"""Outcomes after the shift within which there must be an alarm."""


def told(watch: Watch, rates: list[tuple[int, float]], seed: int, roles: Roles = ROLES) -> None:
    """Let a learner tell of outcomes whose click rate is constant, then another."""
    rng = np.random.default_rng(seed)
    learner = Learner(Weights(OrderPolicy()), watchers=[watch])
    watch.begin(roles)
    seq = 0
    for count, rate in rates:
        records = []
        for _ in range(count):
            rewards = (rng.random(2) < rate).astype(float).tolist()
            seen = [True, bool(rng.random() < 0.7)]
            records.append(outcome(seq, rewards=rewards, seen=seen, predictions=[]))
            seq += 1
        learner.learn(records)


@pytest.mark.parametrize("seed", range(5))
def test_a_steady_reward_raises_no_alarm(seed: int) -> None:
    watch = Watch(DriftRules())
    told(watch, [(STEADY + SHIFTED, 0.3)], seed)
    assert watch.alarms == 0
    assert watch.orders() == []


@pytest.mark.parametrize("seed", range(5))
def test_a_drop_is_one_alarm_within_a_bound(seed: int) -> None:
    watch = Watch(DriftRules())
    told(watch, [(STEADY, 0.3), (SHIFTED, 0.1)], seed)
    (alarm,) = [drift for drift in watch.drifts if drift.bad]
    assert watch.alarms == 1
    assert STEADY <= alarm.seq < STEADY + BOUND
    assert alarm.time == 2000 + alarm.seq


@pytest.mark.parametrize("seed", range(5))
def test_a_rise_is_noticed_and_no_alarm(seed: int) -> None:
    watch = Watch(DriftRules())
    told(watch, [(STEADY, 0.1), (SHIFTED, 0.4)], seed)
    assert [drift for drift in watch.drifts if drift.kind == "reward"]
    assert watch.alarms == 0


def test_predictions_that_come_to_exceed_clicks_are_an_alarm() -> None:
    """The reward stays what it was: only what was expected of it did not."""
    watch = Watch(DriftRules())
    watch.begin(ROLES)
    rng = np.random.default_rng(1)
    rewards = (rng.random((2000, 2)) < 0.3).astype(float).tolist()
    said = [0.3] * 1000 + [0.6] * 1000
    records = [
        outcome(n, rewards=earned, predictions=[chance, chance], seen=[True, True])
        for n, (earned, chance) in enumerate(zip(rewards, said, strict=True))
    ]
    watch.take(records)
    (alarm,) = [drift for drift in watch.drifts if drift.bad]
    assert alarm.kind == "calibration"
    assert 1000 <= alarm.seq < 1300
    assert alarm.before < alarm.after


def test_what_was_agreed_on_follows() -> None:
    for rules, order in (
        (DriftRules(action="warn"), None),
        (DriftRules(action="rollback"), Rollback),
        (DriftRules(action="explore", epsilon=0.3, half_life=50), Explore),
    ):
        watch = Watch(rules)
        told(watch, [(STEADY, 0.3), (SHIFTED, 0.1)], seed=0)
        orders = watch.orders()
        if order is None:
            assert orders == []
            continue
        assert [type(one) for one in orders] == [order]
        assert "drift: " in orders[0].reason
        if isinstance(orders[0], Explore):
            assert (orders[0].epsilon, orders[0].half_life) == (0.3, 50)
        watch.begin(ROLES)
        assert watch.orders() == []


def test_one_change_is_answered_once_though_two_workers_see_it() -> None:
    late = Watch(DriftRules(action="rollback"))
    told(late, [(STEADY, 0.3), (20, 0.1)], seed=0)
    assert late.orders() == []  # it has not noticed yet
    answered = ROLES.changed("drift: the other worker has")
    late.begin(answered)
    told(late, [(SHIFTED, 0.1)], seed=1, roles=answered)
    assert late.alarms == 0


def test_the_past_of_a_partition_that_is_taken_over_is_no_change() -> None:
    watch, rng = Watch(DriftRules()), np.random.default_rng(0)
    watch.begin(ROLES)
    for time, rate in ((10_000, 0.6), (0, 0.2), (20_000, 0.6)):
        rewards = (rng.random((1000, 2)) < rate).astype(float).tolist()
        watch.take(
            [
                outcome(
                    n, closed=time + n, rewards=earned, predictions=[rate, rate], seen=[True] * 2
                )
                for n, earned in enumerate(rewards)
            ]
        )
    assert watch.alarms == watch.noticed == 0


@pytest.mark.parametrize(("seq", "orders"), [(0, 0), (10**6, 1)])
def test_exploration_is_not_raised_by_what_it_costs_itself(seq: int, orders: int) -> None:
    """Nothing is ordered while slates are random, and again once they are not any more."""
    watch = Watch(DriftRules(action="explore"))
    raised = Explore(epsilon=0.2, half_life=STEADY).obeyed(ROLES, 0)
    watch.begin(raised)
    rng = np.random.default_rng(0)
    for count, rate in ((STEADY, 0.3), (SHIFTED, 0.1)):
        rewards = (rng.random((count, 2)) < rate).astype(float).tolist()
        watch.take(
            [outcome(seq, rewards=r, predictions=[rate] * 2, seen=[True] * 2) for r in rewards]
        )
    assert watch.alarms == 1
    assert len(watch.orders()) == orders


def test_what_follows_is_meant_for_the_roles_of_then() -> None:
    watch = Watch(DriftRules(action="rollback"))
    told(watch, [(STEADY, 0.3), (SHIFTED, 0.1)], seed=0, roles=ROLES.changed("a canary"))
    (order,) = watch.orders()
    assert order == Rollback(reason=order.reason, revision=1)


def test_nothing_is_concluded_from_corrections_quarantine_and_what_nobody_saw() -> None:
    watch, plain = Watch(DriftRules()), Watch(DriftRules())
    good = outcomes(1000)
    judged = Learner(Weights(OrderPolicy()), watchers=[plain]).learn(good)
    odd = [
        outcome(0, rewards=[0.0, 0.0], corrects=0, replaced=[1.0, 1.0]),
        outcome(0, rewards=[0.0, 0.0], quarantined="a bot"),
        outcome(0, rewards=[0.0, 0.0], seen=[False, False]),
    ]
    for record in judged:
        watch.take([*odd, record])
    assert watch.drifts == plain.drifts
    assert watch.alarms == 0


@pytest.mark.parametrize(
    "wrong", [{"action": "panic"}, {"delta": 0.0}, {"epsilon": 2.0}, {"half_life": 0}]
)
def test_rules_that_cannot_be_followed_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(RuleError):
        DriftRules(**wrong)  # type: ignore[arg-type]
