"""Figures that others published, reproduced through our estimators."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from evaluation.accumulate import Accumulator
from evaluation.chunks.rounds import Rounds
from evaluation.estimators.names import named
from simulators import bts_action_distribution, bts_prior, load_obd
from tests.evaluation.logs import keys, some


def values(rounds: Rounds, *names: str) -> list[float]:
    accumulator = Accumulator(named(names), replicates=1)
    accumulator.add(rounds)
    return [estimate.value for estimate in accumulator.results()]


def test_errors_over_thirty_bootstrap_samples_of_the_open_bandit_dataset() -> None:
    """Open Bandit Pipeline's benchmark of estimators: `random` -> `bts`, campaign `all`."""
    log, bts = load_obd("random", "all"), load_obd("bts", "all")
    chances = bts_action_distribution(*bts_prior("all"), n_sim=1_000_000)
    rounds = Rounds(
        reward=log.rewards[:, 0].astype(np.float64),
        logged=log.decisions.propensities[:, 0],
        target=chances[log.decisions.slates[:, 0], log.requests.positions[:, 0]],
        keys=log.requests.keys,
    )
    truth = float(bts.rewards.astype(np.float64).mean())
    errors = []
    for sample in range(30):
        rows = np.random.RandomState(sample).choice(len(log), size=len(log), replace=True)
        errors.append([abs(v - truth) / truth for v in values(some(rounds, rows), "IPS", "SNIPS")])
    ips, snips = np.mean(errors, axis=0)
    assert ips == pytest.approx(0.311082, abs=5e-7)
    assert snips == pytest.approx(0.311795, abs=5e-7)


def test_digits_as_a_bandit() -> None:
    """Open Bandit Pipeline's example: a classifier's choices, evaluated on another's log."""
    features, labels = load_digits(return_X_y=True)
    train, rest, known, wanted = train_test_split(
        features, labels, test_size=0.7, random_state=12345
    )
    n = len(wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # published with its defaults
        behaviour = LogisticRegression(random_state=12345).fit(train, known).predict(rest)
    logging = np.full((n, 10), 0.2 / 10)
    logging[np.arange(n), behaviour] += 0.8
    draws = np.random.RandomState(12345).uniform(size=n)
    shown = (logging.cumsum(axis=1) > draws[:, None]).argmax(axis=1)
    target = RandomForestClassifier(random_state=12345).fit(train, known).predict(rest)
    rounds = Rounds(
        reward=(shown == wanted).astype(np.float64),
        logged=logging[np.arange(n), shown],
        target=(shown == target).astype(np.float64),
        keys=keys(n, 0),
    )
    truth = float((target == wanted).mean())
    (ips,) = values(rounds, "IPS")
    assert truth == pytest.approx(0.9634340222575517, rel=1e-12)
    assert abs(ips - truth) / truth == pytest.approx(0.01827255896321327, rel=1e-9)
