"""What the live loop survives, and what was counted after each fault.

    .venv/bin/python -m benchmarks.faults [name ...] [--out docs/live/faults.md]

Workers in processes of their own, sharing one loop on the embedded broker, are killed, paused in
the middle, crowded out by others, and cut off from their broker, while a story of users is told;
what no broker does on demand is done over the memory bus. After each fault the topics must say that
every event was counted once, every ranking has one outcome and every decision one record, that the
model which workers publish is the fold of `outcomes` to 1e-9, and that nothing is left to read.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from agents import additive_parts, from_spec
from streaming import Rules, Schema, Worker, WorkerConfig
from streaming.events import Field, InteractionEvent, ItemEvent, RankedItem, RankingEvent, UserEvent
from streaming.events import encode as event_bytes
from streaming.knowledge import knowledge_of
from streaming.records import decode_dead_letter, decode_outcome, decode_recommendation, outcomes_of
from streaming.restore import outcomes_in_order, read_topic
from streaming.sending import Sender
from streaming.state import PARTITION_KEY, Counts, PartitionState
from streaming.transport import EmbeddedBroker, MemoryBus, connect
from streaming.worker import STEPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agents.api import State
    from streaming import Transport
    from streaming.events import Feedback

SPEC = "linucb:interactions=false+epsilon=0.1"
ITEMS = tuple("abcdefgh")
NOW = 1_700_000_000_000
TEN_YEARS = 10 * 365 * 86_400_000
CONFIG = WorkerConfig(
    users=Schema.parse("x, y"),
    items=Schema.parse("f:numbers(2)"),
    partitions=4,
    slate_size=2,
    batch_size=40,
    snapshot_every=50,
    patience=5.0,
    rules=Rules(window=1000, lateness=500, horizon=5000, quorum=3),
)
PATIENCE = 240.0


class FaultError(AssertionError):
    """Something was lost, doubled or learned wrongly."""


@dataclass
class Found:
    """What was counted after a fault."""

    done: str
    events: int = 0
    outcomes: int = 0
    decisions: int = 0
    letters: int = 0
    model: float = 0.0
    extra: dict[str, int] = field(default_factory=dict)


# --- the story that is told


def story(users: int, steps: int, seed: int) -> Iterator[Feedback]:
    """Return what some users are shown and do; everything belongs to a ranking that comes first."""
    rng = np.random.default_rng(seed)
    for n in range(users):
        fields = [Field("x", float(rng.uniform())), Field("y", n / users)]
        yield UserEvent(id=f"hello {n}", timestamp=NOW, user=f"u{n}", fields=fields)
    for step in range(steps):
        time_ = NOW + 1000 + 400 * step
        for n in range(users):
            items = [str(item) for item in rng.choice(ITEMS, size=2, replace=False)]
            id_, who = f"r{step}-{n}", f"u{n}"
            ranked = [RankedItem(item) for item in items]
            yield RankingEvent(id=id_, timestamp=time_, user=who, items=ranked)
            for k in np.flatnonzero(rng.random(2) < 0.4).tolist():
                yield InteractionEvent(
                    id=f"{id_}-{k}",
                    timestamp=time_ + 10 + k,
                    user=who,
                    ranking=id_,
                    item=items[k],
                    type="click",
                )


class Told:
    """A loop that is told a story, and asked what came of it."""

    def __init__(self, transport: Transport, config: WorkerConfig) -> None:
        self.transport, self.config, self.topics = transport, config, config.topics
        self._sender = Sender(transport, config)
        producer = transport.producer()
        for place, item in enumerate(ITEMS):
            fields = [Field("f", [0.5 * place, 1.0 - 0.25 * place])]
            event = ItemEvent(id=f"item {item}", timestamp=0, item=item, fields=fields)
            producer.send(self.topics.items, event_bytes(event), key=item.encode())
        producer.flush()
        producer.close()

    def send(self, *events: Feedback) -> None:
        """Send events, and wait until they are written."""
        for event in events:
            self._sender.send("events", event.user, event)
        self._sender.flush()

    def raw(self, value: bytes, user: str) -> None:
        """Send any bytes."""
        self._sender.raw("poison", user, value)

    def ring(self, time_: int = NOW + 10**6) -> None:
        """Let everything close."""
        for partition in range(self.config.partitions):
            self._sender.ring(partition, time_)
        self._sender.flush()

    def lag(self) -> int:
        """Return how many records of feedback are not worked yet."""
        group = f"{self.config.prefix}{self.config.group}"
        with closing(self.transport.consumer([self.topics.feedback], group=group)) as reader:
            committed, ends = reader.committed(), reader.end_offsets()
        return sum(ends.values()) - sum(committed.values())

    def wait(self, tend: Callable[[], None] = lambda: None) -> None:
        """Wait until nothing is left to read; now and then look after who is to read it."""
        deadline = time.monotonic() + PATIENCE
        while self.lag():
            tend()
            if time.monotonic() > deadline:
                raise FaultError(f"{self.lag()} events are not worked after {PATIENCE:g} s")
            time.sleep(0.2)

    def settle(self, tend: Callable[[], None] = lambda: None) -> None:
        """Let everything close, and wait until it is worked."""
        self.ring()
        self.wait(tend)
        self.rest()
        self.wait(tend)

    def rest(self, quiet: float = 1.5) -> None:
        """Wait until no worker has written for a while: what it learned last it tells later."""
        topics = [self.topics.state, self.topics.model]
        deadline, since, before = time.monotonic() + PATIENCE, time.monotonic(), None
        with closing(self.transport.consumer(topics)) as reader:
            while time.monotonic() < since + quiet:
                if (ends := reader.end_offsets()) != before:
                    since, before = time.monotonic(), ends
                if time.monotonic() > deadline:
                    raise FaultError(f"workers still write after {PATIENCE:g} s")
                time.sleep(0.1)

    def read(self, topic: str) -> list[Any]:
        """Return all records of a topic."""
        return [record for records in read_topic(self.transport, topic) for record in records]

    def check(self, done: str) -> Found:
        """Return what was counted, or raise that something is wrong."""
        if self.lag():
            raise FaultError(f"{self.lag()} events were not worked")
        counts, sent = self._counts(), self.read(self.topics.feedback)
        outcomes = [decode_outcome(r.value) for r in self.read(self.topics.outcomes)]
        decisions = [decode_recommendation(r.value).id for r in self.read(self.topics.decisions)]
        letters = [decode_dead_letter(r.value) for r in self.read(self.topics.dead_letters)]
        found = Found(done, len(sent), len(outcomes), len(decisions), len(letters))
        rankings = sum(count.rankings for count in counts)
        self._same("events counted", sum(count.events for count in counts), len(sent))
        if not rankings:
            raise FaultError("nothing was shown to anybody: there was nothing to lose")
        self._same("outcomes of rankings", len({(o.user, o.ranking) for o in outcomes}), rankings)
        self._same("outcomes", len(outcomes), rankings)
        self._same("waiting", sum(count.waiting for count in counts), 0)
        self._same("decisions", sum(count.decisions for count in counts), len(decisions))
        self._same("distinct decisions", len(set(decisions)), len(decisions))
        self._same("dead letters", sum(sum(c.dead.values()) for c in counts), len(letters))
        found.model = self._off()
        if not found.model <= 1e-9:
            raise FaultError(f"the model is {found.model:g} off the fold of outcomes")
        found.extra = dict(Counter(letter.kind for letter in letters))
        return found

    def _same(self, what: str, one: int, other: int) -> None:
        if one != other:
            raise FaultError(f"{what}: {one}, not {other}")

    def _counts(self) -> list[Counts]:
        latest = {r.partition: r.value for r in self.read(self.topics.state) if _is_state(r.key)}
        return [msgspec.msgpack.decode(v, type=PartitionState).counts for v in latest.values()]

    def _off(self) -> float:
        """Return how far what workers published of the model is off the fold of `outcomes`."""
        policy, shared = from_spec(SPEC), knowledge_of(lambda: from_spec(SPEC))
        for record in self.read(self.topics.model):
            if not record.key.startswith(b"time"):
                shared.hear(record.value)
        for outcomes in outcomes_in_order(self.transport, self.topics):
            shared.learn(outcomes)
            for outcome in outcomes:
                policy.update(outcomes_of([outcome]))
        shared.settle()
        return apart(policy.state_dict(), shared.policy.state_dict())


def _is_state(key: bytes) -> bool:
    return key == PARTITION_KEY


def apart(one: State, other: State) -> float:
    """Return the largest relative difference of what adds up in two states."""
    if one["version"] != other["version"]:
        return float("inf")
    parts = additive_parts(from_spec(SPEC)) or ()
    return max(
        float(np.max(np.abs(one[name] - other[name]) / (1.0 + np.abs(one[name])), initial=0.0))
        for name in parts
    )


# --- workers in processes of their own


@contextmanager
def processes(broker: str) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Yield what starts workers; none of them outlives the block."""
    started: list[subprocess.Popen[bytes]] = []

    def start(prefix: str, worker: str, **options: Any) -> subprocess.Popen[bytes]:
        given = json.dumps({"prefix": prefix, "worker": worker, **options})
        command = [sys.executable, "-m", "benchmarks.faults", "--work", broker, given]
        started.append(subprocess.Popen(command))  # noqa: S603  (this very module)
        return started[-1]

    try:
        yield start
    finally:
        for process in started:
            process.kill()
            process.wait()


