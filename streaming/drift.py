"""The watch over drift: whether rewards, or what is expected beyond them, are not what they were.

Two of River's ADWIN detectors (Bifet and Gavaldà 2007) read the mean reward of each outcome's seen
slots, and by how much the click model's predictions exceeded the clicks. Both look for changes in
both directions; an alarm is raised by the bad one: rewards that have fallen, or predictions that
exceed clicks by more than they did. After it both begin anew, so that one change is one alarm; and
so they do after what followed from another worker's, who has seen the change in other partitions.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from river import drift

from streaming.roles import Explore, Rollback
from streaming.watermark import NEVER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streaming.records import OutcomeRecord
    from streaming.roles import Order, Raised, Roles
    from streaming.rules import DriftRules

Kind: TypeAlias = Literal["reward", "calibration"]

_ADWIN: Any = drift.ADWIN
_KEPT = 10_000
_DRIFT = "drift: "


class Drift(NamedTuple):
    """That something is not what it was.

    Parameters
    ----------
    kind : "reward" or "calibration"
    seq : int
        At which outcome it was noticed.
    time : int
        When, in milliseconds of event time since the epoch.
    before, after : float
        The mean of the detector's window until then, and of what it keeps of it.
    """

    kind: Kind
    seq: int
    time: int
    before: float
    after: float

    @property
    def bad(self) -> bool:
        """Whether it is a reason for alarm."""
        return (self.after < self.before) == (self.kind == "reward")

    def __str__(self) -> str:
        what = "the mean reward" if self.kind == "reward" else "predictions less clicks"
        span = f"from {self.before:.3g} to {self.after:.3g}"
        return f"{_DRIFT}{what} went {span} at outcome {self.seq:,}"


class Watch:
    """Looks for drift, and orders what was agreed on.

    Parameters
    ----------
    rules : DriftRules

    Attributes
    ----------
    drifts : deque of Drift
        What was noticed, the latest last.
    noticed, alarms : int
        How many there were, and how often a bad one was among them.
    """

    def __init__(self, rules: DriftRules) -> None:
        self._rules = rules
        self.drifts: deque[Drift] = deque(maxlen=_KEPT)
        self.noticed = self.alarms = 0
        self._revision, self._said, self._newest = 0, "", NEVER
        self._raised: Raised | None = None
        self._orders: list[Order] = []
        self._restart()

    def begin(self, roles: Roles) -> None:
        """Forget what was ordered: what a worker folds to restore itself was answered long ago."""
        self._orders = []
        before, self._revision, self._raised = self._revision, roles.revision, roles.raised
        if (
            roles.revision != before
            and roles.reason.startswith(_DRIFT)
            and roles.reason != self._said
        ):
            self._restart()

    def take(self, records: Sequence[OutcomeRecord]) -> None:
        """Take in outcomes, in their order; corrections and what is quarantined are passed over.

        So is what is older than what was seen: a partition's past, when it is taken over.
        """
        for record in records:
            plain = record.corrects is None and not record.quarantined and any(record.seen)
            if plain and record.closed >= self._newest:
                self._newest = record.closed
                self._take(record)

    def orders(self) -> list[Order]:
        """Return what follows from what was taken in since `begin`."""
        return self._orders

    def _restart(self) -> None:
        kinds: tuple[Kind, ...] = ("reward", "calibration")
        self._detectors = {kind: _ADWIN(delta=self._rules.delta) for kind in kinds}

    def _take(self, record: OutcomeRecord) -> None:
        seen = [k for k, looked in enumerate(record.seen) if looked]
        reward = sum(record.rewards[k] for k in seen) / len(seen)
        excess = sum(record.predictions[k] - (record.rewards[k] > 0.0) for k in seen) / len(seen)
        values: dict[Kind, float] = {"reward": reward, "calibration": excess}
        found = []
        for kind, value in values.items():
            detector = self._detectors[kind]
            before = detector.estimation
            detector.update(value)
            if detector.drift_detected:
                found.append(Drift(kind, record.seq, record.closed, before, detector.estimation))
        self.drifts += found
        self.noticed += len(found)
        bad = [one for one in found if one.bad]
        if bad:
            self.alarms += 1
            self._restart()
            self._orders += self._answer(bad[0])

    def _answer(self, alarm: Drift) -> list[Order]:
        self._said = reason = str(alarm)
        if self._rules.action == "rollback":
            return [Rollback(reason=reason, revision=self._revision)]
        exploring = self._raised is not None and self._raised.now(alarm.seq) > 0.0
        if self._rules.action == "explore" and not exploring:  # which costs reward, and so alarms
            rules = self._rules
            return [Explore(epsilon=rules.epsilon, half_life=rules.half_life, reason=reason)]
        return []
