"""The estimators against their formulas in plain Python, and against known truth."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from evaluation.accumulate import Accumulator
from evaluation.estimators import (
    ModelNeededError,
    UnknownEstimatorError,
    named,
)
from evaluation.rounds import Rounds
from tests.evaluation.logs import Shop, keys

ALL = ("IPS", "SNIPS", "DM", "DR")


def values(rounds: Rounds, *names: str) -> dict[str, float]:
    accumulator = Accumulator(named(names), replicates=4)
    accumulator.add(rounds)
    return {estimate.estimator: estimate.value for estimate in accumulator.results()}


def test_formulas() -> None:
    rounds = Shop().rounds(200, seed=3)
    assert rounds.q is not None
    assert rounds.v is not None
    rows = [
        tuple(float(x) for x in row)
        for row in zip(rounds.reward, rounds.logged, rounds.target, rounds.q, rounds.v, strict=True)
    ]
    n = len(rows)
    wanted = {
        "IPS": sum(e / b * r for r, b, e, _, _ in rows) / n,
        "SNIPS": sum(e / b * r for r, b, e, _, _ in rows) / sum(e / b for _, b, e, _, _ in rows),
        "DM": sum(v for *_, v in rows) / n,
        "DR": sum(v + e / b * (r - q) for r, b, e, q, v in rows) / n,
    }
    assert values(rounds, *ALL) == pytest.approx(wanted, rel=1e-12)


def test_on_policy_everything_weighted_is_the_mean_reward() -> None:
    log = Shop().rounds(500, seed=1)
    same = Rounds(log.reward, log.logged, log.logged, log.keys)
    found = values(same, "IPS", "SNIPS")
    assert found["IPS"] == pytest.approx(log.reward.mean(), rel=1e-12)
    assert found["SNIPS"] == pytest.approx(log.reward.mean(), rel=1e-12)


def test_a_perfect_model_leaves_dr_nothing_to_correct() -> None:
    log = Shop().rounds(500, seed=1)
    value = np.full(500, 0.25)
    perfect = Rounds(log.reward, log.logged, log.target, log.keys, q=log.reward, v=value)
    accumulator = Accumulator(named(["DR", "DM"]), replicates=100)
    accumulator.add(perfect)
    for estimate in accumulator.results():
        assert estimate.value == pytest.approx(0.25, rel=1e-12)
        assert estimate.high - estimate.low < 1e-9


def test_snips_is_unmoved_by_a_shift_of_all_rewards_but_for_the_shift() -> None:
    log = Shop().rounds(500, seed=1)
    moved = Rounds(log.reward + 7.0, log.logged, log.target, log.keys)
    assert values(moved, "SNIPS")["SNIPS"] == pytest.approx(values(log, "SNIPS")["SNIPS"] + 7.0)


def test_ips_and_dr_are_unbiased_and_dm_is_as_wrong_as_its_model() -> None:
    shop, logs = Shop(), 300
    found = [values(shop.rounds(500, seed), *ALL) for seed in range(logs)]
    for name in ("IPS", "DR", "SNIPS"):
        errors = np.array([values_[name] for values_ in found]) - shop.truth
        assert abs(errors.mean()) < 3.0 * errors.std() / sqrt(logs) + (name == "SNIPS") * 1e-3
    modelled = float((shop.target * shop.guess).sum(axis=1).mean())
    dm = np.array([values_["DM"] for values_ in found])
    assert abs(dm.mean() - modelled) < 3.0 * dm.std() / sqrt(logs)
    assert abs(modelled - shop.truth) > 10.0 * dm.std() / sqrt(logs)


def test_estimators_without_a_model_ask_for_none_and_the_others_say_so() -> None:
    log = Shop().rounds(50, seed=1)
    bare = Rounds(log.reward, log.logged, log.target, log.keys)
    values(bare, "IPS", "SNIPS")
    for name in ("DM", "DR"):
        with pytest.raises(ModelNeededError, match="give a reward model"):
            values(bare, name)


def test_a_target_that_never_does_what_was_logged_has_no_snips() -> None:
    empty = Rounds(np.ones(5), np.full(5, 0.5), np.zeros(5), keys(5, 0))
    accumulator = Accumulator(named(["SNIPS"]), replicates=4)
    accumulator.add(empty)
    (estimate,) = accumulator.results()
    assert np.isnan(estimate.value)
    assert estimate.verdict.trust == "do not trust"
    assert estimate.to_dict()["value"] is None


def test_names_are_found_in_any_case_and_near_ones_suggested() -> None:
    assert [estimator.name for estimator in named(["snips", "Dr"])] == ["SNIPS", "DR"]
    with pytest.raises(UnknownEstimatorError, match="did you mean SNIPS"):
        named(["snip"])
