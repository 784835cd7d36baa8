"""`run.py edge`: slates and feedback by HTTP, beside a worker."""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agents.api import RecloopError
from commands.console import Json, Seed, emit, note, say
from commands.loop import (
    HERE,
    PARTITIONS,
    PREFIX,
    SLATE_SIZE,
    Client,
    ItemFeatures,
    Like,
    Partitions,
    Prefix,
    Properties,
    Servers,
    SlateSize,
    UserFeatures,
    describe,
    reach,
)
from commands.sources import POLICY_HELP, maker

if TYPE_CHECKING:
    from streaming import Guard

KEYS = "RECLOOP_API_KEYS"


def edge(
    policy: Annotated[
        str | None,
        typer.Option(help="The worker's policy, to explain its slates by. " + POLICY_HELP),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="The worker's --weights, if it was given any.")
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on.", min=1, max=65535)] = 8000,
    api_keys: Annotated[
        Path | None,
        typer.Option(help=f"A file of API keys, one a line; ${KEYS}, between commas, does too."),
    ] = None,
    rate: Annotated[
        float, typer.Option(help="Requests a second that each client may make.")
    ] = 1000,
    burst: Annotated[int, typer.Option(help="Requests that a client may make at once.")] = 2000,
    bootstrap_servers: Servers = HERE,
    properties: Properties = None,
    client: Client = "kafka-python",
    prefix: Prefix = PREFIX,
    partitions: Partitions = PARTITIONS,
    user_features: UserFeatures = "",
    item_features: ItemFeatures = "",
    like: Like = None,
    slate_size: SlateSize = SLATE_SIZE,
    ttl: Annotated[
        int, typer.Option(help="How long a stranger's slate holds, in seconds.", min=1)
    ] = 86400,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Serve recommendations and take feedback by HTTP until Ctrl-C.

    GET /recommend/USER, POST /feedback (Metarank's events, one or a list), GET /explain/USER,
    DELETE /users/USER, /healthz, /metrics; /openapi.json describes them. Give it the worker's
    prefix, features and policy. It needs API keys to be reached from other machines.
    """
    guard = _guard(host, api_keys, rate, burst)
    config = describe(
        like=like,
        user_features=user_features,
        item_features=item_features,
        prefix=prefix,
        partitions=partitions,
        slate_size=slate_size,
        ttl=ttl,
        seed=seed,
    )
    make_policy = None
    if policy is not None:
        make_policy = maker(policy, seed, weights)
    import uvicorn

    from streaming import Edge, edge_app

    with reach(bootstrap_servers, properties, client) as transport:
        note("reading what the worker has published")
        served = Edge(transport, config, make_policy=make_policy)
        url = f"http://{host}:{port}"
        told = {"url": url, "users": len(served.view), "items": len(served.view.slates)}
        if as_json:
            emit(told | {"seed": seed})
        else:
            say(f"{told['users']:,} users and {told['items']:,} items at {url}; Ctrl-C stops it")
        uvicorn.run(
            edge_app(served, guard), host=host, port=port, log_level="warning", access_log=False
        )


def _guard(host: str, api_keys: Path | None, rate: float, burst: int) -> Guard:
    """Return the guard; without keys only this machine is served."""
    from streaming import Guard

    keys = os.environ.get(KEYS, "").split(",")
    if api_keys is not None:
        keys += api_keys.read_text(encoding="utf-8").splitlines()
    given = [key.strip() for key in keys if key.strip()]
    if not given and not _is_here(host):
        raise RecloopError(
            f"{host} can be reached from other machines: give --api-keys or ${KEYS}, or listen on "
            "127.0.0.1"
        )
    return Guard(given, rate=rate, burst=burst)


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
