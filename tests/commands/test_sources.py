"""Policies at an address: what was learned under other options is no state of theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agents import RecloopError, Spec
from agents.store import save
from commands.sources import open_policy

if TYPE_CHECKING:
    from pathlib import Path

LEARNED = "linucb:l2=10.0,interactions=false+epsilon=0.1"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    spec = Spec.parse(LEARNED, 3)
    save(spec.make(), spec, tmp_path)
    return tmp_path


def test_what_was_learned_under_the_same_options_is_taken_over(weights: Path) -> None:
    policy, spec = open_policy(LEARNED, 7, weights)
    assert policy.name == "linucb+epsilon=0.1"
    assert spec.seed == 7


@pytest.mark.parametrize(
    "other",
    [
        "linucb:l2=1.0,interactions=false+epsilon=0.1",
        "linucb:l2=10.0,interactions=false,shared=false+epsilon=0.1",
        "linucb:l2=10.0,interactions=false+epsilon=0.2",
    ],
)
def test_what_was_learned_under_other_options_is_refused(weights: Path, other: str) -> None:
    with pytest.raises(RecloopError, match=r"which is not for linucb"):
        open_policy(other, 7, weights)