def work(broker: str, options: dict[str, Any]) -> None:
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
        closing(connect(broker)) as transport,
        closing(Worker(transport, lambda: from_spec(SPEC), config, reached=reached)) as worker,
    ):
        worker.run(stop)


def finish(told: Told, *workers: subprocess.Popen[bytes]) -> None:
    """Let everything close and be worked, and stop the workers."""
    told.settle()
    stopped(*workers)


def stopped(*workers: subprocess.Popen[bytes]) -> None:
    """Stop workers."""
    for process in workers:
        process.terminate()
        process.wait(PATIENCE)  # whoever is joining the group just then stops when it is in


# --- the faults


def kills(broker: str, times: int = 20) -> Found:
    """Kill one of two workers under load, again and again, at random."""
    rng = np.random.default_rng(1)
    with closing(connect(broker)) as transport, processes(broker) as start:
        told = Told(transport, replace(CONFIG, prefix="kills."))
        events = list(story(40, 60, 1))
        workers = {name: start("kills.", name) for name in "ab"}
        for part in np.array_split(np.arange(len(events)), times):
            told.send(*[events[i] for i in part])
            name = str(rng.choice(["a", "b"]))
            time.sleep(rng.uniform(0.2, 3.0))
            workers[name].kill()
            workers[name].wait()
            workers[name] = start("kills.", name)
        finish(told, *workers.values())
        return told.check(f"{times} SIGKILLs of 2 workers under load")


