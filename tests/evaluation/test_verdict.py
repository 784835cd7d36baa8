"""What is trusted, what is not, and that the reason is given in words."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from evaluation.verdict import Diagnostics, Trust, judge

GOOD = Diagnostics(
    rounds=10_000,
    clusters=10_000,
    rewarded=200,
    effective_size=4_000.0,
    effective_rewarded=90.0,
    largest_share=0.001,
    mean_weight=1.005,
    mean_weight_z=0.3,
    unsupported=0.0,
)


def test_a_sound_log_is_trusted() -> None:
    verdict = judge(GOOD)
    assert verdict.trust == Trust.YES
    assert "10,000 rounds" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("care", "refused", "words"),
    [
        ({"effective_size": 300.0}, {"effective_size": 2.1}, "effective sample size"),
        ({"largest_share": 0.05}, {"largest_share": 0.69}, "one round carries"),
        ({"effective_rewarded": 12.0}, {"effective_rewarded": 2.0}, "few rewards"),
        (
            {"mean_weight": 0.9, "mean_weight_z": -3.0},
            {"mean_weight": 0.7, "mean_weight_z": -9.0},
            "hardly shows what the target would",
        ),
        (
            {"mean_weight": 1.1, "mean_weight_z": 3.0},
            {"mean_weight": 2.5, "mean_weight_z": 9.0},
            "lower than those that were used",
        ),
        ({"unsupported": 0.1}, {"unsupported": 0.5}, "never shown in the log"),
        ({"unsupported_in_context": 0.1}, {"unsupported_in_context": 0.5}, "to users alike"),
        ({"tamed": 0.1}, {"tamed": 0.7}, "of all weight is cut away"),
        ({"clusters": 20}, {"clusters": 3}, "independent users or requests"),
    ],
)
def test_each_weakness_is_graded_and_named(
    care: dict[str, float], refused: dict[str, float], words: str
) -> None:
    for trust, change in ((Trust.CARE, care), (Trust.NO, refused)):
        verdict = judge(Diagnostics(**{**asdict(GOOD), **change}))
        assert verdict.trust == trust
        assert len(verdict.reasons) == 1
        assert words in verdict.reasons[0]


def test_the_worst_reason_comes_first_and_none_is_left_out() -> None:
    verdict = judge(replace(GOOD, effective_size=300.0, effective_rewarded=2.0))
    assert verdict.trust == Trust.NO
    assert "few rewards" in verdict.reasons[0]
    assert "effective sample size" in verdict.reasons[1]


def test_a_large_log_is_not_refused_for_a_bias_that_does_not_matter() -> None:
    assert judge(replace(GOOD, mean_weight=1.004, mean_weight_z=50.0)).trust == Trust.YES


def test_numbers_that_are_not_known_are_not_trusted() -> None:
    assert judge(replace(GOOD, effective_size=float("nan"))).trust == Trust.NO


def test_an_assumption_is_trusted_with_care_at_best() -> None:
    verdict = judge(GOOD, assumes="the moon is full")
    assert verdict.trust == Trust.CARE
    assert verdict.reasons == ("it is right only if the moon is full",)
    assert judge(replace(GOOD, effective_size=2.0), assumes="so").trust == Trust.NO
