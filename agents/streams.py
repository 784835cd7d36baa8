"""Counter-based random numbers: every draw is a function of (seed, key, purpose, counter).

There is no generator to carry, to share or to lock: whoever knows the four numbers knows the draw,
in any batch, process or order. The function is SplitMix64 (Steele, Lea & Flood 2014, "Fast
splittable pseudorandom number generators"): a Weyl sequence through a 64-bit finaliser, its start
itself the finalised mixture of seed, key and purpose. The scalar functions are compiled and may be
called inside kernels; the array functions call them.
"""

from __future__ import annotations

from math import cos, log, pi, sqrt
from typing import TYPE_CHECKING

import numpy as np

from agents.jit import compiled, inlined

if TYPE_CHECKING:
    from agents.api import Floats, Keys

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_ONE = np.uint64(1)


@inlined
def mix(x: np.uint64) -> np.uint64:
    """Return SplitMix64's finaliser of a word: a bijection in which every bit sways every other."""
    x = (x ^ (x >> _S30)) * _MIX_1
    x = (x ^ (x >> _S27)) * _MIX_2
    return x ^ (x >> _S31)


@inlined
def stream(seed: np.uint64, key: np.uint64, purpose: np.uint64) -> np.uint64:
    """Return the start of the stream that belongs to a seed, a key and a purpose."""
    return mix(mix(mix(seed + _GOLDEN) ^ key) + purpose * _GOLDEN)


@inlined
def uniform(start: np.uint64, counter: int) -> float:
    """Return draw `counter` of a stream: float64 in [0, 1), 53 random bits."""
    word = mix(start + (np.uint64(counter) + _ONE) * _GOLDEN)
    return np.float64(word >> _S11) * 1.1102230246251565e-16


@inlined
def normal(start: np.uint64, counter: int) -> float:
    """Return draw `counter` of a stream as a standard normal (Box-Muller).

    It uses up the uniforms `2 * counter` and `2 * counter + 1`.
    """
    radius = sqrt(-2.0 * log(1.0 - uniform(start, 2 * counter)))
    return radius * cos(2.0 * pi * uniform(start, 2 * counter + 1))


@compiled
def _uniforms(seed: np.uint64, keys: Keys, purpose: np.uint64, out: Floats) -> None:
    for b in range(out.shape[0]):
        start = stream(seed, keys[b], purpose)
        for i in range(out.shape[1]):
            out[b, i] = uniform(start, i)


@compiled
def _normals(seed: np.uint64, keys: Keys, purpose: np.uint64, out: Floats) -> None:
    for b in range(out.shape[0]):
        start = stream(seed, keys[b], purpose)
        for i in range(out.shape[1]):
            out[b, i] = normal(start, i)


@compiled
def _derive(keys: Keys, ordinals: Keys, out: Keys) -> None:
    for b in range(len(out)):
        out[b] = stream(keys[b], ordinals[b], _ONE)


def uniforms(seed: int, keys: Keys, count: int, *, purpose: int = 0) -> Floats:
    """Return `count` uniforms in [0, 1) from the stream of every key: float64 [B, count]."""
    out = np.empty((len(keys), count))
    _uniforms(word(seed), keys, np.uint64(purpose), out)
    return out


def normals(seed: int, keys: Keys, count: int, *, purpose: int = 0) -> Floats:
    """Return `count` standard normals from the stream of every key: float64 [B, count]."""
    out = np.empty((len(keys), count))
    _normals(word(seed), keys, np.uint64(purpose), out)
    return out


def derive(keys: Keys, ordinals: Keys) -> Keys:
    """Return a key for the n-th thing of every key, uint64 [B]: a user's n-th request, say."""
    out = np.empty(len(keys), dtype=np.uint64)
    _derive(
        np.ascontiguousarray(keys, dtype=np.uint64),
        np.ascontiguousarray(ordinals, dtype=np.uint64),
        out,
    )
    return out


def row_of(root: int, count: int, first: int = 0) -> Keys:
    """Return a stretch of the endless row of keys of a root, uint64 [count]; others have others."""
    ordinals = np.arange(first, first + count, dtype=np.uint64)
    return derive(np.full(count, word(root)), ordinals)


def word(seed: int) -> np.uint64:
    """Return a seed of any size and sign as 64 bits."""
    return np.uint64(int(seed) & 0xFFFFFFFFFFFFFFFF)
