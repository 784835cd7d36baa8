"""What is packed is read and written where it stands, for as long as the pack is there."""

from __future__ import annotations

import pickle
from copy import deepcopy
from typing import Any
from weakref import ref

import numba
import numpy as np
import pytest

from agents.addresses import Pack
from agents.jit import compiled, entry

PERSON = np.dtype([("age", np.float64), ("of_age", np.bool_)], align=True)


@compiled
def _grow(pack: Any, years: float) -> float:
    people, (start, (steps, counts)), limit = pack.values
    total = start
    for i in range(len(people)):
        people[i].age += years
        people[i].of_age = people[i].age >= limit
        counts[0, i] += 1
        total += steps[i]
    return float(total)


def a_pack() -> Pack:
    people = np.zeros(3, PERSON)
    people["age"] = 10.0, 17.0, 40.0
    steps, counts = np.arange(6.0)[::2], np.zeros((2, 3), np.int64)
    return Pack((people, (100.0, (steps, counts)), 18))


def test_a_kernel_reads_and_writes_what_is_packed() -> None:
    pack, other = a_pack(), a_pack()
    grow = entry(_grow, pack, 1.0)
    for call in range(1, 4):
        assert grow(pack, 1.0) == 100.0 + 0.0 + 2.0 + 4.0
        people, (_, (_, counts)), _ = pack.values
        assert people["age"].tolist() == [10.0 + call, 17.0 + call, 40.0 + call]
        assert people["of_age"].tolist() == [False, True, True]
        assert counts.tolist() == [[call] * 3, [0] * 3]
    assert other.values[0]["age"].tolist() == [10.0, 17.0, 40.0]
    grow(other, 0.5)  # the same kernel, by another address
    assert other.values[0]["age"].tolist() == [10.5, 17.5, 40.5]


def test_arrays_live_as_long_as_their_pack_and_no_longer() -> None:
    pack = a_pack()
    grow, people = entry(_grow, pack, 1.0), ref(pack.values[0])
    grow(pack, 1.0)
    found = people()
    assert found is not None
    assert found["age"][0] == 11.0
    del found, pack
    assert people() is None


def test_an_address_goes_nowhere_else() -> None:
    for copy in (pickle.dumps, deepcopy):
        with pytest.raises(TypeError, match="pack the values again"):
            copy(a_pack())


def test_what_stands_nowhere_is_refused() -> None:
    with pytest.raises((TypeError, numba.core.errors.NumbaError), match="not of a unicode_type"):
        Pack((np.zeros(3), "text"))
