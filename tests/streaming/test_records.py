"""Records as JSON and as the facts that policies learn from."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.api import key_of
from streaming import records
from streaming.names import key_named, name_of
from streaming.records import OutcomeRecord, RecordError, letter_of, outcomes_of, runs
from streaming.transport.api import Record

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def outcome(seq: int = 0, **changes: Any) -> OutcomeRecord:
    record = OutcomeRecord(
        partition=0,
        number=seq,
        seq=seq,
        ranking=f"r{seq}",
        user="anna",
        session=None,
        request=name_of(2**64 - 1 - seq),
        time=1000 + seq,
        closed=2000 + seq,
        context=[0.5, -1.0],
        items=["a", "b"],
        features=[[1.0], [2.0]],
        positions=[0, 1],
        propensities=[0.25, 0.5],
        rewards=[0.0, 1.0],
        seen=[True, False],
        policy="test",
        version=7,
        candidates=name_of(5),
        predictions=[0.1, 0.2],
    )
    return msgspec.structs.replace(record, **changes)


@settings(deadline=None)
@given(st.lists(FLOATS, max_size=4), st.lists(st.floats(0, 1, exclude_min=True), max_size=3))
def test_numbers_survive_json_bit_for_bit(context: list[float], propensities: list[float]) -> None:
    record = outcome(context=context, propensities=propensities)
    again = records.decode_outcome(records.encode(record))
    assert again == record
    for found, meant in [(again.context, context), (again.propensities, propensities)]:
        assert np.array(found).tobytes() == np.array(meant).tobytes()


def test_records_are_the_facts_they_state() -> None:
    facts = outcomes_of([outcome(0), outcome(1, items=["b", "c"], features=[[2.0], [3.0]])])
    assert facts.requests.items.names == ("a", "b", "c")
    np.testing.assert_array_equal(facts.decisions.slates, [[0, 1], [1, 2]])
    np.testing.assert_array_equal(facts.requests.candidates, facts.decisions.slates)
    np.testing.assert_array_equal(facts.requests.items.features, [[1], [2], [3]])
    np.testing.assert_array_equal(facts.requests.keys, [2**64 - 1, 2**64 - 2])
    assert facts.requests.users[0] == key_of("anna")
    np.testing.assert_array_equal(facts.requests.context, [[0.5, -1.0]] * 2)
    np.testing.assert_array_equal(facts.decisions.propensities, [[0.25, 0.5]] * 2)
    np.testing.assert_array_equal(facts.rewards, [[0, 1]] * 2)
    np.testing.assert_array_equal(facts.seen, [[True, False]] * 2)
    np.testing.assert_array_equal(facts.time, [2000, 2001])
    assert facts.decisions.policy == "test"
    assert facts.rewards.dtype == facts.requests.context.dtype == np.float32


def test_probabilities_that_nobody_stated_are_nan() -> None:
    facts = outcomes_of([outcome(propensities=None), outcome(1)])
    assert np.isnan(facts.decisions.propensities[0]).all()
    assert not np.isnan(facts.decisions.propensities[1]).any()


def test_runs_are_cut_where_one_batch_cannot_hold_them() -> None:
    plain = [outcome(n) for n in range(3)]
    other_policy = outcome(3, policy="other")
    shorter = outcome(4, policy="other", items=["a"], features=[[1.0]])
    renewed = outcome(5, policy="other", items=["a"], features=[[9.0]])
    story = [*plain, other_policy, shorter, renewed]
    assert [[r.seq for r in run] for run in runs(story)] == [[0, 1, 2], [3], [4], [5]]
    assert list(runs([])) == []


def test_a_name_that_is_a_key_written_out_means_that_key() -> None:
    assert key_named(name_of(2**64 - 1)) == 2**64 - 1
    assert key_named(name_of(0)) == 0
    for name in ("anna", "0123456789ABCDEF", "0123456789abcdef0"):
        assert key_named(name) == key_of(name)


def test_what_is_no_record_of_ours_is_refused_in_words() -> None:
    for value in (b"{", b"{}", b"\xff", b'{"seq":"0"}'):
        with pytest.raises(RecordError, match="prefix"):
            records.decode_outcome(value)


def test_a_dead_letter_keeps_the_beginning_of_what_is_too_large() -> None:
    huge = Record("feedback", 1, 2, b"k" * 5000, b"x" * 2_000_000, 3)
    letter = records.decode_dead_letter(records.encode(letter_of("too-large", "why", huge)))
    assert letter.value == b"x" * 4096
    assert letter.key == b"k" * 4096
    assert letter.size == 2_000_000
    small = letter_of("contract", "why", Record("feedback", 1, 2, None, b"\xff\x00", 3))
    assert records.decode_dead_letter(records.encode(small)).value == b"\xff\x00"
