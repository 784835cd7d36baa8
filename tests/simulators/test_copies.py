"""A world that is copied or pickled in mid-episode goes on as the one that it was taken from."""

from __future__ import annotations

import pickle
from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
import pytest

from simulators import make_world
from tests.simulators.support import seeds
from tests.simulators.test_frames import slates

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulators import BatchedWorld


@pytest.mark.parametrize(
    "copied",
    [deepcopy, lambda world: pickle.loads(pickle.dumps(world))],
    ids=["deepcopy", "pickle"],
)
@pytest.mark.parametrize("name", ["News", "InterestEvolution", "SlateTopK-Bored"])
def test_a_copy_goes_on_alike_and_alone(
    name: str, copied: Callable[[BatchedWorld], BatchedWorld]
) -> None:
    world = make_world(name)
    world.reset(seeds(4))
    for step in range(3):
        world.step(slates(world, 4, step))
    other = copied(world)
    expected = []
    for step in range(3, 9):
        answer = world.step(slates(world, 4, step))
        expected.append((answer.told.copy(), answer.expected.copy(), world.context()))
        world.renew(answer.ended)
    for step, (told, chances, context) in zip(range(3, 9), expected, strict=True):
        answer = other.step(slates(other, 4, step))
        assert np.array_equal(answer.told, told)
        assert np.array_equal(answer.expected, chances)
        assert np.array_equal(other.context(), context)
        other.renew(answer.ended)
