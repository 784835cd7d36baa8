"""A log in shards, each summed by a worker: map-reduce, with joblib as the door to the machines.

What is summed does not depend on how a log was cut, so that a report on shards is the one on the
whole log, to rounding. Workers are processes of this machine, or whatever joblib's active backend
has: a Ray or a Spark cluster. `evaluate`, `evaluate_slates` and `promote` take shards as they take
any log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from joblib import Parallel, delayed
from joblib.parallel import get_active_backend

from agents.api import Outcomes, RecloopError

if TYPE_CHECKING:
    from evaluation.passes import Progress

BUNDLES = 64
"""How many tasks shards are put together into at most: as many sums are held at once where a
backend hands over all results together, as Ray's and Spark's do."""


class ShardError(RecloopError, ValueError):
    """A shard that can't be evaluated, by its number."""


class Sums(Protocol):
    """What a part of a log sums to."""

    def merge(self, other: Self) -> None:
        """Take in what another part sums to."""

    @property
    def rounds(self) -> int:
        """How many rows were summed."""


S = TypeVar("S", bound=Sums)


@dataclass(frozen=True, slots=True)
class Shards:
    """The parts of a log, to be read side by side; as an iterable, the log as a whole.

    Parameters
    ----------
    parts : sequence of iterables of Outcomes
        Each the chunks of a part, that can be iterated over again and be handed to another process:
        one that opens its file when it is iterated over, such as `simulators.Log`.
    jobs : int, optional
        How many workers, -1 for one per core. By default what joblib's active backend says, one
        process if none: `with joblib.parallel_config(backend=...)` chooses where.
    """

    parts: Sequence[Iterable[Outcomes]]
    jobs: int | None = None

    def __post_init__(self) -> None:
        if any(isinstance(part, Iterator) for part in self.parts):
            raise RecloopError(
                "a shard must be readable more than once: give lists, or what opens a file"
            )

    def __iter__(self) -> Iterator[Outcomes]:
        return chain.from_iterable(self.parts)


def summed(
    over: Callable[[Iterable[Outcomes], Progress | None], S],
    chunks: Iterable[Outcomes],
    progress: Progress | None = None,
    title: str = "evaluate",
) -> S:
    """Return what a log sums to, its shards read side by side if it is in shards.

    Parameters
    ----------
    over : callable
        Returns what some chunks sum to, of none of them as well; can be handed to workers.
    chunks : Shards or other iterable of Outcomes
    progress : callable, optional
        Called after every chunk, or after every bundle of shards.
    title : str
        What is said to be done.

    Raises
    ------
    ShardError
        Naming the shard, counted from 0, and what is wrong with it: rows are counted within it.
    """
    if not isinstance(chunks, Shards):
        return over(chunks, progress)
    total = over((), None)
    for part in _parts(partial(_of_shards, over), chunks):
        total.merge(part)
        if progress:
            progress(title, part.rounds)
    return total


def _parts(task: Callable[[Sequence[Iterable[Outcomes]], int], S], shards: Shards) -> Iterator[S]:
    """Yield what bundles of shards sum to, as early as the backend hands it over."""
    backend, _ = get_active_backend()
    flowing = getattr(backend, "supports_return_generator", False)
    size = max(1, -(-len(shards.parts) // BUNDLES))
    starts = range(0, len(shards.parts), size)
    tasks = (delayed(task)(shards.parts[start : start + size], start) for start in starts)
    workers = Parallel(n_jobs=shards.jobs, return_as="generator" if flowing else "list")
    yield from workers(tasks)


def _of_shards(
    over: Callable[[Iterable[Outcomes], Progress | None], S],
    shards: Sequence[Iterable[Outcomes]],
    first: int,
) -> S:
    """Return what a bundle of shards sums to: what a worker does."""
    total = over((), None)
    for at, shard in enumerate(shards, start=first):
        try:
            total.merge(over(shard, None))
        except RecloopError as error:
            raise ShardError(f"shard {at}: {error}") from error
    return total
