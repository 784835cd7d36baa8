"""Models of what a reward will be, fitted so that no round is predicted by a model that saw it.

DR and its kin are only as honest as that: a model that has seen a round's reward explains it too
well, the correction vanishes, and the interval shrinks. Folds follow from the rounds' keys, so they
do not depend on the order of chunks, and all rounds of one key are in one fold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from agents.api import PAD, RecloopError, ShapeError
from agents.features import features_at, joint, joint_width
from agents.streams import derive, word

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from agents.api import Floats, Keys, Outcomes, Requests, Rows

    Mask: TypeAlias = NDArray[np.bool_]

Learner: TypeAlias = Any
"""A scikit-learn classifier or regressor, not yet fitted; scikit-learn ships no types."""

CELLS = 1 << 22
"""How many numbers of a feature matrix are held at once while predicting: 32 MB."""

Weigh: TypeAlias = Callable[["Outcomes"], "Floats"]
"""How much every slot of some outcomes counts in a fit: float64 [B, K], at least 0."""

Unit: TypeAlias = Literal["request", "user"]
"""What is resampled, and kept in one fold, together."""


class ModelError(RecloopError, ValueError):
    """A reward model that can't be fitted to this log."""


class RewardModel(Protocol):
    """Something that predicts rewards, fitted on other rounds than those it is asked about."""

    def expected(self, requests: Requests, rows: Rows) -> Floats:
        """Return the expected reward of items at the requests' first slot.

        Parameters
        ----------
        requests : Requests
        rows : int64 [B, M]
            Rows of `requests.items`.

        Returns
        -------
        float64 [B, M]
            Anything where a row is padded.
        """


def keys_by(unit: Unit, requests: Requests) -> Keys:
    """Return what hangs together, uint64 [B]: the requests' own keys or those of their users."""
    return requests.keys if unit == "request" else requests.users


def is_ready(model: RewardModel | Learner) -> bool:
    """Return whether this is a fitted `RewardModel`, and not a learner or nothing."""
    return hasattr(model, "expected")


