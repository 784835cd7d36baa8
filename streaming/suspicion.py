"""Feedback that no person gives, bots and floods, recognised when its ranking closes.

What is suspected is published with its reason, and nothing learns from it. Two eyes look: a plain
bound on how fast one user sends, and half-space trees (Tan, Ting & Liu 2011), which know what
feedback is like here and find what is unlike it. They look at four signs of a ranking, which are
written into its outcome, so that a worker which restores itself sees what was seen. Each partition
has a `Suspicion` of its own, so a verdict hangs on that partition's outcomes alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from river import anomaly

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streaming.records import OutcomeRecord
    from streaming.state import OpenRanking, UserState

MINUTE = 60_000

_TREES, _HEIGHT, _WINDOW = 10, 6, 250
_MANY = 1000.0
"""So many interactions, or events a minute, are as many as any: scales end there."""


class Signs(NamedTuple):
    """What tells how a ranking was answered.

    Parameters
    ----------
    interactions : float
        How many rewarded interactions it collected.
    pace : float
        How many events the user sent in the minute that ended when it was shown, or in the minute
        after, but within the attribution window: the more of the two.
    delay : float
        Milliseconds from the ranking to its first rewarded interaction; the attribution window
        where there is none.
    share : float
        The share of slots with a rewarded interaction.
    """

    interactions: float
    pace: float
    delay: float
    share: float


def signs_of(ranking: OpenRanking, user: UserState, window: int) -> Signs:
    """Return the signs of a ranking that closes; what came too late for it does not count.

    Parameters
    ----------
    ranking : OpenRanking
    user : UserState
        Whose ranking it is, with what is remembered of their events.
    window : int
        The attribution window in milliseconds.
    """
    credits = [credit for credit in ranking.credits if not credit.late]
    delays = [max(0, credit.time - ranking.time) for credit in credits]
    ages = [time - ranking.time for time in user.remembered.values()]
    before = sum(-MINUTE < age <= 0 for age in ages)
    after = sum(0 < age <= min(MINUTE, window) for age in ages)
    return Signs(
        interactions=float(len(delays)),
        pace=float(max(before, after)),
        delay=float(min(delays, default=window)),
        share=len({credit.slot for credit in credits}) / len(ranking.items),
    )


class Suspicion:
    """Judges signs, and learns from those that it does not suspect.

    Parameters
    ----------
    threshold : float
        The anomaly score from which feedback is suspected, between 0 and 1. Nothing is before some
        hundred rankings have shown what is usual.
    flood : float
        From how many events a minute a user's feedback is a flood.
    """

    def __init__(self, threshold: float, flood: float) -> None:
        self._threshold, self._flood = threshold, flood
        self._seen = 0
        self._trees: Any = anomaly.HalfSpaceTrees(
            n_trees=_TREES, height=_HEIGHT, window_size=_WINDOW, seed=0
        )

    def judge(self, signs: Signs) -> str | None:
        """Return why feedback is suspected, or None if it is not."""
        if signs.pace >= self._flood:
            return f"flood: {signs.pace:.0f} events within a minute"
        score = float(self._trees.score_one(_scaled(signs)))
        if self._seen >= _WINDOW and score >= self._threshold:
            return (
                f"unusual ({score:.3f}): {signs.interactions:.0f} interactions, the first after "
                f"{signs.delay / 1000:.1f} s, {signs.pace:.0f} events within a minute"
            )
        return None

    def learn(self, signs: Signs) -> None:
        """Learn what is usual from feedback that was not suspected."""
        self._trees.learn_one(_scaled(signs))
        self._seen += 1

    def recall(self, records: Sequence[OutcomeRecord]) -> None:
        """Learn from a partition's outcomes what was learned when they were made."""
        for record in records:
            if record.signs and record.quarantined is None:
                self.learn(Signs(*record.signs))


def _scaled(signs: Signs) -> dict[str, float]:
    """Return the signs on scales from 0 to 1, on which orders of magnitude are steps."""
    return {
        "interactions": _order(signs.interactions, _MANY),
        "pace": _order(signs.pace, _MANY),
        "delay": _order(signs.delay / 100.0, 10.0 * MINUTE),
        "share": signs.share,
    }


def _order(value: float, most: float) -> float:
    return min(1.0, math.log1p(value) / math.log1p(most))
