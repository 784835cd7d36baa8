"""The click model: a River classifier that says how likely a slot is rewarded, and is judged by it.

It predicts every slot before it learns from it. Where the classifier offers `learn_many`, it learns
in groups of `GROUP` outcomes, and predicts all of a group before it learns from any of it. Where a
group ends hangs on the number of outcomes alone, not on the batches in which they came: so it is a
fold of outcomes, and a restored worker has the same model.
"""

from __future__ import annotations

from itertools import accumulate, chain, pairwise
from typing import TYPE_CHECKING, Any, Protocol

import narwhals.stable.v2 as nw
import numpy as np
from river import base, compose, linear_model, optim
from scipy.stats import rankdata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from agents.api import Floats
    from streaming.records import OutcomeRecord

GROUP = 64
"""How many outcomes a classifier that learns many at once learns at once."""

ROLLING = 5000
"""How many of the latest slots the click model is judged by."""

_LEAST = 1e-15  # the log-loss of a certainty that fails is not infinite


class ClickModel(Protocol):
    """What a River classifier offers, alone or at the end of a pipeline."""

    def predict_proba_one(self, x: dict[str, float]) -> dict[Any, float]:
        """Return the probability of each class."""

    def learn_one(self, x: dict[str, float], y: bool) -> None:
        """Learn from one example."""


def logistic_regression() -> ClickModel:
    """Return the click model that is used if no other is given.

    Gradient steps on the mean of a group, which are fast and want features of about unit size. The
    intercept takes larger ones, so that it is soon where clicks are rare. For features of another
    size put a `preprocessing.StandardScaler` before it.
    """
    model: ClickModel = linear_model.LogisticRegression(optim.SGD(0.3), intercept_lr=3.0)
    return model


class Clicks:
    """Predicts, then learns.

    Parameters
    ----------
    make_model : callable
        Returns a new classifier. It reads the context (`c0`, `c1`, ...), the item's features
        (`i0`, ...) and the `position`.
    """

    def __init__(self, make_model: Callable[[], ClickModel]) -> None:
        self._model: Any = make_model()
        self._many = _learns_many(self._model)
        self._names: list[str] = []
        self._waiting: list[tuple[Floats, NDArray[np.bool_]]] = []
        self._outcomes = 0  # of the group at hand
        self._latest = _Latest()

    @property
    def log_loss(self) -> float:
        """The mean log-loss over the latest slots, predicted before learning."""
        return self._latest.log_loss()

    @property
    def auc(self) -> float:
        """The area under the ROC curve over the latest slots, if both are there."""
        return self._latest.auc()

    @property
    def click_rate(self) -> float:
        """The share of the latest seen slots that were rewarded."""
        return self._latest.click_rate()

    def judge(self, records: Sequence[OutcomeRecord]) -> list[list[float]]:
        """Return what each slot of some outcomes is expected to be, then learn from those seen."""
        if not (self._many and records):
            return [self._one_by_one(record) for record in records]
        x, ends = self._matrix(records), [0, *accumulate(len(one.items) for one in records)]
        seen = np.fromiter(chain.from_iterable([r.seen for r in records]), dtype=np.bool_)
        rewards = np.fromiter(chain.from_iterable([r.rewards for r in records]), dtype=np.float64)
        clicked, chances, start = rewards > 0.0, np.empty(len(x)), 0
        while start < len(records):
            end = min(start + GROUP - self._outcomes, len(records))
            rows = slice(ends[start], ends[end])
            chances[rows] = self._together(x[rows], clicked[rows], seen[rows], end - start)
            start = end
        told = chances.tolist()
        return [told[first:last] for first, last in pairwise(ends)]

    def _together(
        self, x: Floats, clicked: NDArray[np.bool_], seen: NDArray[np.bool_], outcomes: int
    ) -> Floats:
        """Judge slots of one group, and learn from the group if these outcomes complete it."""
        frame = self._frame(x)
        # Sums of floats hang on how many rows are summed at once, in digits that nobody needs.
        chances: Floats = self._model.predict_proba_many(frame)["True"].to_numpy().round(9)
        self._latest.add(clicked[seen], chances[seen])
        self._waiting.append((x[seen], clicked[seen]))
        self._outcomes += outcomes
        if self._outcomes == GROUP:
            self._learn(frame if outcomes == GROUP and seen.all() else None)
        return chances

    def _learn(self, frame: nw.DataFrame[pa.Table] | None) -> None:
        """Learn from the group at hand; `frame` is all of it, if that was made already."""
        xs, ys = zip(*self._waiting, strict=True)
        self._waiting.clear()
        self._outcomes = 0
        y = np.concatenate(ys)
        if len(y):
            labels = nw.new_series("", y, nw.Boolean, backend="pyarrow")
            whole = self._frame(np.concatenate(xs)) if frame is None else frame
            self._model.learn_many(whole, labels)

    def _one_by_one(self, record: OutcomeRecord) -> list[float]:
        rows = self._matrix([record]).tolist()
        examples = [dict(zip(self._names, row, strict=True)) for row in rows]
        chances = [self._model.predict_proba_one(x).get(True, 0.5) for x in examples]
        clicked = [reward > 0.0 for reward in record.rewards]
        for x, y, seen in zip(examples, clicked, record.seen, strict=True):
            if seen:
                self._model.learn_one(x, y)
        seen_too = np.array(record.seen, dtype=np.bool_)
        self._latest.add(np.array(clicked)[seen_too], np.array(chances)[seen_too])
        return chances

    def _matrix(self, records: Sequence[OutcomeRecord]) -> Floats:
        """Return one row a slot: context, item features, position."""
        if not self._names:
            first = records[0]
            self._names = [f"c{i}" for i in range(len(first.context))]
            self._names += [f"i{j}" for j in range(len(first.features[0]))] + ["position"]
        counts = [len(record.items) for record in records]
        rows = chain.from_iterable([record.features for record in records])
        contexts = _floats([record.context for record in records], len(records))
        return np.hstack(
            [
                np.repeat(contexts, counts, axis=0),
                _floats(rows, sum(counts)),
                _floats([record.positions for record in records], sum(counts)),
            ]
        )

    def _frame(self, x: Floats) -> nw.DataFrame[pa.Table]:
        """Return rows as what River wraps every frame in, which takes long if it is left to it."""
        return nw.from_numpy(x, self._names, backend="pyarrow")


