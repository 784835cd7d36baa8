"""The catalogue is the fold of its topic."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.api import key_of
from streaming.catalogue import CatalogueFold
from streaming.events import Field, InteractionEvent, ItemEvent, encode
from streaming.features import Schema
from streaming.transport.api import Record

SCHEMA = Schema.parse("price,color:category(4)")


def record(key: bytes | None, value: bytes | None, offset: int = 0) -> Record:
    return Record("items", 0, offset, key, value, 0)


def announced(item: str, price: float) -> Record:
    event = ItemEvent(id="e", timestamp=1, item=item, fields=[Field("price", price)])
    return record(item.encode(), encode(event))


def gone(item: str) -> Record:
    return record(item.encode(), None)


def test_items_stand_in_the_order_of_their_first_announcement() -> None:
    fold = CatalogueFold(SCHEMA)
    assert fold.catalogue.features.shape == (0, 5)
    assert fold.apply([announced("b", 1), announced("a", 2), announced("b", 3)]) == []
    assert fold.apply([announced("c", 4), announced("a", 5)]) == []
    assert fold.catalogue.names == ("b", "a", "c")
    assert fold.catalogue.keys.tolist() == [key_of(name) for name in "bac"]
    np.testing.assert_array_equal(fold.catalogue.features[:, 0], [3, 5, 4])
    assert fold.catalogue.available.all()


def test_a_tombstone_hides_its_item_until_it_is_announced_again() -> None:
    fold = CatalogueFold(SCHEMA)
    fold.apply([announced("a", 1), announced("b", 2), gone("a"), gone("unknown")])
    assert fold.catalogue.names == ("a", "b")
    assert fold.catalogue.available.tolist() == [False, True]
    fold.apply([announced("a", 7)])
    assert fold.catalogue.available.tolist() == [True, True]
    assert fold.catalogue.features[0, 0] == 7


def test_what_changes_nothing_keeps_the_object() -> None:
    fold = CatalogueFold(SCHEMA)
    fold.apply([announced("a", 1), gone("b")])
    before = fold.catalogue
    fold.apply([])
    fold.apply([announced("a", 1)])
    fold.apply([gone("b"), record(b"x", b"rubbish")])
    fold.apply([gone("a"), announced("a", 1)])
    assert fold.catalogue is before
    fold.apply([announced("a", 2)])
    assert fold.catalogue is not before


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (record(b"a", b"not json"), "not JSON"),
        (record(None, announced("a", 1).value), "as key"),
        (record(b"\xff", announced("a", 1).value), "UTF-8"),
        (record(b"b", announced("a", 1).value), "key it alike"),
        (record(b"a", announced("a", 1e39).value), "no more than"),
        (
            record(
                b"u",
                encode(
                    InteractionEvent(
                        id="e", timestamp=1, user="u", item="a", type="click", ranking="r"
                    )
                ),
            ),
            "only item events",
        ),
    ],
)
def test_bad_records_are_handed_back_and_good_ones_taken(bad: Record, reason: str) -> None:
    fold = CatalogueFold(SCHEMA)
    refused = fold.apply([announced("x", 1), bad, announced("y", 2)])
    assert [r.record for r in refused] == [bad]
    assert reason in refused[0].reason
    assert fold.catalogue.names == ("x", "y")


records = st.lists(
    st.builds(announced, st.sampled_from("abcd"), st.integers(0, 3).map(float))
    | st.builds(gone, st.sampled_from("abcd"))
    | st.builds(record, st.sampled_from([b"a", None]), st.binary())
)


@given(records, st.lists(st.integers(0, 30)))
def test_batches_do_not_matter(records: list[Record], cuts: list[int]) -> None:
    whole, parts = CatalogueFold(SCHEMA), CatalogueFold(SCHEMA)
    refused = whole.apply(records)
    bounds = [0, *sorted(cuts), len(records)]
    pieces = [parts.apply(records[start:end]) for start, end in pairwise(bounds)]
    assert [r for piece in pieces for r in piece] == refused
    assert parts.catalogue.names == whole.catalogue.names
    np.testing.assert_array_equal(parts.catalogue.features, whole.catalogue.features)
    np.testing.assert_array_equal(parts.catalogue.available, whole.catalogue.available)