class CrossFitted:
    """A learner fitted once per fold, on all rounds that are not in the fold.

    Parameters
    ----------
    learner : scikit-learn classifier or regressor, optional
        A classifier's probability of reward 1 is the prediction. By default a logistic regression
        where every reward is 0 or 1, and a ridge regression elsewhere.
    folds : int
    interactions : bool
        Whether the products of context and item features are features too.
    unit : "request" or "user"
        What is kept in one fold.
    limit : int
        How many rounds are fitted on at most. From longer logs as many are drawn, by the hashes of
        their keys: so memory is bounded, and the draw does not depend on the order of chunks.
    seed : int
    """

    def __init__(
        self,
        learner: Learner = None,
        *,
        folds: int = 5,
        interactions: bool = False,
        unit: Unit = "request",
        limit: int = 200_000,
        seed: int = 0,
    ) -> None:
        if folds < 2 or limit < folds:
            raise ModelError(f"cross-fitting needs two folds and more rounds, not {folds}, {limit}")
        self.learner, self.folds, self.interactions = learner, folds, interactions
        self.unit, self.limit, self.seed = unit, limit, seed
        self._fitted: list[Learner] = []
        self._positions = 0

    def fit(self, chunks: Iterable[Outcomes], weigh: Weigh | None = None) -> CrossFitted:
        """Fit the learner on every fold's other rounds, and return this model.

        Parameters
        ----------
        chunks : iterable of Outcomes
        weigh : callable, optional
            How much every slot of some outcomes counts, float64 [B, K]; all alike by default.

        Raises
        ------
        ModelError
            If there are too few rounds, or a classifier is to learn rewards other than 0 and 1.
        """
        sample = _Sample(self.limit)
        for outcomes in chunks:
            sample.add(outcomes, self._hashes(outcomes.requests), weigh)
        if sample.empty:
            raise ModelError("there is no round to fit a reward model on")
        drawn = sample.drawn()
        rewards, positions, hashes = drawn.rewards, drawn.positions, drawn.hashes
        learner = self.learner or _default(rewards)
        if is_classifier(learner) and not np.isin(rewards, (0.0, 1.0)).all():
            raise ModelError("a classifier can only learn rewards of 0 and 1: give a regressor")
        self._positions = int(positions.max()) + 1
        features = self._features(drawn.context, drawn.items[:, None], positions)
        weights = drawn.weights if weigh else None
        folds = hashes % np.uint64(self.folds)
        self._fitted = [
            _fit(learner, folds != fold, features, rewards, weights) for fold in range(self.folds)
        ]
        return self

    def expected(self, requests: Requests, rows: Rows) -> Floats:
        """Return the expected reward of items at the requests' first slot; see `RewardModel`."""
        if not self._fitted:
            raise ModelError("fit the reward model before asking it")
        out = np.empty(rows.shape)
        folds = self._hashes(requests) % np.uint64(self.folds)
        features = requests.items.features.shape[1]
        width = joint_width(requests.context.shape[1], features, self.interactions)
        step = max(1, CELLS // ((width + self._positions) * max(1, rows.shape[1])))
        for fold, learner in enumerate(self._fitted):
            inside = np.flatnonzero(folds == fold)
            for start in range(0, len(inside), step):
                part = inside[start : start + step]
                asked = requests.take(part)
                table = self._features(
                    asked.context, features_at(asked, rows[part]), asked.positions[:, 0]
                )
                out[part] = _predict(learner, table).reshape(len(part), -1)
        return out

    def _hashes(self, requests: Requests) -> Keys:
        keys = keys_by(self.unit, requests)
        return derive(keys, np.full(len(keys), word(self.seed)))

    def _features(
        self, context: NDArray[np.float32], items: NDArray[np.float32], positions: Rows
    ) -> Floats:
        """Return joint features [B * M, P] of items [B, M, F], the position one-hot at the end."""
        table = joint(context, items, self.interactions)
        B, M, P = table.shape
        shown = (positions[:, None] == np.arange(self._positions)).astype(np.float64)
        place = np.broadcast_to(shown[:, None, :], (B, M, self._positions))
        return np.concatenate([table, place], axis=2).reshape(B * M, P + self._positions)


class _Sample:
    """At most `limit` rounds, those with the smallest hashes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._parts: list[_Columns] = []
        self._held = 0

    @property
    def empty(self) -> bool:
        """Whether there is nothing in it."""
        return not self._held

    def add(self, outcomes: Outcomes, hashes: Keys, weigh: Weigh | None) -> None:
        """Take in the shown items of some outcomes."""
        requests, slates = outcomes.requests, outcomes.decisions.slates
        b, k = np.nonzero(slates != PAD)
        part = _Columns(
            requests.context[b],
            features_at(requests, slates)[b, k],
            requests.positions[b, k],
            outcomes.rewards[b, k].astype(np.float64),
            weigh(outcomes)[b, k] if weigh else np.ones(len(b)),
            hashes[b],
            derive(requests.keys[b], k.astype(np.uint64)),
        )
        if self._parts and part.widths != self._parts[0].widths:
            raise ShapeError(
                "the widths of context and item features change between chunks: from "
                f"{self._parts[0].widths} to {part.widths}"
            )
        if not (np.isfinite(part.context).all() and np.isfinite(part.items).all()):
            raise ModelError("a reward model can't learn from NaN or infinite features")
        self._parts.append(part)
        self._held += len(b)
        if self._held > 2 * self.limit:
            self._parts = [self.drawn()]
            self._held = self.limit

    def drawn(self) -> _Columns:
        """Return the sample, in an order that is its own and not the log's."""
        whole = _Columns._make(map(np.concatenate, zip(*self._parts, strict=True)))
        order = np.lexsort((whole.slots, whole.hashes))[: self.limit]
        return _Columns._make(array[order] for array in whole)


class _Columns(NamedTuple):
    """Shown items: who and what [n, D] and [n, F], where, the reward and its weight, two hashes."""

    context: NDArray[np.float32]
    items: NDArray[np.float32]
    positions: Rows
    rewards: Floats
    weights: Floats
    hashes: Keys
    slots: Keys

    @property
    def widths(self) -> tuple[int, int]:
        """D and F."""
        return self.context.shape[1], self.items.shape[1]


class _Constant:
    """Predicts one number: what is left to a classifier that has seen one class alone."""

    def __init__(self, value: float) -> None:
        self.value = value

    def predict(self, features: Floats) -> Floats:
        """Return the number for every row."""
        return np.full(len(features), self.value)


def _default(rewards: Floats) -> Learner:
    binary = np.isin(rewards, (0.0, 1.0)).all()
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000) if binary else Ridge())


def _fit(
    learner: Learner, inside: Mask, features: Floats, rewards: Floats, weights: Floats | None
) -> Learner:
    """Return the learner fitted on the rounds inside."""
    features, rewards = features[inside], rewards[inside]
    if not len(rewards):
        raise ModelError("the log holds too few keys to fit a reward model on other folds")
    if is_classifier(learner) and len(np.unique(rewards)) == 1:
        return _Constant(float(rewards[0]))
    if weights is None or not weights[inside].any():
        return clone(learner).fit(features, rewards)
    prefix = f"{learner.steps[-1][0]}__" if isinstance(learner, Pipeline) else ""
    scaled = weights[inside] / weights[inside].mean()
    try:
        return clone(learner).fit(features, rewards, **{f"{prefix}sample_weight": scaled})
    except TypeError as error:
        raise ModelError(f"{learner} can't weigh rounds, as MRDR needs it to") from error


def _predict(learner: Learner, features: Floats) -> Floats:
    if hasattr(learner, "predict_proba"):
        return np.asarray(learner.predict_proba(features)[:, 1], dtype=np.float64)
    return np.asarray(learner.predict(features), dtype=np.float64)
