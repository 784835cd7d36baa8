"""Curves of a training, in the files that TensorBoard reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class Board:
    """Writes scalars into a folder; nothing heavier than TensorBoard's own writer is loaded.

    Parameters
    ----------
    folder : path
    """

    def __init__(self, folder: Path) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writer: Any = EventFileWriter(str(folder))

    def curve(self, name: str, steps: Iterable[int], values: Iterable[float]) -> None:
        """Write a stretch of a curve."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        for step, value in zip(steps, values, strict=True):
            told = Summary(value=[Summary.Value(tag=name, simple_value=float(value))])
            self._writer.add_event(Event(step=step, summary=told))
        self._writer.flush()

    def close(self) -> None:
        """End the file."""
        self._writer.close()
