"""Event time that one wrong clock cannot move.

A watermark says: nothing older than this is still expected. If the newest timestamp set it, one
event dated next year would close everything that is open. Here time moves to t only when `quorum`
events claim t or later, so fewer than that many absurd timestamps move nothing; and since it is a
function of the set of timestamps seen, the order in which they came does not matter.
"""

from __future__ import annotations

from bisect import insort

NEVER = -(2**62)
"""The watermark before enough events were seen to say anything."""


class Watermark:
    """The `quorum`-th largest timestamp seen, less the lateness that is allowed.

    Parameters
    ----------
    quorum : int
        How many events must claim a time before it is believed.
    lateness : int
        How far behind the believed time an event may come and still be in time, in milliseconds.
    newest : list of int
        The `quorum` largest timestamps seen, the smallest first. The list is kept and changed.
    floor : int
        What the watermark is at least.
    """

    __slots__ = ("floor", "lateness", "newest", "quorum")

    def __init__(self, quorum: int, lateness: int, newest: list[int], floor: int = NEVER) -> None:
        self.quorum, self.lateness, self.newest, self.floor = quorum, lateness, newest, floor

    @property
    def value(self) -> int:
        """The watermark in milliseconds since the epoch; the floor before a quorum."""
        if len(self.newest) < self.quorum:
            return self.floor
        return max(self.floor, self.newest[-self.quorum] - self.lateness)

    def observe(self, time: int) -> None:
        """Take notice of an event's time. An event must be observed once only."""
        if len(self.newest) < self.quorum or time > self.newest[0]:
            insort(self.newest, time)
            del self.newest[: -self.quorum]
