"""A Kafka broker of one's own, for as long as a block of code runs.

It is noida-db, a small binary from PyPI that speaks Kafka's protocol. It is for trying out,
developing and testing: it saves its data a moment after it has acknowledged it, so killing the
broker itself can lose the newest records. Production is a Kafka cluster.

The binary is started directly, not through its Python wrapper, and watched over by `guard`, so that
it ends with this process even if this process is killed. Its output goes to a file.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from streaming.transport import guard
from streaming.transport.api import TransportError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

HOST = "127.0.0.1"
_ATTEMPTS = 3
_LOG_TAIL = 15


class EmbeddedBroker:
    """A broker on this machine, started by `start` or by `with`.

    Parameters
    ----------
    data_dir : path, optional
        Where it keeps its data from one start to the next, and its log. A temporary folder, removed
        afterwards, if not given.
    port : int, optional
        A free one if not given.
    patience : float
        Seconds that it has to be ready after its start, and to save its data when it is stopped. A
        temporary folder's data are not worth waiting for.
    """

    def __init__(
        self, data_dir: Path | None = None, port: int | None = None, patience: float = 30.0
    ) -> None:
        self._given_dir, self._given_port = data_dir, port
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None
        self.data_dir = Path()
        self.port = 0

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect to."""
        return f"{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        """What the broker has to say."""
        return self.data_dir / "broker.log"

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises
        ------
        TransportError
            If there is no binary for this machine, or it does not come up.
        """
        binary = _binary()
        if self._given_dir is None:
            self.data_dir = Path(tempfile.mkdtemp(prefix="recloop-broker-"))
        else:
            self.data_dir = self._given_dir
            self.data_dir.mkdir(parents=True, exist_ok=True)
        atexit.register(self.stop)
        try:
            for attempt in range(1, _ATTEMPTS + 1):
                if self._launch(binary):
                    return
                if self._given_port is not None or attempt == _ATTEMPTS:
                    raise TransportError(
                        f"the embedded broker ended by itself on port {self.port}; the end of its "
                        f"log was:\n{self._log_tail()}"
                    )
        except BaseException:
            self.stop()
            raise

    def _launch(self, binary: Path) -> bool:
        """Start the process; return whether it came up. It may lose a race for its port."""
        self.port = self._given_port or _free_port()
        kept = self._given_dir is not None
        guarding = (str(self._patience), "") if kept else ("0", str(self.data_dir))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  (our own binary)
                [
                    *(sys.executable, "-I", guard.__file__, *guarding, str(binary)),
                    *("start", "--only", "kafka", "--kafka-port", str(self.port)),
                    *("--host", HOST, "--data-dir", str(self.data_dir)),
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + self._patience
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                return False
            with suppress(OSError), socket.create_connection((HOST, self.port), timeout=1.0):
                return True
            time.sleep(0.02)
        raise TransportError(
            f"the embedded broker did not answer on port {self.port} within {self._patience:g} s; "
            f"the end of its log was:\n{self._log_tail()}"
        )

    def check(self) -> None:
        """See that it still runs.

        Raises
        ------
        TransportError
            If it was started and has ended by itself.
        """
        if self._process is not None and self._process.poll() is not None:
            raise TransportError(
                f"the embedded broker on port {self.port} has ended by itself; the end of its log "
                f"was:\n{self._log_tail()}"
            )

    def stop(self) -> None:
        """Stop it and wait until it has ended; a temporary folder is gone then."""
        atexit.unregister(self.stop)
        process, self._process = self._process, None
        if process is not None:
            self._end(process)
        if self._given_dir is None and self.data_dir != Path():
            shutil.rmtree(self.data_dir, ignore_errors=True)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Let the guard stop the broker, and make sure that neither is left."""
        assert process.stdin is not None
        process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(self._patience + 5.0)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(f"  {line}" for line in lines[-_LOG_TAIL:]) or "  (empty)"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _binary() -> Path:
    """Return the broker's binary, made executable where installing it lost that."""
    try:
        path = Path(str(files("noida_db"))) / "noida-db"
    except ModuleNotFoundError:
        path = Path()
    if not path.is_file():
        raise TransportError(
            "the embedded broker (noida-db) is not installed for this machine: install it with "
            "`pip install noida-db`, or point --bootstrap-servers at a Kafka of your own"
        )
    if not os.access(path, os.X_OK):
        path.chmod(0o755)
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
