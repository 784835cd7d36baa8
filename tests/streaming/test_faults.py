"""The faults of `benchmarks.faults`, in small: each of them checks what must hold, or raises."""

from __future__ import annotations

from benchmarks.faults import disk, histories, kills, restart, storm


def test_random_histories_of_workers_that_come_go_and_die() -> None:
    found = histories("", 12)
    assert found.outcomes == 12 * 60


def test_workers_killed_under_load(broker: str) -> None:
    assert kills(broker, 2).outcomes == 2400


def test_workers_that_come_and_go(broker: str) -> None:
    assert storm(broker, 3).outcomes == 2400


def test_workers_that_can_write_no_file(broker: str) -> None:
    assert disk(broker).outcomes == 1200


def test_a_broker_that_is_stopped_and_started() -> None:
    assert restart("", 1).outcomes == 1600
