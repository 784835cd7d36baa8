"""One door to numba: every kernel is compiled alike, cached on disk, exact, and without the GIL.

Kernels are used where a decision hangs on arithmetic: a loop over one request's numbers gives the
same bits in a batch of one and of ten thousand, which BLAS and SIMD reductions do not promise.

numba's disk cache looks at a kernel's own file only. A kernel that calls others would go on running
their old code after they were changed, so the cache folder is named by the source of the kernel's
module and of everything in the house that it imports. Where nothing can be written, a kernel is
compiled by every process anew.

Machine code calls machine code by a name that numba numbers from 1 on in every process. Kernels of
the same name that two processes compiled and kept could then take each other's loops for their own
in a third (numba issue 10486), so a process here numbers from a point that no other has.

Compiling takes seconds, once after installation. So that nobody wonders what they wait for, a
process that goes on compiling says so on standard error, once.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import blake2b
from itertools import count
from pathlib import Path
from time import perf_counter
from types import FunctionType
from typing import Any, TypeVar, cast

import numba
from numba.core import bytecode, event
from platformdirs import user_cache_path

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

_NOTICEABLE = 0.5
"""For how many seconds a process compiles in silence."""
_HOUSE = Path(__file__).resolve().parent.parent
_IMPORTS = re.compile(rb"^\s*(?:from|import)\s+([\w.]+)", re.MULTILINE)


def _number_apart() -> None:
    """Have what is compiled from here on numbered as no other process does."""
    identity: Any = bytecode.FunctionIdentity
    identity._unique_ids = count(int.from_bytes(os.urandom(8)))


_number_apart()
os.register_at_fork(after_in_child=_number_apart)


def compiled(function: Kernel) -> Kernel:
    """Return a function compiled by numba on first use, without fast-math reordering."""
    return _njit(function, error_model="numpy")


def inlined(function: Kernel) -> Kernel:
    """Return a small compiled function whose body is copied into the kernels that call it."""
    return _njit(function, inline="always")


def entry(kernel: Kernel, *arguments: Any) -> Kernel:
    """Return a kernel for arguments of exactly these types, called without a look at them.

    numba looks at the type of each argument at each call, which for a few users costs more than
    what the kernel does. This does not: arguments of any other type, number of dimensions or memory
    layout would be misread, so it is for whoever owns them all.
    """
    given: Any = kernel
    typeof: Any = numba.typeof
    types = tuple(typeof(argument) for argument in arguments)
    given.compile(types)
    return cast("Kernel", given.overloads[types].entry_point)


def bound(template: Kernel, **names: Any) -> Kernel:
    """Return a function like another in which some global names mean other things.

    It is not compiled yet. A loop that is written once is so compiled over anybody's equations; the
    next process finds it in the cache again, as it would not a closure over compiled functions.

    Parameters
    ----------
    template : function
        Not compiled.
    **names
        Compiled functions, or constants, by the names that the template calls them.
    """
    code = template.__code__
    function = FunctionType(code, template.__globals__ | names, template.__name__)
    function.__dict__.update(names=names, __qualname__=template.__qualname__)
    return cast("Kernel", function)


def _njit(function: Kernel, **options: Any) -> Kernel:
    """Return a function compiled by numba; a cache that cannot be read or written is done without.

    On a full disk numba would raise out of the first call of a kernel, which needs no disk.
    """
    with _own_cache(function) as kept:
        made: Any = numba.njit(cache=kept, nogil=True, **options)(function)
    if kept:
        made._cache._guard_against_spurious_io_errors = lambda: suppress(OSError)
    return cast("Kernel", made)


@contextmanager
def _own_cache(function: Callable[..., Any]) -> Iterator[bool]:
    """Let numba keep a kernel's machine code in the folder that belongs to its sources.

    Yields whether it can be kept: what was typed into an interpreter is of no file.
    """
    config: Any = numba.config
    given, sources = config.CACHE_DIR, tuple(_sources(function))
    kept = all(file.is_file() for file, _ in sources)
    if kept:
        config.CACHE_DIR = str(_folder(sources[0][0], sources[1:], given))
    try:
        yield kept
    finally:
        config.CACHE_DIR = given


def _sources(function: Any) -> Iterator[tuple[Path, str]]:
    """Yield where a function is written, and then where those are that are bound into it."""
    function = getattr(function, "py_func", function)
    yield Path(function.__code__.co_filename), function.__qualname__
    for name, value in sorted(function.__dict__.get("names", {}).items()):
        if callable(value):
            for file, what in _sources(value):
                yield file, f"{name} {what}"
        else:
            yield Path(__file__), f"{name} {value!r}"


@cache
def _folder(file: Path, parts: tuple[tuple[Path, str], ...], given: str) -> Path:
    """Return the cache folder of a module: where NUMBA_CACHE_DIR says, beside it, or at home."""
    beside = file.parent / "__pycache__"
    if given:
        base = Path(given)
    elif os.access(beside if beside.is_dir() else file.parent, os.W_OK):
        base = beside
    else:
        base = user_cache_path("recloop")
    if not parts:
        return base / f"kernels-{_digest(file)}"
    whole = "\n".join([_digest(file), *(f"{_digest(part)} {what}" for part, what in parts)])
    return base / f"kernels-{blake2b(whole.encode(), digest_size=8).hexdigest()}"


@cache
def _digest(file: Path) -> str:
    """Return a digest of a module's source and of all that it imports from the house."""
    sources: dict[Path, bytes] = {}
    found = [file.resolve()]
    while found:
        path = found.pop()
        if path not in sources:
            sources[path] = path.read_bytes()
            for name in _IMPORTS.findall(sources[path]):
                module = _HOUSE.joinpath(*name.decode().split("."))
                options = (module.with_suffix(".py"), module / "__init__.py")
                found += [option for option in options if option.is_file()]
    digest = blake2b(digest_size=8)
    for path in sorted(sources):
        digest.update(sources[path])
    return digest.hexdigest()


class _Notice(event.Listener):
    """Says that kernels are being compiled, when that has taken noticeable time and goes on."""

    def __init__(self) -> None:
        self._depth, self._began, self._took, self._said = 0, 0.0, 0.0, False

    def on_start(self, event: Any) -> None:
        """Begin to count, or speak. A kernel's compilation contains those of what it calls."""
        self._depth += 1
        if self._depth > 1:
            return
        self._began = perf_counter()
        if self._took >= _NOTICEABLE and not self._said:
            self._said = True
            print("recloop compiles its kernels for this machine, once", file=sys.stderr)

    def on_end(self, event: Any) -> None:
        """Count the seconds."""
        self._depth -= 1
        if self._depth == 0:
            self._took += perf_counter() - self._began


_register: Any = event.register
_register("numba:compile", _Notice())  # which is no event of what comes from the disk cache
