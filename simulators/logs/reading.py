"""Parquet to outcomes, in chunks, believing nothing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from agents.api import PAD, Catalogue, Decisions, Outcomes, Requests, key_of, keys_of
from simulators.logs.columns import Column, check_columns
from simulators.logs.schema import (
    ITEM_TYPES,
    ITEMS,
    OUTCOME_TYPES,
    REQUIRED,
    LogError,
    PartInfo,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Keys, Rows

    Mask = NDArray[np.bool_]


class Log:
    """A log on disk. Iterating over it yields its outcomes in chunks, in their order.

    A chunk is `Outcomes` of at most `chunk` rows with one policy and one slate size: a row that
    differs begins the next.

    Parameters
    ----------
    path : Path or str
        A folder or a Parquet file; see `simulators.logs`.
    catalogue : Catalogue, optional
        The items, where there is no items.parquet.
    chunk : int
        How many rows are in memory at a time.

    Attributes
    ----------
    rows : int
        How many decisions there are.
    catalogue : Catalogue or None
        The items; None where every request has its own.
    has_expected : bool
        Whether the true expected rewards are known.

    Raises
    ------
    LogError
        If there is no log, or its files do not hold what they must.
    """

    def __init__(
        self, path: Path | str, *, catalogue: Catalogue | None = None, chunk: int = 8192
    ) -> None:
        self.path = Path(path)
        self.chunk = chunk
        self.parts = _parts(self.path)
        schemas = [_schema(part) for part in self.parts]
        self.rows = sum(pq.read_metadata(part).num_rows for part in self.parts)
        self.has_expected = all("expected" in schema.names for schema in schemas)
        folder = self.path if self.path.is_dir() else self.path.parent
        if catalogue is None and not any("features" in schema.names for schema in schemas):
            catalogue = read_items(folder / ITEMS)
        self.catalogue = catalogue

    def __iter__(self) -> Iterator[Outcomes]:
        for outcomes, _ in self._chunks():
            yield outcomes

    def with_expected(self) -> Iterator[tuple[Outcomes, Floats]]:
        """Yield chunks with the true expected rewards: float64 [B, K].

        Raises
        ------
        LogError
            If they are not known.
        """
        for outcomes, expected in self._chunks():
            if expected is None:
                raise LogError(f"{self.path} has no column `expected`: only simulated logs have")
            yield outcomes, expected

    def _chunks(self) -> Iterator[tuple[Outcomes, Floats | None]]:
        for part in self.parts:
            file = pq.ParquetFile(part)
            info = PartInfo.decode(file.schema_arrow.metadata, str(part))
            first = 0
            for batch in file.iter_batches(self.chunk):
                yield from _Batch(batch, part, first, self.catalogue, info).split()
                first += len(batch)


def read_log(
    path: Path | str, *, catalogue: Catalogue | None = None, chunk: int = 8192
) -> Iterator[Outcomes]:
    """Return the outcomes of a log in chunks; see `Log`."""
    return iter(Log(path, catalogue=catalogue, chunk=chunk))


def read_items(path: Path) -> Catalogue:
    """Return the catalogue that a file holds.

    Raises
    ------
    LogError
        If there is no such file, or it does not hold what it must.
    """
    if not path.is_file():
        raise LogError(
            f"{path.parent} has no {ITEMS}: put the catalogue there, a Parquet file with the "
            f"columns name (or key) and features, or hand it over with catalogue="
        )
    table = _open(path).read().combine_chunks()
    check_columns(table.schema, ITEM_TYPES, path)
    if table.num_rows == 0:
        raise LogError(f"{path} holds no item")
    columns = {
        name: Column(table[name].combine_chunks(), name, path, 0) for name in table.column_names
    }
    names = tuple(table["name"].to_pylist()) if "name" in columns else None
    if names is not None and None in names:
        raise LogError(f"{path}, row {names.index(None)}: an item has no name")
    if "key" in columns:
        keys = columns["key"].keys()
    elif names is not None:
        keys = keys_of(names)
    else:
        raise LogError(f"{path} needs a column `name` or `key`")
    if len(np.unique(keys)) != len(keys):
        unique, counts = np.unique(keys, return_counts=True)
        row = int(np.flatnonzero(keys == unique[counts > 1][0])[1])
        raise LogError(f"{path}, row {row}: the item occurs twice")
    features = columns["features"].table() if "features" in columns else np.zeros((len(keys), 0))
    available = columns["available"].numbers() if "available" in columns else np.ones(len(keys))
    return Catalogue(keys, features.astype(np.float32), available.astype(np.bool_), names)


def _parts(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise LogError(f"there is no log at {path}")
    parts = sorted(part for part in path.glob("*.parquet") if part.name != ITEMS)
    if not parts:
        raise LogError(f"{path} holds no log: a log is a folder of Parquet files, or one such file")
    return parts


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise LogError(f"{path} is not a readable Parquet file: {error}") from error


def _schema(path: Path) -> pa.Schema:
    schema = _open(path).schema_arrow
    for name in REQUIRED:
        if name not in schema.names:
            raise LogError(
                f"{path} has no column `{name}`; a log needs {', '.join(REQUIRED)} "
                f"(found: {', '.join(schema.names)})"
            )
    check_columns(schema, OUTCOME_TYPES, path)
    return schema


class _Batch:
    """Rows of a part, on their way to being outcomes."""

    def __init__(
        self,
        batch: pa.RecordBatch,
        path: Path,
        first: int,
        catalogue: Catalogue | None,
        info: PartInfo,
    ) -> None:
        self.batch, self.path, self.first = batch, path, first
        self.catalogue, self.info = catalogue, info

    def split(self) -> Iterator[tuple[Outcomes, Floats | None]]:
        """Yield runs of rows with one policy and one slate size."""
        slots = self._column("slate").lengths()
        empty = np.flatnonzero(slots == 0)
        if len(empty):
            raise self._column("slate").fault(int(empty[0]), "an empty slate")
        policies = self._policies()
        changes = (slots[1:] != slots[:-1]) | (policies[1:] != policies[:-1])
        edges = [0, *(np.flatnonzero(changes) + 1).tolist(), len(slots)]
        for start, stop in pairwise(edges):
            if stop > start:
                rows = self.batch.slice(start, stop - start)
                run = _Batch(rows, self.path, self.first + start, self.catalogue, self.info)
                yield run._outcomes(int(slots[start]), str(policies[start]))

    def _has(self, name: str) -> bool:
        return name in self.batch.schema.names

    def _column(self, name: str) -> Column:
        return Column(self.batch.column(name), name, self.path, self.first)

    def _policies(self) -> NDArray[np.object_]:
        if not self._has("policy"):
            return np.full(len(self.batch), "logged", dtype=object)
        column = self._column("policy").whole()
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        return np.asarray(column.to_pylist(), dtype=object)

    def _outcomes(self, K: int, policy: str) -> tuple[Outcomes, Floats | None]:
        B = len(self.batch)
        candidates, items, slates = self._shown(K)
        time = self._numbers("time", np.zeros(B, dtype=np.int64))
        context = self._column("context").table() if self._has("context") else np.zeros((B, 0))
        numbered = np.arange(self.first, self.first + B, dtype=np.uint64) + np.uint64(
            key_of(self.path.name)
        )
        requests = Requests(
            keys=self._keys("request", numbered),
            users=self._keys("user", np.zeros(B, dtype=np.uint64)),
            context=context.astype(np.float32),
            candidates=candidates,
            items=items,
            positions=self._slots("positions", K, np.arange(K)).astype(np.int64),
            time=time.astype(np.int64),
        )
        propensities = self._slots("propensities", K).astype(np.float64)
        wrong = ((propensities <= 0.0) | (propensities > 1.0)).any(axis=1)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise self._column("propensities").fault(
                row, f"{propensities[row].tolist()} are not probabilities of what was shown"
            )
        decisions = Decisions(
            slates, propensities, self._numbers("version", np.zeros(B, np.int64)), policy
        )
        outcomes = Outcomes(
            requests,
            decisions,
            rewards=self._slots("rewards", K).astype(np.float32),
            seen=self._slots("seen", K, slates != PAD).astype(np.bool_),
            time=self._numbers("completed", time).astype(np.int64),
        )
        expected = self._slots("expected", K).astype(np.float64) if self._has("expected") else None
        return outcomes, expected

    def _numbers(self, name: str, default: NDArray[np.int64]) -> NDArray[np.int64]:
        if not self._has(name):
            return default
        return self._column(name).numbers().astype(np.int64)

    def _keys(self, name: str, default: Keys) -> Keys:
        if not self._has(name):
            return default
        column = self._column(name)
        column.whole()
        return column.keys()

    def _slots(self, name: str, K: int, default: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return a column of one number per slot: [B, K]."""
        if default is not None and not self._has(name):
            return np.broadcast_to(default, (len(self.batch), K)).copy()
        column = self._column(name)
        lengths = column.lengths()
        if (lengths != K).any():
            row = int(np.flatnonzero(lengths != K)[0])
            raise column.fault(row, f"has {lengths[row]} numbers for a slate of {K}")
        return column.table()

    def _shown(self, K: int) -> tuple[Rows, Catalogue, Rows]:
        """Return the candidates [B, M], their catalogue, and the slates [B, K]."""
        B = len(self.batch)
        slate = self._column("slate").values()
        keys = slate.keys().reshape(B, K)
        empty = slate.array.is_null().to_numpy(zero_copy_only=False).reshape(B, K)
        if self.catalogue is None:
            candidates, items = self._own_items()
            slates = _rows_among(keys, candidates, items)
        else:
            items = self.catalogue
            candidates = self._candidates(items)
            slates = items.rows_of(keys)
        stray = ((slates == PAD) & ~empty).any(axis=1)
        if stray.any():
            row = int(np.flatnonzero(stray)[0])
            shown = self._column("slate").array[row].as_py()
            raise self._column("slate").fault(
                row, f"{shown} holds an item that is not in the catalogue"
            )
        slates[empty] = PAD
        return candidates, items, slates

    def _candidates(self, items: Catalogue) -> Rows:
        said = self.info.catalogue_rows
        B, everything = len(self.batch), np.arange(len(items) if said is None else said)
        if not self._has("candidates"):
            return np.tile(everything, (B, 1))
        column = self._column("candidates")
        null = column.array.is_null().to_numpy(zero_copy_only=False)
        lengths = np.where(null, 0, column.lengths())
        rows = items.rows_of(column.values().keys())
        if (rows == PAD).any():
            row = int(np.searchsorted(np.cumsum(lengths), np.flatnonzero(rows == PAD)[0], "right"))
            raise column.fault(row, "holds an item that is not in the catalogue")
        width = max(int(lengths.max(initial=0)), len(everything) if null.any() else 0)
        candidates = np.full((B, width), PAD, dtype=np.int64)
        candidates[np.arange(width) < lengths[:, None]] = rows
        if null.any():
            candidates[null, : len(everything)] = everything
        return candidates

    def _own_items(self) -> tuple[Rows, Catalogue]:
        """Return the candidates of rows that bring their items along: a row for each of them."""
        column, features = self._column("candidates"), self._column("features")
        lengths, width = column.lengths(), self.info.item_width or 0
        wrong = np.flatnonzero(features.lengths() != lengths * width)
        if len(wrong):
            row = int(wrong[0])
            raise features.fault(
                row, f"{features.lengths()[row]} numbers for {lengths[row]} candidates of {width}"
            )
        keys = column.values().keys()
        table = features.values().numbers().astype(np.float32).reshape(len(keys), width)
        candidates = np.full((len(lengths), int(lengths.max(initial=0))), PAD, dtype=np.int64)
        candidates[np.arange(candidates.shape[1]) < lengths[:, None]] = np.arange(len(keys))
        return candidates, Catalogue(keys, table, np.ones(len(keys), dtype=np.bool_))


def _rows_among(keys: Keys, candidates: Rows, items: Catalogue) -> Rows:
    """Return the rows of keys [B, K] among each request's own candidates, `PAD` where not there."""
    slates = np.full(keys.shape, PAD, dtype=np.int64)
    for j in range(candidates.shape[1]):
        row = candidates[:, j : j + 1]
        same = (items.keys[row] == keys) & (row != PAD)
        slates = np.where(same & (slates == PAD), row, slates)
    return slates
