"""Every environment keeps the laws, and every broken one is caught by the law's name."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import gymnasium
import pytest

from envs import EnvCheckError, WorldEnv, check_env
from envs.checks import LAWS
from simulators import WorldCheckError
from tests.envs.broken import BROKEN, whole
from tests.envs.support import IDS
from tests.simulators.broken import Boasts

if TYPE_CHECKING:
    from collections.abc import Callable

SOME = ("recloop/SlateRerank-Bored-v0", "recloop/Logged-v0")
"""The world behind every other one is checked with the worlds."""


@pytest.mark.parametrize("name", SOME)
def test_environments_keep_the_laws(name: str) -> None:
    check_env(partial(gymnasium.make, name, **IDS[name]), seed=3)


def test_what_the_broken_environments_are_made_of_is_whole() -> None:
    check_env(whole)


def test_an_id_will_do() -> None:
    check_env("recloop/LongTermSatisfaction-v0")


@pytest.mark.parametrize(("law", "words", "make"), BROKEN)
def test_broken_environments_are_caught_by_name(
    law: str, words: str, make: Callable[[], gymnasium.Env[Any, Any]]
) -> None:
    with pytest.raises(EnvCheckError, match=f"law '{law}' is broken: .*{words}") as caught:
        check_env(make)
    assert caught.value.law == law


def test_every_law_is_broken_by_somebody() -> None:
    assert {law for law, _, _ in BROKEN} == {*LAWS, "generators", "episode"}


def test_a_broken_world_is_caught_behind_its_environment() -> None:
    with pytest.raises(WorldCheckError, match="law 'expected' is broken"):
        check_env(lambda: WorldEnv(Boasts()))
