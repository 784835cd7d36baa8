"""Writing what is far too large for a cache past the cache.

A processor reads a line of memory before it writes part of it, unless it is told to write whole
lines that nobody reads soon. For observations of tens of megabytes that reading costs as much as
the writing, and drives the users out of the cache.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import extending
from numba.core import types

from agents.jit import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

_extending: Any = extending  # which tells no types
LARGE = 1 << 21
"""From how many float32 on an array is taken for larger than a core's part of the cache."""
LINE = 16
"""How many float32 a line holds."""


@_extending.intrinsic
def _store_line(context: Any, source: Any, start: Any, target: Any, place: Any) -> Any:
    """Copy a line between flat float32 arrays; in the target it must begin where a line does."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def at(array: int) -> Any:
            data = context.make_array(signature.args[array])(context, builder, arguments[array])
            return builder.bitcast(builder.gep(data.data, [arguments[array + 1]]), form)

        form = ir.VectorType(ir.FloatType(), LINE).as_pointer()
        stored = builder.store(builder.load(at(0), align=4), at(2), align=4 * LINE)
        one = builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)])
        stored.set_metadata("nontemporal", one)
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp), code


@_extending.intrinsic
def _fence(context: Any) -> Any:
    """Have what was stored seen by other threads before all that is stored after."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), code


def in_lines(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return an array, float32, that begins where a line does; what is in it is anything."""
    size = prod(shape)
    base = np.empty(size + LINE, np.float32)
    first = -(base.ctypes.data // 4) % LINE
    return base[first : first + size].reshape(shape)


@compiled
def begins_a_line(target: NDArray[np.float32]) -> bool:
    """Return whether an array begins where a line does."""
    return bool(target.ctypes.data % (4 * LINE) == 0)


@compiled
def store_lines(source: NDArray[np.float32], target: NDArray[np.float32], start: int) -> None:
    """Copy a flat array to a place in another, past the cache.

    Parameters
    ----------
    source : float32 [N]
        N is a multiple of LINE.
    target : float32 [N']
        Begins where a line does, and is no shorter than start + N.
    start : int
        A multiple of LINE.
    """
    for i in range(0, len(source), LINE):
        _store_line(source, i, target, start + i)


@compiled
def finish() -> None:
    """Have what was stored in lines seen by other threads before all that is stored after."""
    _fence()
