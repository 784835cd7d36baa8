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

    Attributes
    ----------
    value : int
        The watermark in milliseconds since the epoch; the floor before a quorum.
    """

    __slots__ = ("_lateness", "_quorum", "newest", "value")

    def __init__(self, quorum: int, lateness: int, newest: list[int], floor: int = NEVER) -> None:
        self._quorum, self._lateness, self.newest, self.value = quorum, lateness, newest, floor
        del newest[:-quorum]
        self._move()

    def observe(self, time: int) -> None:
        """Take notice of an event's time. An event must be observed once only."""
        newest = self.newest
        if len(newest) < self._quorum:
            insort(newest, time)
            self._move()
        elif time > newest[0]:
            del newest[0]
            if not newest or time >= newest[-1]:
                newest.append(time)
            else:
                insort(newest, time)
            believed = newest[0] - self._lateness
            if believed > self.value:
                self.value = believed

    def advance(self, time: int) -> None:
        """Move to at least here, though no event claims it."""
        self.value = max(self.value, time)

    def _move(self) -> None:
        if len(self.newest) == self._quorum:
            self.value = max(self.value, self.newest[0] - self._lateness)
