"""What the join goes by and what a user may take up: plain options, checked when they are given."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from agents.api import RecloopError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MINUTE = 60_000
DAY = 24 * 60 * MINUTE

_AGGREGATIONS: dict[str, Callable[[list[float]], float]] = {
    "first": lambda rewards: rewards[0],
    "sum": math.fsum,
    "mean": lambda rewards: math.fsum(rewards) / len(rewards),
    "max": max,
}


class RuleError(RecloopError, ValueError):
    """Rules of the join that cannot be followed."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the join goes by. Times are event times, in milliseconds.

    Parameters
    ----------
    window : int
        How long after it was shown a ranking collects interactions.
    windows : mapping of str to int
        Shorter windows of some types of interaction.
    lateness : int
        How far behind the newest time that is believed an event may come and still be in time.
    horizon : int
        How long events are remembered, so that a second delivery is known as one.
    late : int
        For how long after its window has passed a ranking still takes interactions: they correct
        the outcome that was published. 0 refuses them.
    quorum : int
        How many events must claim a time before it is believed.
    idle : int
        How far behind the furthest partition one may fall of which everything is read, before it
        counts as idle and its time is moved along.
    absence : int
        How long after the last event of a user what is known of them is kept, so that what is kept
        is bounded though users are not: who comes back later is somebody new. 0 keeps it for ever.
        What an open ranking waits for is kept in any case.
    max_ahead : int
        How far ahead of its production an event's time may be.
    rewards : mapping of str to float
        What one interaction of a type is worth, times its value. Types that are not named are
        known but worth nothing, and do not take part in the aggregation.
    aggregation : str
        How the rewards of a slot's interactions make one: first, sum, mean or max.
    default_reward : float
        The reward of a slot without rewarded interactions.

    Raises
    ------
    RuleError
        If they contradict themselves.
    """

    window: int = 30 * MINUTE
    windows: Mapping[str, int] = field(default_factory=dict)
    lateness: int = MINUTE
    horizon: int = 120 * MINUTE
    late: int = 0
    quorum: int = 3
    idle: int = 5 * MINUTE
    absence: int = 0
    max_ahead: int = DAY
    rewards: Mapping[str, float] = field(default_factory=lambda: {"click": 1.0})
    aggregation: str = "max"
    default_reward: float = 0.0

    def __post_init__(self) -> None:
        if self.window < 1 or self.quorum < 1 or self._least < 0:
            raise RuleError(
                "window and quorum must be at least 1, lateness, max_ahead, idle and late at least "
                f"0, not {self.window}, {self.quorum}, {self.lateness}, {self.max_ahead}, "
                f"{self.idle} and {self.late}"
            )
        for kind, window in self.windows.items():
            if not 1 <= window <= self.window:
                raise RuleError(
                    f"the window of {kind!r} must be between 1 and {self.window} ms, for which "
                    f"rankings are open, not {window}"
                )
        if self.horizon < self.window + self.late:
            raise RuleError(
                f"events must be remembered as long as they may count, {self.window} ms and "
                f"{self.late} ms late, but the horizon is {self.horizon} ms"
            )
        if self.absence and self.absence < self.horizon:
            raise RuleError(
                f"users must be remembered as long as events are, {self.horizon} ms, but absence "
                f"is {self.absence} ms: give at least that, or 0 to keep them for ever"
            )
        if self.aggregation not in _AGGREGATIONS:
            raise RuleError(
                f"unknown aggregation {self.aggregation!r}: there are {', '.join(_AGGREGATIONS)}"
            )
        if not all(map(math.isfinite, [*self.rewards.values(), self.default_reward])):
            raise RuleError("rewards must be finite numbers")

    @property
    def _least(self) -> int:
        return min(self.lateness, self.max_ahead, self.idle, self.late)

    def window_of(self, kind: str) -> int:
        """Return how long after a ranking an interaction of a type may come."""
        return self.windows.get(kind, self.window)

    def aggregate(self, rewards: list[float]) -> float:
        """Return the reward that the rewards of some interactions make, in event-time order."""
        return _AGGREGATIONS[self.aggregation](rewards)


@dataclass(frozen=True, slots=True)
class Quarantine:
    """From where on feedback is taken for a bot's or a flood, and not learned from.

    Parameters
    ----------
    threshold : float
        The anomaly score from which a ranking's feedback is suspected. No score reaches 1: at 1
        only floods are.
    flood : float
        How many events a minute of one user are a flood; infinity bounds nothing.

    Raises
    ------
    RuleError
        If the threshold is no score, or the bound not positive.
    """

    threshold: float = 0.97
    flood: float = math.inf

    def __post_init__(self) -> None:
        if not (0.0 < self.threshold <= 1.0 and self.flood > 0.0):
            raise RuleError(
                "the threshold of quarantine must be above 0 and at most 1, and flood positive, "
                f"not {self.threshold} and {self.flood}"
            )


@dataclass(frozen=True, slots=True)
class Limits:
    """What one user may take up, so that memory and messages stay bounded.

    Parameters
    ----------
    event_bytes : int
        The largest event.
    user_bytes : int
        About how large a user's state may grow; events that would exceed it are refused.
    slots : int
        The longest ranking.
    credits : int
        How many rewarded interactions a ranking collects.
    issued : int
        How many recent decisions a user's rankings may refer to.

    Raises
    ------
    RuleError
        If one is not positive.
    """

    event_bytes: int = 1 << 20
    user_bytes: int = 1 << 20
    slots: int = 100
    credits: int = 1000
    issued: int = 8

    def __post_init__(self) -> None:
        for limit in fields(self):
            if getattr(self, limit.name) < 1:
                raise RuleError(
                    f"limits.{limit.name} must be at least 1, not {getattr(self, limit.name)}"
                )


@dataclass(frozen=True, slots=True)
class GateRules:
    """When a challenger is promoted, or a canary ended.

    Parameters
    ----------
    margin : float
        By how much per slate it must be better, or worse, beyond doubt.
    level : float
        How sure all answers together are; see `evaluation.Evidence`.
    low, high : float
        Between what the sum of a slate's rewards lies: a promise.
    largest_weight : float
        What no importance weight exceeds: a promise. Without one the intervals are wider.
    method : str, optional
        An estimator whose interval holds at all times: IPS or SNIPS, of slates SIPS, SNSIPS or
        RIPS. By default SNIPS and RIPS.

    Raises
    ------
    RuleError
        If the margin or level can't be.
    """

    margin: float = 0.0
    level: float = 0.95
    low: float = 0.0
    high: float = 1.0
    largest_weight: float = math.inf
    method: str | None = None

    def __post_init__(self) -> None:
        if not (self.margin >= 0.0 and 0.0 < self.level < 1.0):
            raise RuleError(
                "the gate's margin is 0 or more, and its level between 0 and 1, not "
                f"{self.margin} and {self.level}"
            )


ACTIONS = ("warn", "explore", "rollback")
"""What may follow from drift."""


@dataclass(frozen=True, slots=True)
class DriftRules:
    """What follows when rewards fall, or predictions exceed them more than they did.

    Parameters
    ----------
    action : "warn", "explore" or "rollback"
        Nothing but a figure; random slates for a while; or the latest change of roles is undone.
    delta : float
        ADWIN's: about how likely a look is to see a change where there is none.
    epsilon : float
        With what probability slates are random after an alarm, to `explore`.
    half_life : int
        After how many outcomes that is halved.

    Raises
    ------
    RuleError
        If there is no such action, or a number can't be.
    """

    action: str = "warn"
    delta: float = 0.002
    epsilon: float = 0.2
    half_life: int = 1000

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise RuleError(f"on drift there are {', '.join(ACTIONS)}, not {self.action!r}")
        if not (0.0 < self.delta < 1.0 and 0.0 < self.epsilon <= 1.0 and self.half_life >= 1):
            raise RuleError(
                "delta and epsilon lie between 0 and 1, and half_life is 1 or more, not "
                f"{self.delta}, {self.epsilon} and {self.half_life}"
            )
