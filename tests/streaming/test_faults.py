"""The faults of `benchmarks.faults`, in small: each of them checks what must hold, or raises."""

from __future__ import annotations

import pytest

from benchmarks.faults.bus import histories
from benchmarks.faults.cluster import disk, kills, restart, storm
from benchmarks.faults.crew import Cluster


@pytest.fixture
def cluster(broker: str) -> Cluster:
    return Cluster(broker, "kafka-python")


def test_random_histories_of_workers_that_come_go_and_die() -> None:
    found = histories(12)
    assert found.outcomes == 12 * 60


def test_workers_killed_under_load(cluster: Cluster) -> None:
    assert kills(cluster, 2).outcomes == 2400


def test_workers_that_come_and_go(cluster: Cluster) -> None:
    assert storm(cluster, 3).outcomes == 2400


def test_workers_that_can_write_no_file(cluster: Cluster) -> None:
    assert disk(cluster).outcomes == 1200


def test_a_broker_that_is_stopped_and_started(cluster: Cluster) -> None:
    assert restart(cluster, 1).outcomes == 1600
