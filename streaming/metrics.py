"""What a worker can say of itself: what became of every event, and where its time went.

Counts are part of the committed state, so they survive every crash and count nothing twice; times
are this process's own.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from streaming.referee import Standing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from streaming.control import Control
    from streaming.drift import Watch
    from streaming.learner import Learner
    from streaming.state import Counts


@dataclass(slots=True)
class Stopwatch:
    """How many batches were worked, who decided how often, and the seconds spent on each step."""

    batches: int = 0
    aborted: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    decided: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def over(self, step: str) -> Iterator[None]:
        """Measure a step."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - begun


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a loop in figures, fit for JSON.

    Parameters
    ----------
    events : int
        How many records of feedback were read since the loop began. Each is in exactly one of
        users, rankings, interactions, duplicates, dead, waiting, erasures and erased_interactions.
    waiting : int
        Interactions whose ranking has not come yet.
    erasures, erased_interactions : int
        Users forgotten, and interactions that waited for a ranking when their user was.
    absent : int
        How often a user was forgotten who had not come for long.
    dead : dict of str to int
        Dead letters by kind.
    items : int
        Records of `items` that were refused; these are dead letters too.
    outcomes, corrections, decisions : int
        Records published.
    quarantined : int
        Outcomes among them that nothing learns from: a bot's, or a flood.
    log_loss, auc : float or None
        Of the click model, over the latest slots, predicted before learning.
    drifts, alarms : int
        How often reward or calibration were found to have changed, and how often for the worse.
    click_rate : float or None
        The share of the latest seen slots that were rewarded.
    champion : str
        Who decides, and for a share of the users `canary`.
    canary : str or None
    share : float
    exploration : float
        With what probability slates are random, beyond what the policies do by themselves.
    revision : int
        How many orders have been obeyed.
    gate : dict of str to Standing
        How the challengers stand, if they are judged.
    batches, aborted : int
        Of this process.
    decided : dict of str to int
        By policy, of this process.
    seconds : dict of str to float
        By step, of this process.
    """

    events: int
    users: int
    rankings: int
    interactions: int
    duplicates: int
    waiting: int
    erasures: int
    absent: int
    erased_interactions: int
    dead: dict[str, int]
    items: int
    outcomes: int
    corrections: int
    quarantined: int
    decisions: int
    log_loss: float | None
    auc: float | None
    drifts: int
    alarms: int
    click_rate: float | None
    champion: str
    canary: str | None
    share: float
    exploration: float
    revision: int
    gate: dict[str, Standing]
    batches: int
    aborted: int
    decided: dict[str, int]
    seconds: dict[str, float]


def report(
    counts: Iterable[Counts],
    learner: Learner,
    stopwatch: Stopwatch,
    control: Control,
    watch: Watch,
    standings: dict[str, Standing],
) -> Report:
    """Return the figures of a worker."""
    roles = control.roles
    parts = list(counts)
    dead: Counter[str] = Counter()
    for part in parts:
        dead.update(part.dead)
    return Report(
        events=sum(part.events for part in parts),
        users=sum(part.users for part in parts),
        rankings=sum(part.rankings for part in parts),
        interactions=sum(part.interactions for part in parts),
        duplicates=sum(part.duplicates for part in parts),
        waiting=sum(part.waiting for part in parts),
        erasures=sum(part.erasures for part in parts),
        absent=sum(part.absent for part in parts),
        erased_interactions=sum(part.erased_interactions for part in parts),
        dead=dict(sorted(dead.items())),
        items=sum(part.items for part in parts),
        outcomes=sum(part.outcomes for part in parts),
        corrections=sum(part.corrections for part in parts),
        quarantined=sum(part.quarantined for part in parts),
        decisions=sum(part.decisions for part in parts),
        log_loss=_finite(learner.clicks.log_loss),
        auc=_finite(learner.clicks.auc),
        drifts=watch.noticed,
        alarms=watch.alarms,
        click_rate=_finite(learner.clicks.click_rate),
        batches=stopwatch.batches,
        champion=roles.champion,
        canary=roles.canary,
        share=roles.share,
        exploration=roles.exploring(learner.learned),
        revision=roles.revision,
        gate=standings,
        aborted=stopwatch.aborted,
        decided=dict(sorted(stopwatch.decided.items())),
        seconds=dict(stopwatch.seconds),
    )


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None
