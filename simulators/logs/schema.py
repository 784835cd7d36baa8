"""The names and types of a log's columns, and the metadata of its files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import pyarrow as pa

from agents.api import RecloopError

FORMAT = 1
ITEMS = "items.parquet"
METADATA = b"recloop"

TIME = pa.timestamp("ms", tz="UTC")

OUTCOME_TYPES: dict[str, pa.DataType] = {
    "time": TIME,
    "completed": TIME,
    "request": pa.uint64(),
    "user": pa.uint64(),
    "context": pa.list_(pa.float32()),
    "candidates": pa.list_(pa.uint64()),
    "features": pa.list_(pa.float32()),
    "slate": pa.list_(pa.uint64()),
    "positions": pa.list_(pa.int64()),
    "propensities": pa.list_(pa.float64()),
    "rewards": pa.list_(pa.float32()),
    "seen": pa.list_(pa.bool_()),
    "policy": pa.string(),
    "version": pa.int64(),
    "expected": pa.list_(pa.float64()),
}
REQUIRED = ("slate", "propensities", "rewards")
ITEM_TYPES: dict[str, pa.DataType] = {
    "name": pa.string(),
    "key": pa.uint64(),
    "features": pa.list_(pa.float32()),
    "available": pa.bool_(),
}


class LogError(RecloopError, ValueError):
    """A log that cannot be read or written; the message says which file, which row, and why."""


@dataclass(frozen=True, slots=True)
class PartInfo:
    """What the metadata of a part says.

    Parameters
    ----------
    catalogue_rows : int or None
        How many items of the catalogue a null in `candidates` stands for; None for all.
    item_width : int or None
        F, where the candidates' features are in the part itself.
    """

    catalogue_rows: int | None = None
    item_width: int | None = None

    def encode(self) -> dict[bytes, bytes]:
        """Return the metadata of a Parquet schema."""
        return {METADATA: json.dumps({"format": FORMAT, **asdict(self)}).encode()}

    @classmethod
    def decode(cls, metadata: dict[bytes, bytes] | None, where: str) -> PartInfo:
        """Return what a file's metadata says; a file from elsewhere says nothing.

        Raises
        ------
        LogError
            If the file was written in a format that this version does not know.
        """
        if metadata is None or METADATA not in metadata:
            return cls()
        said = json.loads(metadata[METADATA])
        if said.get("format") != FORMAT:
            raise LogError(
                f"{where} is a log of format {said.get('format')}; this version reads {FORMAT}"
            )
        return cls(said["catalogue_rows"], said["item_width"])
