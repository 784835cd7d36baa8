"""Every world keeps the laws, and every broken one is caught by the law's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from simulators import WorldCheckError, check_world
from simulators.checks import LAWS
from tests.simulators.broken import BROKEN, Small
from tests.simulators.support import WORLDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulators import BatchedWorld


@pytest.mark.parametrize("name", WORLDS)
def test_worlds_keep_the_laws(name: str) -> None:
    check_world(WORLDS[name], seed=1)


def test_what_the_broken_worlds_are_made_of_is_whole() -> None:
    check_world(Small)


@pytest.mark.parametrize(("law", "make"), BROKEN)
def test_broken_worlds_are_caught_by_name(law: str, make: Callable[[], BatchedWorld]) -> None:
    with pytest.raises(WorldCheckError, match=f"law '{law}' is broken: ") as caught:
        check_world(make)
    assert caught.value.law == law


def test_every_law_is_broken_by_somebody() -> None:
    assert {law for law, _ in BROKEN} == {*LAWS, "generators"}
