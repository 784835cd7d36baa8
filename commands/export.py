"""`run.py export`: what a live loop logged, as the data set of the next offline evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commands.console import Json, Seed, activity, emit, say
from commands.loop import (
    HERE,
    PARTITIONS,
    PREFIX,
    Client,
    ItemFeatures,
    Like,
    Partitions,
    Prefix,
    Properties,
    Servers,
    UserFeatures,
    describe,
    reach,
)


def export(
    out: Annotated[Path, typer.Option(help="A new folder for the log, in Parquet.")],
    bootstrap_servers: Servers = HERE,
    properties: Properties = None,
    client: Client = "kafka-python",
    prefix: Prefix = PREFIX,
    partitions: Partitions = PARTITIONS,
    user_features: UserFeatures = "",
    item_features: ItemFeatures = "",
    like: Like = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Write the outcomes of a live loop as a log that `evaluate`, `train` and `simulate` read.

    Declare the same features as the worker was given. Outcomes that offline evaluation could not
    use (nobody stated how likely they were, say) are left out and counted.
    """
    from streaming import export_log

    config = describe(
        like=like,
        user_features=user_features,
        item_features=item_features,
        prefix=prefix,
        partitions=partitions,
        seed=seed,
    )
    where = reach(bootstrap_servers, properties, client)
    with where as transport, activity("reading outcomes"):
        done = export_log(transport, config, out)
    if as_json:
        emit({"out": str(out), "seed": seed, "rows": done.rows, "left_out": dict(done.left_out)})
        return
    say(f"{done.rows:,} outcomes written to {out}")
    for reason, count in done.left_out.items():
        say(f"{count:,} left out: {reason}")
