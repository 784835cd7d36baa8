"""Two workers beside one, and how soon a killed worker's state is there again.

    .venv/bin/python -m benchmarks.scale [--sessions 10000] [--users 100000] [--client NAME]
        [--restore-only]

Workers are processes of their own over a fresh embedded broker with two partitions. First one, then
two work the same backlog off; beside the rates stands the processor time that the workers used, for
cores that are not there cannot be shared. Then a worker that has taken in `--users` users, each
with a description, is killed with SIGKILL, and what is measured is the time that a new one needs
from its start, its interpreter's included, until it is ready to work.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from agents import from_spec
from benchmarks.feed import START, WIDTH, Feed, announce, config_of, send
from benchmarks.live import CLIENTS, POLICY
from streaming import CONTEXT, UserEvent, Worker
from streaming.events import encode
from streaming.sending import numbers
from streaming.transport import EmbeddedBroker, connect

if TYPE_CHECKING:
    from collections.abc import Iterator

QUIET = 3.0  # seconds without a record: everything is worked


def serve(servers: str, client: str, name: str, share: int) -> None:
    """Join until so many partitions are held; work from a line of input on, until it is quiet."""
    config = config_of("scale.", worker=name)
    with (
        closing(connect(servers, client=client)) as transport,
        closing(Worker(transport, lambda: from_spec(POLICY), config)) as worker,
    ):
        while len(worker.partitions) != share:
            worker.step(0.1)
        print("ready", flush=True)
        sys.stdin.readline()
        began, busy, last, records = time.monotonic(), time.process_time(), time.monotonic(), 0
        spent = 0.0
        while time.monotonic() - last < QUIET:
            worked = worker.step(0.1)
            if worked:
                last, records = time.monotonic(), records + worked
                spent = time.process_time() - busy
        print(json.dumps([records, last - began, spent]), flush=True)
        sys.stdin.readline()


def _start(servers: str, client: str, name: str, share: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.scale", "--serve", servers, client, name]
    return subprocess.Popen(  # noqa: S603  (this module)
        [*command, str(share)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _say(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def _hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def rate(client: str, workers: int, sessions: int) -> tuple[float, float]:
    """Return the events that some workers work off in a second, and in one of processor time."""
    config = config_of("scale.")
    with (
        EmbeddedBroker() as broker,
        closing(connect(broker.bootstrap_servers, client="confluent-kafka")) as transport,
    ):
        announce(transport, config, Feed())
        share = config.partitions // workers
        some = [_start(broker.bootstrap_servers, client, f"w{n}", share) for n in range(workers)]
        for one in some:
            _hear(one)
        events = send(transport, config, Feed().events(sessions))
        for one in some:
            _say(one)
        told = [json.loads(_hear(one)) for one in some]
        for one in some:
            _say(one)
            one.wait(60)
    assert sum(records for records, _, _ in told) == events
    longest, busy = max(wall for _, wall, _ in told), sum(spent for _, _, spent in told)
    return events / longest, events / busy


def _described(users: int) -> Iterator[tuple[str, bytes]]:
    rng = np.random.default_rng(0)
    for n in range(users):
        name, fields = f"user{n}", numbers(CONTEXT, rng.normal(size=WIDTH).astype(np.float32))
        yield name, encode(UserEvent(id=f"e{n}", timestamp=START + n, user=name, fields=fields))


def restore(client: str, users: int) -> tuple[float, float]:
    """Return the seconds in which a worker is ready whose predecessor was killed.

    And those of one that has nothing to restore.
    """
    config = config_of("scale.")
    with (
        EmbeddedBroker() as broker,
        closing(connect(broker.bootstrap_servers, client="confluent-kafka")) as transport,
    ):
        servers = broker.bootstrap_servers
        announce(transport, config, Feed())
        send(transport, config, _described(users))
        began = time.perf_counter()
        first = _start(servers, client, "w", config.partitions)
        _hear(first)
        empty = time.perf_counter() - began
        _say(first)
        assert json.loads(_hear(first))[0] == users
        os.kill(first.pid, 9)
        first.wait(60)
        began = time.perf_counter()
        second = _start(servers, client, "w", config.partitions)
        assert _hear(second) == "ready\n"
        taken = time.perf_counter() - began
        second.kill()
        second.wait(60)
    return taken, empty


def main() -> None:
    """Measure one and two workers, and a restore."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--restore-only", action="store_true")
    parser.add_argument("--client", choices=CLIENTS, action="append")
    parser.add_argument("--serve", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        servers, client, name, share = options.serve
        return serve(servers, client, name, int(share))
    for client in options.client or CLIENTS:
        if not options.restore_only:
            one, two = rate(client, 1, options.sessions), rate(client, 2, options.sessions)
            print(
                f"{client}: one worker {one[0]:,.0f} events/s ({one[1]:,.0f} a second of its "
                f"processor time), two {two[0]:,.0f} ({two[1]:,.0f}): {two[0] / one[0]:.2f} times",
                flush=True,
            )
        taken, empty = restore(client, options.users)
        print(
            f"{client}: {options.users:,} users after a kill in {taken:.1f} s, "
            f"without any {empty:.1f} s",
            flush=True,
        )
    return None


if __name__ == "__main__":
    main()
