"""From the fields of events to the fixed-width vectors that policies read.

A schema declares which fields count and how wide each one is, once, before anything has been seen:
so a vector means the same today and in a log of last year, on every worker, and nothing grows with
the data. It is written as text (`age,score:number,history:numbers(25),color:category(16)`) or as
JSON, and what it does not declare is ignored.
"""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import numpy as np

from agents.api import RecloopError, key_of
from streaming.events import BadEventError, Field, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    Vector: TypeAlias = NDArray[np.float32]

_WIDTH_NAMES = {"number": None, "boolean": None, "numbers": "length", "category": "buckets"}
_LARGEST = 1e15
"""Larger than any time or count; beyond it products of two features, squared, are infinite."""

_FEATURE = re.compile(
    r"(?P<name>[^:()]+?)\s*(?::\s*(?P<kind>\w+)\s*(?:\(\s*(?P<width>\d+)\s*\))?)?"
)


class SchemaError(RecloopError):
    """A declaration of features that cannot be read."""


class Feature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One declared field.

    Parameters
    ----------
    name : str
        The field's name in events.
    kind : str
        `number` and `boolean` are one number wide. `numbers` is a list of `width` numbers.
        `category` counts how many of the field's strings (one, or a list) fall into each of `width`
        buckets, by their hash.
    width : int
        How many numbers it makes.
    """

    name: str
    kind: str = "number"
    width: int = 1


@dataclass(frozen=True, slots=True)
class Schema:
    """The declared fields, in the order of their numbers.

    Parameters
    ----------
    features : tuple of Feature

    Raises
    ------
    SchemaError
        If a name occurs twice, a kind is unknown, or a width is not possible.
    """

    features: tuple[Feature, ...] = ()

    def __post_init__(self) -> None:
        names = set()
        for feature in self.features:
            _check(feature)
            if feature.name in names:
                raise SchemaError(f"feature {feature.name!r} is declared twice")
            names.add(feature.name)

    @classmethod
    def parse(cls, text: str) -> Schema:
        """Return the schema that a text declares, in either of its forms.

        Parameters
        ----------
        text : str
            `name`, `name:kind` or `name:kind(width)`, between commas; or a JSON list of objects
            with `name`, `kind` and `width`. Empty text declares nothing.

        Raises
        ------
        SchemaError
            If it cannot be read.
        """
        text = text.strip()
        if text.startswith("["):
            try:
                return cls(msgspec.json.decode(text, type=tuple[Feature, ...]))
            except msgspec.MsgspecError as error:
                raise SchemaError(f"features: {error}") from None
        return cls(tuple(_parse(part.strip()) for part in text.split(",")) if text else ())

    def __str__(self) -> str:
        return ",".join(_text(feature) for feature in self.features)

    @property
    def width(self) -> int:
        """How many numbers a vector has."""
        return sum(feature.width for feature in self.features)

    @property
    def columns(self) -> tuple[str, ...]:
        """What each number of a vector is, for people."""
        return tuple(
            feature.name if feature.width == 1 else f"{feature.name}[{i}]"
            for feature in self.features
            for i in range(feature.width)
        )

    def encode(self, fields: Iterable[Field]) -> Vector:
        """Return the vector of an event's fields: float32 [width], 0 where one is missing.

        Parameters
        ----------
        fields : iterable of Field
            Of two fields of the same name the later counts: so a ranking's own fields are laid over
            its user's by giving both.

        Raises
        ------
        BadEventError
            If a field has not the declared type or length, or a number is beyond ±1e15: one such
            number would be the end of most models.
        """
        return np.frombuffer(self._numbers(fields), dtype=np.float32)

    def pack(self, fields: Iterable[Field]) -> bytes:
        """Return the vector of an event's fields as its bytes; see `encode`."""
        return self._numbers(fields).tobytes()

    def _numbers(self, fields: Iterable[Field]) -> array[float]:
        given = {field.name: field.value for field in fields}
        numbers = array("f")
        for feature in self.features:
            value = given.get(feature.name)
            numbers.extend(
                [0.0] * feature.width if value is None else _ENCODERS[feature.kind](feature, value)
            )
        return numbers


def _parse(part: str) -> Feature:
    match = _FEATURE.fullmatch(part)
    if match is None:
        raise SchemaError(f"feature {part!r} is not written as name, name:kind or name:kind(width)")
    kind, width = match["kind"] or "number", match["width"]
    if width is None and _WIDTH_NAMES.get(kind) is not None:
        raise SchemaError(f"feature {part!r} needs its {_WIDTH_NAMES[kind]}: {part}(16), say")
    return Feature(match["name"], kind, int(width or 1))


def _check(feature: Feature) -> None:
    if not _FEATURE.fullmatch(feature.name) or ":" in feature.name or "," in feature.name:
        raise SchemaError(f"{feature.name!r} is no name for a feature: no commas, colons, brackets")
    if feature.kind not in _WIDTH_NAMES:
        near = get_close_matches(feature.kind, _WIDTH_NAMES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(_WIDTH_NAMES)}"
        raise SchemaError(f"feature {feature.name!r} is of unknown kind {feature.kind!r}; {hint}")
    if feature.width < 1:
        raise SchemaError(f"feature {feature.name!r} must be at least 1 wide, not {feature.width}")
    if _WIDTH_NAMES[feature.kind] is None and feature.width != 1:
        raise SchemaError(f"feature {feature.name!r} is a {feature.kind}, which takes no width")


def _text(feature: Feature) -> str:
    width = f"({feature.width})" if _WIDTH_NAMES[feature.kind] else ""
    return f"{feature.name}:{feature.kind}{width}"


def _number(feature: Feature, value: Value) -> list[float]:
    if isinstance(value, str | list):
        raise _mismatch(feature, "a number", value)
    return _checked(feature, [float(value)])


def _boolean(feature: Feature, value: Value) -> list[float]:
    if not isinstance(value, bool):
        raise _mismatch(feature, "true or false", value)
    return [float(value)]


def _numbers(feature: Feature, value: Value) -> list[float]:
    if not isinstance(value, list) or str in map(type, value):
        raise _mismatch(feature, f"a list of {feature.width} numbers", value)
    if len(value) != feature.width:
        raise BadEventError(
            f"field {feature.name!r} must be {feature.width} numbers long, not {len(value)}"
        )
    return _checked(feature, [float(number) for number in value])


def _category(feature: Feature, value: Value) -> list[float]:
    strings = [value] if isinstance(value, str) else value
    if not isinstance(strings, list):
        raise _mismatch(feature, "a string or a list of strings", value)
    counts = [0.0] * feature.width
    for string in strings:
        if not isinstance(string, str):
            raise _mismatch(feature, "a string or a list of strings", value)
        counts[key_of(string) % feature.width] += 1.0
    return counts


_ENCODERS: dict[str, Callable[[Feature, Value], list[float]]] = {
    "number": _number,
    "boolean": _boolean,
    "numbers": _numbers,
    "category": _category,
}


def _checked(feature: Feature, numbers: list[float]) -> list[float]:
    for number in numbers:
        if not abs(number) <= _LARGEST:
            raise BadEventError(
                f"field {feature.name!r} holds {number:g}: no more than ±{_LARGEST:g} is allowed"
            )
    return numbers


def _mismatch(feature: Feature, wanted: str, value: Value) -> BadEventError:
    shown = repr(value) if len(repr(value)) <= 40 else f"{repr(value)[:40]}…"
    return BadEventError(f"field {feature.name!r} must be {wanted}, not {shown}")
