"""All commands on one door, and one way for each of them to fail: a line, and a non-zero exit."""

from __future__ import annotations

import sys

import typer
from rich.text import Text

from agents.api import RecloopError
from commands import data
from commands.broker import broker
from commands.console import err
from commands.demo import demo
from commands.edge import edge
from commands.evaluate import evaluate
from commands.export import export
from commands.fit import fit
from commands.roles import canary, promote, roles, rollback
from commands.serve import serve
from commands.simulate import simulate
from commands.traffic import traffic
from commands.train import train

INTERRUPTED = 130
"""What typer ends with if Ctrl-C breaks a command off."""

app = typer.Typer(
    help="recloop: simulate users, train policies, evaluate them offline, serve them on Kafka.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
)
app.command()(demo)
app.add_typer(data.app, name="data")
for command in (fit, train, simulate, evaluate, broker, serve, edge, traffic, export):
    app.command()(command)
for order in (roles, promote, canary, rollback):
    app.command()(order)


def main() -> None:
    """Run the command line; errors that the user can mend are one line, without a traceback."""
    try:
        app()
    except (RecloopError, OSError) as error:  # the latter: a disk that is full, a file not ours
        err.print(Text.assemble(("error: ", "bold red"), str(error)), soft_wrap=True)
        sys.exit(1)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            err.print("stopped")
        raise
