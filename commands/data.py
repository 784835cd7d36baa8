"""`run.py data`: bring data sets to this machine."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from commands.console import Json, Seed, emit, note, table

app = typer.Typer(help="Bring data sets to this machine.", no_args_is_help=True)


class Dataset(StrEnum):
    """What can be fetched."""

    obd = "obd"


@app.command()
def fetch(
    name: Annotated[
        Dataset, typer.Argument(help="obd: the Open Bandit Dataset's sample (CC BY 4.0), 1.4 MB.")
    ],
    cache_dir: Annotated[
        Path | None, typer.Option(help="Where data sets are kept; the user's cache by default.")
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Fetch a data set into the cache, check it, and say what it holds."""
    from simulators.datasets import BEHAVIOURS, CAMPAIGNS, fetch_obd, load_obd

    folder = fetch_obd(cache_dir, note)
    logs = []
    for behaviour in BEHAVIOURS:
        for campaign in CAMPAIGNS:
            log = load_obd(behaviour, campaign, cache_dir)
            logs.append(
                {
                    "log": f"obd:{behaviour}/{campaign}",
                    "rounds": len(log),
                    "clicks": int(log.rewards.sum()),
                    "items": len(log.requests.items),
                    "contexts": len({key.item() for key in log.requests.users}),
                }
            )
    if as_json:
        emit({"data_set": name.value, "seed": seed, "folder": str(folder), "logs": logs})
        return
    table(f"{name.value} in {folder}", list(logs[0]), [list(log.values()) for log in logs])
