"""Every policy of the registry keeps the laws, and every broken one is caught by the law's name."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agents import Explore, PolicyCheckError, check_policy, from_spec, names
from agents.checks import FactoryError
from agents.laws import LAWS
from tests.agents.broken import BROKEN
from tests.agents.newcomer import Mine

if TYPE_CHECKING:
    from collections.abc import Callable

    from agents import Policy

NEWCOMER = Path(__file__).with_name("newcomer.py")

VARIANTS = [
    "linucb:shared=false",
    "linucb:interactions=false",
    "linucb:half_life=10",
    "lints:shared=false",
    "lints:shared=false,window=30",
    "hybrid-linucb:interactions=false,window=30",
    "bootstrap:model=linear,copies=3,half_life=20",
    "neural-linear:hidden=8,refresh=50,half_life=20",
    "squarecb:model=tree,window=40",
    "linucb+epsilon=0.2",
    "linucb:shared=false+temperature=0.3",
    "popular+temperature=0.1",
    "popular:half_life=20",
    "ucb1:window=30",
    "ucb1:half_life=20+temperature=0.3",
    f"{NEWCOMER}:Mine",
    f"{NEWCOMER}:Mine+epsilon=0.1",
    "tests.agents.newcomer:Mine+temperature=0.5",
]


@pytest.mark.parametrize("spec", names() + VARIANTS)
def test_policies_keep_the_laws(spec: str) -> None:
    check_policy(partial(from_spec, spec, seed=3), seed=1)


@pytest.mark.parametrize(("law", "make"), BROKEN, ids=[make.__name__ for _, make in BROKEN])
def test_broken_policies_are_caught_by_name(law: str, make: Callable[[], Policy]) -> None:
    with pytest.raises(PolicyCheckError) as error:
        check_policy(make)
    assert error.value.law == law
    assert f"law {law!r} is broken: " in str(error.value)


def test_every_law_is_broken_by_somebody() -> None:
    assert {law for law, _ in BROKEN} == {*LAWS, "generators", "process"}


def test_a_class_can_be_checked_as_it_is() -> None:
    check_policy(Mine)


def test_what_another_process_cannot_import_is_refused_first() -> None:
    def local() -> Policy:
        return Mine()

    for factory in (lambda: Mine(), local, partial(Explore, Mine(), epsilon=0.1)):
        with pytest.raises(FactoryError, match="another process"):
            check_policy(factory)


def test_checking_leaves_the_global_generators_alone() -> None:
    np.random.seed(5)  # noqa: NPY002 - the state to be left alone
    random.seed(5)
    before = str(np.random.get_state(legacy=False)), random.getstate()  # noqa: NPY002
    check_policy(partial(from_spec, "uniform"))
    assert (str(np.random.get_state(legacy=False)), random.getstate()) == before  # noqa: NPY002
