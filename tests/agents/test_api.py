"""Catalogues that grow and shrink, and records that do not fit together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import PAD, Catalogue, RecloopError, ShapeError, key_of, keys_of
from tests.agents.support import catalogue, experience, requests

NAMES = st.lists(st.text(max_size=6), max_size=12, unique=True)


@given(NAMES, NAMES)
def test_a_catalogue_grows_and_items_keep_their_rows(old: list[str], more: list[str]) -> None:
    items = Catalogue.of(old, np.arange(2 * len(old)).reshape(len(old), 2))
    grown = items.with_items(more, np.full((len(more), 2), -1.0))
    assert grown.names is not None
    assert list(grown.names) == old + [n for n in more if n not in old]
    for name in {*old, *more}:
        row = int(grown.rows_of(keys_of([name]))[0])
        assert grown.names[row] == name
        if name in old:
            assert row == old.index(name)
        renewed = name in more
        expected = [-1.0, -1.0] if renewed else items.features[old.index(name)]
        np.testing.assert_array_equal(grown.features[row], expected)


@given(NAMES, st.data())
def test_items_that_leave_stay_known_and_can_come_back(
    names: list[str], data: st.DataObject
) -> None:
    items = Catalogue.of(names, np.zeros((len(names), 1)))
    gone = data.draw(st.lists(st.sampled_from(names), unique=True)) if names else []
    rest = items.without(keys_of(gone))
    assert [n for n, a in zip(names, rest.available, strict=True) if not a] == [
        n for n in names if n in gone
    ]
    np.testing.assert_array_equal(rest.rows_of(items.keys), np.arange(len(names)))
    assert rest.with_items(gone, np.zeros((len(gone), 1))).available.all()


def test_unknown_keys_have_no_row() -> None:
    found = catalogue(3).rows_of(np.array([[key_of("i2"), key_of("nobody")]], dtype=np.uint64))
    np.testing.assert_array_equal(found, [[2, PAD]])
    assert Catalogue.empty(4).rows_of(keys_of(["a"])).tolist() == [PAD]


def test_the_fingerprint_is_of_the_set_of_available_items() -> None:
    one = Catalogue.of(["a", "b", "c"], np.zeros((3, 1)))
    other = Catalogue.of(["c", "a", "b"], np.ones((3, 1)))
    assert one.fingerprint() == other.fingerprint()
    assert one.without(keys_of(["b"])).fingerprint() != one.fingerprint()
    assert (
        one.without(keys_of(["b"])).fingerprint()
        == Catalogue.of(["c", "a"], np.zeros((2, 1))).fingerprint()
    )


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Catalogue.of(["a", "a"], np.zeros((2, 1))),
        lambda: Catalogue.of(["a"], np.zeros((2, 1))),
        lambda: catalogue(2, width=2).with_items(["new"], np.zeros((1, 3))),
        lambda: replace(catalogue(2), names=None).with_items(["new"], np.zeros((1, 2))),
        lambda: replace(catalogue(2), names=("a",)),
        lambda: replace(requests(catalogue(3), [0, 1]), context=np.zeros(3, np.float32)),
        lambda: replace(experience(catalogue(3), 4), rewards=np.zeros((4, 2), np.float32)),
        lambda: replace(experience(catalogue(3), 4), time=np.zeros(3, np.int64)),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_words(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(ShapeError) as error:
        wrong()
    assert isinstance(error.value, RecloopError)
    assert " " in str(error.value)


def test_taking_rows_takes_them_from_every_array() -> None:
    facts = experience(catalogue(4), 6)
    part = facts.take([4, 1])
    np.testing.assert_array_equal(part.requests.keys, facts.requests.keys[[4, 1]])
    np.testing.assert_array_equal(part.decisions.slates, facts.decisions.slates[[4, 1]])
    np.testing.assert_array_equal(part.rewards, facts.rewards[[4, 1]])
    assert part.requests.items is facts.requests.items


@pytest.mark.parametrize("field", ["keys", "users", "context", "candidates", "positions", "time"])
def test_requests_of_another_type_are_refused_since_they_would_draw_otherwise(field: str) -> None:
    asked = requests(catalogue(3), [[0, 1, 2]])
    wrong = np.float64 if field == "context" else np.int32
    with pytest.raises(ShapeError, match=rf"Requests\.{field} must be .*, not {np.dtype(wrong)}"):
        replace(asked, **{field: getattr(asked, field).astype(wrong)})


def test_a_catalogue_of_another_type_is_refused() -> None:
    items = catalogue(3)
    with pytest.raises(ShapeError, match=r"Catalogue\.keys must be uint64, not int64"):
        replace(items, keys=items.keys.view(np.int64))
    with pytest.raises(ShapeError, match=r"Catalogue\.features must be float32, not float64"):
        replace(items, features=items.features.astype(np.float64))
