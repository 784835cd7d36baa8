"""Each choice model keeps to its equation, which is computed here by itself."""

from __future__ import annotations

from itertools import permutations
from math import exp
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agents.streams import derive
from simulators.compose import CHOICES, Choice, cascade

if TYPE_CHECKING:
    from agents.api import Floats
    from simulators.records import Mask

LAWS = [{}, {"patience": 0.4, "persistence": 0.95, "eta": 0.3, "no_click": -1.0, "lift": 2.0}]
BY_NAME = pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.name)


def law_of(choice: Choice, **given: float) -> SimpleNamespace:
    known = {name: number.default for name, number in choice.law.items()}
    return SimpleNamespace(**known | {name: v for name, v in given.items() if name in known})


def chosen(
    choice: Choice, utilities: list[float], shown: Mask, law: SimpleNamespace, start: np.uint64
) -> tuple[Floats, Mask, Mask]:
    """What the model makes of a slate: chances, what was seen, what was clicked."""
    K = len(utilities)
    weights = np.array([choice.weigh.py_func(u, law) for u in utilities]) * shown  # type: ignore[attr-defined]
    chances, seen, clicked = np.empty(K), np.empty(K, np.bool_), np.empty(K, np.bool_)
    choice.choose.py_func(weights, shown, law, start, chances, seen, clicked)  # type: ignore[attr-defined]
    return chances, seen, clicked


def right(name: str, utilities: list[float], shown: Mask, law: SimpleNamespace) -> list[float]:
    """The probabilities of a click on each slot, in plain Python from the models' papers."""
    if name in ("proportional", "mnl"):
        mnl = name == "mnl"
        weights = [exp(u) if mnl else max(0.0, u + law.lift) for u in utilities]
        nothing = exp(law.no_click) if mnl else law.no_click_score
        total = nothing + sum(w for w, there in zip(weights, shown, strict=True) if there)
        return [w / total if there else 0.0 for w, there in zip(weights, shown, strict=True)]
    chances, reached = [], 1.0
    for k, u in enumerate(utilities):
        p = 1.0 / (1.0 + exp(-u))
        if not shown[k]:
            chances.append(0.0)
        elif name == "position-based":
            chances.append(p / (k + 1) ** law.eta)
        else:
            chances.append(reached * p)
            stays = law.patience * (1 - p) if name == "cascade" else 1 - p + p * law.persistence
            reached *= stays
    return chances


slates = st.lists(st.tuples(st.floats(-4, 4), st.booleans()), min_size=1, max_size=6)


@BY_NAME
@given(slate=slates, law=st.sampled_from(LAWS), seed=st.integers(0, 2**63))
@settings(max_examples=60, deadline=None)
def test_probabilities_are_the_equations(
    choice: Choice, slate: list[tuple[float, bool]], law: dict[str, float], seed: int
) -> None:
    utilities, shown = [u for u, _ in slate], np.array([there for _, there in slate])
    numbers = law_of(choice, **law)
    chances, seen, clicked = chosen(choice, utilities, shown, numbers, np.uint64(seed))
    assert chances == pytest.approx(right(choice.name, utilities, shown, numbers), abs=1e-12)
    assert ((chances >= 0) & (chances <= 1)).all()
    assert not (clicked & ~seen).any()
    assert not (seen & ~shown).any()
    if choice.name in ("proportional", "mnl", "cascade"):  # one click at most: with none, they sum
        assert clicked.sum() <= 1
        assert chances.sum() <= 1.0 + 1e-12
    if choice.name in ("proportional", "mnl"):
        assert (seen == shown).all()
        alone = choice.alone.py_func  # type: ignore[attr-defined]
        weights = [choice.weigh.py_func(u, numbers) for u in utilities]  # type: ignore[attr-defined]
        odds = [alone(w, numbers) for w in weights]
        odds = [p / (1 - p) for p, there in zip(odds, shown, strict=True) if there]
        assert chances.sum() == pytest.approx(sum(odds) / (1 + sum(odds)))


@BY_NAME
def test_clicks_come_as_often_as_the_probabilities_say(choice: Choice) -> None:
    utilities, law = [0.3, -0.5, 1.0, 0.1], law_of(choice)
    shown = np.array([True, True, False, True])
    starts = derive(np.arange(6000, dtype=np.uint64), np.zeros(6000, dtype=np.uint64))
    drawn = [chosen(choice, utilities, shown, law, start) for start in starts]
    chances = drawn[0][0]
    rates = np.mean([clicked for _, _, clicked in drawn], axis=0)
    error = np.sqrt(chances * (1 - chances) / len(starts))
    assert (np.abs(rates - chances) <= 4 * error).all()


def test_who_goes_down_a_slate_sees_what_they_reach() -> None:
    """Cascade: seen is what comes before the click, and the click, unless patience runs out."""
    shown = np.ones(5, dtype=np.bool_)
    starts = derive(np.arange(4000, dtype=np.uint64), np.zeros(4000, dtype=np.uint64))
    second = 0
    for start in starts:
        _, seen, clicked = chosen(cascade, [0.0] * 5, shown, law_of(cascade), start)
        assert seen[0]
        assert (np.diff(seen.astype(int)) <= 0).all()
        if clicked.any():
            assert seen.sum() == clicked.argmax() + 1
        second += seen[1]
    reached = 0.5 * 0.9  # not clicked, and patient
    assert abs(second / 4000 - reached) < 4 * np.sqrt(reached * (1 - reached) / 4000)


@BY_NAME
@given(
    items=st.lists(st.tuples(st.floats(-2.5, 2.5), st.floats(0.01, 3.0)), min_size=4, max_size=5),
    law=st.sampled_from(LAWS),
)
@example(items=[(0.0, 1.0), (0.0, 1.0), (1.0, 1.0), (0.0, 2.0)], law=LAWS[-1])  # ties come first
@settings(max_examples=25, deadline=None)
def test_the_best_slate_is_the_best_of_all(
    choice: Choice, items: list[tuple[float, float]], law: dict[str, float]
) -> None:
    K, numbers = 3, law_of(choice, **law)
    utilities, values = [u for u, _ in items], np.array([v for _, v in items])
    weights = np.array([choice.weigh.py_func(u, numbers) for u in utilities])  # type: ignore[attr-defined]
    scores = np.empty(len(items))
    choice.best.py_func(weights, values, K, numbers, scores)  # type: ignore[attr-defined]

    def worth(slate: tuple[int, ...]) -> float:
        shown = [utilities[j] for j in slate]
        chances = right(choice.name, shown, np.ones(K, dtype=np.bool_), numbers)
        return float(sum(p * values[j] for p, j in zip(chances, slate, strict=True)))

    ours = tuple(np.argsort(-scores, kind="stable")[:K].tolist())
    assert worth(ours) == pytest.approx(max(map(worth, permutations(range(len(items)), K))))
