"""Counter-based streams, against SplitMix64 in Python's own integers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.streams import derive, mix, normals, stream, uniforms, word

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
WORDS = st.integers(0, MASK)

# The first outputs for the seed 1234567, as the generator's public test vectors give them.
PUBLISHED = [
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
]


def finalised(x: int) -> int:
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def start(seed: int, key: int, purpose: int) -> int:
    inner = finalised((seed + GOLDEN) & MASK) ^ key
    return finalised((finalised(inner) + purpose * GOLDEN) & MASK)


def drawn(state: int, counter: int) -> float:
    return (finalised((state + (counter + 1) * GOLDEN) & MASK) >> 11) / 2**53


def test_the_sequence_is_splitmix64() -> None:
    state, found = 1234567, []
    for _ in PUBLISHED:
        state = (state + GOLDEN) & MASK
        found.append(int(mix(np.uint64(state))))
    assert found == PUBLISHED


@given(WORDS)
def test_the_finaliser_agrees_with_python_integers(x: int) -> None:
    assert int(mix(np.uint64(x))) == finalised(x)


@given(WORDS, WORDS, st.integers(0, 100))
def test_a_stream_starts_where_python_integers_say(seed: int, key: int, purpose: int) -> None:
    found = stream(np.uint64(seed), np.uint64(key), np.uint64(purpose))
    assert int(found) == start(seed, key, purpose)


@given(WORDS, st.lists(WORDS, min_size=1, max_size=5), st.integers(0, 9))
def test_uniforms_are_the_words_of_each_keys_own_stream(
    seed: int, keys: list[int], purpose: int
) -> None:
    found = uniforms(seed, np.array(keys, dtype=np.uint64), 4, purpose=purpose)
    wanted = [[drawn(start(seed, key, purpose), i) for i in range(4)] for key in keys]
    np.testing.assert_array_equal(found, wanted)


def test_normals_are_box_muller_of_the_uniforms() -> None:
    keys = np.arange(5, dtype=np.uint64)
    u = uniforms(9, keys, 8)
    wanted = [
        [
            math.sqrt(-2 * math.log(1 - row[2 * i])) * math.cos(2 * math.pi * row[2 * i + 1])
            for i in range(4)
        ]
        for row in u
    ]
    np.testing.assert_allclose(normals(9, keys, 4), wanted, rtol=1e-14)


@pytest.mark.parametrize("axis", ["keys", "counters", "seeds", "purposes"])
def test_uniforms_are_uniform_and_uncorrelated_along_every_axis(axis: str) -> None:
    n = 20_000
    if axis == "keys":
        found = uniforms(1, np.arange(n, dtype=np.uint64), 1)[:, 0]
    elif axis == "counters":
        found = uniforms(1, np.zeros(1, np.uint64), n)[0]
    elif axis == "seeds":
        key = np.zeros(1, np.uint64)
        found = np.array([uniforms(s, key, 1)[0, 0] for s in range(n)])
    else:
        key = np.zeros(1, np.uint64)
        found = np.array([uniforms(1, key, 1, purpose=p)[0, 0] for p in range(n)])
    counts = np.histogram(found, bins=50, range=(0, 1))[0]
    chi2 = ((counts - n / 50) ** 2 / (n / 50)).sum()
    assert abs(chi2 - 49) < 5 * math.sqrt(2 * 49)
    lag = np.corrcoef(found[1:], found[:-1])[0, 1]
    assert abs(lag) < 5 / math.sqrt(n)


def test_normals_have_the_moments_of_a_standard_normal() -> None:
    n = 200_000
    z = normals(3, np.arange(n // 4, dtype=np.uint64), 4).ravel()
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**power).mean() - mean) < 5 * math.sqrt(variance / n)


def test_derived_keys_are_all_different() -> None:
    keys = np.repeat(np.arange(100, dtype=np.uint64), 100)
    ordinals = np.tile(np.arange(100, dtype=np.uint64), 100)
    found = derive(keys, ordinals)
    assert len(np.unique(found)) == 10_000
    assert int(found[101]) == start(1, 1, 1)


@pytest.mark.parametrize("seed", [-1, 0, 1 << 64, 1 << 200, np.int64(-3), np.uint8(7)])
def test_any_integer_is_a_seed(seed: int) -> None:
    assert int(word(seed)) == int(seed) % (1 << 64)