def steps(broker: str) -> Found:
    """Kill a worker after every step of a batch."""
    with closing(connect(broker)) as transport, processes(broker) as start:
        told = Told(transport, replace(CONFIG, prefix="steps."))
        events = list(story(40, 30, 2))
        for step, part in zip(
            STEPS, np.array_split(np.arange(len(events)), len(STEPS)), strict=True
        ):
            told.send(*[events[i] for i in part])
            start("steps.", "a", die=step).wait(PATIENCE)
        finish(told, start("steps.", "a"))
        return told.check(f"a SIGKILL after each of the {len(STEPS)} steps of a batch")


def storm(broker: str, times: int = 30) -> Found:
    """Let workers come and go every second."""
    with closing(connect(broker)) as transport, processes(broker) as start:
        told = Told(transport, replace(CONFIG, prefix="storm."))
        events, alive = list(story(40, 60, 3)), [start("storm.", "")]
        for part in np.array_split(np.arange(len(events)), times):
            told.send(*[events[i] for i in part])
            time.sleep(1.0)
            alive.append(start("storm.", ""))
            if len(alive) > 3:
                gone = alive.pop(0)
                gone.terminate()
                gone.wait(60)
        finish(told, *alive)
        return told.check(f"{times + 1} workers came and went, one a second, at most 4 at once")


def disk(broker: str) -> Found:
    """Let no worker write to any file."""
    with closing(connect(broker)) as transport, processes(broker) as start:
        told = Told(transport, replace(CONFIG, prefix="disk."))
        told.send(*story(40, 30, 4))
        finish(told, start("disk.", "a", no_disk=True), start("disk.", "b", no_disk=True))
        return told.check("2 workers that may not write a byte to any file")


