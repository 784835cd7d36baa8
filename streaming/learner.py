"""What a worker has learned: a policy and a click model, as folds over outcomes.

`Learner.learn` is the only way in for the outcomes of the worker's own partitions, live and when it
is restored, and it takes those of a partition in the order of their numbers without a gap. So there
is nothing that only a pickle could carry. The click model is each worker's own: it has learned the
partitions that the worker has worked, and judges itself on them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from streaming.clicks import Clicks, logistic_regression
from streaming.knowledge import GapError
from streaming.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agents.api import Policy
    from streaming.clicks import ClickModel
    from streaming.knowledge import Knowledge
    from streaming.records import OutcomeRecord
    from streaming.roles import Order, Roles

POINT_EVERY = 200
"""How many outcomes make a point of the live curve."""

_KEPT = 10_000


class Watcher(Protocol):
    """Whoever looks on while outcomes are learned, and draws conclusions."""

    def begin(self, roles: Roles) -> None:
        """Take note of who decides, before outcomes are learned; earlier conclusions are over."""

    def take(self, records: Sequence[OutcomeRecord]) -> None:
        """Take in outcomes, in their order, with what the click model had expected."""

    def orders(self) -> list[Order]:
        """Return the conclusions from what was taken in since `begin`."""


class Point(NamedTuple):
    """The live curve over `POINT_EVERY` outcomes.

    Parameters
    ----------
    outcomes : int
        How many outcomes there had been at its end.
    time : int
        The event time of its end, in milliseconds since the epoch.
    slots, clicks : int
        How many slots were seen, and how many of them rewarded.
    reward : float
        The mean reward of a seen slot.
    """

    outcomes: int
    time: int
    slots: int
    clicks: int
    reward: float


class Learner:
    """Learns from outcomes, and judges the click model by what it said beforehand.

    Parameters
    ----------
    knowledge : Knowledge
        Of a new policy.
    click_model : callable
        Returns a new River classifier of whether a slot will be rewarded; see `Clicks`.
    challengers : sequence of Knowledge
        Of new policies that learn from the same outcomes, and are asked in the shadow.
    watchers : sequence of Watcher

    Raises
    ------
    RoleError
        If two policies have the same name.

    Attributes
    ----------
    knowledge : Knowledge
    clicks : Clicks
        The click model, and how well it does.
    pool : Pool
        The policy and its challengers.
    numbers : dict of int to int
        By partition, the number of the first outcome that was not judged here.
    curve : deque of Point
    """

    def __init__(
        self,
        knowledge: Knowledge,
        click_model: Callable[[], ClickModel] = logistic_regression,
        challengers: Sequence[Knowledge] = (),
        watchers: Sequence[Watcher] = (),
    ) -> None:
        self.knowledge, self._challengers = knowledge, challengers
        self._watchers = watchers
        self.pool = Pool([knowledge.policy, *(one.policy for one in challengers)])
        self.numbers: dict[int, int] = {}
        self.judged = 0
        self.curve: deque[Point] = deque(maxlen=_KEPT)
        self.clicks = Clicks(click_model)
        self._slots, self._clicked, self._total = 0, 0, 0.0

    @property
    def policy(self) -> Policy:
        """The policy that has learned."""
        return self.knowledge.policy

    @property
    def learned(self) -> int:
        """How many outcomes were taken in: the `seq` of the next one."""
        return self.knowledge.learned

    def learn(self, records: Sequence[OutcomeRecord]) -> list[OutcomeRecord]:
        """Learn from outcomes, and return them with what the click model had expected.

        Parameters
        ----------
        records : sequence of OutcomeRecord
            The outcomes that follow those learned from, in the order of `seq`. Corrections teach
            the policy, if it can be corrected, and not the click model; what is quarantined
            teaches nothing.

        Raises
        ------
        GapError
            If a partition's do not follow; nothing was learned.
        """
        numbers = dict(self.numbers)
        for record in records:
            due = numbers.get(record.partition, 0)
            if record.number != due:
                what = "is missing" if record.number > due else "comes twice"
                raise GapError(
                    f"outcome {min(due, record.number)} {what} in partition {record.partition}: "
                    "the model is the fold of all outcomes and cannot be had without it"
                )
            numbers[record.partition] = due + 1
        self.knowledge.learn(records)
        for challenger in self._challengers:
            challenger.learn(records)
            challenger.settle()
        self.numbers = numbers
        taught = [r for r in records if not (r.replaced or r.quarantined)]
        chances = iter(self.clicks.judge(taught))
        for record in taught:
            self._look_at(record)
        judged = [
            record
            if record.replaced or record.quarantined
            else msgspec.structs.replace(record, predictions=next(chances))
            for record in records
        ]
        for watcher in self._watchers:
            watcher.take(judged)
        return judged

    def _look_at(self, record: OutcomeRecord) -> None:
        """Tally an outcome, and draw the live curve."""
        rewards = [reward for reward, seen in zip(record.rewards, record.seen, strict=True) if seen]
        if rewards:
            self._tally(rewards)
        self.judged += 1
        if self.judged % POINT_EVERY == 0:
            self._draw(record)

    def _tally(self, rewards: list[float]) -> None:
        """Count rewards for the live curve."""
        self._slots += len(rewards)
        self._clicked += sum(reward > 0.0 for reward in rewards)
        self._total += sum(rewards)

    def _draw(self, record: OutcomeRecord) -> None:
        """Add a point to the live curve."""
        reward = self._total / self._slots if self._slots else 0.0
        self.curve.append(Point(self.judged, record.closed, self._slots, self._clicked, reward))
        self._slots, self._clicked, self._total = 0, 0, 0.0
