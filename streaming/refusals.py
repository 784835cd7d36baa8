"""Why a valid event cannot be used: in a word to count by, and in words to act on.

Whoever takes events in raises these; each becomes a dead letter.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from agents.api import RecloopError

if TYPE_CHECKING:
    from streaming.events import Feedback


class RefusedError(RecloopError):
    """A valid event that cannot be used; the message is the dead letter's reason.

    Parameters
    ----------
    kind : str
        The reason in a word, to count by.
    reason : str
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


def ahead(event: Feedback, produced: int) -> RefusedError:
    """Return that an event's time is too far ahead of when it was produced."""
    return RefusedError(
        "ahead",
        f"timestamp {event.timestamp!r} is {_span(event.time - produced)} ahead of when "
        "it was produced: is the sender's clock right?",
    )


def too_late(event: Feedback, now: int, horizon: int) -> RefusedError:
    """Return that an event's time is past the horizon of what is remembered."""
    return RefusedError(
        "too-late",
        f"timestamp {event.timestamp!r} is {_span(now - event.time)} behind, more than the "
        f"{_span(horizon)} for which events are remembered",
    )


def too_long(items: int, allowed: int) -> RefusedError:
    """Return that a ranking shows more items than one may."""
    return RefusedError(
        "overflow", f"{items} items are too many for one ranking: {allowed} are allowed"
    )


def too_large(user: str, allowed: int) -> RefusedError:
    """Return that a user's state would grow beyond its bound."""
    return RefusedError("overflow", f"user {user!r} has more open than {allowed} bytes hold")


def too_many(ranking: str, allowed: int) -> RefusedError:
    """Return that a ranking has collected as many rewarded interactions as it may."""
    return RefusedError(
        "overflow",
        f"ranking {ranking!r} has {allowed} rewarded interactions, as many as are counted",
    )


def unknown_item(item: str) -> RefusedError:
    """Return that a ranking shows what is not in the catalogue."""
    return RefusedError(
        "unknown-item", f"item {item!r} is not in the catalogue: announce it on `items`"
    )


def not_shown(item: str, ranking: str) -> RefusedError:
    """Return that an interaction is with an item that its ranking does not show."""
    return RefusedError("not-in-ranking", f"item {item!r} is not in ranking {ranking!r}")


def shown_too_late(ranking: str, window: int) -> RefusedError:
    """Return that a ranking came when its attribution window had passed."""
    return RefusedError(
        "after-window",
        f"ranking {ranking!r} came after its attribution window of {_span(window)} had passed",
    )


def after_window(ranking: str, window: int) -> RefusedError:
    """Return that an interaction came when the window of its type had passed."""
    return RefusedError(
        "after-window",
        f"interaction with ranking {ranking!r} after its attribution window of {_span(window)}",
    )


def without_ranking(ranking: str, window: int) -> RefusedError:
    """Return that the ranking of an interaction did not come."""
    return RefusedError(
        "no-ranking",
        f"interaction without its ranking: no {ranking!r} of this user within the "
        f"attribution window of {_span(window)}",
    )


def _span(milliseconds: int) -> str:
    """Return a length of time for people."""
    return str(timedelta(seconds=milliseconds // 1000))
