"""`run.py traffic`: users for a loop that has none yet, simulated or told from a log."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from commands.console import Json, Seed, emit, figure, note, progress, table
from commands.loop import (
    HERE,
    LATENESS,
    PARTITIONS,
    PREFIX,
    SLATE_SIZE,
    WINDOW,
    Client,
    Lateness,
    Partitions,
    Prefix,
    Properties,
    Servers,
    SlateSize,
    Window,
    describe,
    reach,
    stopping,
)
from commands.sources import LOG_HELP, open_log, open_logged, seeds

if TYPE_CHECKING:
    from agents.api import Floats, Keys
    from simulators import LoggedWorld
    from streaming import Faults, Transport, WorkerConfig


def traffic(
    log: Annotated[
        str | None,
        typer.Option(help="Tell this log again, in place of simulated users. " + LOG_HELP),
    ] = None,
    world: Annotated[
        str, typer.Option(help="Users as in this log, or the folder of a fitted world.")
    ] = "obd:random/all",
    users: Annotated[int, typer.Option(help="How many simulated users.", min=1)] = 100,
    steps: Annotated[int, typer.Option(help="How often each of them comes.", min=1)] = 20,
    bootstrap_servers: Servers = HERE,
    properties: Properties = None,
    client: Client = "kafka-python",
    prefix: Prefix = PREFIX,
    partitions: Partitions = PARTITIONS,
    slate_size: SlateSize = SLATE_SIZE,
    window: Window = WINDOW,
    lateness: Lateness = LATENESS,
    duplicate: Annotated[
        float, typer.Option(help="Share of events that are sent twice.", min=0, max=1)
    ] = 0.0,
    lost: Annotated[
        float, typer.Option(help="Share of interactions that never arrive.", min=0, max=1)
    ] = 0.0,
    poison: Annotated[float, typer.Option(help="Broken messages per event.", min=0, max=1)] = 0.0,
    shuffle: Annotated[bool, typer.Option(help="Send a step's events in any order.")] = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Send users' events to a running worker, until done or Ctrl-C.

    Start the worker first, with the same prefix, partitions, window and lateness, and --like the
    same log: `run.py serve --like obd:random/all`.
    """
    from streaming import Faults

    config = describe(
        prefix=prefix,
        partitions=partitions,
        slate_size=slate_size,
        window=window,
        lateness=lateness,
        seed=seed,
    )
    with reach(bootstrap_servers, properties, client) as transport:
        if log is not None:
            document = _tell(transport, log, config)
        else:
            faults = Faults(duplicate, lost, poison, shuffle, seed)
            document = _simulate(transport, world, config, users, steps, faults, seed)
    if as_json:
        emit(document | {"seed": seed})
    else:
        rows = [(k, figure(v) if isinstance(v, float) else v) for k, v in document.items()]
        table("traffic", ["figure", "value"], rows)


def _tell(transport: Transport, address: str, config: WorkerConfig) -> dict[str, Any]:
    from streaming import replay_log

    told = open_log(address)
    with stopping() as stop, progress(f"telling {address}") as advance:
        done = replay_log(transport, told, config, progress=advance, stop=stop.is_set)
    if stop.is_set():
        note("stopped: the rest of the log was not told")
    return dict(done.sent)


def _simulate(
    transport: Transport,
    address: str,
    config: WorkerConfig,
    users: int,
    steps: int,
    faults: Faults,
    seed: int,
) -> dict[str, Any]:
    from streaming import start_after

    # What is wrong with the broker is said before a world is fitted.
    transport.ensure_topics(config.topics.specs(config.partitions))
    world = open_logged(address, seed=seed, slate_size=config.slate_size)
    start = start_after(transport, config, world.start)
    with stopping() as stop, progress("simulated users answer") as advance:
        live = drive(
            transport,
            world,
            config,
            seeds(seed, users),
            steps,
            faults=faults,
            start=start,
            stop=stop,
            advance=advance,
        )
    if live.steps < steps:
        note(f"stopped after {live.steps} of {steps} steps")
    low, high = np.quantile(live.latencies, [0.5, 0.99]) if len(live.latencies) else (np.nan,) * 2
    return dict(live.sent) | {
        "steps": live.steps,
        "click rate": float(live.curve.mean()) if live.steps else float("nan"),
        "seconds to a refreshed recommendation, median": float(low),
        "seconds to a refreshed recommendation, 99 of 100": float(high),
    }


@dataclass(frozen=True, slots=True)
class Driven:
    """What came of simulated users' visits.

    Parameters
    ----------
    steps : int
    curve : float64 [steps]
        The click rate per slot at every step.
    clicks : float64 [users]
        Each user's clicks.
    latencies : float64 [users * steps]
        Seconds from sending a user's feedback to receiving the refreshed recommendation.
    sent : dict of str to int
        Events by kind.
    """

    steps: int
    curve: Floats
    clicks: Floats
    latencies: Floats
    sent: dict[str, int]


def drive(
    transport: Transport,
    world: LoggedWorld,
    config: WorkerConfig,
    lanes: Keys,
    steps: int,
    *,
    faults: Faults,
    start: int,
    stop: threading.Event | None = None,
    advance: Callable[[int, int | None], None] | None = None,
) -> Driven:
    """Let a world's users visit a running loop, in lock-step with its worker.

    Parameters
    ----------
    transport : Transport
    world : LoggedWorld
        Is reset.
    config : WorkerConfig
    lanes : uint64 [users]
        The seeds of the users.
    steps : int
        How often everyone comes.
    faults : Faults
    start : int
        The event time of the first step.
    stop : Event, optional
        Ends the visits after the step at hand.
    advance : callable, optional
        Is told (steps done, steps).
    """
    from streaming import Traffic

    world.reset(lanes)
    visits = Traffic(transport, world, config, start=start, faults=faults)
    curve, latencies, clicks = [], [], np.zeros(len(lanes))
    try:
        for step in visits.steps(steps):
            rewards = step.response.outcomes.rewards
            curve.append(float(rewards.mean()))
            clicks += rewards.sum(axis=1)
            latencies.append(step.latencies)
            if advance is not None:
                advance(len(curve), steps)
            if stop is not None and stop.is_set():
                break
    finally:
        visits.close()
    return Driven(
        steps=len(curve),
        curve=np.array(curve),
        clicks=clicks,
        latencies=np.concatenate(latencies) if latencies else np.zeros(0),
        sent=dict(visits.sent),
    )
