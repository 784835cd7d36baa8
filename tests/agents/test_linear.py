"""Linear bandits, against NumPy's batch solve and sampling, and exact fractions."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import LessonError, LinTS, LinUCB, OptionError, ShapeError, StateError, joint
from agents.forgetting import merged
from agents.packed import cholesky, invert
from agents.ridge import Ridge
from agents.slots import ScoreError
from tests.agents.support import catalogue, experience, outcomes, requests

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agents import Outcomes, Requests
    from agents.api import Floats, Rows


def unpacked(packed: Floats, P: int) -> Floats:
    """Return a symmetric matrix from its upper triangle."""
    upper = np.zeros((P, P))
    upper[np.triu_indices(P)] = packed
    return upper + np.triu(upper, 1).T


def vectors(asked: Requests, rows: Rows, *, shared: bool, interactions: bool) -> Floats:
    """Return the regression's features of the items in these rows: [B, M, P]."""
    if shared:
        return joint(asked.context, asked.items.features[rows], interactions)
    x = np.concatenate([np.ones((len(asked), 1)), asked.context], axis=1, dtype=np.float64)
    return np.repeat(x[:, None, :], rows.shape[1], axis=1)


def solved(
    facts: Outcomes, asked: Requests, l2: float, *, shared: bool, interactions: bool
) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of every candidate by batch solves alone."""
    x = vectors(asked, asked.candidates, shared=shared, interactions=interactions)
    slates, P = facts.decisions.slates, x.shape[2]
    learned = vectors(facts.requests, slates, shared=shared, interactions=interactions)
    mean, deviation = np.zeros(x.shape[:2]), np.zeros(x.shape[:2])
    for item in range(len(asked.items)):
        of = np.full(slates.shape, True) if shared else slates == item
        X, r = learned[of], facts.rewards[of].astype(np.float64)
        A = l2 * np.eye(P) + X.T @ X
        theta = np.linalg.solve(A, X.T @ r)
        at = asked.candidates == item
        mean[at] = x[at] @ theta
        deviation[at] = np.sqrt(np.einsum("np,np->n", x[at], np.linalg.solve(A, x[at].T).T))
    return mean, deviation


KINDS = pytest.mark.parametrize(
    ("shared", "interactions"), [(True, True), (True, False), (False, False)]
)


@KINDS
@pytest.mark.parametrize("l2", [0.1, 5.0])
@pytest.mark.parametrize("count", [0, 1, 300])
def test_linucb_scores_are_those_of_the_batch_solve(
    shared: bool, interactions: bool, l2: float, count: int
) -> None:
    items = catalogue(7, width=3)
    facts = experience(items, count, width=4, seed=2)
    policy = LinUCB(shared=shared, interactions=interactions, alpha=1.7, l2=l2)
    policy.update(facts)
    asked = requests(items, np.tile(np.arange(7), (5, 1)), width=4, seed=3)
    mean, deviation = solved(facts, asked, l2, shared=shared, interactions=interactions)
    np.testing.assert_allclose(policy.scores(asked), mean + 1.7 * deviation, rtol=1e-9, atol=1e-12)


@given(st.integers(1, 9), st.integers(0, 60), st.floats(0.01, 100), st.integers(0, 10**6))
def test_rank_one_updates_equal_the_batch_solve(P: int, T: int, l2: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, rewards = rng.normal(size=(T, P)), rng.normal(size=T)
    keys = rng.integers(0, 3, T).astype(np.uint64)
    ridge = Ridge(l2)
    ridge.learn(keys, x, rewards, np.zeros(T, np.int64))
    for arm, key in enumerate(ridge.arms.keys):
        X, r = x[keys == key], rewards[keys == key]
        A = l2 * np.eye(P) + X.T @ X
        np.testing.assert_allclose(unpacked(ridge.sums.now()[arm, :-P], P), X.T @ X, atol=1e-12)
        np.testing.assert_allclose(ridge.sums.now()[arm, -P:], X.T @ r, atol=1e-12)
        np.testing.assert_allclose(
            unpacked(ridge.inverse[arm], P) @ A, np.eye(P), atol=1e-9, rtol=0
        )
        np.testing.assert_allclose(ridge.theta[arm], np.linalg.solve(A, X.T @ r), atol=1e-9)


def solved_exactly(x: list[list[Fraction]], b: list[Fraction]) -> list[Fraction]:
    """Solve a small system by Gauss-Jordan in exact fractions."""
    n = len(x)
    table = [[*row, value] for row, value in zip(x, b, strict=True)]
    for i in range(n):
        table[i] = [v / table[i][i] for v in table[i]]
        for j in range(n):
            if j != i:
                factor = table[j][i]
                table[j] = [v - factor * w for v, w in zip(table[j], table[i], strict=True)]
    return [row[-1] for row in table]


def exactly(
    gram: Sequence[Sequence[int | Fraction]], moment: Sequence[int | Fraction], asked: Floats
) -> tuple[list[float], list[float]]:
    """Return mean and variance at every vector asked, by exact fractions, for l2 = 1."""
    P = len(moment)
    A = [[Fraction(gram[i][j]) + (i == j) for j in range(P)] for i in range(P)]
    theta = solved_exactly([list(row) for row in A], [Fraction(m) for m in moment])
    means, variances = [], []
    for row in asked.tolist():
        x = [Fraction(v) for v in row]
        solution = solved_exactly([list(line) for line in A], x)
        variances.append(float(sum(a * b for a, b in zip(x, solution, strict=True))))
        means.append(float(sum(a * b for a, b in zip(x, theta, strict=True))))
    return means, variances


@pytest.mark.parametrize(
    ("spread", "condition", "digits"), [(10.0, 1e3, 11), (1e2, 1e5, 8), (1e4, 1e8, 5)]
)
def test_a_hundred_thousand_updates_stay_sane(spread: float, condition: float, digits: int) -> None:
    """Whole numbers, whose sums are exact in int64, up to an ill-conditioned A: by fractions."""
    rng = np.random.default_rng(4)
    T, P = 100_000, 6
    mixing = rng.normal(size=(P, P))
    x = np.rint((rng.normal(size=(T, P)) * np.geomspace(1, spread, P)) @ mixing).astype(np.int64)
    rewards = rng.integers(-5, 6, T)
    ridge = Ridge(1.0)
    no = np.zeros(1000, np.int64)
    for part in range(0, T, 1000):
        rows = slice(part, part + 1000)
        ridge.learn(no.astype(np.uint64), x[rows].astype(float), rewards[rows].astype(float), no)
    assert np.linalg.cond((x.T @ x).astype(float)) > condition
    tested = x[:20].astype(float)
    means, variances = exactly((x.T @ x).tolist(), (x.T @ rewards).tolist(), tested)
    inverse = unpacked(ridge.inverse[0], P)
    found = np.einsum("np,pq,nq->n", tested, inverse, tested)
    np.testing.assert_allclose(found, variances, rtol=10.0**-digits)
    gap = np.abs(tested @ ridge.theta[0] - means)
    assert (gap < 10.0**-digits * np.sqrt(variances) * 10).all()


def test_features_of_wild_scale_are_survived() -> None:
    """A time stamp among the features: x'x is near 3e18, and A^-1 spans eighteen digits."""
    rng = np.random.default_rng(5)
    x = np.column_stack([np.ones(40), 1.7e9 + rng.integers(0, 10**7, 40), rng.normal(size=40)])
    rewards = rng.normal(size=40)
    ridge = Ridge(1.0)
    ridge.learn(np.zeros(40, np.uint64), x, rewards, np.zeros(40, np.int64))
    rows = [[Fraction(v) for v in row] for row in x.tolist()]
    gram = [[sum(r[i] * r[j] for r in rows) for j in range(3)] for i in range(3)]
    moment = [
        sum(r[i] * Fraction(v) for r, v in zip(rows, rewards.tolist(), strict=True))
        for i in range(3)
    ]
    tested = x[::5]
    means, variances = exactly(gram, moment, tested)
    found = np.einsum("np,pq,nq->n", tested, unpacked(ridge.inverse[0], 3), tested)
    np.testing.assert_allclose(found, variances, rtol=1e-4)
    np.testing.assert_allclose(tested @ ridge.theta[0], means, rtol=1e-3)


