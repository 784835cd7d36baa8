"""Declared features: what is written is read, and vectors hold what was declared."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.api import key_of
from streaming.events import BadEventError, Field, Value
from streaming.features import Feature, Schema, SchemaError

names = st.text("abcdefgh_-. 0123456789", min_size=1).map(str.strip).filter(bool)
features = st.one_of(
    st.builds(Feature, names, st.sampled_from(["number", "boolean"])),
    st.builds(Feature, names, st.sampled_from(["numbers", "category"]), st.integers(1, 30)),
)
schemas = st.lists(features, unique_by=lambda feature: feature.name).map(
    lambda declared: Schema(tuple(declared))
)


def test_a_schema_is_read_as_text() -> None:
    schema = Schema.parse(
        "age, score:number,vip:boolean , history:numbers(25),color:category( 16 )"
    )
    assert [(f.name, f.kind, f.width) for f in schema.features] == [
        ("age", "number", 1),
        ("score", "number", 1),
        ("vip", "boolean", 1),
        ("history", "numbers", 25),
        ("color", "category", 16),
    ]
    assert schema.width == 1 + 1 + 1 + 25 + 16 == len(schema.columns)
    assert schema.columns[:4] == ("age", "score", "vip", "history[0]")
    assert Schema.parse("") == Schema()


def test_a_schema_is_read_as_json() -> None:
    text = '[{"name":"age"},{"name":"color","kind":"category","width":16}]'
    assert Schema.parse(text) == Schema.parse("age,color:category(16)")


@given(schemas)
def test_a_schema_written_is_read_back(schema: Schema) -> None:
    assert Schema.parse(str(schema)) == schema


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a:catgory(4)", "did you mean 'category'"),
        ("a:floats", "there are number"),
        ("a:numbers", "needs its length"),
        ("a:category", "needs its buckets"),
        ("a:category(0)", "at least 1"),
        ("a:number(3)", "takes no width"),
        ("a,b,a", "twice"),
        ("a,,b", "not written as"),
        ("a(3)", "not written as"),
        ("a:numbers(-1)", "not written as"),
        ('[{"name":"a","width":"x"}]', "int"),
        ('[{"name":"a","size":1}]', "size"),
        ('[{"name":"a:b"}]', "no name"),
        ("[", "features"),
    ],
)
def test_declarations_that_make_no_sense_are_refused(text: str, reason: str) -> None:
    with pytest.raises(SchemaError, match=reason):
        Schema.parse(text)


def test_vectors_hold_the_fields_at_their_places() -> None:
    schema = Schema.parse("age,vip:boolean,history:numbers(3),color:category(8),last")
    vector = schema.encode(
        [
            Field("color", ["red", "blue", "red"]),
            Field("history", [1.0, 2.0, 3.0]),
            Field("ignored", "x"),
            Field("age", 33.0),
            Field("vip", True),
        ]
    )
    expected = np.zeros(1 + 1 + 3 + 8 + 1, dtype=np.float32)
    expected[:5] = [33, 1, 1, 2, 3]
    expected[5 + key_of("red") % 8] += 2
    expected[5 + key_of("blue") % 8] += 1
    assert vector.dtype == np.float32
    np.testing.assert_array_equal(vector, expected)


@given(schemas)
def test_missing_fields_are_zero(schema: Schema) -> None:
    vector = schema.encode([])
    assert vector.shape == (schema.width,)
    assert not vector.any()


def test_later_fields_lie_over_earlier_ones() -> None:
    schema = Schema.parse("a,b")
    users, rankings = [Field("a", 1.0), Field("b", 2.0)], [Field("b", 3.0)]
    np.testing.assert_array_equal(schema.encode([*users, *rankings]), [1, 3])


def test_one_string_is_a_list_of_one() -> None:
    schema = Schema.parse("c:category(5)")
    np.testing.assert_array_equal(
        schema.encode([Field("c", "x")]), schema.encode([Field("c", ["x"])])
    )


@pytest.mark.parametrize(
    ("declared", "value", "reason"),
    [
        ("f", "x", "a number"),
        ("f", [1.0], "a number"),
        ("f", 1e300, "no more than"),
        ("f", -1.1e15, "no more than"),
        ("f:numbers(2)", [0.0, 1e16], "no more than"),
        ("f:boolean", 1.0, "true or false"),
        ("f:numbers(2)", [1.0], "2 numbers long, not 1"),
        ("f:numbers(2)", [], "2 numbers long, not 0"),
        ("f:numbers(2)", ["a", "b"], "list of 2 numbers"),
        ("f:numbers(2)", 1.0, "list of 2 numbers"),
        ("f:category(2)", 1.0, "a string"),
        ("f:category(2)", [1.0], "a string"),
    ],
)
def test_fields_of_another_type_are_refused(declared: str, value: Value, reason: str) -> None:
    with pytest.raises(BadEventError, match=f"'f'.*{reason}"):
        Schema.parse(declared).encode([Field("f", value)])


values = st.one_of(st.booleans(), st.floats(), st.text(), st.lists(st.floats() | st.text()))


@given(schemas, st.lists(st.builds(Field, names, values)))
def test_any_fields_make_a_finite_vector_or_a_reason(schema: Schema, given: list[Field]) -> None:
    try:
        vector = schema.encode(given)
    except BadEventError:
        return
    assert vector.shape == (schema.width,)
    assert np.isfinite(vector).all()
