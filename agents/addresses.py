"""Many arguments of a kernel as one number: where they stand.

A kernel of a world works on two dozen arrays. numba takes each of them out of its Python object at
every call, and counts that it is used: 0.03 µs each, which for a few users is a good part of what
the kernel itself takes. What is packed is taken out once, and a call hands over its address.

No address outlives what stands there: a pack holds the arrays, and the memory in which it wrote
them down, for as long as it lives; and who calls a kernel holds the pack during the call.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import extending
from numba.core import cgutils, types
from numba.core.datamodel import models

from agents.jit import compiled

_numba: Any = numba  # which tells no types
_extending: Any = extending
_types: Any = types
_utils: Any = cgutils


class Pack(int):
    """Arrays, numbers, and tuples of them, which a kernel reads as `pack.values`.

    The number that it is means nothing in another process, so it is not pickled. It holds on to its
    arrays; a kernel does not, and must not return any.

    Parameters
    ----------
    values : tuple
    """

    values: tuple[Any, ...]
    _memory: Any

    def __new__(cls, values: tuple[Any, ...]) -> Pack:
        """Write the values where kernels find them."""
        memory = _written(values)
        pack = super().__new__(cls, memory.ctypes.data)
        pack.values, pack._memory = values, memory
        return pack

    def __reduce__(self) -> Any:
        raise TypeError("a pack is of this process alone: pack the values again")


class _PackType(types.Type):
    """The type of a pack, by the type of its values."""

    def __init__(self, values: Any) -> None:
        self.values = values
        super().__init__(name=f"Pack({values})")


_extending.register_model(_PackType)(models.OpaqueModel)


@_extending.typeof_impl.register(Pack)
def _type_of(pack: Pack, context: Any) -> _PackType:
    return _PackType(_numba.typeof(pack.values))


@_extending.unbox(_PackType)
def _unboxed(kind: _PackType, pack: Any, c: Any) -> Any:
    return _extending.NativeValue(c.pyapi.long_as_voidptr(pack))


@_extending.overload_attribute(_PackType, "values", inline="always")
def _values(pack: Any) -> Any:
    def read(pack: Any) -> Any:  # numba wants the same signature
        return _read(pack)

    return read


@_extending.intrinsic
def _read(context: Any, pack: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        form = context.get_value_type(signature.return_type).as_pointer()
        values = builder.load(builder.bitcast(arguments[0], form))
        return _borrowed(context, builder, signature.return_type, values)

    return pack.values(pack), code


@_extending.intrinsic
def _size(context: Any, values: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        form = context.get_value_type(signature.args[0])
        return context.get_constant(types.intp, context.get_abi_sizeof(form))

    return types.intp(values), code


@_extending.intrinsic
def _write(context: Any, values: Any, memory: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[1])(context, builder, arguments[1])
        borrowed = _borrowed(context, builder, signature.args[0], arguments[0])
        builder.store(borrowed, builder.bitcast(array.data, borrowed.type.as_pointer()))
        return context.get_dummy_value()

    return types.void(values, memory), code


@_extending.intrinsic
def _at(context: Any, address: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = context.get_value_type(types.intp).as_pointer()
        return builder.load(builder.inttoptr(arguments[0], word))

    return types.intp(types.intp), code


@compiled
def references(ids: Any) -> int:
    """Return how many references there are to objects, all together; they must be alive.

    Whoever trusts it sees first that it counts: where CPython keeps its counts is not promised.

    Parameters
    ----------
    ids : int64 [N]
        What `id` says of each. In CPython that is where the object stands, and it begins with what
        `sys.getrefcount` counts, which would take 0.03 µs to tell for each.
    """
    count = 0
    for i in range(len(ids)):
        count += _at(ids[i])
    return count


def _borrowed(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """Return values whose arrays belong to nobody: their use is not counted."""
    if isinstance(kind, _types.BaseTuple):
        parts = [
            _borrowed(context, builder, part, builder.extract_value(value, place))
            for place, part in enumerate(kind)
        ]
        return context.make_tuple(builder, kind, parts)
    if isinstance(kind, _types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo = _utils.get_null_value(array.meminfo.type)
        array.parent = _utils.get_null_value(array.parent.type)
        return array._getvalue()
    if not isinstance(kind, _types.Number | _types.Boolean):
        raise TypeError(f"a pack is of arrays, numbers and tuples of them, not of a {kind}")
    return value


@compiled
def _written(values: tuple[Any, ...]) -> Any:
    memory = np.empty(_size(values), np.uint8)
    _write(values, memory)
    return memory
