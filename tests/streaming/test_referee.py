"""The live gate says yes to what is better beyond doubt, whatever batches the outcomes come in."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from streaming.names import name_of
from streaming.records import OutcomeRecord
from streaming.referee import EVERY, Referee
from streaming.roles import Canary, Promote, Roles
from streaming.rules import GateRules, RuleError
from tests.streaming.test_records import outcome

CLICKS = np.array([0.1, 0.2, 0.3, 0.6])
POLICIES = {
    "old": np.full(4, 0.25),
    "better": np.array([0.1, 0.1, 0.1, 0.7]),
    "worse": np.array([0.7, 0.1, 0.1, 0.1]),
    "other": np.array([0.45, 0.15, 0.05, 0.35]),  # earns as much as the old
}
LEAD = float((POLICIES["better"] - POLICIES["old"]) @ CLICKS)
RULES = GateRules(largest_weight=4.0)


def log(count: int, *names: str, seed: int = 0, canary: str | None = None) -> list[OutcomeRecord]:
    """Return outcomes of slates of one item, every other one decided by the canary, if any."""
    rng = np.random.default_rng(seed)
    records = []
    for seq in range(count):
        decided = canary if canary is not None and seq % 2 else "old"
        item = int(rng.choice(4, p=POLICIES[decided]))
        stated = {name: [float(POLICIES[name][item])] for name in ("old", *names)}
        records.append(
            outcome(
                seq,
                request=name_of(int(rng.integers(2**63))),
                items=[f"i{item}"],
                features=[[0.0]],
                positions=[0],
                propensities=stated.pop(decided),
                rewards=[float(rng.random() < CLICKS[item])],
                seen=[True],
                policy=decided,
                shadow=stated,
                predictions=[0.5],
            )
        )
    return records


def referee(*names: str, rules: GateRules = RULES, slots: int = 1, **given: object) -> Referee:
    made = Referee(rules, slots)
    made.begin(roles(*names, **given))
    return made


def roles(*names: str, **given: object) -> Roles:
    return msgspec.structs.replace(Roles(champion="old", policies=["old", *names]), **given)


def test_the_better_is_promoted_and_its_lead_is_in_the_interval() -> None:
    gate = referee("better")
    records = log(2000, "better")
    for seq in range(0, 2000, EVERY):
        gate.take(records[seq : seq + EVERY])
        if gate.orders():
            break
    (order,) = gate.orders()
    assert isinstance(order, Promote)
    assert order.policy == "better"
    standing = gate.standings["better"]
    assert standing.rounds == seq + EVERY < 2000
    assert standing.low is not None
    assert standing.high is not None
    assert 0.0 < standing.low < LEAD < standing.high
    assert "above the margin" in order.reason


def test_margin_and_level_are_those_of_the_rules() -> None:
    records = log(2000, "better")
    bold = referee("better", rules=replace(RULES, level=0.5))
    for rules in (replace(RULES, margin=LEAD), replace(RULES, level=1 - 1e-12)):
        strict = referee("better", rules=rules)
        strict.take(records[:500])
        assert strict.orders() == []
    bold.take(records[:500])
    assert bold.orders()


@pytest.mark.parametrize("canary", [None, "worse"])
def test_only_a_canary_is_ended_for_being_worse(canary: str | None) -> None:
    gate = referee("worse", canary=canary, share=0.5 if canary else 0.0)
    gate.take(log(2000, "worse", canary=canary))
    expected = [] if canary is None else ["worse"]
    assert [order.policy for order in gate.orders() if isinstance(order, Canary)] == expected
    assert not any(isinstance(order, Promote) for order in gate.orders())
    standing = gate.standings["worse"]
    assert standing.rounds == 2000
    assert standing.high is not None
    assert standing.high < 0.0


def test_equals_are_let_through_no_more_often_than_the_level_allows() -> None:
    """Asked six times each: at a level of 0.8 one in ten may pass."""
    assert POLICIES["other"] @ CLICKS == pytest.approx(POLICIES["old"] @ CLICKS)
    passed, runs = 0, 25
    for seed in range(runs):
        gate = referee("other", rules=replace(RULES, level=0.8))
        gate.take(log(600, "other", seed=seed))
        passed += len(gate.orders())
        assert gate.standings["other"].rounds == 600
    assert passed <= runs * 0.1 + 2 * np.sqrt(runs * 0.1 * 0.9)


def test_batches_do_not_matter_and_a_restored_one_is_the_same() -> None:
    records = log(730, "better", "worse")
    whole, cut = referee("better", "worse"), referee("better", "worse")
    whole.take(records)
    for start in range(0, 730, 37):
        cut.take(records[start : start + 37])
    assert whole.standings == cut.standings
    assert whole.standings["better"].rounds == 700


def test_what_was_before_the_champion_took_office_does_not_count() -> None:
    records = log(900, "better")
    late, short = referee("better", since=250), referee("better")
    late.take(records)
    short.take([msgspec.structs.replace(r, seq=r.seq - 250) for r in records[250:]])
    assert late.standings == short.standings
    assert late.standings["better"].rounds == 600


def test_with_a_new_champion_the_contest_begins_anew_and_with_a_canary_it_goes_on() -> None:
    gate = referee("better")
    gate.take(log(300, "better"))
    gate.begin(roles("better", canary="better", share=0.1))
    assert gate.standings["better"].rounds == 300
    gate.begin(roles("better", champion="better", policies=["old", "better"], since=300))
    assert gate.standings.keys() == {"old"}
    assert gate.standings["old"].rounds == 0


def test_outcomes_that_nobody_or_not_all_stated_teach_nothing() -> None:
    gate, plain = referee("better"), referee("better")
    records = log(400, "better")
    plain.take(records)
    changes: tuple[dict[str, object], ...] = (
        {"propensities": None},
        {"shadow": {}},
        {"policy": "somebody"},
        {"corrects": 3, "replaced": [0.0]},
        {"quarantined": "a bot"},
        {"again": True},
        {"propensities": [0.5, 0.5]},
    )
    odd = [msgspec.structs.replace(records[0], **change) for change in changes]
    for record in records:
        gate.take([*odd, record])
    assert gate.standings == plain.standings


def test_slates_are_judged_and_short_ones_are_filled_with_nothing() -> None:
    """Two slots: the second is a coin of both policies, so the lead is the first one's."""
    gate = referee("better", slots=2, rules=replace(RULES, high=2.0, largest_weight=2.8))
    rng = np.random.default_rng(3)
    for record in log(3000, "better"):
        if record.seq % 10:
            second = float(rng.random() < 0.5)
            record = msgspec.structs.replace(
                record,
                items=[*record.items, "x"],
                rewards=[*record.rewards, second],
                propensities=[*(record.propensities or []), 1.0],
                shadow={"better": [*record.shadow["better"], 1.0]},
            )
        gate.take([record])
    standing = gate.standings["better"]
    assert standing.rounds == 3000
    assert standing.low is not None
    assert standing.high is not None
    assert standing.low < LEAD < standing.high
    assert gate.orders()


def test_a_broken_promise_shuts_the_gate_for_good() -> None:
    gate = referee("better", rules=replace(RULES, high=0.5))
    gate.take(log(1000, "better"))
    assert gate.orders() == []
    assert gate.standings["better"].shut
    assert "0.5, as was said" in gate.standings["better"].reason


@pytest.mark.parametrize("wrong", [{"margin": -0.1}, {"level": 1.0}])
def test_rules_that_cannot_be_followed_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(RuleError, match="margin"):
        GateRules(**wrong)  # type: ignore[arg-type]
