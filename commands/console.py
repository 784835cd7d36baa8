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
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

Seed = Annotated[int, typer.Option("--seed", help="Root of all randomness; same seed, same figures.")]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output, for machines.")
]

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


@contextmanager
def progress(title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show a bar while the body runs; the body calls what it is given with the number done so far.

    Parameters
    ----------
    title : str
        What is being done.
    total : int, optional
        How much there is to do; without it the bar only shows that something happens.
    """
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
    with Progress(*columns, TimeRemainingColumn(), console=err, transient=True) as bar:
        task = bar.add_task(title, total=total)

        def advance(done: int) -> None:
            bar.update(task, completed=done)

        yield advance


def note(text: str) -> None:
    """Tell a person what happens, on standard error."""
    err.print(text, style="dim")


def emit(document: dict[str, Any]) -> None:
    """Print a document as JSON on standard output; numbers that are not finite become null."""
    print(json.dumps(_finite(document), indent=2))  # not rich: it would wrap lines


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table on standard output, its first column on the left and the others on the right."""
    grid = Table(title=title, title_justify="left", title_style="bold")
    for i, column in enumerate(columns):
        grid.add_column(column, justify="left" if i == 0 else "right")
    for row in rows:
        grid.add_row(*(str(cell) for cell in row))
    out.print(grid)


def _finite(value: Any) -> Any:
    """Return a copy of a document in which every number is valid JSON."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
