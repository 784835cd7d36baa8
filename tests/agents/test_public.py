"""The package's own names: all of them load, and none before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import agents


@pytest.mark.parametrize("name", agents.__all__)
def test_public_names_load(name: str) -> None:
    assert getattr(agents, name) is not None
    assert name in dir(agents)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'agents' has no attribute 'Linucb'"):
        _ = agents.Linucb


@pytest.mark.parametrize(
    ("statement", "unloaded"),
    [
        ("import agents", {"numpy", "numba", "river", "scipy"}),
        ("import agents; agents.names(); agents.make('linucb')", {"river", "torch", "kafka"}),
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_used(statement: str, unloaded: set[str]) -> None:
    code = f"import sys; {statement}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert unloaded.isdisjoint(loaded.stdout.split())
