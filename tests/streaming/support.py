"""What the tests of the live loop share: short ways to write events and records down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streaming.events import (
    Field,
    InteractionEvent,
    RankedItem,
    RankingEvent,
    UserEvent,
    encode,
)
from streaming.slates import RefusedError
from streaming.state import OpenRanking
from streaming.transport.api import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streaming.join import Feedback
    from streaming.state import UserState

PRODUCED = 10**12
"""When every record of the tests was produced: long after its event."""


def user(name: str, id: str, time: int, **fields: float | str | list[str | float]) -> UserEvent:
    named = [Field(key, value) for key, value in fields.items()]
    return UserEvent(id=id, timestamp=time, user=name, fields=named)


def ranking(name: str, id: str, time: int, *items: str) -> RankingEvent:
    return RankingEvent(
        id=id, timestamp=time, user=name, items=[RankedItem(item) for item in items or ("a", "b")]
    )


def interaction(
    name: str,
    id: str,
    time: int,
    shown: str,
    item: str = "a",
    type: str = "click",
    value: float = 1.0,
) -> InteractionEvent:
    return InteractionEvent(
        id=id, timestamp=time, user=name, ranking=shown, item=item, type=type, value=value
    )


def record_of(event: Feedback, offset: int = 0, partition: int = 0) -> Record:
    return Record(
        "feedback", partition, offset, event.user.encode(), encode(event), timestamp=PRODUCED
    )


class PlainOpener:
    """Opens rankings of known items, without features or decisions."""

    def __init__(self, items: Sequence[str] = ("a", "b", "c")) -> None:
        self.items = set(items)

    def opened(self, event: RankingEvent, user: UserState) -> OpenRanking:
        for item in event.items:
            if item.id not in self.items:
                raise RefusedError("unknown-item", f"item {item.id!r} is not in the catalogue")
        return OpenRanking(
            id=event.id,
            time=event.time,
            session=event.session,
            key=0,
            context=b"",
            items=[item.id for item in event.items],
            features=b"",
            positions=list(range(len(event.items))),
            propensities=None,
            seen=[item.seen for item in event.items],
            policy="test",
            version=0,
            candidates=None,
        )

    def context(self, fields: Sequence[Field]) -> bytes:
        return b""
