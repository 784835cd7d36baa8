"""What all importers share: outcomes built from rows, in chunks that can be read again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from math import isfinite
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np

from agents.api import PAD, Catalogue, Decisions, Outcomes, RecloopError, Requests, key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from agents.api import Floats

T = TypeVar("T")
Vector: TypeAlias = "NDArray[np.float32]"

WIDTH = 64
"""How many numbers hashed features are spread over, by default."""


class LogFormatError(RecloopError, ValueError):
    """A log of another tool that can't be read; the message names the line and what it lacks."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A log in chunks, as often as it is iterated over.

    Parameters
    ----------
    read : callable
        Starts reading from the beginning.
    """

    read: Callable[[], Iterator[Outcomes]]

    def __iter__(self) -> Iterator[Outcomes]:
        return self.read()


@dataclass(frozen=True, slots=True)
class Row:
    """One decision of another tool's log.

    Parameters
    ----------
    key : int
        The request's key.
    time : int
        Milliseconds since the epoch.
    context : float32 [D]
    items : sequence of (str, float32 [F])
        Name and features of each candidate.
    shown : int
        Which of the candidates was shown.
    propensity, reward : float
    """

    key: int
    time: int
    context: Vector
    items: Sequence[tuple[str, Vector]]
    shown: int
    propensity: float
    reward: float


def in_chunks(rows: Iterable[Row], size: int, policy: str) -> Iterator[Outcomes]:
    """Yield rows as outcomes of slates of one slot, `size` of them at a time.

    The catalogue of a chunk is what was on offer in it.
    """
    flowing = iter(rows)
    while part := list(islice(flowing, size)):
        yield _outcomes(part, policy)


def _outcomes(rows: Sequence[Row], policy: str) -> Outcomes:
    features: dict[str, Vector] = {}
    for row in rows:
        features.update(row.items)
    at = {name: number for number, name in enumerate(features)}
    widest = max(len(row.items) for row in rows)
    candidates = np.full((len(rows), widest), PAD, dtype=np.int64)
    for b, row in enumerate(rows):
        candidates[b, : len(row.items)] = [at[name] for name, _ in row.items]
    n = len(rows)
    keys = np.array([row.key for row in rows], dtype=np.uint64)
    time = np.array([row.time for row in rows], dtype=np.int64)
    requests = Requests(
        keys=keys,
        users=keys,
        context=np.stack([row.context for row in rows]),
        candidates=candidates,
        items=Catalogue.of(tuple(features), np.stack(list(features.values()))),
        positions=np.zeros((n, 1), dtype=np.int64),
        time=time,
    )
    shown = np.array([[row.shown] for row in rows])
    propensities = np.array([[row.propensity] for row in rows], dtype=np.float64)
    decisions = Decisions(
        np.take_along_axis(candidates, shown, axis=1), propensities, np.zeros(n, np.int64), policy
    )
    rewards = np.array([[row.reward] for row in rows], dtype=np.float32)
    return Outcomes(requests, decisions, rewards, np.ones((n, 1), dtype=np.bool_), time)


def field(record: Mapping[str, object], name: str, where: str) -> object:
    """Return a field, or raise a `LogFormatError` that says where it is missing."""
    if name in record:
        return record[name]
    near = get_close_matches(name, [str(known) for known in record], n=1)
    hint = f" (it has {near[0]!r})" if near else ""
    raise LogFormatError(f"{where} has no {name!r}{hint}")


def number(value: object, name: str, where: str) -> float:
    """Return a finite number, or raise a `LogFormatError`."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise LogFormatError(f"{where}: {name} must be a number, not {value!r}")
    if not isfinite(value):
        raise LogFormatError(f"{where}: {name} is {value}")
    return float(value)


def probability(value: object, name: str, where: str) -> float:
    """Return a number in (0, 1], or raise a `LogFormatError`."""
    found = number(value, name, where)
    if not 0.0 < found <= 1.0:
        raise LogFormatError(f"{where}: {name} is {found}, but what was shown has one in (0, 1]")
    return found


def hashed(value: object, width: int, where: str) -> Vector:
    """Return whatever JSON can say as a feature vector (Weinberger et al. 2009).

    A number stands at the hash of its path, a text is 1 at the hash of path and text; another bit
    of the hash gives the sign, so that what collides cancels on average.

    Parameters
    ----------
    value : None, bool, number, str, or lists and mappings of them
    width : int
        How many numbers the vector has.
    where : str
        What an error names.

    Returns
    -------
    float32 [width]
    """
    out = np.zeros(width, dtype=np.float32)
    for name, amount in _leaves(value, "", where):
        key = key_of(name)
        out[key % width] += amount if key >> 63 else -amount
    return out


def _leaves(value: object, path: str, where: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}/{name}", where)
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield from _leaves(inner, f"{path}/{place}", where)
    elif isinstance(value, str):
        yield f"{path}={value}", 1.0
    elif isinstance(value, bool):
        yield path, float(value)
    elif value is not None:
        yield path, number(value, f"feature {path or 'context'}", where)


def dense(value: object, where: str) -> Floats | None:
    """Return a list of numbers as an array, float64 [D]; None if it is anything else."""
    if not isinstance(value, list | tuple | np.ndarray) or not len(value):
        return None
    if not all(isinstance(x, int | float | np.number) for x in value):
        return None
    return np.array([number(float(x), "a feature", where) for x in value])
