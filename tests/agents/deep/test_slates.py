"""Slate optimisers, against all slates tried one by one and against the paper's linear program."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from agents.deep.slates import EXACT, GREEDY, TOP_K, best_slates, slate_worth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats

    Slates = NDArray[np.int64]


def situation(seed: int, candidates: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Weights, values and those of nothing, for one request."""
    rng = np.random.default_rng(seed)
    values = rng.normal(rng.normal(scale=5.0), rng.exponential(3.0), (1, candidates))
    nothing = rng.normal(scale=5.0, size=1)
    return rng.exponential(size=(1, candidates)), values, rng.exponential(size=1), nothing


def worth(v: Floats, q: Floats, v_0: Floats, q_0: Floats, slate: list[int]) -> float:
    """What a slate is worth, from the definition."""
    chances = np.append(v[0, slate], v_0) / (v[0, slate].sum() + v_0[0])
    return float(chances @ np.append(q[0, slate], q_0))


def by_linear_program(v: Floats, q: Floats, v_0: Floats, q_0: Floats, slots: int) -> float:
    """The highest worth of a slate by the paper's program, with t the normaliser (Charnes-Cooper).

    Maximise v_0 q_0 t + sum_i v_i q_i y_i, where v_0 t + sum_i v_i y_i = 1, sum_i y_i = K t and
    0 <= y_i <= t.
    """
    M = v.shape[1]
    gain = np.append(v[0] * q[0], v_0 * q_0)
    equal = np.vstack([np.append(v[0], v_0), np.append(np.ones(M), -slots)])
    within = np.hstack([np.eye(M), -np.ones((M, 1))])
    found = linprog(-gain, A_ub=within, b_ub=np.zeros(M), A_eq=equal, b_eq=[1.0, 0.0])
    assert found.fun is not None
    return -found.fun


@given(st.integers(0, 2**32), st.integers(1, 8), st.data())
@settings(max_examples=60, deadline=None)
def test_exact_slates_are_the_best_of_all_and_solve_the_linear_program(
    seed: int, candidates: int, data: st.DataObject
) -> None:
    slots = data.draw(st.integers(1, candidates))
    given_ = situation(seed, candidates)
    slates, found = best_slates(*given_, slots, EXACT)
    every = itertools.combinations(range(candidates), slots)
    best = max(worth(*given_, list(slate)) for slate in every)
    scale = max(1.0, abs(best))
    assert abs(found[0] - best) < 1e-9 * scale
    assert abs(worth(*given_, slates[0].tolist()) - best) < 1e-9 * scale
    assert len(set(slates[0].tolist())) == slots
    assert abs(by_linear_program(*given_, slots) - best) < 1e-6 * scale


@given(st.integers(0, 2**32), st.integers(1, 8), st.data())
@settings(max_examples=60, deadline=None)
def test_greedy_and_top_k_slates_are_what_they_say(
    seed: int, candidates: int, data: st.DataObject
) -> None:
    slots = data.draw(st.integers(1, candidates))
    v, q, v_0, q_0 = situation(seed, candidates)
    slates, found = best_slates(v, q, v_0, q_0, slots, TOP_K)
    order = np.argsort(-v[0] * (q[0] - q_0), kind="stable")[:slots]
    assert slates[0].tolist() == order.tolist()
    np.testing.assert_allclose(found[0], worth(v, q, v_0, q_0, order.tolist()), rtol=1e-9)
    slates, found = best_slates(v, q, v_0, q_0, slots, GREEDY)
    chosen: list[int] = []
    for _ in range(slots):
        rest = [j for j in range(candidates) if j not in chosen]
        chosen.append(max(rest, key=lambda j: worth(v, q, v_0, q_0, [*chosen, j])))
    assert slates[0].tolist() == chosen
    np.testing.assert_allclose(found[0], worth(v, q, v_0, q_0, chosen), rtol=1e-9)


def test_places_without_a_candidate_are_left_alone_and_short_slates_end_in_pads() -> None:
    v, q, v_0, q_0 = situation(3, 6)
    padded_v, padded_q = np.insert(v, [0, 3], -1.0, axis=1), np.insert(q, [0, 3], 99.0, axis=1)
    for optimiser in (TOP_K, GREEDY, EXACT):
        plain, value = best_slates(v, q, v_0, q_0, 4, optimiser)
        padded, same = best_slates(padded_v, padded_q, v_0, q_0, 4, optimiser)
        assert padded[0].tolist() == (plain[0] + 1 + (plain[0] >= 3)).tolist()
        assert value == same
        short, value = best_slates(v, q, v_0, q_0, 8, optimiser)
        assert sorted(short[0].tolist()) == [-1, -1, 0, 1, 2, 3, 4, 5]
        np.testing.assert_allclose(value, slate_worth(v, q, v_0, q_0, short))
