"""Runs a command for as long as whoever started this process lives, and not a moment longer.

A process that is killed cannot clean up after itself, so another has to: this one. It holds the
reading end of a pipe; when the other end closes, because it was closed or because its owner died of
whatever cause, or when it is itself told to stop, it ends the command, gently first. It stands on
the standard library alone and is run by its path, so that it starts in milliseconds.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

LOOK_EVERY = 0.1
"""Seconds between looks at whether the command has ended by itself."""


def guard(patience: float, litter: str, command: list[str]) -> int:
    """Run a command until it ends or standard input does, and return its exit code.

    Parameters
    ----------
    patience : float
        Seconds that the command has to end when it is asked to, before it is killed.
    litter : str
        A folder to remove once the command was stopped; none if empty. If it ended by itself, its
        folder says why, to its owner.
    command : list of str
    """
    owner = os.getppid()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _stop)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603  (our own binary)
    try:
        while process.poll() is None and os.getppid() == owner:
            if select.select([sys.stdin], [], [], LOOK_EVERY)[0] and not os.read(0, 1):
                break
    finally:
        by_itself = process.poll() is not None
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if litter and not by_itself:
            shutil.rmtree(litter, ignore_errors=True)
    return process.returncode


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(guard(float(sys.argv[1]), sys.argv[2], sys.argv[3:]))
