"""What `simulate` writes a rollout down as: the options of the command, made into recorders."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from commands.console import note
from commands.loop import describe, reach
from commands.sources import simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from simulators import BatchedWorld, Recorder


@dataclass(frozen=True, slots=True)
class Recording:
    """The recorders of a rollout, and what each of them has to say when it is over."""

    recorders: list[Recorder] = field(default_factory=list)
    figures: dict[str, Callable[[], dict[str, Any]]] = field(default_factory=dict)

    def told(self) -> dict[str, dict[str, Any]]:
        """Return what was written, by kind."""
        return {kind: figures() for kind, figures in self.figures.items()}

    def add(self, kind: str, recorder: Recorder, figures: Callable[[], dict[str, Any]]) -> None:
        """Let one more of them in."""
        self.recorders.append(recorder)
        self.figures[kind] = figures


@contextmanager
def sending(
    recording: Recording,
    world: BatchedWorld,
    servers: str,
    properties: Path | None,
    client: str,
    prefix: str,
    partitions: int,
) -> Iterator[None]:
    """Record to Kafka while the body runs."""
    from streaming import TrafficRecorder, schemas_of, start_after

    config = describe(prefix=prefix, partitions=partitions)
    with reach(servers, properties, client) as transport:
        start = start_after(transport, config, world.start)
        recorder = TrafficRecorder(transport, world, config, start=start)
        users, items = schemas_of(world)
        note(f'a worker reads it with --user-features "{users}" --item-features "{items}"')
        recording.add("traffic", recorder, lambda: {"prefix": prefix, **recorder.sent})
        yield


def write_log(recording: Recording, world: BatchedWorld, folder: Path) -> None:
    """Record to Parquet."""
    from simulators import LogRecorder

    recorder = LogRecorder(folder, world)
    recording.add("log", recorder, lambda: {"folder": str(folder), "rows": recorder.writer.rows})


def write_minari(
    recording: Recording,
    world: BatchedWorld,
    dataset_id: str,
    env: str,
    policy: str,
    options: dict[str, Any],
) -> None:
    """Record to a Minari data set, with the world's environment where Gymnasium knows it."""
    from envs import spec_of
    from envs.recording import MinariRecorder

    name = simulator(env)
    given = {option: value for option, value in options.items() if value is not None}
    spec = None if name is None else spec_of(name, **given)
    recorder = MinariRecorder(dataset_id, world, algorithm=policy, spec=spec)
    recording.add(
        "minari",
        recorder,
        lambda: {
            "data_set": dataset_id,
            "folder": str(recorder.path),
            "episodes": recorder.episodes,
        },
    )
