"""The estimators against their formulas in plain Python, and against known truth."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np
import pytest

from evaluation.accumulate import Accumulator
from evaluation.chunks.rounds import Rounds
from evaluation.estimators.algebra import Moments
from evaluation.estimators.names import UnknownEstimatorError, named
from evaluation.estimators.single import ModelNeededError
from evaluation.estimators.weights import EstimatorError
from tests.evaluation.logs import Shop, keys

ALL = ("IPS", "SNIPS", "DM", "DR")


def values(rounds: Rounds, *names: str) -> dict[str, float]:
    accumulator = Accumulator(named(names), replicates=4)
    accumulator.add(rounds)
    return {estimate.estimator: estimate.value for estimate in accumulator.results()}


def in_plain_python(rounds: Rounds) -> list[tuple[float, float, float, float]]:
    """(w, r, q, v) of every round."""
    assert rounds.q is not None
    assert rounds.v is not None
    columns = (rounds.target, rounds.logged, rounds.reward, rounds.q, rounds.v)
    return [
        (e / b, r, q, v)
        for e, b, r, q, v in zip(*(column.tolist() for column in columns), strict=True)
    ]


def test_formulas() -> None:
    rounds = Shop().rounds(200, seed=3)
    rows = in_plain_python(rounds)
    n, norm = len(rows), sum(w for w, *_ in rows)

    def dr(tamed: Callable[[float], float]) -> float:
        return sum(v + tamed(w) * (r - q) for w, r, q, v in rows) / n

    def ips(tamed: Callable[[float], float]) -> float:
        return sum(tamed(w) * r for w, r, _, _ in rows) / n

    wanted = {
        "IPS": ips(lambda w: w),
        "SNIPS": sum(w * r for w, r, _, _ in rows) / norm,
        "DM": sum(v for *_, v in rows) / n,
        "DR": dr(lambda w: w),
        "SNDR": sum(v for *_, v in rows) / n + sum(w * (r - q) for w, r, q, _ in rows) / norm,
        "Clipped-IPS:1.5": ips(lambda w: min(w, 1.5)),
        "Switch-DR:1.5": dr(lambda w: w if w <= 1.5 else 0.0),
        "DRos:3": dr(lambda w: 3.0 * w / (w * w + 3.0)),
        "SG-IPS:0.2": ips(lambda w: w / (1.0 - 0.2 + 0.2 * w)),
        "SG-DR:0.2": dr(lambda w: w / (1.0 - 0.2 + 0.2 * w)),
    }
    assert values(rounds, *wanted) == pytest.approx(wanted, rel=1e-12)


def test_tamed_weights_at_their_ends_are_ips_dr_and_dm() -> None:
    rounds = Shop().rounds(200, seed=3)
    found = values(rounds, "IPS", "DR", "DM", "Clipped-IPS:inf", "Switch-DR:inf", "DRos:inf")
    assert found["Clipped-IPS:inf"] == pytest.approx(found["IPS"], rel=1e-12)
    assert found["Switch-DR:inf"] == found["DRos:inf"] == pytest.approx(found["DR"], rel=1e-12)
    found = values(rounds, "IPS", "DM", "Switch-DR:0", "DRos:0", "SG-IPS:0")
    assert found["Switch-DR:0"] == found["DRos:0"] == pytest.approx(found["DM"], rel=1e-12)
    assert found["SG-IPS:0"] == pytest.approx(found["IPS"], rel=1e-12)


def test_spreads_are_those_of_the_linearised_estimator() -> None:
    """sqrt(mean psi^2), psi = sum_j (a_j - ratio_j b_j) / mean b_j, row by row."""
    rounds = Shop().rounds(200, seed=3)
    rows = in_plain_python(rounds)
    w, r, q, v = (np.array(column) for column in zip(*rows, strict=True))
    influence = {
        "IPS": w * r - (w * r).mean(),
        "SNIPS": (w * r - (w * r).sum() / w.sum() * w) / w.mean(),
        "DR": v + w * (r - q) - (v + w * (r - q)).mean(),
        "SNDR": v - v.mean() + (w * (r - q) - (w * (r - q)).sum() / w.sum() * w) / w.mean(),
    }
    for name, psi in influence.items():
        (estimator,) = named([name])
        terms = [*estimator.candidates[0].terms()]
        table = np.stack([term(rounds) for term in terms])
        pairs = [(i, j) for i in range(len(terms)) for j in range(i, len(terms))]
        moments = Moments(
            {term: i for i, term in enumerate(terms)},
            table.mean(axis=1),
            {pair: at for at, pair in enumerate(pairs)},
            np.array([(table[i] * table[j]).mean() for i, j in pairs]),
            np.array(200.0),
        )
        assert float(estimator.read(moments).spread) == pytest.approx(psi.std(), rel=1e-9)


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
    for name in ("DM", "DR", "SNDR", "switch-dr"):
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
    with pytest.raises(UnknownEstimatorError, match="SNIPS has no parameter"):
        named(["snips:3"])
    with pytest.raises(UnknownEstimatorError, match="could not convert"):
        named(["switch-dr:much"])
    for spec in ("switch-dr:-1", "drOS:nan", "sg-dr:1"):
        with pytest.raises(EstimatorError):
            named([spec])