@given(st.integers(1, 8), st.integers(0, 12), st.integers(0, 10**6))
def test_the_factor_and_the_inverse_are_those_of_numpy(P: int, T: int, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(T, P))
    gram = (x.T @ x)[np.triu_indices(P)]
    factor, inverse = np.empty_like(gram), np.empty_like(gram)
    cholesky(gram, 0.5, P, factor)
    invert(gram, 0.5, P, inverse)
    A = 0.5 * np.eye(P) + x.T @ x
    upper = np.zeros((P, P))
    upper[np.triu_indices(P)] = factor
    np.testing.assert_allclose(upper.T, np.linalg.cholesky(A), atol=1e-10)
    np.testing.assert_allclose(unpacked(inverse, P), np.linalg.inv(A), atol=1e-9)


@KINDS
@pytest.mark.parametrize("slots", [1, 2])
def test_lints_shares_are_those_of_posterior_draws(
    shared: bool, interactions: bool, slots: int
) -> None:
    """Against NumPy's own multivariate normal draws of every arm's theta."""
    items, S = catalogue(4, width=2), 20_000
    facts = experience(items, 40, width=3, seed=6)
    policy = LinTS(shared=shared, interactions=interactions, scale=0.8, samples=S, floor=0.0)
    policy.update(facts)
    asked = requests(items, [[0, 1, 2, 3]], slots=slots, width=3, seed=7)
    x = vectors(asked, asked.candidates, shared=shared, interactions=interactions)[0]
    slates = facts.decisions.slates
    learned = vectors(facts.requests, slates, shared=shared, interactions=interactions)
    rng, drawn = np.random.default_rng(8), np.empty((S, 4))
    theta: Floats = np.empty(0)
    for item in range(4):
        if item == 0 or not shared:
            of = np.full(slates.shape, True) if shared else slates == item
            A = np.eye(x.shape[1]) + learned[of].T @ learned[of]
            mean = np.linalg.solve(A, learned[of].T @ facts.rewards[of])
            theta = rng.multivariate_normal(mean, 0.64 * np.linalg.inv(A), S)
        drawn[:, item] = theta @ x[item]
    open_ = np.ones((1, 4), dtype=np.bool_)
    if slots == 2:
        open_[0, np.bincount(drawn.argmax(axis=1), minlength=4).argmax()] = False
    best = np.where(open_, drawn, -np.inf).argmax(axis=1)
    wanted = np.bincount(best, minlength=4) / S
    found = policy.slot(policy.prepare(asked), open_)[0]
    error = np.sqrt(2 * wanted * (1 - wanted) / S)
    assert (abs(found - wanted) <= 5 * error + 1e-9).all()
    assert ((found > 0.02) & (found < 0.98)).sum() >= 2


