"""`run.py broker`: a Kafka broker for whoever has none."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commands.console import Json, Seed, emit, note, say
from commands.loop import stopping


def broker(
    port: Annotated[int, typer.Option(help="Where it listens, on this machine only.")] = 9092,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where it keeps its data; nowhere by default.")
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Run a small Kafka broker on this machine until Ctrl-C, for trying out and testing."""
    from streaming import EmbeddedBroker

    with stopping() as stop, EmbeddedBroker(data_dir, port) as running:
        place = {
            "bootstrap_servers": running.bootstrap_servers,
            "log": str(running.log),
            "seed": seed,
        }
        if as_json:
            emit(place)
        else:
            say(f"Kafka at {running.bootstrap_servers} (log: {running.log}); Ctrl-C stops it")
        while not stop.wait(0.5):
            running.check()
        note("stopping the broker")
    kept = "its data are gone" if data_dir is None else f"its data are kept in {data_dir}"
    note(f"the broker has stopped; {kept}")
