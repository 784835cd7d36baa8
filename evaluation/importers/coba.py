"""Coba's logged interactions: mappings with context, actions, action, reward and probability."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from agents.api import key_of
from evaluation.importers.records import (
    WIDTH,
    Imported,
    LogFormatError,
    Row,
    Vector,
    dense,
    field,
    hashed,
    in_chunks,
    number,
    probability,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agents.api import Outcomes


def from_coba(
    interactions: Iterable[Mapping[str, object]], *, width: int = WIDTH, chunk: int = 10_000
) -> Imported:
    """Return coba's logged interactions as a log.

    Parameters
    ----------
    interactions : iterable of mappings
        Each with `context`, `actions`, `action` (one of them), `reward` and `probability`. To be
        read more than once it must be a list, or another thing that can be.
    width : int
        What contexts and actions that are no lists of numbers are hashed to. If the first
        interaction's context is a list of numbers, so are all of them; and so with actions.
    chunk : int

    Raises
    ------
    LogFormatError
        While it is read: naming the interaction, counted from 0, and what is wrong with it.
    """
    return Imported(partial(_read, interactions, width, chunk))


def _read(
    interactions: Iterable[Mapping[str, object]], width: int, chunk: int
) -> Iterator[Outcomes]:
    yield from in_chunks(_rows(interactions, width), chunk, "coba")


def _rows(interactions: Iterable[Mapping[str, object]], width: int) -> Iterator[Row]:
    contexts, items = _Vectors(width, "context"), _Vectors(width, "action")
    for ordinal, record in enumerate(interactions):
        where = f"interaction {ordinal}"
        offered = field(record, "actions", where)
        if not isinstance(offered, list | tuple) or not offered:
            raise LogFormatError(f"{where}: without the actions on offer nothing can be evaluated")
        names = [json.dumps(action, sort_keys=True, default=str) for action in offered]
        if len(set(names)) != len(names):
            raise LogFormatError(f"{where} offers an action twice")
        taken = json.dumps(field(record, "action", where), sort_keys=True, default=str)
        if taken not in names:
            raise LogFormatError(f"{where}: action {taken} is none of those on offer")
        yield Row(
            key=key_of(where),
            time=ordinal,
            context=contexts.of(record.get("context"), where),
            items=[
                (name, items.of(action, where)) for name, action in zip(names, offered, strict=True)
            ],
            shown=names.index(taken),
            propensity=probability(field(record, "probability", where), "probability", where),
            reward=number(field(record, "reward", where), "reward", where),
        )


class _Vectors:
    """Turns what coba calls a context or an action into vectors of one width."""

    def __init__(self, width: int, what: str) -> None:
        self.width, self.what = width, what
        self._length: int | None = None  # of dense vectors, 0 where they are hashed

    def of(self, value: object, where: str) -> Vector:
        """Return the vector of a value: float32 [D]."""
        found = dense(value, where)
        if self._length is None:
            self._length = 0 if found is None else len(found)
        if not self._length:
            return hashed(value, self.width, where)
        if found is None or len(found) != self._length:
            raise LogFormatError(
                f"{where}: the first {self.what} was a list of {self._length} numbers, "
                f"but this is {value!r}"
            )
        return np.asarray(found, dtype=np.float32)
