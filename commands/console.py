"""What a person and a machine are shown: figures on standard output, everything else on error.

With `--json` standard output holds one JSON document and nothing else; progress bars, notes and
errors always go to standard error, so that neither spoils the other.
"""

from __future__ import annotations

import json
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

Seed = Annotated[
    int, typer.Option("--seed", help="Root of all randomness; same seed, same figures.")
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output, for machines.")
]

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


@contextmanager
def progress(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar while the body runs; the body calls what it is given with (done, of how many)."""
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
    shown = err.is_terminal  # a file or a pipe is told nothing that will be wiped away
    with Progress(
        *columns, TimeRemainingColumn(), console=err, transient=True, disable=not shown
    ) as bar:
        task = bar.add_task(title, total=None)

        def advance(done: int, total: int | None = None) -> None:
            bar.update(task, completed=done, total=total)

        yield advance


@contextmanager
def activity(title: str) -> Iterator[Callable[[str], None]]:
    """Show that something goes on without an end in sight; the body may change what is said."""
    if not err.is_terminal:
        yield lambda _: None
        return
    with err.status(title) as status:
        yield status.update


def note(text: str) -> None:
    """Tell a person what happens, on standard error."""
    err.print(text, style="dim")


def emit(document: dict[str, Any]) -> None:
    """Print a document as JSON on standard output; numbers that are not finite become null."""
    print(json.dumps(finite(document), indent=2))  # not rich: it would wrap lines


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table on standard output, the first column on the left, the others on the right."""
    grid = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.HORIZONTALS,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for i, column in enumerate(columns):
        grid.add_column(column, justify="left" if i == 0 else "right")
    for row in rows:
        grid.add_row(*(str(cell) for cell in row))
    out.print(grid)


def say(text: str) -> None:
    """Print a line on standard output, wrapped to the terminal."""
    out.print(text, markup=False)


def figure(value: float) -> str:
    """Return a number as a person reads it: four significant digits."""
    return f"{value:.4g}" if math.isfinite(value) else "undefined"


def finite(value: Any) -> Any:
    """Return a copy of a document in which every number is valid JSON."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
