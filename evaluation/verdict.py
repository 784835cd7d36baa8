"""Whether an estimate can be trusted, and why, in words.

Every threshold below is a rule of thumb with its reason beside it. They are constants on purpose: a
verdict that can be tuned until it agrees is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

ESS_REFUSED, ESS_CARE = 100.0, 500.0
"""Effective sample size. The mean weight is known to about 1/sqrt(ESS): below 100 that is worse
than 10 %, and so is the self-normalised estimators' bias of order 1/ESS; at 500 it is 4 %."""

SHARE_REFUSED, SHARE_CARE = 0.10, 0.03
"""The largest weight's share of all weight. Above 10 % one round more or less in the log moves the
estimate by more than any effect worth acting on; resampling can't show what is not in the log."""

REWARDS_REFUSED, REWARDS_CARE = 5.0, 30.0
"""The effective number of rewarded rounds. The estimate's relative error is about its inverse root:
18 % at 30, 45 % at 5, where some logs by chance hold too little to see how little they hold."""

MEAN_Z_REFUSED, MEAN_Z_CARE = 4.0, 2.576
"""Standard errors between the mean weight and 1. Right propensities and full support make it 1; at
2.576 that happens by chance once in a hundred logs, at 4 never: the propensities are not those
that were used, or the log never shows what the target would."""

MEAN_OFF_REFUSED, MEAN_OFF_CARE = 0.05, 0.01
"""How far the mean weight must be from 1 for the above to matter: a bias of that relative size."""

UNSUPPORTED_REFUSED, UNSUPPORTED_CARE = 0.20, 0.05
"""The share of what the target would show that the log has never shown there. Nothing but a model's
extrapolation speaks of it; the estimate can be wrong by that share of the largest reward."""

CLUSTERS_REFUSED, CLUSTERS_CARE = 10, 40
"""Distinct keys that are resampled together. With few of them cluster intervals are too short
(Cameron, Gelbach & Miller 2008); from about 40 on they hold."""


TAMED_REFUSED, TAMED_CARE = 0.50, 0.01
"""The share of the weight that a tamed estimator leaves out. Its bias is about that share of the
reward there, less what a reward model makes up for; beyond a half the log has no say any more."""


