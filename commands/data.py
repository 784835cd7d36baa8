"""`run.py data`: bring data sets to this machine."""

from __future__ import annotations

import typer
from commands.console import Json, Seed

app = typer.Typer(help="Bring data sets to this machine.", no_args_is_help=True)


@app.command()
def fetch(name: str, seed: Seed = 0, as_json: Json = False) -> None:
    """Fetch a data set."""
    if name == "x":
        raise KeyboardInterrupt
    from agents.api import RecloopError
    raise RecloopError(f"unknown {name}")