def test_lints_floor_is_shared_by_the_open() -> None:
    items = catalogue(4)
    policy = LinTS(floor=0.2, scale=0.0, shared=False)
    policy.update(experience(items, 200))
    asked = requests(items, [[0, 1, 2, 3]], slots=2, seed=9)
    first = policy.distribution(asked)[0]
    np.testing.assert_allclose(np.sort(first), [0.05, 0.05, 0.05, 0.85])


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("options", [{}, {"half_life": 20.0}, {"window": 40.0}])
def test_sums_of_partitions_are_the_whole(shared: bool, options: dict[str, Any]) -> None:
    """`gram` and `moment` add up, and a state without `inverse` is inverted afresh."""
    items = catalogue(5)
    facts = at_seconds(experience(items, 120, seed=10), np.arange(120.0))
    whole, summed = LinUCB(shared=shared, **options), LinUCB(shared=shared, **options)
    whole.update(facts)
    parts = []
    for rows in (np.arange(0, 120, 3), np.setdiff1d(np.arange(120), np.arange(0, 120, 3))):
        part = LinUCB(shared=shared, **options)
        part.update(facts.take(rows))
        parts.append(part.state_dict())
    summed.load_state_dict(merged(parts, ("gram", "moment")) | {"version": np.array(120)})
    asked = requests(items, [np.arange(5)], seed=11)
    np.testing.assert_allclose(summed.scores(asked), whole.scores(asked), rtol=1e-10)


def test_optimism_about_an_item_fades_with_every_showing() -> None:
    items = catalogue(2)
    policy = LinUCB(shared=False, alpha=1.0)
    asked = requests(items, [[0, 1]])
    bounds = []
    for _ in range(5):
        bounds.append(policy.scores(asked)[0, 0])
        policy.update(outcomes(asked, [[0]], [[0.0]]))
    assert (np.diff(bounds) < 0).all()
    assert policy.decide(asked).slates.tolist() == [[1]]


def test_features_of_another_width_are_refused() -> None:
    items = catalogue(3)
    for policy in (LinUCB(), LinTS(), LinUCB(shared=False)):
        policy.update(experience(items, 5, width=3))
        with pytest.raises(ShapeError, match="changed their width"):
            policy.decide(requests(items, [[0, 1]], width=4))
        with pytest.raises(ShapeError, match="changed their width"):
            policy.update(experience(items, 5, width=2))


def test_options_out_of_range_are_refused() -> None:
    for wrong in (
        lambda: LinUCB(alpha=-1),
        lambda: LinUCB(l2=0),
        lambda: LinTS(samples=0),
        lambda: LinTS(floor=-0.1),
        lambda: LinTS(scale=float("inf")),
    ):
        with pytest.raises(OptionError):
            wrong()


def test_a_state_of_other_options_is_refused() -> None:
    facts = experience(catalogue(3), 5)
    one = LinUCB()
    one.update(facts)
    state = one.state_dict()
    state["gram"] = state["gram"][:, 1:]
    with pytest.raises(StateError, match="gram"):
        LinUCB().load_state_dict(state)


