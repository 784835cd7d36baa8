"""The event contract: Metarank's events are read, and nothing else brings the loop down."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.events import (
    BadEventError,
    Event,
    Field,
    InteractionEvent,
    ItemEvent,
    RankedItem,
    RankingEvent,
    UserEvent,
    decode,
    encode,
    milliseconds,
)

# Metarank's four events, as its documentation writes them.
CONTRACT = {
    "item": b'{"event":"item","id":"e1","timestamp":"1599391467000","item":"i1",'
    b'"fields":[{"name":"color","value":["white"]}]}',
    "user": b'{"event":"user","id":"e2","timestamp":"1599391467000","user":"u1",'
    b'"fields":[{"name":"age","value":33}]}',
    "ranking": b'{"event":"ranking","id":"r1","timestamp":"1599391467000","user":"u1",'
    b'"session":"s1","fields":[],"items":[{"id":"i1"}]}',
    "interaction": b'{"event":"interaction","id":"e3","ranking":"r1","timestamp":"1599391467000",'
    b'"user":"u1","session":"s1","type":"click","item":"i1"}',
}

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=256)
numbers = st.floats(allow_nan=False, allow_infinity=False)
values = st.one_of(
    st.booleans(),
    numbers,
    st.text(st.characters(codec="utf-8")),
    st.lists(numbers),
    st.lists(st.text(st.characters(codec="utf-8"))),
)
fields = st.lists(st.builds(Field, names, values))
times = st.integers(0, 32_503_679_999_999)
common = {"id": names, "timestamp": times}
probabilities = st.floats(0.0, 1.0, exclude_min=True)
slots = st.lists(
    st.builds(
        RankedItem,
        id=names,
        propensity=st.none() | probabilities,
        position=st.none() | st.integers(0, 1000),
        seen=st.booleans(),
    ),
    min_size=1,
    unique_by=lambda slot: slot.id,
)
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(ItemEvent, item=names, fields=fields, **common),
    st.builds(UserEvent, user=names, fields=fields, **common),
    st.builds(
        RankingEvent,
        user=names,
        items=slots,
        session=st.none() | names,
        fields=fields,
        decision=st.none() | names,
        policy=st.none() | names,
        version=st.integers(0, 2**63 - 1),
        **common,
    ),
    st.builds(
        InteractionEvent,
        user=names,
        item=names,
        type=names,
        ranking=names,
        session=st.none() | names,
        value=st.floats(-1e38, 1e38),
        fields=fields,
        **common,
    ),
)


def test_the_contract_is_read() -> None:
    item, user, ranking, interaction = (decode(message) for message in CONTRACT.values())
    white, age = [Field("color", ["white"])], [Field("age", 33.0)]
    assert item == ItemEvent(id="e1", timestamp="1599391467000", item="i1", fields=white)
    assert user == UserEvent(id="e2", timestamp="1599391467000", user="u1", fields=age)
    assert ranking.time == 1_599_391_467_000
    assert isinstance(ranking, RankingEvent)
    assert [slot.id for slot in ranking.items] == ["i1"]
    assert ranking.items[0].propensity is None
    assert isinstance(interaction, InteractionEvent)
    assert (interaction.ranking, interaction.type, interaction.value) == ("r1", "click", 1.0)


@given(events)
def test_what_is_written_is_read_back(event: Event) -> None:
    assert decode(encode(event)) == event


@pytest.mark.parametrize(
    "timestamp", ["1599391467000", 1599391467000, "2020-09-06T11:24:27Z", "2020-09-06T11:24:27"]
)
def test_timestamps_of_either_form_are_milliseconds(timestamp: str | int) -> None:
    assert milliseconds(timestamp) == 1_599_391_467_000


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2990, 1, 1)),
    st.integers(-14 * 60, 14 * 60),
)
def test_iso_times_are_exact_in_any_zone(moment: datetime, offset: int) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    there = moment.replace(tzinfo=UTC).astimezone(timezone(timedelta(minutes=offset)))
    since = moment - datetime(1970, 1, 1)
    exact = (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
    assert milliseconds(there.isoformat()) == exact


@pytest.mark.parametrize(
    "timestamp",
    [
        *("9" * 5000, "-1", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "3000-01-01"),
        *("1_000", " 12", "٣", "", "soon", "NaN", "1e12", "0x10", "2020-13-01", "24:00"),
        *(-1, 10**400, 2**63, 1_599_391_467_000_000, "1599391467000000", "1969-12-31T23:59:59Z"),
    ],
)
def test_absurd_timestamps_are_refused(timestamp: str | int) -> None:
    with pytest.raises(BadEventError, match="timestamp"):
        milliseconds(timestamp)
    message = b'{"event":"user","id":"e","user":"u","timestamp":%s}'
    with pytest.raises(BadEventError, match="timestamp"):
        decode(message % json.dumps(timestamp).encode())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"event": "purchase"}, "purchase"),
        ({"id": ""}, "length >= 1"),
        ({"user": "u" * 257}, "length <= 256"),
        ({"user": 5}, "Expected `str`"),
        ({"items": []}, "at least one item"),
        ({"items": [{"id": "a"}, {"id": "a"}]}, "twice"),
        ({"items": [{"id": "a", "propensity": 0}]}, r"\(0, 1\]"),
        ({"items": [{"id": "a", "propensity": 1.01}]}, r"\(0, 1\]"),
        ({"items": [{"id": "a", "position": -1}]}, ">= 0"),
        ({"version": 2**64}, "int"),
        ({"fields": [{"name": "f", "value": [1, "a"]}]}, "mixes"),
        ({"fields": [{"name": "f", "value": [[1]]}]}, "array"),
        ({"fields": [{"name": "f", "value": None}]}, "null"),
    ],
)
def test_what_breaks_the_contract_is_refused_with_the_reason(
    change: dict[str, object], reason: str
) -> None:
    message = json.dumps(json.loads(CONTRACT["ranking"]) | change).encode()
    with pytest.raises(BadEventError, match=reason):
        decode(message)


@pytest.mark.parametrize("field", ["event", "id", "timestamp", "user", "items"])
def test_missing_fields_are_named(field: str) -> None:
    message = json.loads(CONTRACT["ranking"])
    del message[field]
    with pytest.raises(BadEventError, match=field if field != "event" else "tag|event|required"):
        decode(json.dumps(message).encode())


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "1e39", "true", '"1"'])
def test_values_that_are_no_finite_number_are_refused(value: str) -> None:
    message = CONTRACT["interaction"][:-1] + f',"value":{value}}}'.encode()
    with pytest.raises(BadEventError):
        decode(message)


@pytest.mark.parametrize("depth", [100, 10_000, 1_000_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    message = b'{"event":"user","id":"e","timestamp":1,"user":"u","fields":%s}' % nested
    with pytest.raises(BadEventError):
        decode(message)
    survives(b'{"event":"user","id":"e","timestamp":1,"user":"u","unknown":%s}' % nested)


def survives(message: bytes) -> bool:
    """Decode; anything but an event or a BadEventError fails the test. Return whether it is one."""
    try:
        event = decode(message)
    except BadEventError:
        return False
    assert 0 <= event.time < 32_503_680_000_000
    return True


def test_ten_thousand_poison_messages() -> None:
    random = np.random.default_rng(20)
    whole = list(CONTRACT.values())
    pieces = [b'"', b"{", b"}", b"[", b"]", b",", b":", b"null", b"1e999", b"-", b"\\ud800", b"NaN"]
    pieces += [b"\x00", b"\xff", b"\xc3", b"9" * 30, b'"event":"user"', b"true", b"[[[[[[", b"\\"]
    outcomes = {True: 0, False: 0}
    for _ in range(10_000):
        message = bytearray(whole[random.integers(len(whole))])
        for _ in range(random.integers(1, 6)):
            at = int(random.integers(len(message) + 1))
            match random.integers(5):
                case 0:
                    message[at:at] = pieces[random.integers(len(pieces))]
                case 1:
                    del message[at : at + int(random.integers(1, 20))]
                case 2:
                    message[at : at + 1] = random.bytes(1)
                case 3:
                    message[at:at] = random.bytes(int(random.integers(1, 8)))
                case _:
                    other = whole[random.integers(len(whole))]
                    start = int(random.integers(len(other)))
                    message[at : at + 20] = other[start : start + int(random.integers(1, 40))]
        outcomes[survives(bytes(message))] += 1
    assert outcomes[False] > 5000
    assert outcomes[True] > 100


@given(st.binary())
def test_any_bytes_survive(message: bytes) -> None:
    survives(message)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
keys = st.sampled_from(
    ["event", "id", "timestamp", "user", "item", "items", "fields", "ranking", "type", "value"]
)


@given(
    st.sampled_from(list(CONTRACT.values())),
    st.dictionaries(keys, json_values, max_size=3),
)
def test_any_json_in_any_field_survives(message: bytes, change: dict[str, object]) -> None:
    survives(json.dumps(json.loads(message) | change).encode())
