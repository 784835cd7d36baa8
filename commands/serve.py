"""`run.py serve`: the worker of the live loop."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from commands.console import Json, Seed, activity, emit, figure, note, table
from commands.loop import (
    HERE,
    LATENESS,
    PARTITIONS,
    PREFIX,
    SLATE_SIZE,
    WINDOW,
    Client,
    ItemFeatures,
    Lateness,
    Like,
    Partitions,
    Prefix,
    Properties,
    Servers,
    SlateSize,
    UserFeatures,
    Window,
    describe,
    reach,
    stopping,
)
from commands.sources import POLICY_HELP, maker

if TYPE_CHECKING:
    import threading

    from streaming import Worker

SERVED = "linucb:shared=false+epsilon=0.1"
PATIENCE = 0.2
TELL_EVERY = 0.5  # seconds; a report costs milliseconds, as much as a small batch


def serve(
    policy: Annotated[str, typer.Option(help=POLICY_HELP)] = SERVED,
    weights: Annotated[
        Path | None, typer.Option(help="A folder whose saved state your own policy takes over.")
    ] = None,
    challenger: Annotated[
        list[str] | None,
        typer.Option(
            help="A policy that learns in the shadow: it decides nothing, its propensities are "
            "logged. Give it once per challenger; with challengers a loop is one worker's."
        ),
    ] = None,
    bootstrap_servers: Servers = HERE,
    properties: Properties = None,
    client: Client = "kafka-python",
    prefix: Prefix = PREFIX,
    partitions: Partitions = PARTITIONS,
    user_features: UserFeatures = "",
    item_features: ItemFeatures = "",
    like: Like = None,
    slate_size: SlateSize = SLATE_SIZE,
    window: Window = WINDOW,
    lateness: Lateness = LATENESS,
    ttl: Annotated[
        int, typer.Option(help="How long a recommendation holds, in seconds of event time.", min=1)
    ] = 86400,
    reward: Annotated[
        list[str] | None,
        typer.Option(help="What an interaction is worth: click=1. Give it once per type."),
    ] = None,
    aggregation: Annotated[
        str, typer.Option(help="How a slot's rewards make one: first, sum, mean or max.")
    ] = "max",
    late: Annotated[
        int,
        typer.Option(help="How long after its window an outcome is still corrected, in s.", min=0),
    ] = 0,
    quarantine: Annotated[
        float | None,
        typer.Option(
            help="Learn nothing from feedback of this anomaly score or more: 0.97, 1 at most."
        ),
    ] = None,
    flood: Annotated[
        int | None,
        typer.Option(
            help="Learn nothing from users who send so many events within a minute.", min=1
        ),
    ] = None,
    name: Annotated[
        str,
        typer.Option(
            "--worker",
            help="This worker's name in its group: several share the partitions, each under a name "
            "of its own. Who starts under a name that is taken takes over. '' is a new name.",
        ),
    ] = "1",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Serve until Ctrl-C: learn from feedback as it comes, and publish fresh recommendations.

    Reads the topics items and feedback; writes recommendations, decisions, outcomes, state, model
    and dead-letters, one transaction a batch. A worker that was killed goes on where it stood.
    Start more of them under other names, with the same options, and they share the work.
    """
    config = describe(
        like=like,
        user_features=user_features,
        item_features=item_features,
        prefix=prefix,
        partitions=partitions,
        slate_size=slate_size,
        window=window,
        lateness=lateness,
        ttl=ttl,
        rewards=reward or ("click=1",),
        aggregation=aggregation,
        late=late,
        quarantine=quarantine,
        flood=flood,
        worker=name,
        seed=seed,
    )
    make_policy = maker(policy, seed, weights)
    shadows = [maker(spec, seed) for spec in challenger or ()]
    from streaming import Worker

    with reach(bootstrap_servers, properties, client) as transport:
        note("restoring what earlier workers left")  # Ctrl-C breaks this off: nothing is begun yet
        made = Worker(
            transport,
            make_policy,
            config,
            challengers=shadows,
        )
        with closing(made) as worker, stopping() as stop:
            note(f"serving {worker.learner.policy.name} at {bootstrap_servers}; Ctrl-C stops it")
            seconds = _work(worker, stop)
        document = _document(worker) | {"policy": policy, "seed": seed, "uptime": seconds}
    if as_json:
        emit(document)
    else:
        _show(document)


def _work(worker: Worker, stop: threading.Event) -> float:
    """Work until told to stop, and return for how many seconds."""
    begun = told = time.monotonic()
    with activity("waiting for feedback") as tell:
        while not stop.is_set():
            if worker.step(PATIENCE) and time.monotonic() > told + TELL_EVERY:
                now, told = worker.report(), time.monotonic()
                tell(f"{now.events:,} events, {now.outcomes:,} outcomes, {now.decisions:,} decided")
    return time.monotonic() - begun


def _document(worker: Worker) -> dict[str, Any]:
    """Return what a worker has done, with the live curve."""
    figures: dict[str, Any] = msgspec.to_builtins(worker.report())
    return figures | {"curve": [point._asdict() for point in worker.learner.curve]}


def _show(document: dict[str, Any]) -> None:
    rows = []
    for name, value in document.items():
        match value:
            case list():
                continue
            case dict():
                said = ", ".join(f"{figure(inner)} {key}" for key, inner in value.items()) or "0"
            case float():
                said = figure(value)
            case None:
                said = "not known yet"
            case _:
                said = str(value)
        rows.append((name, said))
    table("the loop so far", ["figure", "value"], rows)
