"""The kernels' disk cache: a changed callee is never run from an old one, and compiling is told."""

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


def ran(folder: Path, code: str, cache: str = "cache") -> subprocess.CompletedProcess[str]:
    """Return what a process of its own prints, which keeps its kernels in a cache of this name."""
    house = str(Path(__file__).resolve().parents[2])
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder / cache), "PYTHONPATH": house},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run


def test_a_changed_callee_in_another_file_is_compiled_anew(tmp_path: Path) -> None:
    (tmp_path / "zz_caller.py").write_text(CALLER)
    said = []
    for value in (1.0, 10.0, 1.0):
        (tmp_path / "zz_callee.py").write_text(CALLEE.format(value=value))
        code = (
            "import pathlib, agents.jit; agents.jit._HOUSE = pathlib.Path.cwd(); "
            "from zz_caller import twice; print(twice(0.0), sum(twice.stats.cache_hits.values()))"
        )
        said.append(ran(tmp_path, code).stdout.split())
    assert said == [["2.0", "0"], ["20.0", "0"], ["2.0", "1"]]


def test_that_it_compiles_is_said_once_and_only_when_it_does(tmp_path: Path) -> None:
    kernels = "".join(f"@compiled\ndef k{n}(x):\n    return x + {n}\n" for n in range(3))
    (tmp_path / "zz_kernels.py").write_text(f"from agents.jit import compiled\n{kernels}")
    code = (
        "import agents.jit; agents.jit._NOTICEABLE = {seconds}; "
        "from zz_kernels import k0, k1, k2; print(k0(1) + k1(1) + k2(1))"
    )
    said = []
    for seconds, cache in ((0.0, "one"), (0.0, "one"), (1000.0, "two")):
        run = ran(tmp_path, code.format(seconds=seconds), cache)
        assert run.stdout == "6\n"
        said.append(run.stderr.splitlines())
    assert said == [["recloop compiles its kernels for this machine, once"], [], []]


def test_a_disk_that_takes_nothing_costs_only_the_cache(tmp_path: Path) -> None:
    (tmp_path / "zz_kernel.py").write_text(
        "from agents.jit import compiled\n@compiled\ndef more(x):\n    return x + 1\n"
    )
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "from zz_kernel import more; print(more(1), sum(more.stats.cache_misses.values()))"
    )
    assert ran(tmp_path, code).stdout == "2 1\n"


PARTS = (
    "from agents.jit import bound, compiled, inlined\nfrom zz_parts import one, other\n"
    "def part(x):\n    return x\n"
    "def loop(x):\n    return part(part(x)) + TERM\n"
    "def made(f, term):\n    return compiled(bound(loop, part=inlined(f), TERM=term))\n"
    "kernels = made(one, 0.5), made(other, 0.5), made(one, 0.25)\n"
)
"""A loop that is written once and bound to two functions, and to two constants."""


def test_what_is_bound_into_a_loop_is_told_apart_and_found_again(tmp_path: Path) -> None:
    (tmp_path / "zz_loops.py").write_text(PARTS)
    said = []
    for value in (1.0, 10.0, 1.0):
        (tmp_path / "zz_parts.py").write_text(
            f"def one(x):\n    return x + {value}\ndef other(x):\n    return x - 1.0\n"
        )
        code = (
            "from zz_loops import kernels; print(*[k(0.0) for k in kernels], "
            "sum(sum(k.stats.cache_hits.values()) for k in kernels))"
        )
        said.append(ran(tmp_path, code).stdout.split())
    assert said == [
        ["2.5", "-1.5", "2.25", "0"],
        ["20.5", "-1.5", "20.25", "0"],  # the file changed, in which both are written
        ["2.5", "-1.5", "2.25", "3"],
    ]


LONG = (
    "from agents.jit import bound, compiled\nfrom zz_parts import one, other\n"
    "def part(x):\n    return x\n"
    "def long(x):\n"
    + "".join(f"    x = part(x) if x > {n} else x / 3\n" for n in range(60))
    + "    return x\n"
    "def outer(x):\n    return part(part(x))\n"
    "inner = [compiled(bound(long, part=compiled(part))) for part in (one, other)]\n"
    "kernels = [compiled(bound(outer, part=kernel)) for kernel in inner]\n"
)
"""Kernels that call others of one name, which are too long to be copied into them."""


def test_kernels_that_several_processes_compiled_are_not_taken_for_one_another(
    tmp_path: Path,
) -> None:
    (tmp_path / "zz_long.py").write_text(LONG)
    (tmp_path / "zz_parts.py").write_text(
        "def one(x):\n    return x + 1.0\ndef other(x):\n    return x + 2.0\n"
    )
    said = []
    for which in ("0", "1", "0, 1"):
        run = subprocess.run(
            [
                sys.executable,
                "-c",
                f"from zz_long import *; print(*[kernels[i](99.0) for i in ({which},)])",
            ],
            cwd=tmp_path,
            env={
                **os.environ,
                "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
                "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            },
            capture_output=True,
            text=True,
            check=True,
        )
        said.append(run.stdout.split())
    assert said == [["219.0"], ["339.0"], ["219.0", "339.0"]]
