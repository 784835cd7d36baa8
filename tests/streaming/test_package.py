"""The package's public names, and what importing it does not import."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import streaming


def test_every_public_name_is_there() -> None:
    assert dir(streaming) == sorted(streaming.__all__)
    for name in streaming.__all__:
        assert not isinstance(getattr(streaming, name), ModuleType)


def test_importing_it_imports_nothing_heavy() -> None:
    heavy = ("kafka", "river", "simulators", "numba")
    code = f"import streaming, sys; print([name for name in {heavy} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
