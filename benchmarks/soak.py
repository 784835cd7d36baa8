"""Whether a worker's memory stays flat: a soak, with the worker's memory over time and a plot.

    .venv/bin/python -m benchmarks.soak [--minutes 20] [--rate 1000] [--users 1000000]

Sessions of `--users` users come at `--rate` events a second, in real time, to a worker in a process
of its own over the embedded broker. Users are drawn anew for every session, so nearly all are new,
and few come back: what bounds memory is that the worker forgets who stays away (`Rules.absence`).
Windows are short, so that what is bounded by time has reached its bound long before the end. The
append-only topics are kept for a few minutes. Every half minute the resident memory of the worker
and of the broker is read; the verdict compares the last third of the run with the third before.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

from agents import from_spec
from benchmarks.feed import Feed, config_of
from benchmarks.live import POLICY
from streaming import Rules, Worker
from streaming.sending import Sender
from streaming.transport import EmbeddedBroker, TopicSpec, connect
from streaming.transport.partitioner import partition_of

mpl.use("Agg")
import matplotlib.pyplot as plt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streaming import Transport, WorkerConfig

CLIENT = "confluent-kafka"
MINUTE = 60_000
RULES = Rules(window=30_000, horizon=MINUTE, lateness=5_000, absence=5 * MINUTE)
RETENTION = {"retention.ms": str(2 * MINUTE), "segment.ms": str(MINUTE // 2)}
READ_EVERY, SLICE = 30.0, 0.1


def soaked() -> WorkerConfig:
    """Return the worker's configuration."""
    return config_of("soak.", rules=RULES, ttl=2 * MINUTE)


def serve(servers: str) -> None:
    """Work until standard input is closed, and then print what was worked."""
    import select

    with (
        closing(connect(servers, client=CLIENT)) as transport,
        closing(Worker(transport, lambda: from_spec(POLICY), soaked())) as worker,
    ):
        print("ready", flush=True)
        while not select.select([sys.stdin], [], [], 0.0)[0]:
            worker.step(0.2)
        report = worker.report()
    told = ("events", "rankings", "interactions", "outcomes", "decisions", "absent", "dead")
    print(json.dumps({name: getattr(report, name) for name in told}), flush=True)


def topics(transport: Transport, config: WorkerConfig) -> None:
    """Make the topics, the append-only ones with a short retention."""
    specs = config.topics.specs(config.partitions)
    transport.ensure_topics(
        [
            TopicSpec(spec.name, spec.partitions, dict(spec.config) | RETENTION)
            if spec.config.get("cleanup.policy") == "delete"
            else spec
            for spec in specs
        ]
    )


def resident(pid: int) -> float:
    """Return the resident memory of a process, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def pid_of(broker: EmbeddedBroker) -> int:
    """Return the process of the broker, not of the guard over it."""
    for found in Path("/proc").glob("[0-9]*/cmdline"):
        words = found.read_bytes().split(b"\0")
        if b"noida" in words[0] and str(broker.port).encode() in words:
            return int(found.parent.name)
    raise RuntimeError("the broker is not running")


def soak(minutes: float, rate: int, users: int) -> tuple[list[tuple[float, float, float]], Any]:
    """Send for so many minutes; return minutes and MiB of worker and broker, and the report."""
    config, points = soaked(), []
    with (
        EmbeddedBroker() as broker,
        closing(connect(broker.bootstrap_servers, client=CLIENT)) as transport,
    ):
        topics(transport, config)
        start = int(time.time() * 1000)
        feed = Feed(users=users, rate=float(rate), start=start)
        sender = Sender(transport, config)
        sender.announce(feed.catalogue())
        command = [sys.executable, "-m", "benchmarks.soak", "--serve", broker.bootstrap_servers]
        worker = subprocess.Popen(  # noqa: S603  (this module)
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdout.readline()
        producer, feedback = transport.producer(), config.topics.feedback
        began, sent, read = time.monotonic(), 0, 0.0
        chapter = 0
        events: Iterator[tuple[str, bytes]] = iter(())
        while (now := time.monotonic() - began) < 60.0 * minutes:
            due = int(now * rate) - sent
            while due > 0:
                some = list(islice(events, due))
                for name, value in some:
                    key = name.encode()
                    where = partition_of(key, config.partitions)
                    producer.send(feedback, value, key=key, partition=where)
                sent, due = sent + len(some), due - len(some)
                if due > 0:  # the next chapter of the story, ten seconds long
                    at = start + int(1000.0 * sent / rate)
                    events = iter(replace(feed, seed=chapter, start=at).events(10 * rate // 6))
                    chapter += 1
            producer.flush()
            if now >= read:
                points.append((now / 60.0, resident(worker.pid), resident(pid_of(broker))))
                print(
                    "  {:5.1f} min   worker {:6.0f} MiB   broker {:6.0f} MiB".format(*points[-1])
                    + f"   {sent:,} events sent",
                    flush=True,
                )
                read += READ_EVERY
            time.sleep(SLICE)
        worker.stdin.close()
        report = json.loads(worker.stdout.readline())
        worker.wait(60)
        sender.close()
        producer.close()
    return points, report | {"sent": sent}


def plot(points: list[tuple[float, float, float]], path: Path) -> None:
    """Draw the memory over time."""
    figure, axes = plt.subplots(figsize=(7, 3.5))
    minutes, worker, broker = zip(*points, strict=True)
    axes.plot(minutes, worker, label="worker")
    axes.plot(minutes, broker, label="broker")
    axes.set(xlabel="minutes", ylabel="resident memory, MiB", ylim=(0, None))
    axes.legend()
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)


def main() -> None:
    """Soak, tell, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--rate", type=int, default=1000, help="events a second")
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--plot", type=Path, default=Path("soak.svg"))
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(options.serve)
    points, report = soak(options.minutes, options.rate, options.users)
    third = max(1, len(points) // 3)
    before, last = (
        mean(p[1] for p in part) for part in (points[-2 * third : -third], points[-third:])
    )
    print(report)
    print(
        f"worker: {before:.0f} MiB in the middle third, {last:.0f} MiB in the last: "
        f"{last / before - 1:+.1%}"
    )
    plot(points, options.plot)
    return None


if __name__ == "__main__":
    main()
