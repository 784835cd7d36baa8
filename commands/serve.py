"""`run.py serve`: the worker of the live loop."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from agents.api import RecloopError
from commands.console import Json, Seed, activity, emit, figure, note, table
from commands.guards import (
    DELTA,
    EPSILON,
    HALF_LIFE,
    LEVEL,
    Bounds,
    Delta,
    Epsilon,
    Estimator,
    GateOn,
    HalfLife,
    LargestWeight,
    Level,
    Margin,
    OnDrift,
    guarded,
)
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

    from streaming import Report, Roles, Worker

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
            help="A policy that learns in the shadow: its propensities are logged, and it decides "
            "nothing until it is made canary or champion. Give it once per challenger."
        ),
    ] = None,
    gate: GateOn = False,
    margin: Margin = 0.0,
    level: Level = LEVEL,
    bounds: Bounds = None,
    largest_weight: LargestWeight = None,
    estimator: Estimator = None,
    on_drift: OnDrift = "warn",
    drift_delta: Delta = DELTA,
    drift_epsilon: Epsilon = EPSILON,
    drift_half_life: HalfLife = HALF_LIFE,
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
    absence: Annotated[
        int,
        typer.Option(
            help="Forget who has sent nothing for so long, in seconds of event time; 0 keeps all "
            "for ever.",
            min=0,
        ),
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
    metrics_port: Annotated[
        int | None,
        typer.Option(help="Tell Prometheus at /metrics of this port, on this machine only."),
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Serve until Ctrl-C: learn from feedback as it comes, and publish fresh recommendations.

    Reads the topics items, feedback and orders; writes recommendations, decisions, outcomes, state,
    model, roles and dead-letters, one transaction a batch. A worker that was killed goes on where
    it stood. Start more of them under other names, with the same options, and they share the work.
    """
    if gate and not challenger:
        raise RecloopError("--gate promotes challengers: give at least one --challenger")
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
        absence=absence,
        quarantine=quarantine,
        flood=flood,
        worker=name,
        seed=seed,
    )
    config = guarded(
        config,
        gate=gate,
        margin=margin,
        level=level,
        bounds=bounds,
        largest_weight=largest_weight,
        estimator=estimator,
        on_drift=on_drift,
        delta=drift_delta,
        epsilon=drift_epsilon,
        half_life=drift_half_life,
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
            champion = worker.control.roles.champion
            note(f"serving {champion} at {bootstrap_servers}; Ctrl-C stops it")
            seconds = _work(worker, stop, metrics_port)
        document = _document(worker) | {"policy": policy, "seed": seed, "uptime": seconds}
    if as_json:
        emit(document)
    else:
        _show(document)


def _work(worker: Worker, stop: threading.Event, metrics_port: int | None) -> float:
    """Work until told to stop, and return for how many seconds."""
    from streaming import Exposition

    begun = told = time.monotonic()
    figures = Exposition(worker.report())
    seen, alarms = worker.control.roles.revision, worker.watch.alarms
    shut: set[str] = set()
    news = False
    with ExitStack() as stack:
        if metrics_port is not None:
            port = stack.enter_context(figures.at(metrics_port))
            note(f"figures for Prometheus at http://127.0.0.1:{port}/metrics")
        tell = stack.enter_context(activity("waiting for feedback"))
        while not stop.is_set():
            worked = worker.step(PATIENCE)
            roles, watch = worker.control.roles, worker.watch
            if watch.alarms > alarms:
                note(str(next(drift for drift in reversed(watch.drifts) if drift.bad)))
            alarms = watch.alarms  # fewer, if the worker had to begin from the topics again
            news = news or worked > 0
            if roles.revision != seen or (news and time.monotonic() > told + TELL_EVERY):
                now, told, news = worker.report(), time.monotonic(), False
                figures.tell(now)
                shut = _tell_shut(now, shut)
                if roles.revision != seen:
                    note(f"{_deciding(roles)}, because: {roles.reason}")
                seen = roles.revision
                tell(f"{now.events:,} events, {now.outcomes:,} outcomes, {now.decisions:,} decided")
    return time.monotonic() - begun


def _tell_shut(now: Report, told: set[str]) -> set[str]:
    """Say for which challengers the gate is shut, unless it was said; return of whom it was."""
    shut = {name: standing.reason for name, standing in now.gate.items() if standing.shut}
    for name in shut.keys() - told:
        note(f"the gate is shut for {name}: {shut[name]}; serve with wider --bounds or weights")
    return set(shut)


def _deciding(roles: Roles) -> str:
    """Return who decides, in words."""
    if roles.canary is None:
        return f"{roles.champion} decides"
    return f"{roles.champion} decides, and {roles.canary} for {roles.share:.3g} of the users"


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
            case dict() if name == "gate":
                rows += [(f"gate: {of}", standing["reason"]) for of, standing in value.items()]
                continue
            case dict():
                said = ", ".join(f"{figure(inner)} {key}" for key, inner in value.items()) or "0"
            case float():
                said = figure(value)
            case None if name == "canary":
                said = "none"
            case None:
                said = "not known yet"
            case _:
                said = str(value)
        rows.append((name, said))
    table("the loop so far", ["figure", "value"], rows)
