"""Recorders: a rollout written down while it is played, by as many as one likes at once.

A rollout is played once and may be wanted in several formats. Each format is a `Recorder`, and
whoever plays (`rollout`, `returns`, `standings`) shows every step to all of them. The one for
Parquet is here; those for Minari and for Kafka live where those libraries do, in `envs` and
`streaming`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from simulators.logs import LogWriter

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from simulators.records import Response
    from simulators.world import BatchedWorld


class Recorder(ABC):
    """Writes down what happens in a world. Use it in a `with` statement.

    Parameters
    ----------
    world : BatchedWorld
        The world that is played.
    """

    def __init__(self, world: BatchedWorld) -> None:
        self.world = world

    def before(self) -> None:  # noqa: B027 - most formats need no such look
        """Look at the world's present users, who are about to be shown something."""

    @abstractmethod
    def after(self, response: Response) -> None:
        """Take what came of it. Users have moved on or left; nobody new has come yet."""

    @abstractmethod
    def close(self) -> None:
        """Complete what was written. Nobody must have come into the world since."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class LogRecorder(Recorder):
    """Writes a log in Parquet, with the true expected rewards; see `simulators.logs`.

    Parameters
    ----------
    folder : Path or str
        See `LogWriter`.
    world : BatchedWorld

    Raises
    ------
    LogError
        If the folder holds a log already.
    """

    def __init__(self, folder: Path | str, world: BatchedWorld) -> None:
        super().__init__(world)
        self.writer = LogWriter(folder, ephemeral=world.catalogue is None)

    def after(self, response: Response) -> None:
        """Write the rows of the users who asked."""
        self.writer.write(response.facts, response.expected[response.feedback.asked])

    def close(self) -> None:
        """Complete the files."""
        self.writer.close()
