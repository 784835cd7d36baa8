"""Reward models that learn row by row, by progressive validation: predict first, learn afterwards.

Cross-fitting reads a log twice. A model that only ever predicts what it has not yet learned from
needs to read it once, so it goes with a log that still flows, and DR with it is as unbiased: what
the model says of a round hangs on earlier rounds alone (Blum, Kalai & Langford 1999, "Beating the
hold-out"). The price is that the log's order matters, and that the first rounds are predicted by a
model that knows nothing, which DR makes up for and DM does not. River predicts rows one by one, so
that with many candidates a round cross-fitting is faster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from river import base

from agents.api import PAD
from agents.features import features_at, joint
from evaluation.models.cross_fitted import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from agents.api import Floats, Outcomes, Requests, Rows


class Progressive:
    """A River model of rewards that predicts each block of rows before it learns from it.

    Parameters
    ----------
    model : River classifier or regressor
        A classifier's probability of True is the prediction, and rewards must be 0 or 1. It is
        cloned, and begins anew in every evaluation.
    every : int
        How many rows of the log a block has. Blocks are counted from the log's first row, so that
        they do not depend on its chunks.
    interactions : bool
        Whether the products of context and item features are features too.
    """

    def __init__(self, model: Any, *, every: int = 256, interactions: bool = False) -> None:
        if not isinstance(model, base.Classifier | base.Regressor):
            raise ModelError(f"{type(model).__name__} is no River classifier or regressor")
        if every < 1:
            raise ModelError(f"a block has at least one row, not {every}")
        self.every, self.interactions = every, interactions
        self._classifies = isinstance(model, base.Classifier)
        self._fresh: Any = model
        self._model: Any = self._fresh.clone()

    def through(self, chunks: Iterable[Outcomes]) -> Iterator[Outcomes]:
        """Yield the parts of a log, each to be predicted before the next one is asked for."""
        self._model = self._fresh.clone()
        waiting: list[Outcomes] = []
        held = 0
        for outcomes in chunks:
            at = 0
            while at < len(outcomes):
                part = outcomes.take(slice(at, at + self.every - held))
                yield part
                at, held = at + len(part), held + len(part)
                waiting.append(part)
                if held == self.every:
                    for block in waiting:
                        self._learn(block)
                    waiting, held = [], 0

    def expected(self, requests: Requests, rows: Rows) -> Floats:
        """Return the expected reward of items at the requests' first slot; see `RewardModel`."""
        B, M = rows.shape
        place = np.broadcast_to(requests.positions[:, :1], rows.shape)
        out = np.zeros((B, M))
        filled = rows != PAD
        out[filled] = self._predicted(self._features(requests, rows, place)[filled.ravel()])
        return out

    def _learn(self, outcomes: Outcomes) -> None:
        slates, rewards = outcomes.decisions.slates, outcomes.rewards
        if self._classifies and not np.isin(rewards, (0.0, 1.0)).all():
            raise ModelError("a classifier can only learn rewards of 0 and 1: give a regressor")
        table = self._features(outcomes.requests, slates, outcomes.requests.positions)
        for x, reward, row in zip(table.tolist(), rewards.ravel(), slates.ravel(), strict=True):
            if row != PAD:
                y = bool(reward) if self._classifies else float(reward)
                self._model.learn_one(dict(enumerate(x)), y)

    def _features(self, requests: Requests, rows: Rows, places: Rows) -> Floats:
        """Return joint features, float64 [B * M, P + 1], the position at the end."""
        table = joint(requests.context, features_at(requests, rows), self.interactions)
        table = np.concatenate([table, places[:, :, None]], axis=2)
        if not np.isfinite(table).all():
            raise ModelError("a reward model can't learn from NaN or infinite features")
        return np.asarray(table.reshape(-1, table.shape[2]))

    def _predicted(self, table: Floats) -> Floats:
        rows = (dict(enumerate(x)) for x in table.tolist())
        if self._classifies:
            return np.array([self._model.predict_proba_one(x).get(True, 0.0) for x in rows])
        return np.array([float(self._model.predict_one(x)) for x in rows])
