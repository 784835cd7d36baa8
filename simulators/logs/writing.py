"""Outcomes to Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from agents.api import PAD, Catalogue, Outcomes
from simulators.logs.schema import ITEM_TYPES, ITEMS, OUTCOME_TYPES, LogError, PartInfo

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from numpy.typing import NDArray

    from agents.api import Floats, Requests

    Mask = NDArray[np.bool_]

ROW_GROUP = 16_384
"""How many rows are gathered before they are written: small batches make slow files."""


class LogWriter:
    """Writes a log into a folder, batch by batch. Use it in a `with` statement.

    A file has its final name only when it is complete: what an interrupted writer leaves behind
    ends in `.part` and is never read.

    Parameters
    ----------
    folder : Path or str
        Is created; must not hold a log yet.
    ephemeral : bool
        Whether every request has items of its own, whose features are then written with it.
        Otherwise the items are written once, as the catalogue of the last batch: earlier ones may
        have had fewer items.

    Raises
    ------
    LogError
        If the folder holds a log already.
    """

    def __init__(self, folder: Path | str, *, ephemeral: bool = False) -> None:
        self.folder = Path(folder)
        if self.folder.exists() and any(self.folder.glob("*.parquet")):
            raise LogError(f"{self.folder} holds a log already; name another folder, or remove it")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ephemeral = ephemeral
        self.rows = 0
        self._catalogue: Catalogue | None = None
        self._info: PartInfo | None = None
        self._parts = 0
        self._writer: pq.ParquetWriter | None = None
        self._pending: list[pa.RecordBatch] = []

    def write(self, outcomes: Outcomes, expected: Floats | None = None) -> None:
        """Append outcomes.

        Parameters
        ----------
        outcomes : Outcomes
        expected : float64 [B, K], optional
            The true expected rewards, where they are known.

        Raises
        ------
        LogError
            If the catalogue is not the earlier one with items added.
        """
        if not len(outcomes):
            return
        items = outcomes.requests.items
        if not self.ephemeral:
            self._follow(items)
        if self._info is None and self.ephemeral:
            self._info = PartInfo(item_width=items.features.shape[1])
        elif self._info is None:
            self._info = PartInfo(catalogue_rows=len(items))
        columns = _columns(outcomes, expected, self._info)
        schema = pa.schema(
            [pa.field(name, OUTCOME_TYPES[name]) for name in columns],
            metadata=self._info.encode(),
        )
        if self._writer is None or not schema.equals(self._writer.schema):
            self._finish_part()
            self._writer = pq.ParquetWriter(self._part(".part"), schema)
        self._pending.append(pa.record_batch(columns, schema=schema))
        if sum(len(batch) for batch in self._pending) >= ROW_GROUP:
            self._flush()
        self.rows += len(outcomes)

    def close(self) -> None:
        """Complete the files. A writer that was given nothing leaves an empty folder."""
        self._finish_part()
        if self._catalogue is not None:
            unfinished = self.folder / (ITEMS + ".part")
            pq.write_table(_items_table(self._catalogue), unfinished)
            unfinished.replace(self.folder / ITEMS)

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _follow(self, items: Catalogue) -> None:
        if self._catalogue is not None and items is not self._catalogue:
            known = len(self._catalogue)
            if not np.array_equal(items.keys[:known], self._catalogue.keys):
                raise LogError(
                    f"{self.folder}: a log has one catalogue, to which items are only ever added; "
                    f"this batch has another one. Write it as ephemeral, or to another folder"
                )
        self._catalogue = items

    def _part(self, suffix: str = "") -> Path:
        return self.folder / f"part-{self._parts:05d}.parquet{suffix}"

    def _flush(self) -> None:
        if self._writer is not None and self._pending:
            self._writer.write_table(pa.Table.from_batches(self._pending), row_group_size=ROW_GROUP)
            self._pending = []

    def _finish_part(self) -> None:
        if self._writer is not None:
            self._flush()
            self._writer.close()
            self._part(".part").replace(self._part())
            self._parts += 1
            self._writer = None


def write_log(
    folder: Path | str, outcomes: Outcomes | Iterable[Outcomes], *, ephemeral: bool = False
) -> int:
    """Write outcomes as a log, and return how many rows it has; see `LogWriter`."""
    batches = [outcomes] if isinstance(outcomes, Outcomes) else outcomes
    with LogWriter(folder, ephemeral=ephemeral) as writer:
        for batch in batches:
            writer.write(batch)
    return writer.rows


def _columns(outcomes: Outcomes, expected: Floats | None, info: PartInfo) -> dict[str, pa.Array]:
    requests, decisions = outcomes.requests, outcomes.decisions
    shown = decisions.slates != PAD
    slate_keys = np.zeros(shown.shape, dtype=np.uint64)
    slate_keys[shown] = requests.items.keys[decisions.slates[shown]]
    columns = {
        "time": requests.time,
        "completed": outcomes.time,
        "request": requests.keys,
        "user": requests.users,
        "context": _lists(requests.context),
        "candidates": _candidates(requests, info),
        "slate": _lists(slate_keys, empty=~shown),
        "positions": _lists(requests.positions),
        "propensities": _lists(decisions.propensities),
        "rewards": _lists(outcomes.rewards),
        "seen": _lists(outcomes.seen),
        "policy": pa.repeat(decisions.policy, len(outcomes)),
        "version": decisions.versions,
    }
    if info.item_width is not None:
        real = requests.candidates != PAD
        values = requests.items.features[requests.candidates[real]]
        columns["features"] = _ragged(values.ravel(), real.sum(axis=1) * info.item_width)
    if expected is not None:
        columns["expected"] = _lists(expected)
    return {name: _typed(column, OUTCOME_TYPES[name]) for name, column in columns.items()}


def _candidates(requests: Requests, info: PartInfo) -> pa.Array:
    """Return the candidates' keys, or nulls where they are what a null stands for."""
    candidates = requests.candidates
    if info.catalogue_rows == candidates.shape[1]:
        everything = (candidates == np.arange(candidates.shape[1])).all(axis=1)
    else:
        everything = np.zeros(len(requests), dtype=np.bool_)
    real = (candidates != PAD) & ~everything[:, None]
    return _ragged(requests.items.keys[candidates[real]], real.sum(axis=1), null=everything)


def _lists(table: NDArray[Any], empty: Mask | None = None) -> pa.Array:
    """Return the rows of a table as lists of equal length, with nulls in its empty places."""
    flat = pa.array(table.ravel(), mask=None if empty is None else empty.ravel())
    return _ragged(flat, np.full(len(table), table.shape[1]))


def _ragged(
    values: pa.Array | NDArray[Any], lengths: NDArray[np.int64], null: Mask | None = None
) -> pa.Array:
    """Return values as one list after the other; `null` marks lists that are null instead."""
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    flat = values if isinstance(values, pa.Array) else pa.array(values)
    return pa.ListArray.from_arrays(offsets, flat, mask=None if null is None else pa.array(null))


def _typed(column: Any, kind: pa.DataType) -> pa.Array:
    array = column if isinstance(column, pa.Array) else pa.array(column)
    return array.cast(kind)


def _items_table(catalogue: Catalogue) -> pa.Table:
    columns = {
        "key": catalogue.keys,
        "features": _lists(catalogue.features),
        "available": catalogue.available,
    }
    if catalogue.names is not None:
        columns["name"] = np.array(catalogue.names, dtype=object)
    return pa.table({name: _typed(columns[name], ITEM_TYPES[name]) for name in columns})
