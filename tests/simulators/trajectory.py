"""Plays every world and prints a digest of all that happened: run it in another process."""

from __future__ import annotations

import sys
from hashlib import sha256

import numpy as np

from agents import Uniform
from simulators import rollout
from tests.simulators.support import WORLDS, seeds


def digest(name: str, lanes: int, steps: int = 80) -> str:
    world = WORLDS[name]()
    world.reset(seeds(lanes, first=11))
    whole = sha256()
    for response in rollout(world, Uniform(seed=2), steps):
        for array in (
            response.outcomes.requests.keys,
            response.outcomes.requests.context,
            response.outcomes.decisions.slates,
            response.outcomes.rewards,
            response.expected,
            response.ended,
            *response.signals.values(),
        ):
            whole.update(np.ascontiguousarray(array).tobytes())
    return whole.hexdigest()


if __name__ == "__main__":
    for each in WORLDS:
        print(each, digest(each, int(sys.argv[1])))
