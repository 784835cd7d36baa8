"""One door to numba: every kernel is compiled alike, cached on disk, exact, and without the GIL.

Kernels are used where a decision hangs on arithmetic: a loop over one request's numbers gives the
same bits in a batch of one and of ten thousand, which BLAS and SIMD reductions do not promise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(function: Kernel) -> Kernel:
    """Return a function compiled by numba on first use, without fast-math reordering."""
    return cast("Kernel", numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def inlined(function: Kernel) -> Kernel:
    """Return a small compiled function whose body is copied into the kernels that call it."""
    return cast("Kernel", numba.njit(cache=True, nogil=True, inline="always")(function))
