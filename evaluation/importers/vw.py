"""Vowpal Wabbit's decision service logs (dsjson): a contextual bandit's decision on every line."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from agents.api import key_of
from evaluation.importers.records import (
    WIDTH,
    Imported,
    LogFormatError,
    Row,
    field,
    hashed,
    in_chunks,
    number,
    probability,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agents.api import Outcomes


def read_dsjson(path: Path, *, width: int = WIDTH, chunk: int = 10_000) -> Imported:
    """Return the log in a dsjson file, one contextual-bandit decision per line.

    Parameters
    ----------
    path : Path
        UTF-8 text. A decision has `_label_cost` (the reward is its negative), `_label_probability`,
        `_label_Action` (counted from 1) and in `c` the shared features and `_multi`, the actions'.
    width : int
        How many numbers the features of context and of items are hashed to, each.
    chunk : int
        How many lines are read at a time.

    Returns
    -------
    Imported
        An item is named by its features and its `_tag` as JSON; requests by `EventId`, else by the
        line's number. Users are not known: each request is its own.

    Raises
    ------
    LogFormatError
        While it is read: naming the line that is not JSON, lacks a field, was logged by another
        kind of problem (`_slots`), or was subsampled (`pdrop` above 0).
    """
    return Imported(partial(_read, path, width, chunk))


def _read(path: Path, width: int, chunk: int) -> Iterator[Outcomes]:
    with path.open(encoding="utf-8") as lines:
        rows = (
            _row(line, ordinal, f"{path.name}, line {ordinal}", width)
            for ordinal, line in enumerate(lines, start=1)
            if line.strip()
        )
        yield from in_chunks(rows, chunk, "vw")


def _row(line: str, ordinal: int, where: str, width: int) -> Row:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise LogFormatError(f"{where} is no JSON: {error}") from error
    if not isinstance(record, dict):
        raise LogFormatError(f"{where} is no JSON object")
    if number(record.get("pdrop", 0.0), "pdrop", where) > 0.0:
        raise LogFormatError(f"{where}: events were dropped at random (pdrop), which is not undone")
    context = field(record, "c", where)
    if not isinstance(context, dict) or "_slots" in context:
        raise LogFormatError(f"{where}: only contextual bandits can be read, no CCB and no slates")
    actions = field(context, "_multi", f"{where}: c")
    if not isinstance(actions, list) or not all(isinstance(a, dict) for a in actions):
        raise LogFormatError(f"{where}: _multi must be a list of objects")
    shown = field(record, "_label_Action", where)
    if type(shown) is not int or not 1 <= shown <= len(actions):
        raise LogFormatError(
            f"{where}: _label_Action is {shown!r}, but there are actions 1 to {len(actions)}"
        )
    names = [_name(action) for action in actions]
    if len(set(names)) != len(names):
        raise LogFormatError(f"{where}: two actions are the same, tell them apart by _tag")
    cost = number(field(record, "_label_cost", where), "_label_cost", where)
    logged = field(record, "_label_probability", where)
    return Row(
        key=key_of(str(record.get("EventId", f"line {ordinal}"))),
        time=_time(record.get("Timestamp"), ordinal, where),
        context=hashed(_public(context), width, where),
        items=[
            (name, hashed(_public(action), width, where))
            for name, action in zip(names, actions, strict=True)
        ],
        shown=shown - 1,
        propensity=probability(logged, "_label_probability", where),
        reward=-cost,
    )


def _public(record: dict[str, Any]) -> dict[str, Any]:
    """Return the features among an object's fields: those that begin with _ mean something else."""
    return {name: value for name, value in record.items() if not name.startswith("_")}


def _name(action: dict[str, Any]) -> str:
    tag = {"_tag": action["_tag"]} if "_tag" in action else {}
    return json.dumps(_public(action) | tag, sort_keys=True)


def _time(stamp: object, ordinal: int, where: str) -> int:
    """Return a timestamp in milliseconds, in UTC where it does not say; the line's number if none.

    A fraction of a second may have more digits than a microsecond has.
    """
    if stamp is None:
        return ordinal
    try:
        whole, _, rest = str(stamp).partition(".")
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        fraction = f".{digits[:6]:0<6}" if digits else ""
        moment = datetime.fromisoformat(whole + fraction + rest[len(digits) :])
    except ValueError as error:
        raise LogFormatError(f"{where}: {stamp!r} is no timestamp") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
