"""Time that a minority of wrong clocks cannot move, and that never moves back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streaming.watermark import NEVER, Watermark

TIMES = st.lists(st.integers(0, 10**13), max_size=30)


@given(TIMES, st.integers(1, 5), st.integers(0, 1000))
def test_time_is_the_quorum_th_largest_less_the_lateness(
    times: list[int], quorum: int, lateness: int
) -> None:
    watermark = Watermark(quorum, lateness, [])
    reached = NEVER
    for time in times:
        watermark.observe(time)
        assert watermark.value >= reached
        reached = watermark.value
    believed = sorted(times)[-quorum] - lateness if len(times) >= quorum else NEVER
    assert watermark.value == believed
    assert len(watermark.newest) <= quorum


@given(TIMES, st.lists(st.integers(10**14, 10**15), max_size=2))
def test_fewer_absurd_timestamps_than_the_quorum_move_nothing_past_what_others_claim(
    times: list[int], absurd: list[int]
) -> None:
    watermark = Watermark(3, 0, [])
    for time in [*absurd, *times]:
        watermark.observe(time)
    assert watermark.value <= max(times, default=NEVER)


def test_what_it_remembers_is_the_list_it_was_given() -> None:
    newest = [5, 7]
    first = Watermark(3, 1, newest)
    first.observe(6)
    assert newest == [5, 6, 7]
    assert Watermark(3, 1, newest).value == first.value == 4