class Trust(StrEnum):
    """How far an estimate can be trusted."""

    YES = "trust"
    CARE = "trust with care"
    NO = "do not trust"


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """What a verdict is made from.

    Parameters
    ----------
    rounds : int
        Rows of the log.
    clusters : int
        Distinct keys among them, which are resampled as wholes.
    rewarded : int
        Rows with a reward other than 0.
    effective_size : float
        (sum w)^2 / sum w^2: how many unweighted rounds would be as informative.
    effective_rewarded : float
        The same for the rewarded rounds: (sum |w r|)^2 / sum (w r)^2, but no more than there are in
        `effective_size` rounds of the log. Where rewards are rare, none may have come to the few
        rounds that carry the weight; those that came elsewhere, alike in weight, hide that.
    largest_share : float
        The largest weight's share of all weight.
    mean_weight : float
        The mean of the exact importance weight, 1 if all is well.
    mean_weight_z : float
        By how many standard errors that differs from 1.
    unsupported : float or None
        The share of what the target would show that the log has never shown in that position,
        beyond what chance explains; None where it was not measured.
    unsupported_in_context : float or None
        The same of what was never shown to users alike; see `support`.
    tamed : float
        The share of the exact weights that the estimator clips, shrinks or leaves out.
    possible : bool
        Whether the estimate lies between the bounds of what can be earned, where they were given.
    ruled_out : bool
        Whether an interval with a guarantee leaves no value at all.
    """

    rounds: int
    clusters: int
    rewarded: int
    effective_size: float
    effective_rewarded: float
    largest_share: float
    mean_weight: float
    mean_weight_z: float
    unsupported: float | None = None
    unsupported_in_context: float | None = None
    tamed: float = 0.0
    possible: bool = True
    ruled_out: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to trust an estimate, and the reasons."""

    trust: Trust
    reasons: tuple[str, ...]


def judge(found: Diagnostics, *, assumes: str = "") -> Verdict:
    """Return the verdict on an estimate.

    Parameters
    ----------
    found : Diagnostics
    assumes : str
        What has to be true of the world for the estimate to be right, as the end of "it is right
        only if". It can't be seen in the log, so the estimate is at best to be trusted with care.
    """
    findings = [
        *_graded(
            not found.possible,
            False,
            "the estimate lies outside of what can be earned: it is noise",
        ),
        *_graded(
            found.ruled_out,
            False,
            "every value is ruled out: the propensities, or what was promised, can't be right",
        ),
        *_weights(found),
        *_rewards(found),
        *_support(found),
        *_graded(
            found.tamed > TAMED_REFUSED,
            found.tamed > TAMED_CARE,
            f"{found.tamed:.1%} of all weight is cut away: the bias that this brings is not known",
        ),
        *_graded(False, bool(assumes), f"it is right only if {assumes}"),
    ]
    worst = [trust for trust in (Trust.NO, Trust.CARE) if any(t == trust for t, _ in findings)]
    if not worst:
        return Verdict(Trust.YES, (_all_well(found),))
    ordered = sorted(findings, key=lambda finding: finding[0] != Trust.NO)
    return Verdict(worst[0], tuple(words for _, words in ordered))


def _graded(bad: bool, doubtful: bool, words: str) -> list[tuple[Trust, str]]:
    if bad:
        return [(Trust.NO, words)]
    return [(Trust.CARE, words)] if doubtful else []


def _weights(found: Diagnostics) -> list[tuple[Trust, str]]:
    size, share = found.effective_size, found.largest_share
    off, z = abs(found.mean_weight - 1.0), abs(found.mean_weight_z)
    cause = (
        "the log hardly shows what the target would choose, or its propensities are too high"
        if found.mean_weight < 1.0
        else "the logged propensities are lower than those that were used"
    )
    return [
        *_graded(
            not size >= ESS_REFUSED,
            not size >= ESS_CARE,
            f"the {found.rounds:,} rounds of the log say as much as {size:,.1f} rounds of the "
            "target's own would (effective sample size)",
        ),
        *_graded(
            share > SHARE_REFUSED,
            share > SHARE_CARE,
            f"one round carries {share:.1%} of all the weight",
        ),
        *_graded(
            z > MEAN_Z_REFUSED and off > MEAN_OFF_REFUSED,
            z > MEAN_Z_CARE and off > MEAN_OFF_CARE,
            f"the mean weight is {found.mean_weight:.3f}, {z:.1f} standard errors from 1: {cause}",
        ),
    ]


def _rewards(found: Diagnostics) -> list[tuple[Trust, str]]:
    rewards = found.effective_rewarded
    return _graded(
        not rewards >= REWARDS_REFUSED,
        not rewards >= REWARDS_CARE,
        f"it rests on few rewards: the {found.rewarded:,} rewarded rounds say as much as "
        f"{rewards:,.1f} of the target's own would",
    )


def _support(found: Diagnostics) -> list[tuple[Trust, str]]:
    missing, here = found.unsupported or 0.0, found.unsupported_in_context or 0.0
    here *= here > missing + UNSUPPORTED_CARE  # else it is the same lack, told once
    return [
        *_graded(
            missing > UNSUPPORTED_REFUSED,
            missing > UNSUPPORTED_CARE,
            f"{missing:.1%} of what the target would show was never shown in the log",
        ),
        *_graded(
            here > UNSUPPORTED_REFUSED,
            here > UNSUPPORTED_CARE,
            f"{here:.1%} of what the target would show was never shown in the log to users alike",
        ),
        *_graded(
            found.clusters < CLUSTERS_REFUSED,
            found.clusters < CLUSTERS_CARE,
            f"only {found.clusters} independent users or requests stand behind it",
        ),
    ]


def _all_well(found: Diagnostics) -> str:
    return (
        f"the {found.rounds:,} rounds of the log, {found.rewarded:,} of them rewarded, say as much "
        f"as {found.effective_size:,.0f} rounds of the target's own would (effective sample size)"
    )
