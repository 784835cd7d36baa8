"""The catalogue as the `items` topic tells it.

The topic is the truth and this is its fold: the same records in the same order make the same
catalogue, in one batch or in many. Items stand in the order in which they were first announced
among the records read. An item that is taken away stays known, so that slates which showed it can
still be read, but is not shown again until it is announced again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from agents.api import Catalogue, keys_of
from streaming.events import BadEventError, ItemEvent, decode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from streaming.features import Schema
    from streaming.transport.api import Record


class Refused(NamedTuple):
    """A record that could not be used, and why: what a dead letter is made of."""

    record: Record
    reason: str


class CatalogueFold:
    """Keeps a catalogue up with the records of the `items` topic.

    Parameters
    ----------
    schema : Schema
        Which fields of an item are its features.

    Attributes
    ----------
    catalogue : Catalogue
        The items now. The object is another one only if something changed, so whoever caches by its
        identity computes anew exactly when it must.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self.catalogue = Catalogue.empty(schema.width)

    def apply(self, records: Iterable[Record]) -> list[Refused]:
        """Take over the facts of some records, in their order.

        Parameters
        ----------
        records : iterable of Record
            Item events keyed by their item; a tombstone takes its item away.

        Returns
        -------
        list of Refused
            The records that are no such thing.
        """
        refused: list[Refused] = []
        features: dict[str, NDArray[np.float32]] = {}
        available: dict[str, bool] = {}
        for record in records:
            try:
                name, vector = self._read(record)
            except BadEventError as error:
                refused.append(Refused(record, str(error)))
                continue
            available[name] = vector is not None
            if vector is not None:
                features[name] = vector
        if available:
            self._change(features, [name for name, there in available.items() if not there])
        return refused

    def _read(self, record: Record) -> tuple[str, NDArray[np.float32] | None]:
        """Return what a record says: an item's name, and its features unless it is gone."""
        key = _text(record.key)
        if record.value is None:
            return key, None
        event = decode(record.value)
        if not isinstance(event, ItemEvent):
            raise BadEventError("only item events belong on the items topic")
        if event.item != key:
            raise BadEventError(f"the event of item {event.item!r} is keyed {key!r}: key it alike")
        return key, self._schema.encode(event.fields)

    def _change(self, features: dict[str, NDArray[np.float32]], gone: list[str]) -> None:
        old = new = self.catalogue
        if features:
            new = new.with_items(list(features), np.stack(list(features.values())))
        new = new.without(keys_of(gone))
        if not (
            len(new) == len(old)
            and np.array_equal(new.features, old.features)
            and np.array_equal(new.available, old.available)
        ):
            self.catalogue = new


def _text(key: bytes | None) -> str:
    if key is None:
        raise BadEventError("a record of the items topic needs its item as key")
    try:
        return key.decode()
    except UnicodeDecodeError:
        raise BadEventError("the key is not UTF-8 text") from None
