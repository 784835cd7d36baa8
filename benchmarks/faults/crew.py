"""Workers in processes of their own, which die when they are told to and are missed when not.

This module is also what those processes run.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kafka import KafkaConsumer, TopicPartition

from agents import from_spec
from benchmarks.faults.told import CONFIG, PATIENCE, SPEC, FaultError, Told
from streaming import Worker
from streaming.transport import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streaming import Transport


@dataclass(frozen=True)
class Cluster:
    """A broker, and the client that speaks to it."""

    servers: str
    client: str

    def connect(self) -> Transport:
        """Return a transport."""
        return connect(self.servers, client=self.client)


class Crew:
    """The workers of one loop."""

    def __init__(self, cluster: Cluster, told: Told) -> None:
        self.told = told
        self._cluster = cluster
        self._working: dict[subprocess.Popen[bytes], tuple[str, dict[str, Any]]] = {}

    def start(self, worker: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a worker under a name, or as somebody new if that is empty."""
        given = {"prefix": self.told.config.prefix, "worker": worker, **options}
        command = [sys.executable, "-m", __name__, self._cluster.servers, self._cluster.client]
        process = subprocess.Popen([*command, json.dumps(given)])  # noqa: S603  (this very module)
        self._working[process] = worker, options
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Let a worker die this very moment."""
        del self._working[process]
        process.kill()
        process.wait()

    def die(self, worker: str, step: str) -> None:
        """Start a worker that dies after a step, and wait until it has."""
        process = self.start(worker, die=step)
        process.wait(PATIENCE)
        del self._working[process]

    def stop(self, *processes: subprocess.Popen[bytes]) -> None:
        """Let workers, or all there are, end their batch and leave."""
        for process in processes or tuple(self._working):
            del self._working[process]
            process.terminate()
            process.wait(PATIENCE)  # who is joining the group just then stops when it is in

    def pause(self) -> None:
        """Wait until nobody has anything to work, to tell, or open."""
        deadline = time.monotonic() + PATIENCE
        while True:
            self.told.wait(self.mend)
            self.told.rest()
            if self._all_ended():
                return
            if time.monotonic() > deadline:
                raise FaultError(f"a transaction is open after {PATIENCE:g} s")

    def _all_ended(self) -> bool:
        """Return whether no transaction is open: what is written may be read."""
        readable, written = (
            KafkaConsumer(bootstrap_servers=self._cluster.servers, isolation_level=level)
            for level in ("read_committed", "read_uncommitted")
        )
        with closing(readable), closing(written):
            places = [
                TopicPartition(spec.name, partition)
                for spec in self.told.topics.specs(self.told.config.partitions)
                for partition in range(spec.partitions)
            ]
            ends = readable.end_offsets(places)
            return bool(ends == written.end_offsets(places))

    def look(self) -> None:
        """Raise that a worker has ended, if one has that nobody asked to."""
        for process in self._working:
            if process.poll() is not None:
                raise FaultError(f"a worker ended by itself, with {process.returncode}")

    def mend(self) -> None:
        """Start those again who have given up."""
        for process, (worker, options) in list(self._working.items()):
            if process.poll() is not None:
                del self._working[process]
                self.start(worker, **options)

    def finish(self) -> None:
        """Let everything close and be worked, and stop the workers."""
        self.told.settle(self.look)
        self.stop()

    def close(self) -> None:
        """Let nobody outlive this."""
        for process in tuple(self._working):
            self.kill(process)


@contextmanager
def crew_of(cluster: Cluster, name: str) -> Iterator[Crew]:
    """Yield who works a loop of this name; the names of two clients' loops differ."""
    config = replace(CONFIG, prefix=f"{cluster.client}.{name}.")
    with (
        closing(cluster.connect()) as transport,
        closing(Crew(cluster, Told(transport, config))) as crew,
    ):
        yield crew


def work(cluster: Cluster, options: dict[str, Any]) -> None:
    """Work until told to stop by SIGTERM, or until a step after which to die."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    if options.get("no_disk"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    def reached(step: str) -> None:
        if step == options.get("die"):
            os.kill(os.getpid(), signal.SIGKILL)

    config = replace(CONFIG, prefix=options["prefix"], worker=options["worker"])
    with (
        closing(cluster.connect()) as transport,
        closing(Worker(transport, lambda: from_spec(SPEC), config, reached=reached)) as worker,
    ):
        worker.run(stop)


if __name__ == "__main__":
    work(Cluster(*sys.argv[1:3]), json.loads(sys.argv[3]))
