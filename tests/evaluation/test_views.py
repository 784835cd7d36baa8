"""Estimators that see the log otherwise: MIPS and OffCEM by clusters, MRDR by another model."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsRegressor

from agents.api import ShapeError
from agents.simple import Uniform
from evaluation.estimators.single import ViewNeededError
from evaluation.models.cross_fitted import CrossFitted, ModelError
from evaluation.rounds import evaluate
from evaluation.targets import Clusters
from tests.evaluation.logs import Shop, Tabled, cut

LABELS = np.array([0, 0, 0, 1, 1, 1])


def clustered_shop() -> Shop:
    """A shop in which the cluster says all about the click."""
    shop = Shop(base=0.3)
    by_cluster = np.array([shop.clicks[:, 0], shop.clicks[:, 3]]).T[:, LABELS]
    shop.__dict__["clicks"] = by_cluster
    return shop


def test_mips_by_hand() -> None:
    shop = Shop(base=0.3)
    log = shop.outcomes(300, seed=2)
    clusters = Clusters(LABELS, Tabled(shop.logging))
    found = evaluate(
        Tabled(shop.target), cut(log, 77), estimators=["MIPS"], clusters=clusters, replicates=4
    )
    total = 0.0
    for segment, item, reward in zip(
        log.requests.context.argmax(axis=1),
        log.decisions.slates[:, 0],
        log.rewards[:, 0],
        strict=True,
    ):
        mates = [i for i in range(6) if LABELS[i] == LABELS[item]]
        weight = sum(shop.target[segment, i] for i in mates) / sum(
            shop.logging[segment, i] for i in mates
        )
        total += weight * float(reward)
    assert found["MIPS"].value == pytest.approx(total / 300, rel=1e-9)


def test_mips_is_unbiased_where_clusters_say_all_and_has_less_noise() -> None:
    shop, logs = clustered_shop(), 60
    clusters = Clusters(LABELS, Tabled(shop.logging))
    found = []
    for seed in range(logs):
        report = evaluate(
            Tabled(shop.target),
            [shop.outcomes(400, seed)],
            estimators=["IPS", "MIPS"],
            clusters=clusters,
            replicates=4,
        )
        found.append([report["IPS"].value, report["MIPS"].value])
    ips, mips = np.array(found).T
    assert abs(mips.mean() - shop.truth) < 3.0 * mips.std() / sqrt(logs)
    assert mips.std() < ips.std()


def test_offcem_is_unbiased_where_the_model_is_right_within_clusters() -> None:
    """The model is off by a constant per segment and cluster, which the weights mend."""
    shop, logs = Shop(base=0.3), 60
    off = shop.clicks + np.array([0.2, -0.1])[LABELS]

    class Off:
        def expected(self, requests: Any, rows: np.ndarray) -> np.ndarray:
            return np.asarray(off[requests.context.argmax(axis=1)[:, None], rows])

    clusters = Clusters(LABELS, Tabled(shop.logging))
    found = []
    for seed in range(logs):
        report = evaluate(
            Tabled(shop.target),
            [shop.outcomes(400, seed)],
            estimators=["OffCEM", "DM"],
            reward_model=Off(),
            clusters=clusters,
            replicates=4,
        )
        found.append([report["OffCEM"].value, report["DM"].value])
    offcem, dm = np.array(found).T
    assert abs(offcem.mean() - shop.truth) < 3.0 * offcem.std() / sqrt(logs)
    assert abs(dm.mean() - shop.truth) > 0.02


def test_clusters_that_are_missing_or_do_not_fit_are_told() -> None:
    log = Shop().outcomes(50, seed=1)
    with pytest.raises(ViewNeededError, match="which cluster each item is in"):
        evaluate(Uniform(), [log], estimators=["MIPS"])
    with pytest.raises(ShapeError, match="2 labels, but 6 items"):
        evaluate(Uniform(), [log], estimators=["MIPS"], clusters=Clusters(LABELS[:2], Uniform()))


def test_the_robust_model_is_weighed_as_the_paper_says() -> None:
    """pi_e (1 - p) / p^2, over the rounds outside the fold; the learner is their weighted mean."""
    shop = Shop(base=0.3)
    log = shop.outcomes(400, seed=3)
    segment, item = log.requests.context.argmax(axis=1), log.decisions.slates[:, 0]
    p, target = shop.logging[segment, item], shop.target[segment, item]
    reward = log.rewards[:, 0].astype(np.float64)
    weight = target * (1.0 - p) / p**2
    plain = CrossFitted(DummyRegressor()).fit([log]).expected(log.requests, log.decisions.slates)
    q = np.empty(400)
    for mean in np.unique(plain):  # each fold has a mean of its own, and so is told apart
        fold = plain[:, 0] == mean
        q[fold] = np.average(reward[~fold], weights=weight[~fold])
    wanted = np.mean(q + target / p * (reward - q))
    found = evaluate(
        Tabled(shop.target),
        cut(log, 90),
        estimators=["MRDR", "DR"],
        reward_model=DummyRegressor(),
        replicates=4,
    )
    assert found["MRDR"].value == pytest.approx(wanted, rel=1e-9)
    assert found["MRDR"].value != found["DR"].value


def test_mrdr_needs_a_learner_that_can_weigh() -> None:
    log = Shop().outcomes(200, seed=1)
    with pytest.raises(ModelError, match="can't weigh rounds"):
        evaluate(Uniform(), [log], estimators=["MRDR"], reward_model=KNeighborsRegressor())

    class Ready:
        def expected(self, requests: Any, rows: np.ndarray) -> np.ndarray:
            return np.zeros(rows.shape)

    with pytest.raises(ViewNeededError, match="give a learner"):
        evaluate(Uniform(), [log], estimators=["MRDR"], reward_model=Ready())


def test_mrdr_is_unbiased_too() -> None:
    shop, logs = Shop(base=0.3), 40
    found = [
        evaluate(
            Tabled(shop.target),
            [shop.outcomes(300, seed)],
            estimators=["MRDR"],
            reward_model=LinearRegression(),
            replicates=4,
        )["MRDR"].value
        for seed in range(logs)
    ]
    assert abs(np.mean(found) - shop.truth) < 3.0 * np.std(found) / sqrt(logs)
