"""The kernels' disk cache: a changed callee is never run from an old one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CALLEE = "from agents.jit import inlined\n@inlined\ndef step(x):\n    return x + {value}\n"
CALLER = (
    "from agents.jit import compiled\nfrom zz_callee import step\n"
    "@compiled\ndef twice(x):\n    return step(step(x))\n"
)


def test_a_changed_callee_in_another_file_is_compiled_anew(tmp_path: Path) -> None:
    (tmp_path / "zz_caller.py").write_text(CALLER)
    said = []
    for value in (1.0, 10.0, 1.0):
        (tmp_path / "zz_callee.py").write_text(CALLEE.format(value=value))
        code = (
            "import pathlib, agents.jit; agents.jit._HOUSE = pathlib.Path.cwd(); "
            "from zz_caller import twice; print(twice(0.0), sum(twice.stats.cache_hits.values()))"
        )
        run = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            check=True,
        )
        said.append(run.stdout.split())
    assert said == [["2.0", "0"], ["20.0", "0"], ["2.0", "1"]]
