"""Rankings and requests read against the catalogue of the moment: the features at both ends.

What a ranking event leaves out (context, probabilities, which policy) is looked up in what was
issued to its user; what nobody knows is left open, never guessed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.api import Requests
from agents.streams import derive
from streaming.names import key_named, name_of
from streaming.refusals import unknown_item
from streaming.state import OpenRanking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agents.api import Catalogue
    from streaming.events import Field, RankingEvent
    from streaming.features import Schema
    from streaming.state import Issued, UserState

UNKNOWN_POLICY = "unknown"
"""What a ranking's policy is called if nobody said."""

_CONTEXTS = 20_000
"""How many users' contexts are kept ready."""


class Slates:
    """What slates are made of at the moment: items, and the features of whoever asks.

    Parameters
    ----------
    catalogue : Catalogue
        With names.
    schema : Schema
        The features of users and situations.
    slate_size : int
        How many items a decision of ours shows.
    """

    def __init__(self, catalogue: Catalogue, schema: Schema, slate_size: int) -> None:
        self.catalogue = catalogue
        self.fingerprint = name_of(catalogue.fingerprint())
        self._names: tuple[str, ...] = catalogue.names or ()
        self._rows = {name: row for row, name in enumerate(self._names)}
        self._open = np.flatnonzero(catalogue.available)
        self._features_of_all, self._size = (
            catalogue.features.tobytes(),
            catalogue.features.shape[1] * 4,
        )
        self._contexts: dict[int, tuple[Sequence[Field], bytes]] = {}  # by identity of the fields
        self._schema = schema
        self._slate_size = slate_size

    def __len__(self) -> int:
        """Return how many items can be shown."""
        return len(self._open)

    def knows(self, event: RankingEvent) -> bool:
        """Return whether all items of a ranking are in the catalogue."""
        return self._rows.keys() >= {item.id for item in event.items}

    def opened(self, event: RankingEvent, user: UserState) -> OpenRanking:
        """Return a ranking as shown, completed by what was issued to its user.

        Raises
        ------
        RefusedError
            If an item is not in the catalogue.
        BadEventError
            If a field is not as declared.
        """
        items = [item.id for item in event.items]
        try:
            features = self._features(items)
        except KeyError as unknown:
            raise unknown_item(unknown.args[0]) from None
        issued = _issued(event, items, user)
        if issued is None:
            return self._foreign(event, items, features, user)
        return OpenRanking(
            id=event.id,
            time=event.time,
            session=event.session,
            key=issued.key,
            context=issued.context,
            items=items,
            features=features,
            positions=list(range(len(items))),
            propensities=issued.propensities[: len(items)],
            seen=[item.seen for item in event.items],
            policy=issued.policy,
            version=issued.version,
            candidates=issued.candidates,
            shadow={name: chances[: len(items)] for name, chances in issued.shadow.items()},
            again=issued.ordinal < user.rankings,
        )

    def _foreign(
        self, event: RankingEvent, items: list[str], features: bytes, user: UserState
    ) -> OpenRanking:
        """Open a ranking that somebody else decided.

        Whoever states the probabilities of a slate is taken to have chosen from the catalogue.
        """
        stated = [item.propensity for item in event.items if item.propensity is not None]
        complete = len(stated) == len(items)
        return OpenRanking(
            id=event.id,
            time=event.time,
            session=event.session,
            key=key_named(event.id),
            context=self._context_of(user, event.fields),
            items=items,
            features=features,
            positions=[
                slot if item.position is None else item.position
                for slot, item in enumerate(event.items)
            ],
            propensities=stated if complete else None,
            seen=[item.seen for item in event.items],
            policy=event.policy or UNKNOWN_POLICY,
            version=event.version,
            candidates=self.fingerprint if complete else None,
        )

    def context(self, fields: Sequence[Field]) -> bytes:
        """Return the context that fields make, of two alike the later: float32 [D], as bytes.

        Raises
        ------
        BadEventError
            If a field is not as declared.
        """
        known = self._contexts.get(id(fields))
        if known is None:
            if len(self._contexts) >= _CONTEXTS:
                self._contexts.clear()
            known = self._contexts[id(fields)] = fields, self._schema.pack(fields)
        return known[1]

    def _context_of(self, user: UserState, fields: Sequence[Field] = ()) -> bytes:
        """Return the context of a user, and of a situation laid over it."""
        if fields:
            return self._schema.pack([*user.fields, *fields])
        return self.context(user.fields)

    def _features(self, items: list[str]) -> bytes:
        size, starts = self._size, [self._rows[item] * self._size for item in items]
        return b"".join([self._features_of_all[start : start + size] for start in starts])

    def requests(
        self, names: Sequence[str], users: Sequence[UserState], times: Sequence[int]
    ) -> Requests:
        """Return the next request of every user: key, context and all that is available."""
        keys = np.array([key_named(name) for name in names], dtype=np.uint64)
        lives = np.array([user.life for user in users], dtype=np.uint64)
        ordinals = np.array([user.rankings for user in users], dtype=np.uint64)
        width = self._schema.width
        context = np.frombuffer(
            b"".join([self._context_of(user) for user in users]), dtype=np.float32
        )
        return Requests(
            keys=derive(np.where(lives > 0, derive(keys, lives), keys), ordinals),
            users=keys,
            context=context.reshape(len(users), width).copy(),
            candidates=np.tile(self._open, (len(users), 1)),
            items=self.catalogue,
            positions=np.tile(np.arange(self._slate_size), (len(users), 1)),
            time=np.array(times, dtype=np.int64),
        )

    def rows(self, items: Sequence[str]) -> list[int | None]:
        """Return the row of every item that can be shown now, None for the others."""
        found = (self._rows.get(item) for item in items)
        available = self.catalogue.available
        return [row if row is not None and available[row] else None for row in found]

    def names(self, slate: Sequence[int]) -> list[str]:
        """Return the names of a slate's items."""
        return [self._names[row] for row in slate]


def _issued(event: RankingEvent, items: list[str], user: UserState) -> Issued | None:
    """Return the decision that a ranking shows, whole or its first slots, in time."""
    wanted = event.decision or event.id
    for issued in user.issued:
        if issued.id == wanted:
            fits = items == issued.items[: len(items)] and event.time < issued.expires
            return issued if fits else None
    return None
