"""One column of a log as an array, or an error that says where it is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agents.api import keys_of
from simulators.logs.schema import LogError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from agents.api import Keys

KEY_COLUMNS = ("request", "user", "candidates", "slate", "key")
"""Columns that hold keys, for which names may stand."""


def check_columns(schema: pa.Schema, types: dict[str, pa.DataType], path: Path) -> None:
    """Raise a `LogError` where a column that has a meaning cannot be read as what it must be."""
    for name in schema.names:
        if name in types and not _readable_as(name, schema.field(name).type, types[name]):
            raise LogError(
                f"{path}: column `{name}` holds {schema.field(name).type}, not {types[name]}"
            )


def _readable_as(name: str, found: pa.DataType, wanted: pa.DataType) -> bool:
    """Return whether a column may hold this type: numbers may be of any width, keys be names."""
    if pa.types.is_dictionary(found):
        return _readable_as(name, found.value_type, wanted)
    if pa.types.is_list(wanted):
        lists = pa.types.is_list(found) or pa.types.is_large_list(found)
        return lists and _readable_as(name, found.value_type, wanted.value_type)
    text = pa.types.is_string(found) or pa.types.is_large_string(found)
    number = pa.types.is_integer(found) or pa.types.is_floating(found)
    if pa.types.is_string(wanted) or (text and name in KEY_COLUMNS):
        fits = text
    elif pa.types.is_timestamp(wanted):
        fits = pa.types.is_timestamp(found) or pa.types.is_integer(found)
    elif pa.types.is_boolean(wanted):
        fits = pa.types.is_boolean(found)
    else:
        fits = number and (pa.types.is_floating(wanted) or pa.types.is_integer(found))
    return bool(fits)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a batch, and the words for where it stands."""

    array: pa.Array
    name: str
    path: Path
    first: int

    def fault(self, row: int, what: str) -> LogError:
        """Return an error that says where it is wrong."""
        return LogError(f"{self.path}, row {self.first + row}, column `{self.name}`: {what}")

    def whole(self) -> pa.Array:
        """Return the array, in which no row is null."""
        if self.array.null_count:
            row = int(np.flatnonzero(self.array.is_null().to_numpy(zero_copy_only=False))[0])
            raise self.fault(row, "is null")
        return self.array

    def numbers(self) -> NDArray[Any]:
        """Return numbers, booleans or times as an array; times as milliseconds."""
        array = self.whole()
        if pa.types.is_timestamp(array.type):
            array = array.cast(pa.timestamp("ms"), safe=False).cast(pa.int64())
        numbers: NDArray[Any] = array.to_numpy(zero_copy_only=False)
        return numbers

    def keys(self) -> Keys:
        """Return keys, for which names may stand: uint64 [n]; nulls become 0."""
        array = self.array
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        if not pa.types.is_integer(array.type):
            encoded = array.dictionary_encode()
            if not len(encoded.dictionary):
                return np.zeros(len(array), dtype=np.uint64)
            known = keys_of(encoded.dictionary.to_pylist())
            places: NDArray[np.int64] = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)
            return known[places]
        if pa.types.is_signed_integer(array.type) and pc.min(array).as_py() is not None:
            negative = np.flatnonzero(pc.less(array, 0).fill_null(False).to_numpy(False))
            if len(negative):
                raise self.fault(int(negative[0]), "a key is negative")
        keys: Keys = array.fill_null(0).cast(pa.uint64()).to_numpy(zero_copy_only=False)
        return keys

    def lengths(self) -> NDArray[np.int64]:
        """Return how long every row's list is; 0 where it is null."""
        lengths = pc.list_value_length(self.array).fill_null(0).cast(pa.int64())
        counts: NDArray[np.int64] = lengths.to_numpy(zero_copy_only=False)
        return counts

    def values(self) -> Column:
        """Return the lists' values, one list after the other."""
        return Column(self.array.flatten(), self.name, self.path, self.first)

    def table(self) -> NDArray[Any]:
        """Return lists of equal length and finite numbers as a table [rows, length]."""
        self.whole()
        lengths, values = self.lengths(), self.values()
        if len(lengths) and (lengths != lengths[0]).any():
            row = int(np.flatnonzero(lengths != lengths[0])[0])
            raise self.fault(row, f"is {lengths[row]} long, where the first is {lengths[0]}")
        width = int(lengths[0]) if len(lengths) else 0
        if values.array.null_count:
            null = values.array.is_null().to_numpy(zero_copy_only=False)
            raise self.fault(int(np.flatnonzero(null)[0]) // width, "holds a null")
        flat = values.numbers().reshape(len(lengths), width)
        if flat.dtype.kind == "f" and not np.isfinite(flat).all():
            raise self.fault(
                int(np.flatnonzero(~np.isfinite(flat).all(axis=1))[0]), "is not finite"
            )
        return flat