def test_items_that_leave_keep_what_was_learned() -> None:
    items = catalogue(4)
    policy = LinUCB(shared=False)
    policy.update(experience(items, 60))
    asked = requests(items, [[0, 1, 2, 3]])
    before = policy.scores(asked)
    gone = replace(asked, items=items.without(items.keys[:2]), candidates=np.array([[2, 3]]))
    policy.update(outcomes(gone, [[3]], [[1.0]]))
    after = policy.scores(asked)
    np.testing.assert_array_equal(after[0, :3], before[0, :3])
    assert after[0, 3] != before[0, 3]


FORGET = pytest.mark.parametrize("options", [{"half_life": 8.0}, {"window": 8.0}])


def at_seconds(facts: Outcomes, seconds: Floats) -> Outcomes:
    """Return the outcomes of requests made at other times."""
    time = (seconds * 1000).astype(np.int64)
    return replace(facts, requests=replace(facts.requests, time=time), time=time)


@FORGET
@pytest.mark.parametrize("shared", [True, False])
def test_what_fades_is_the_weighted_regression(options: dict[str, Any], shared: bool) -> None:
    """Against a batch solve with every observation's weight by its own age, in ticks of 1 s."""
    items, T = catalogue(4), 150
    rng = np.random.default_rng(12)
    seconds = rng.permutation(np.linspace(0.0, 30.0, T))
    facts = at_seconds(experience(items, T, seed=13), seconds)
    policy = LinUCB(shared=shared, alpha=0.7, **options)
    policy.update(facts)
    age = 30.0 - np.floor(seconds)
    weight = np.exp2(-age / 8.0) if "half_life" in options else np.where(age < 8.0, 1.0, 0.0)
    asked = requests(items, np.tile(np.arange(4), (6, 1)), seed=14)
    x = vectors(asked, asked.candidates, shared=shared, interactions=True)
    slates = facts.decisions.slates
    learned = vectors(facts.requests, slates, shared=shared, interactions=True)[:, 0]
    expected = np.zeros(x.shape[:2])
    for item in range(4):
        of = np.full(T, True) if shared else slates[:, 0] == item
        X, r, w = learned[of], facts.rewards[of, 0].astype(np.float64), weight[of]
        A = np.eye(X.shape[1]) + (X.T * w) @ X
        spread = np.einsum("bp,pb->b", x[:, item], np.linalg.solve(A, x[:, item].T))
        expected[:, item] = x[:, item] @ np.linalg.solve(A, X.T @ (w * r)) + 0.7 * np.sqrt(spread)
    np.testing.assert_allclose(policy.scores(asked), expected, rtol=1e-9)


@FORGET
def test_forgetting_brings_doubt_back(options: dict[str, Any]) -> None:
    """Long after, only what was seen lately is known: all other items look as on the first day."""
    items = catalogue(3)
    policy, fresh = (LinUCB(shared=False, **options) for _ in range(2))
    policy.update(experience(items, 90))
    asked = requests(items, [[0, 1, 2]])
    assert (policy.scores(asked) != fresh.scores(asked)).all()
    late = outcomes(requests(items, [[0, 1, 2]], seed=5), [[0]], [[1.0]])
    late = at_seconds(late, np.array([1e4]))
    policy.update(late)
    fresh.update(late)
    np.testing.assert_allclose(policy.scores(asked), fresh.scores(asked), rtol=1e-12)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_context_that_is_no_number_is_refused(shared: bool, bad: float) -> None:
    items = catalogue(4)
    for policy in (LinUCB(shared=shared), LinTS(shared=shared)):
        for facts in (None, experience(items, 50)):
            if facts is not None:
                policy.update(facts)
            before = policy.state_dict()
            asked = requests(items, np.tile(np.arange(4), (3, 1)))
            asked.context[1, 2] = bad
            with pytest.raises(ScoreError, match="context of request 1 of the batch"):
                policy.decide(asked)
            shown = outcomes(asked, [[0], [1], [2]], [[1.0], [0.0], [1.0]])
            with pytest.raises(LessonError, match="outcome 1 of the batch"):
                policy.update(shown)
            for name, array in policy.state_dict().items():
                np.testing.assert_array_equal(array, before[name])


def test_samples_share_normals_but_not_their_spread() -> None:
    """Shares of S shifted samples scatter no more than S independent draws would make them."""
    items, S, B = catalogue(5), 64, 4000
    policy = LinTS(shared=False, samples=S, floor=0.0, scale=1.0)
    policy.update(experience(items, 200, seed=15))
    one = requests(items, [np.arange(5)], seed=16)
    many = replace(one.take(np.zeros(B, np.int64)), keys=np.arange(B, dtype=np.uint64))
    shares = policy.distribution(many)
    mean = shares.mean(axis=0)
    assert ((mean > 0.02) & (mean < 0.9)).sum() >= 3
    # The variance of a variance over B draws is about 2 / B of its square.
    assert (shares.var(axis=0) <= mean * (1 - mean) / S * (1 + 5 * np.sqrt(2 / B))).all()
