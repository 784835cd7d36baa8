"""Memory is handed out again when nobody holds it, and never before."""

from __future__ import annotations

import numpy as np

from simulators import InterestEvolution
from simulators.buffers import KEPT, Buffers
from tests.simulators.support import seeds

SHAPE = (300, 100)


def test_what_somebody_holds_is_not_handed_out_again() -> None:
    buffers = Buffers()
    held = [buffers.take("x", SHAPE, np.float32) for _ in range(2 * KEPT)]
    assert len({array.ctypes.data for array in held}) == 2 * KEPT
    views = [array[5:, 3] for array in held]
    held.clear()
    again = [buffers.take("x", SHAPE, np.float32) for _ in range(2 * KEPT)]
    assert not any(np.shares_memory(view, array) for view in views for array in again)


def test_what_nobody_holds_is_handed_out_again() -> None:
    buffers = Buffers()
    places = set()
    for _ in range(20):
        array = buffers.take("x", SHAPE, np.float32)
        places.add(array.ctypes.data)
        other = buffers.take("y", SHAPE, np.float32)
        assert not np.shares_memory(array, other)
    assert len(places) <= 2  # one, and the one that was held while the next was taken


def test_another_shape_or_type_is_another_array() -> None:
    buffers = Buffers()
    buffers.take("x", SHAPE, np.float32)
    assert buffers.take("x", SHAPE, np.float64).dtype == np.float64
    assert buffers.take("x", (100, 300), np.float64).shape == (100, 300)
    assert buffers.take("x", (2,), np.float64).shape == (2,)


def test_large_observations_stay_as_they_were_handed_out() -> None:
    world = InterestEvolution(10, 3)
    world.reset(seeds(200))
    held, copies = [], []
    for _ in range(3 * KEPT):
        told = world.step(np.tile([0, 1, 2], (200, 1))).told
        held += [world.context(), world.documents(), told[1]]
        copies += [array.copy() for array in held[-3:]]
    assert all(np.array_equal(a, b) for a, b in zip(held, copies, strict=True))
