"""What a worker has learned: a policy and a click model, as folds over outcomes.

`Learner.learn` is the only way in for the outcomes of the worker's own partitions, live and when it
is restored, and it takes those of a partition in the order of their numbers without a gap. So there
is nothing that only a pickle could carry. The click model is each worker's own: it has learned the
partitions that the worker has worked, and judges itself on them.
"""

from __future__ import annotations

from collections import deque
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec
from river import linear_model, metrics, utils

from streaming.knowledge import GapError
from streaming.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from agents.api import Policy
    from streaming.knowledge import Knowledge
    from streaming.records import OutcomeRecord
    from streaming.roles import Order, Roles

ROLLING = 5000
"""How many of the latest slots the click model is judged by."""

POINT_EVERY = 200
"""How many outcomes make a point of the live curve."""

_KEPT = 10_000

_RollingROCAUC: Any = metrics.RollingROCAUC


class ClickModel(Protocol):
    """What a River classifier offers, alone or at the end of a pipeline."""

    def predict_proba_one(self, x: dict[str, float]) -> dict[Any, float]:
        """Return the probability of each class."""

    def learn_one(self, x: dict[str, float], y: bool) -> None:
        """Learn from one example."""


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


def logistic_regression() -> ClickModel:
    """Return the click model that is used if no other is given.

    Plain gradient steps, which are fast and want features of about unit size. The intercept takes
    larger ones, so that it is soon where clicks are rare. For features of another size put a
    `preprocessing.StandardScaler` before it: it costs four times as much.
    """
    model: ClickModel = linear_model.LogisticRegression(intercept_lr=0.1)
    return model


class Learner:
    """Learns from outcomes, and judges the click model by what it said beforehand.

    Parameters
    ----------
    knowledge : Knowledge
        Of a new policy.
    click_model : callable
        Returns a new River classifier of whether a slot will be rewarded; it reads the context
        (`c0`, `c1`, ...), the item's features (`i0`, ...) and the `position`.
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
        self._clicks = click_model()
        self._log_loss: Any = utils.Rolling(metrics.LogLoss, window_size=ROLLING)
        self._auc: Any = _RollingROCAUC(window_size=ROLLING)
        self._names: list[str] = []
        self._slots, self._clicked, self._total = 0, 0, 0.0

    @property
    def policy(self) -> Policy:
        """The policy that has learned."""
        return self.knowledge.policy

    @property
    def learned(self) -> int:
        """How many outcomes were taken in: the `seq` of the next one."""
        return self.knowledge.learned

    @property
    def log_loss(self) -> float:
        """The click model's mean log-loss over the latest slots, predicted before learning."""
        return float(self._log_loss.get()) if self._log_loss.window else float("nan")

    @property
    def auc(self) -> float:
        """The click model's area under the ROC curve over the latest slots, if both are there."""
        return float(self._auc.get()) if 0.0 < self.click_rate < 1.0 else float("nan")

    @property
    def click_rate(self) -> float:
        """The share of the latest seen slots that were rewarded."""
        window = self._log_loss.window
        return sum(clicked for (clicked, _), _ in window) / len(window) if window else float("nan")

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
        judged = [
            record if record.replaced or record.quarantined else self._judge(record)
            for record in records
        ]
        for watcher in self._watchers:
            watcher.take(judged)
        return judged

    def _judge(self, record: OutcomeRecord) -> OutcomeRecord:
        """Predict each slot, then learn from those seen."""
        examples = list(self._examples(record))
        chances = [self._clicks.predict_proba_one(x).get(True, 0.5) for x in examples]
        rewards = []
        for x, chance, reward, seen in zip(
            examples, chances, record.rewards, record.seen, strict=True
        ):
            if seen:
                rewards.append(reward)
                clicked = reward > 0.0
                self._log_loss.update(clicked, chance)
                self._auc.update(clicked, chance)
                self._clicks.learn_one(x, clicked)
        if rewards:
            self._tally(rewards)
        self.judged += 1
        if self.judged % POINT_EVERY == 0:
            self._draw(record)
        return msgspec.structs.replace(record, predictions=chances)

    def _examples(self, record: OutcomeRecord) -> Iterator[dict[str, float]]:
        if not self._names:
            self._names = [f"c{i}" for i in range(len(record.context))]
            self._names += [f"i{j}" for j in range(len(record.features[0]))] + ["position"]
        for features, position in zip(record.features, record.positions, strict=True):
            values = chain(record.context, features, (float(position),))
            yield dict(zip(self._names, values, strict=True))

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
