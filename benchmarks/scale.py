"""Two workers beside one, and how soon a killed worker's state is there again.

    .venv/bin/python -m benchmarks.scale [--sessions 10000] [--users 100000] [--client NAME]
        [--restore-only | --rates-only] [--rounds 3]

Workers are processes of their own over a fresh embedded broker with two partitions. First one, then
two work the same backlog off, with two click models: logistic regression, which learns in groups
and is so light that the broker has its share of the cores, and an adaptive random forest, which
learns from one slot at a time and leaves the broker little. Cores that are not there cannot be
shared, so beside the rates stands the processor time that an interaction took of the workers and of
the broker. From one worker's follows how many times as fast two could be at most on the cores there
are; and if two workers take no more of it than one, nothing but cores is lacking.

Then a worker that has taken in `--users` users, each with a description, is killed with SIGKILL,
and what is measured is the time that a new one needs from its start, its interpreter's included,
until it is ready to work.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from threading import Event, Thread
from typing import TYPE_CHECKING, Self

import numpy as np
from river import forest

from agents import from_spec
from benchmarks.feed import START, WIDTH, Feed, announce, config_of, send
from benchmarks.live import CLIENTS, POLICY
from streaming import CONTEXT, UserEvent, Worker
from streaming.clicks import logistic_regression
from streaming.events import encode
from streaming.sending import numbers
from streaming.transport import EmbeddedBroker, MemoryBus, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streaming.clicks import ClickModel

MODELS: dict[str, Callable[[], ClickModel]] = {
    "logistic": logistic_regression,
    "forest": lambda: forest.ARFClassifier(seed=0),
}
SHARES = {"logistic": 1.0, "forest": 0.3}
"""How many of the sessions a model has to work: what is slow has enough of few."""

QUIET = 3.0  # seconds without a record: everything is worked


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast a backlog of events was worked off.

    Parameters
    ----------
    events, interactions : float
        How many a second.
    busy, broker : float
        Microseconds of processor time that an interaction took of the workers and of the broker.
    """

    events: float
    interactions: float
    busy: float
    broker: float

    @property
    def limit(self) -> float:
        """How many times as fast two workers can be at most, on the cores that there are."""
        return min(2.0, (os.cpu_count() or 1) * self.busy / (self.busy + self.broker))


def serve(servers: str, client: str, name: str, share: int, model: str) -> None:
    """Join until so many partitions are held; work from a line of input on, until it is quiet."""
    config, click_model = config_of("scale.", worker=name), MODELS.get(model, logistic_regression)
    if model:
        _warm(click_model)
    with (
        closing(connect(servers, client=client)) as transport,
        closing(
            Worker(transport, lambda: from_spec(POLICY), config, click_model=click_model)
        ) as worker,
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
        print(json.dumps([records, began, last, spent]), flush=True)
        sys.stdin.readline()


def _warm(click_model: Callable[[], ClickModel]) -> None:
    """Work a little in memory: every worker loads its kernels once, however much it has to do."""
    bus, config = MemoryBus(), config_of("warm.")
    announce(bus, config, Feed())
    left = send(bus, config, Feed().events(1100))
    with closing(Worker(bus, lambda: from_spec(POLICY), config, click_model=click_model)) as worker:
        while left:
            left -= worker.step()


def _start(
    servers: str, client: str, name: str, share: int, model: str = ""
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.scale", "--serve", servers, client, name]
    return subprocess.Popen(  # noqa: S603  (this module)
        [*command, str(share), model], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _broker_time() -> float:
    """Return the seconds of processor time that this process's embedded broker has used (Linux)."""
    stats = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            number, _, rest = path.read_text().partition(" (")
        except OSError:  # it has just ended
            continue
        name, _, figures = rest.rpartition(") ")
        stats[int(number)] = name, figures.split()
    ticks = [
        int(figures[11]) + int(figures[12])
        for name, figures in stats.values()
        if name.startswith("noida") and stats[int(figures[1])][1][1] == str(os.getpid())
    ]
    return sum(ticks) / os.sysconf("SC_CLK_TCK")


def _say(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def _hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


class _BrokerClock(Thread):
    """Notes the processor time of the broker, until it is let go."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._notes: list[tuple[float, float]] = []
        self._over = Event()

    def run(self) -> None:
        """Note it twenty times a second."""
        while not self._over.wait(0.05):
            self._notes.append((time.monotonic(), _broker_time()))

    def at(self, moment: float) -> float:
        """Return the seconds that the broker had used by a moment, since the beginning."""
        times, spent = zip(*self._notes, strict=True)
        return float(np.interp(moment, times, spent) - spent[0])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


def rate(client: str, workers: int, sessions: int, model: str) -> Rate:
    """Return how fast some workers work a backlog off."""
    feed = Feed()
    config = config_of("scale.")
    with (
        EmbeddedBroker() as broker,
        closing(connect(broker.bootstrap_servers, client="confluent-kafka")) as transport,
    ):
        announce(transport, config, feed)
        share, servers = config.partitions // workers, broker.bootstrap_servers
        some = [_start(servers, client, f"w{n}", share, model) for n in range(workers)]
        for one in some:
            _hear(one)
        events = send(transport, config, feed.events(sessions))
        with _BrokerClock() as clock:
            for one in some:
                _say(one)
            told = [json.loads(_hear(one)) for one in some]
        for one in some:
            _say(one)
            one.wait(60)
    assert sum(records for records, *_ in told) == events
    longest = max(last - began for _, began, last, _ in told)
    busy = sum(spent for *_, spent in told)
    broker_busy = clock.at(max(last for _, _, last, _ in told))
    interactions = sessions * feed.interactions
    return Rate(
        events=events / longest,
        interactions=interactions / longest,
        busy=1e6 * busy / interactions,
        broker=1e6 * broker_busy / interactions,
    )


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


def compare(client: str, model: str, sessions: int, rounds: int) -> None:
    """Measure one worker and two in turns, and say of the medians what limits them."""
    runs = [[rate(client, workers, sessions, model) for workers in (1, 2)] for _ in range(rounds)]
    for name, made in zip(("one worker ", "two workers"), zip(*runs, strict=True), strict=True):
        events, interactions, busy, broker = (
            median(getattr(run, figure) for run in made)
            for figure in ("events", "interactions", "busy", "broker")
        )
        print(
            f"{client}, {model}: {name} {events:7,.0f} events/s ({interactions:,.0f} "
            f"interactions/s), an interaction takes {busy:.1f} µs of the workers and "
            f"{broker:.1f} µs of the broker",
            flush=True,
        )
    print(
        f"{client}, {model}: two are {median(two.events / one.events for one, two in runs):.2f} "
        f"times as fast, where these cores allow {median(one.limit for one, _ in runs):.2f}; an "
        f"interaction takes {median(two.busy / one.busy for one, two in runs):.2f} times as long",
        flush=True,
    )


def main() -> None:
    """Measure one and two workers, and a restore."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--restore-only", action="store_true")
    parser.add_argument("--rates-only", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--client", choices=CLIENTS, action="append")
    parser.add_argument("--serve", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        servers, client, name, share, model = options.serve
        return serve(servers, client, name, int(share), model)
    for client in options.client or CLIENTS:
        for model, share in () if options.restore_only else SHARES.items():
            compare(client, model, int(share * options.sessions), options.rounds)
        if options.rates_only:
            continue
        taken, empty = restore(client, options.users)
        print(
            f"{client}: {options.users:,} users after a kill in {taken:.1f} s, "
            f"without any {empty:.1f} s",
            flush=True,
        )
    return None


if __name__ == "__main__":
    main()