def clocks(broker: str) -> Found:
    """Send events of clocks ten years off, ahead and behind."""
    with closing(connect(broker)) as transport, processes(broker) as start:
        told = Told(transport, replace(CONFIG, prefix="clocks."))
        worker = start("clocks.", "a")
        for n, event in enumerate(story(40, 30, 5)):
            told.send(event) if n % 50 == 0 else told._sender.send("events", event.user, event)
            if n % 97 == 0:
                for off in (-TEN_YEARS, TEN_YEARS):
                    wrong = UserEvent(id=f"{n} {off}", timestamp=NOW + off, user=event.user)
                    told.send(wrong)
        finish(told, worker)
        return told.check("clocks ten years ahead and behind")


def restart(_broker: str, times: int = 4) -> Found:
    """Stop and start the broker itself."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = EmbeddedBroker(folder)
        broker.start()
        stack.callback(lambda: broker.stop())
        servers, port = broker.bootstrap_servers, broker.port
        transport = stack.enter_context(closing(connect(servers)))
        start = stack.enter_context(processes(servers))
        told = Told(transport, replace(CONFIG, prefix="restart."))
        workers = {name: start("restart.", name) for name in "ab"}

        def tend() -> None:
            for name, process in workers.items():  # one that gave up is started again
                if process.poll() is not None:
                    workers[name] = start("restart.", name)

        events = list(story(40, 40, 6))
        for part in np.array_split(np.arange(len(events)), times):
            told.send(*[events[i] for i in part])
            told.wait(tend)
            told.rest()  # a transaction that is open now, the embedded broker may never end
            broker.stop()
            broker = EmbeddedBroker(folder, port)
            broker.start()
        told.settle(tend)
        stopped(*workers.values())
        return told.check(f"{times} restarts of the broker under 2 workers")


def poison(_broker: str) -> Found:
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


def histories(_broker: str, count: int = 200) -> Found:
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


FAULTS: dict[str, Callable[..., Found]] = {
    "kills": kills,
    "steps": steps,
    "storm": storm,
    "restart": restart,
    "disk": disk,
    "clocks": clocks,
    "poison": poison,
    "histories": histories,
}

HEAD = """# What the live loop survives

Written by `python -m benchmarks.faults --out docs/live/faults.md`, {when}. A loop of four
partitions is shared by one worker or more, in processes of their own on the embedded broker with
kafka-python; the last two rows are over the memory bus. After each fault, from the topics alone:
every event read was counted once (taken, a duplicate, or a dead letter), every ranking has one
outcome, every decision one record, the model that the workers publish is the fold of `outcomes`
(the largest relative difference is in the last column, 1e-9 is allowed), and the group's lag is
zero. Anything else ends the run with an error.

A worker keeps nothing on disk, so a full one is nothing to it; a broker that cannot write fails its
commits, and a worker whose commits fail begins again from the topics, and ends after ten in a row.
The broker is stopped while no transaction is open: one that is, the embedded broker may leave open
for ever, and readers of committed records wait for it (a hanging transaction; Kafka prevents them
by KIP-890). Nothing is lost then, but nothing more is seen.

| fault | events | outcomes | decisions | dead letters | model off by |
|---|---:|---:|---:|---:|---:|
"""


def main(words: list[str]) -> None:
    """Run the faults named, or all, and print the table; write it where `--out` says."""
    out = None
    if "--out" in words:
        at = words.index("--out")
        out, words = Path(words[at + 1]), words[:at] + words[at + 2 :]
    rows = []
    with EmbeddedBroker() as broker:
        for name in words or FAULTS:
            began = time.monotonic()
            found = FAULTS[name](broker.bootstrap_servers)
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(found.extra.items()))
            rows.append(
                f"| {found.done} | {found.events:,} | {found.outcomes:,} | {found.decisions:,} | "
                f"{found.letters:,}{f' ({kinds})' if kinds else ''} | {found.model:.1e} |"
            )
            print(rows[-1], f"{time.monotonic() - began:.0f} s", flush=True)
    if out is not None:
        head = HEAD.format(when=time.strftime("%d %B %Y"))
        out.write_text(head + "\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], json.loads(sys.argv[3]))
    else:
        main(sys.argv[1:])
