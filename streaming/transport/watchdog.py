"""Ends the process when a call that cannot be interrupted hangs.

A client library that waits for a broker without a time limit turns a lost answer into a worker that
neither works nor dies, while its partitions wait for it. A dead worker is better: its supervisor
starts another, which fences it and goes on from the last commit.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from threading import Lock, Thread
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
    """Watches over calls, on one thread for all of them: starting one for each takes too long.

    The thread sleeps until the oldest call's time is up. Every call has the same time, so those
    that begin meanwhile need not wake it; it ends when it wakes and there is none.

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
        self._lock = Lock()
        self._calls: dict[object, tuple[float, str]] = {}
        self._watching = False

    @contextmanager
    def over(self, call: str) -> Iterator[None]:
        """Watch over a block of code that is named `call` in the message."""
        key = object()
        with self._lock:
            self._calls[key] = time.monotonic() + self._limit, call
            if not self._watching:
                self._watching = True
                Thread(target=self._watch, name="watchdog", daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                self._calls.pop(key, None)

    def _watch(self) -> None:
        pause = self._limit
        while True:
            time.sleep(pause)
            with self._lock:
                if not self._calls:
                    self._watching = False
                    return
                key, (until, call) = next(iter(self._calls.items()))
                pause = max(0.0, until - time.monotonic())
                if not pause:
                    del self._calls[key]
            if not pause:
                self._action(
                    f"{call} has not come back within {self._limit:g} s; ending the process, so "
                    "that another can go on from the last commit"
                )
