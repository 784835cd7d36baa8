"""Faults of what is sent and how it is delivered, over the memory bus."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from agents import from_spec
from benchmarks.faults.told import CONFIG, SPEC, Found, Told, story
from streaming import Worker
from streaming.events import encode as event_bytes
from streaming.transport import MemoryBus

if TYPE_CHECKING:
    from collections.abc import Callable


def poison() -> Found:
    """Send 10,000 mangled messages."""
    rng = np.random.default_rng(0)
    told = Told(MemoryBus(), CONFIG)
    good = list(story(10, 40, 7))
    told.send(*good[:200])
    for _ in range(10_000):
        value = bytearray(event_bytes(good[int(rng.integers(0, len(good)))]))
        for at in rng.integers(0, len(value), size=int(rng.integers(1, 3))):
            value[int(at)] = int(rng.integers(32, 127))
        end = len(value) if rng.random() < 0.7 else int(rng.integers(1, len(value)))
        told.raw(bytes(value[:end]), f"u{rng.integers(0, 10)}")
    told.send(*good[200:])
    told.ring(int(1000 * time.time()) + 86_000_000)  # a mangled time up to a day ahead was believed
    worker = Worker(told.transport, lambda: from_spec(SPEC), CONFIG)
    while worker.step():
        pass
    worker.close()
    return told.check("10,000 mangled messages among good ones")


def histories(count: int = 200) -> Found:
    """Go through random histories; see `history`."""
    total = Found(
        f"{count} histories: delivery doubled and reordered, 3 workers coming, going, dying"
    )
    for seed in range(count):
        found = history(seed)
        total.events += found.events
        total.outcomes += found.outcomes
        total.decisions += found.decisions
        total.letters += found.letters
        total.model = max(total.model, found.model)
        total.extra = dict(Counter(total.extra) + Counter(found.extra))
    return total


class Killed(BaseException):
    """The process is gone: nothing of the worker runs any more."""


def history(seed: int) -> Found:
    """Let up to three workers come, go and die at random, over an unruly bus."""
    rng = np.random.default_rng(seed)
    config = replace(
        CONFIG, patience=0.0 if seed % 2 else 30.0, batch_size=int(rng.integers(5, 60))
    )
    bus = MemoryBus(unruly=[config.topics.feedback], seed=seed, duplicate=0.3, reorder=4)
    told, alive = Told(bus, config), dict[str, Worker]()
    group = f"{config.prefix}{config.group}"
    dying = False

    def reached(_step: str) -> None:
        if dying and rng.random() < 0.2:
            raise Killed

    def made(name: str) -> Worker:
        own = replace(config, worker=name)
        return Worker(bus, lambda: from_spec(SPEC), own, reached=reached)

    def let(name: str, do: Callable[[Worker], object]) -> None:
        try:
            do(alive[name])
        except (Exception, Killed) as error:
            if not isinstance(error, Killed) and type(error).__name__ != "FencedError":
                raise
            del alive[name]
            bus.expire(group, name)

    events = list(story(6, 10, seed))
    for part in np.array_split(np.arange(len(events)), 12):
        told.send(*[events[i] for i in part])
        name = str(rng.choice(["a", "b", "c"]))
        match int(rng.integers(0, 4)):
            case 0 | 1 if name not in alive:
                alive[name] = made(name)
            case 2 if name in alive:
                let(name, lambda worker: worker.close())
                alive.pop(name, None)
                bus.expire(group, name)
            case 3 if name in alive:
                dying = True
                let(name, lambda worker: worker.step())
                dying = False
        for other in list(alive):
            let(other, lambda worker: worker.step())
    told.read(told.topics.feedback)  # what is delivered late is laid out before the bell is rung
    told.ring()
    for name in list(alive):
        let(name, lambda worker: worker.close())
        alive.pop(name, None)
        bus.expire(group, name)
    config = replace(config, patience=0.0)
    last = made("last")
    idle = 0
    while idle < 3:
        idle = 0 if last.step() else idle + 1
    last.close()
    return told.check("")
