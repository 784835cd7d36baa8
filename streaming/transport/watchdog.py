"""Ends the process when a call that cannot be interrupted hangs.

A client library that waits for a broker without a time limit turns a lost answer into a worker that
neither works nor dies, while its partitions wait for it. A dead worker is better: its supervisor
starts another, which fences it and goes on from the last commit.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from threading import Timer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXIT_CODE = 75
"""What a hung process ends with: EX_TEMPFAIL of sysexits.h, "try again"."""


def end_process(message: str) -> None:
    """Say why, and end at once: no handler, no `finally`, nothing that could hang as well."""
    print(f"recloop: {message}", file=sys.stderr, flush=True)
    os._exit(EXIT_CODE)


class Watchdog:
    """Watches over calls.

    Parameters
    ----------
    limit : float
        Seconds that a call may take.
    action : callable, optional
        What is done with the message when one takes longer.
    """

    def __init__(self, limit: float, action: Callable[[str], None] = end_process) -> None:
        self._limit = limit
        self._action = action

    @contextmanager
    def over(self, call: str) -> Iterator[None]:
        """Watch over a block of code that is named `call` in the message."""
        message = (
            f"{call} has not come back within {self._limit:g} s; ending the process, so that "
            "another can go on from the last commit"
        )
        timer = Timer(self._limit, self._action, [message])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
