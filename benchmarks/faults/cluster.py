"""Faults of workers and of their broker, over a broker."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.faults.crew import Cluster, crew_of
from benchmarks.faults.told import NOW, Found, story
from streaming.events import UserEvent
from streaming.transport import EmbeddedBroker
from streaming.worker import STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streaming.events import Feedback

TEN_YEARS = 10 * 365 * 86_400_000


def parts(steps: int, seed: int, count: int) -> Iterator[list[Feedback]]:
    """Return the story of forty users in so many parts."""
    events = list(story(40, steps, seed))
    for part in np.array_split(np.arange(len(events)), count):
        yield [events[i] for i in part]


def kills(cluster: Cluster, times: int = 20) -> Found:
    """Kill one of two workers under load, again and again, at random."""
    rng = np.random.default_rng(1)
    with crew_of(cluster, "kills") as crew:
        workers = {name: crew.start(name) for name in "ab"}
        for part in parts(60, 1, times):
            crew.told.send(*part)
            name = str(rng.choice(["a", "b"]))
            time.sleep(rng.uniform(0.2, 3.0))
            crew.kill(workers[name])
            workers[name] = crew.start(name)
        crew.finish()
        return crew.told.check(f"{times} SIGKILLs of 2 workers under load")


def steps(cluster: Cluster, after: tuple[str, ...] = STEPS) -> Found:
    """Kill a worker after every step of a batch, or after some of them."""
    with crew_of(cluster, "steps") as crew:
        for step, part in zip(after, parts(30, 2, len(after)), strict=True):
            crew.told.send(*part)
            crew.die("a", step)
        crew.start("a")
        crew.finish()
        return crew.told.check(f"a SIGKILL after each of the {len(after)} steps of a batch")


def storm(cluster: Cluster, times: int = 30) -> Found:
    """Let workers come and go every second."""
    with crew_of(cluster, "storm") as crew:
        alive = [crew.start("")]
        for part in parts(60, 3, times):
            crew.told.send(*part)
            time.sleep(1.0)
            alive.append(crew.start(""))
            if len(alive) > 3:
                crew.stop(alive.pop(0))
        crew.finish()
        return crew.told.check(
            f"{times + 1} workers came and went, one a second, at most 4 at once"
        )


def disk(cluster: Cluster) -> Found:
    """Let no worker write to any file."""
    with crew_of(cluster, "disk") as crew:
        crew.told.send(*story(40, 30, 4))
        for name in "ab":
            crew.start(name, no_disk=True)
        crew.finish()
        return crew.told.check("2 workers that may not write a byte to any file")


def clocks(cluster: Cluster) -> Found:
    """Send events of clocks ten years off, ahead and behind."""
    with crew_of(cluster, "clocks") as crew:
        crew.start("a")
        for n, part in enumerate(parts(30, 5, 50)):
            wrong = [
                UserEvent(id=f"{n} {off}", timestamp=NOW + off, user=part[0].user)
                for off in (-TEN_YEARS, TEN_YEARS)
            ]
            crew.told.send(*part, *wrong)
        crew.finish()
        return crew.told.check("clocks ten years ahead and behind")


def restart(cluster: Cluster, times: int = 4) -> Found:
    """Stop and start a broker of its own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = EmbeddedBroker(folder)
        broker.start()
        stack.callback(lambda: broker.stop())
        port, here = broker.port, replace(cluster, servers=broker.bootstrap_servers)
        crew = stack.enter_context(crew_of(here, "restart"))
        for name in "ab":
            crew.start(name)
        for part in parts(40, 6, times):
            crew.told.send(*part)
            crew.pause()  # a transaction that is open now, the embedded broker may never end
            broker.stop()
            broker = EmbeddedBroker(folder, port)
            broker.start()
        crew.told.settle(crew.mend)
        crew.stop()
        return crew.told.check(f"{times} restarts of the broker under 2 workers")
