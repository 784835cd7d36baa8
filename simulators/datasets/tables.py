"""What the readers of foreign files share: finding them, reading columns, and making logs of rows.

Errors say which file, which column, and what there is instead: these files come from elsewhere.
"""

from __future__ import annotations

from difflib import get_close_matches
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from agents.api import Catalogue, Decisions, Outcomes, RecloopError, Requests, key_of
from agents.streams import derive

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from agents.api import Floats, Keys, Rows

ROWS = 100_000
"""How many rows of a foreign log are taken, the latest, unless it is said."""
ITEMS = 1000
"""How many of its items, those with the most rows."""


class DatasetError(RecloopError):
    """A data set that is not there, cannot be fetched, or does not hold what it must."""


def find(folder: Path, patterns: Sequence[str], what: str) -> list[Path]:
    """Return the files of the first pattern that has any, in this folder or one below it.

    Raises
    ------
    DatasetError
        If there are none.
    """
    if not folder.is_dir():
        raise DatasetError(f"there is no folder {folder}: {what} are read from one")
    for pattern in patterns:
        found = sorted([*folder.glob(pattern), *folder.glob(f"*/{pattern}")])
        if found:
            return found
    there = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
    raise DatasetError(f"{folder} holds no {' or '.join(patterns)}, which {what} are: {there}")


def read(
    path: Path,
    types: Mapping[str, pa.DataType],
    *,
    delimiter: str = ",",
    names: Sequence[str] | None = None,
    optional: Sequence[str] = (),
    encoding: str = "utf8",
) -> pa.Table:
    """Return columns of a text file.

    Parameters
    ----------
    path : Path
    types : mapping of str to DataType
        The columns wanted.
    delimiter : str
        Of any length; what is not a comma quotes nothing.
    names : sequence of str, optional
        The columns' names, where the file does not have them.
    optional : sequence of str
        The wanted columns that may be missing.
    encoding : str

    Raises
    ------
    DatasetError
        If it cannot be read so.
    """
    data = path.read_bytes()
    if len(delimiter) > 1:
        data, delimiter = data.replace(delimiter.encode(), b"\x1f"), "\x1f"
    reading = pyarrow.csv.ReadOptions(column_names=names, encoding=encoding)
    parsing = pyarrow.csv.ParseOptions(
        delimiter=delimiter, quote_char='"' if delimiter == "," else False
    )
    try:
        there = names or pyarrow.csv.open_csv(BytesIO(data), reading, parsing).schema.names
        missing = [name for name in types if name not in (*there, *optional)]
        if missing:
            near = get_close_matches(missing[0], there, n=1)
            hint = f"is it {near[0]!r}? " if near else ""
            raise DatasetError(
                f"{path} has no column {missing[0]!r}: {hint}It has {', '.join(there)}"
            )
        wanted = {name: kind for name, kind in types.items() if name in there}
        converting = pyarrow.csv.ConvertOptions(
            include_columns=list(wanted), column_types=wanted, strings_can_be_null=True
        )
        return pyarrow.csv.read_csv(BytesIO(data), reading, parsing, converting)
    except (pa.ArrowInvalid, pa.ArrowKeyError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error


def numbers(table: pa.Table, name: str, path: Path) -> NDArray[Any]:
    """Return a column of numbers.

    Raises
    ------
    DatasetError
        Naming the first row without one.
    """
    column = table[name].combine_chunks()
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    empty = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), np.bool_)
    if empty.any():
        row = int(np.flatnonzero(empty)[0])
        raise DatasetError(f"{path}, row {row + 1}, column {name!r}: there is no number")
    return values


def one_hot(values: Sequence[str], categories: Sequence[str]) -> Floats:
    """Return a mark for the category of every value: float64 [n, categories]."""
    place = {category: i for i, category in enumerate(categories)}
    marks = np.zeros((len(values), len(categories)))
    for row, value in enumerate(values):
        if value in place:
            marks[row, place[value]] = 1.0
    return marks


def common(values: Sequence[str | None], most: int) -> list[str]:
    """Return the most frequent values, the alphabet deciding ties; not what is null."""
    found, counts = np.unique([value for value in values if value is not None], return_counts=True)
    order = np.lexsort((found, -counts))[:most]
    return [str(value) for value in found[order]]


def log_of(
    origin: str,
    *,
    items: Catalogue,
    users: Keys,
    context: NDArray[np.float32],
    shown: Rows,
    rewards: NDArray[Any],
    propensities: Floats,
    time: NDArray[np.int64],
    policy: str,
    positions: Rows | None = None,
) -> Outcomes:
    """Return rows as outcomes of one slot each, of which every item was a candidate.

    Parameters
    ----------
    origin : str
        What the log is called: its request keys follow from it.
    items : Catalogue
    users : uint64 [n]
    context : float32 [n, D]
    shown : int64 [n]
        Rows of the catalogue.
    rewards, propensities : [n]
    time : int64 [n]
        Milliseconds since the epoch.
    policy : str
    positions : int64 [n], optional
        Where the slot stood; 0 if not given.
    """
    n = len(shown)
    requests = Requests(
        keys=derive(np.full(n, key_of(origin), np.uint64), np.arange(n, dtype=np.uint64)),
        users=users,
        context=context,
        candidates=np.broadcast_to(np.arange(len(items)), (n, len(items))),  # takes no memory
        items=items,
        positions=np.zeros((n, 1), np.int64) if positions is None else positions[:, None],
        time=time,
    )
    decisions = Decisions(
        slates=shown[:, None].astype(np.int64),
        propensities=propensities[:, None].astype(np.float64),
        versions=np.zeros(n, dtype=np.int64),
        policy=policy,
    )
    seen = np.ones((n, 1), dtype=np.bool_)
    return Outcomes(requests, decisions, rewards[:, None].astype(np.float32), seen, time)


def most_frequent(values: NDArray[Any], most: int) -> NDArray[Any]:
    """Return the values that occur most often, in ascending order."""
    found, counts = np.unique(values, return_counts=True)
    return np.sort(found[np.lexsort((found, -counts))[:most]])
