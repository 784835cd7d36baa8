"""The house stands where it should: its packages are these files, and its ground floor is light."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ["agents", "simulators", "envs", "evaluation", "streaming", "commands"]
HEAVY = ["torch", "gymnasium", "river", "kafka", "numba", "scipy", "sklearn", "pyarrow"]


def loaded_after(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after a statement."""
    code = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(run.stdout.split())


@pytest.mark.parametrize("room", ROOMS)
def test_each_package_resolves_inside_the_repository(room: str) -> None:
    module = importlib.import_module(room)
    assert module.__file__ is not None
    assert Path(module.__file__).resolve().is_relative_to(ROOT / room)


def test_the_vocabulary_loads_numpy_and_the_standard_library_alone() -> None:
    loaded = loaded_after("import agents.api")
    assert "numpy" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_streaming_loads_no_client_before_one_is_used() -> None:
    assert loaded_after("import streaming").isdisjoint({"kafka", "torch", "gymnasium"})


def test_help_loads_nothing_heavy() -> None:
    loaded = loaded_after("import commands.app")
    assert loaded.isdisjoint({"torch", "gymnasium", "river", "kafka", "sklearn"})