def _floats(values: Iterable[Sequence[float]], rows: int) -> Floats:
    """Return sequences, one after the other, as so many rows."""
    return np.fromiter(chain.from_iterable(values), dtype=np.float64).reshape(rows, -1)


def _learns_many(model: Any) -> bool:
    """Return whether a classifier, and every step before it, takes many examples at once."""
    if isinstance(model, compose.Pipeline):
        *before, last = model.steps.values()
        return all(hasattr(step, "transform_many") for step in before) and _learns_many(last)
    return isinstance(model, base.MiniBatchClassifier)


class _Latest:
    """The latest slots: what was expected of them, and what came."""

    def __init__(self) -> None:
        self._clicked = np.zeros(ROLLING, dtype=np.bool_)
        self._chances = np.zeros(ROLLING)
        self._count = 0

    def add(self, clicked: NDArray[np.bool_], chances: Floats) -> None:
        """Take slots in."""
        clicked, chances = clicked[-ROLLING:], chances[-ROLLING:]
        places = (self._count + np.arange(len(clicked))) % ROLLING
        self._clicked[places], self._chances[places] = clicked, chances
        self._count += len(clicked)

    def _kept(self) -> tuple[NDArray[np.bool_], Floats]:
        kept = min(self._count, ROLLING)
        return self._clicked[:kept], self._chances[:kept]

    def log_loss(self) -> float:
        """Return the mean log-loss; NaN without any."""
        clicked, chances = self._kept()
        if not len(clicked):
            return float("nan")
        hit = np.clip(np.where(clicked, chances, 1.0 - chances), _LEAST, 1.0 - _LEAST)
        return float(-np.log(hit).mean())

    def auc(self) -> float:
        """Return the chance that a rewarded slot was expected to be more than one that was not."""
        clicked, chances = self._kept()
        hits, misses = int(clicked.sum()), int((~clicked).sum())
        if not (hits and misses):
            return float("nan")
        ranks = rankdata(chances)
        return float((ranks[clicked].sum() - hits * (hits + 1) / 2) / (hits * misses))

    def click_rate(self) -> float:
        """Return the share of rewarded slots; NaN without any."""
        clicked, _ = self._kept()
        return float(clicked.mean()) if len(clicked) else float("nan")
