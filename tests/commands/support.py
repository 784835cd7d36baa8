"""How a command is given and what it said."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

RUN = Path(__file__).parents[2] / "run.py"
PATIENCE = 60.0


class Said(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one document that `--json` prints."""
        assert self.code == 0, self.err
        found: dict[str, Any] = json.loads(self.out)
        return found


class Running:
    """A command in a process of its own; what it says goes into two files of a folder."""

    def __init__(self, folder: Path, *words: object) -> None:
        self._out, self._err = folder / "out", folder / "err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, str(RUN), *map(str, words)],
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def hear(self, words: str) -> None:
        """Wait until it has said something, in whatever lines."""
        self.until(lambda: words in " ".join(self.heard().split()))

    def heard(self) -> str:
        """Return what it has said so far."""
        return self._out.read_text() + self._err.read_text()

    def until(self, done: Callable[[], bool]) -> None:
        """Wait for something that happens while it runs."""
        deadline = time.monotonic() + PATIENCE
        while not done():
            assert self.process.poll() is None, self._err.read_text()
            assert time.monotonic() < deadline, self._err.read_text()
            time.sleep(0.02)

    def interrupt(self) -> Said:
        """Press Ctrl-C, and wait for the end."""
        self.process.send_signal(signal.SIGINT)
        return self.end()

    def end(self) -> Said:
        """Wait for the end."""
        code = self.process.wait(PATIENCE)
        return Said(code, self._out.read_text(), self._err.read_text())
