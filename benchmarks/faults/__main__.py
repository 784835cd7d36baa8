"""What the live loop survives, and what was counted after each fault.

    .venv/bin/python -m benchmarks.faults [NAME ...] [--client NAME] [--out docs/live/faults.md]

Without names all of them, and without a client those of workers and brokers with each client.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.faults.bus import histories, poison
from benchmarks.faults.cluster import clocks, disk, kills, restart, steps, storm
from benchmarks.faults.crew import Cluster
from streaming.transport import EmbeddedBroker
from streaming.transport.clients import CLIENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.faults.told import Found

CLUSTER: dict[str, Callable[[Cluster], Found]] = {
    "kills": kills,
    "steps": steps,
    "storm": storm,
    "restart": restart,
    "disk": disk,
    "clocks": clocks,
}
BUS: dict[str, Callable[[], Found]] = {"poison": poison, "histories": histories}

HEAD = """# What the live loop survives

Written by `python -m benchmarks.faults --out docs/live/faults.md`, {when}. A loop of four
partitions is shared by one worker or more, in processes of their own on the embedded broker, over
each client; the last two rows are over the memory bus. After each fault, from the topics alone:
every event read was counted once (taken, a duplicate, or a dead letter), every ranking has one
outcome, every decision one record, the model that the workers publish is the fold of `outcomes`
(the largest relative difference is in the last column, 1e-9 is allowed), and the group's lag is
zero. Anything else, or a worker that ends unasked, ends the run with an error; only where the
broker is stopped may workers give up, and are started again.

A worker keeps nothing on disk, so a full one is nothing to it: kernels that cannot be cached are
compiled by every process anew. A broker that cannot write fails its commits, and a worker whose
commits fail begins again from the topics, and ends after ten in a row. The broker is stopped while
no transaction is open: one that is, the embedded broker may leave open for ever, and readers of
committed records wait for it (a hanging transaction; Kafka prevents them by KIP-890). Nothing is
lost then, but nothing more is seen.

| fault | client | events | outcomes | decisions | dead letters | model off by |
|---|---|---:|---:|---:|---:|---:|
"""


def found(names: list[str], clients: list[str]) -> Iterator[tuple[str, Found]]:
    """Go through faults, and return what was counted with which client."""
    with EmbeddedBroker() as broker:
        for client in clients:
            for name in names:
                if name in CLUSTER:
                    yield client, CLUSTER[name](Cluster(broker.bootstrap_servers, client))
    for name in names:
        if name in BUS:
            yield "memory bus", BUS[name]()


def row(client: str, one: Found) -> str:
    """Return a row of the table."""
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(one.extra.items()))
    letters = f"{one.letters:,} ({kinds})" if kinds else f"{one.letters:,}"
    return (
        f"| {one.done} | {client} | {one.events:,} | {one.outcomes:,} | {one.decisions:,} | "
        f"{letters} | {one.model:.1e} |"
    )


def main() -> None:
    """Run the faults named, or all, and print the table; write it where `--out` says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join([*CLUSTER, *BUS]))
    parser.add_argument("--client", action="append", choices=list(CLIENTS))
    parser.add_argument("--out", type=Path, help="where to write the table")
    asked = parser.parse_args()
    for name in asked.names:
        if name not in CLUSTER | BUS:
            parser.error(f"there is no fault {name!r}; there are {', '.join([*CLUSTER, *BUS])}")
    rows, began = [], time.monotonic()
    for client, one in found(asked.names or [*CLUSTER, *BUS], asked.client or list(CLIENTS)):
        rows.append(row(client, one))
        print(rows[-1], f"{time.monotonic() - began:.0f} s", flush=True)
        began = time.monotonic()
    if asked.out is not None:
        head = HEAD.format(when=time.strftime("%d %B %Y"))
        asked.out.write_text(head + "\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
