"""What an evaluation on the command line works on, and how it is asked for."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from agents.api import RecloopError
from commands.console import note, progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from agents.api import Outcomes, Policy

REPLICATES = 1000


@dataclass(frozen=True)
class How:
    """How an evaluation is asked for; see `evaluation.evaluate`."""

    interval: str = "bootstrap"
    bounds: tuple[float, float] | None = None
    largest_weight: float = inf
    unit: str = "request"
    logging: Policy | None = None
    replicates: int = REPLICATES


@dataclass(frozen=True)
class OfSize:
    """The slates of one size in a log; it can be iterated over as often as the log itself.

    Parameters
    ----------
    log : iterable of Outcomes
    slots : int
        K.
    jobs : int
        How many processes read the log's files side by side, where it has several.
    """

    log: Iterable[Outcomes]
    slots: int
    jobs: int = 1

    def __iter__(self) -> Iterator[Outcomes]:
        return (part for part in self.log if part.requests.slate_size == self.slots)

    @property
    def sources(self) -> Iterable[Outcomes]:
        """What is evaluated: this log, or its files as shards."""
        from evaluation import Shards
        from simulators import Log

        if self.jobs == 1 or not isinstance(self.log, Log):
            return self
        parts = [Log(part, catalogue=self.log.catalogue) for part in self.log.parts]
        return Shards([OfSize(part, self.slots) for part in parts], self.jobs)


def of_size(log: Iterable[Outcomes], slots: int | None, jobs: int = 1) -> OfSize:
    """Return the slates of a size, by default of the commonest one; tell if others are left out.

    Raises
    ------
    RecloopError
        If there are none.
    """
    sizes: Counter[int] = Counter()
    for outcomes in log:
        sizes[outcomes.requests.slate_size] += len(outcomes)
    if not sizes:
        raise RecloopError("the log is empty: there is nothing to evaluate on")
    chosen = sizes.most_common(1)[0][0] if slots is None else slots
    told = ", ".join(f"{count:,} slates of {size}" for size, count in sorted(sizes.items()))
    if chosen not in sizes:
        raise RecloopError(f"the log has no slates of {chosen} slots; it has {told}")
    if len(sizes) > 1:
        note(f"the log has {told}: those of {chosen} are evaluated; --slots chooses others")
    return OfSize(log, chosen, jobs)


@contextmanager
def counting(title: str) -> Iterator[Callable[[str, int], None]]:
    """Show a bar while the body runs, which is handed on to count the rows that are done."""
    with progress(title) as advance:
        done = 0

        def count(_: str, rounds: int) -> None:
            nonlocal done
            done += rounds
            advance(done, None)

        yield count


def two_numbers(option: str, text: str) -> tuple[float, float]:
    """Return the two numbers that an option was given."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise RecloopError(f"{option} {text}: write two numbers, as in {option} 0,1") from None
    return low, high
