"""Tables of quantiles against SciPy's, and draws against the distributions they are of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import integrate, special, stats

from agents import PAD
from agents.bandits.beliefs import NODES, REACH, Beliefs, draw_chances
from tests.agents.support import catalogue, requests

if TYPE_CHECKING:
    from agents.api import Floats

Z = np.linspace(-REACH, REACH, NODES)
NOBODY = np.zeros(0)


def table(alpha: float, beta: float, known: list[float], looked: Floats = NOBODY) -> Floats:
    """Return the table of the one item that this is known of."""
    tables = Beliefs(alpha, beta).renew(np.array([[0]]), np.array([[known]]), looked)
    return np.asarray(tables[1])


@pytest.mark.parametrize(
    ("a", "b"),
    [(1, 1), (0.5, 0.5), (1, 2), (1, 1000), (1, 1e6), (3, 7), (30, 1), (500, 500), (1e5, 1e6)],
)
def test_quantiles_are_the_beta_distributions(a: float, b: float) -> None:
    low = stats.beta.ppf(special.ndtr(np.minimum(Z, 0)), a, b)
    high = stats.beta.ppf(special.ndtr(np.minimum(-Z, 0)), b, a)  # 1 - p, which keeps its digits
    wanted = np.where(Z < 0, special.logit(low), -special.logit(high))
    deviation = np.sqrt(special.polygamma(1, a) + special.polygamma(1, b))
    found = table(0.25, 0.25, [a - 0.25, b - 0.25])
    assert np.abs(found - wanted).max() < 0.01 * deviation


def test_misses_where_only_some_look_weigh_less() -> None:
    looked, misses, clicks, certain = np.array([0.8, 0.3]), np.array([4.0, 9.0]), 3.0, 2.0

    def density(p: float) -> float:
        return float(p**clicks * (1 - p) ** certain * np.prod((1 - looked * p) ** misses))

    found = special.expit(table(1, 1, [clicks, certain, *misses], looked))
    whole = integrate.quad(density, 0, 1)[0]
    for z in range(-3, 4):
        node = np.searchsorted(Z, z)
        share = integrate.quad(density, 0, found[node])[0] / whole
        assert share == pytest.approx(special.ndtr(z), rel=0.02)


def test_draws_are_from_the_posteriors() -> None:
    count = 500
    items = catalogue(3)
    asked = requests(items, np.tile([2, PAD, 0], (count, 1)), slots=2)
    beliefs = Beliefs(1.0, 1.0)
    arms = np.tile([1, PAD, PAD], (count, 1))
    known = np.tile([[8.0, 2.0], [0, 0], [0, 0]], (count, 1, 1))
    best = np.full((count, 7, 2), PAD)
    draw_chances(np.uint64(5), asked, arms, beliefs.renew(arms, known, NOBODY), best)
    assert set(np.unique(best)) == {0, 2}  # places, and never that of the pad
    assert (np.sort(best, axis=2) == [0, 2]).all()
    won = (best[:, :, 0] == 0).sum()
    # P(Beta(9, 3) > U(0, 1)) = E[Beta(9, 3)] = 3 / 4
    error = np.sqrt(0.75 * 0.25 * 7 * count)
    assert abs(won - 0.75 * 7 * count) < 5 * error


def test_tables_are_renewed_when_what_is_known_changes_and_only_then() -> None:
    beliefs = Beliefs(1.0, 1.0)
    arms, known = np.array([[0, 1]]), np.array([[[1.0, 2.0, 4.0], [3.0, 4.0, 0.0]]])
    first = beliefs.renew(arms, known, np.array([0.5])).copy()
    known[0, 1, 0] += 1.0
    second = beliefs.renew(arms, known, np.array([0.5])).copy()
    np.testing.assert_array_equal(second[:2], first[:2])
    assert (second[2] > first[2]).all()
    third = beliefs.renew(arms, known, np.array([0.9])).copy()
    assert (third[1] < second[1]).all()
    np.testing.assert_array_equal(third[2], second[2])
    fresh = Beliefs(1.0, 1.0).renew(arms, known, np.array([0.9]))
    np.testing.assert_array_equal(fresh, third)
