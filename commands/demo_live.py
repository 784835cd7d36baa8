"""The demo's live part: a broker, the command `serve`, the log told again, and users who answer."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.api import RecloopError
from commands.console import activity, note, progress
from commands.loop import describe, reach
from commands.traffic import Driven, drive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agents import Policy, Spec
    from agents.api import Floats, Keys, Outcomes
    from simulators import LoggedWorld
    from streaming import Exported

PARTITIONS = 1
"""With one partition even the order of learning is the same in every run."""

CLIENT = "kafka-python"
DUPLICATES, POISON = 0.01, 0.005
"""How often the demo's users send an event twice, and bytes that are no event."""

PATIENCE = 20.0
RUN = Path(__file__).resolve().parent.parent / "run.py"


@dataclass(frozen=True, slots=True)
class Live:
    """What happened live.

    Parameters
    ----------
    replayed : dict of str to int
        Events sent by telling the log again, by kind.
    driven : Driven
        What came of the simulated users' visits.
    random, myopic : float64 [steps]
        The click rates per slot of the same users under the world's bounds.
    served : dict
        What `serve` said at its end.
    exported : Exported
        The outcomes written as Parquet.
    """

    replayed: dict[str, int]
    driven: Driven
    random: Floats
    myopic: Floats
    served: dict[str, Any]
    exported: Exported


def go_live(
    log: Outcomes,
    address: str,
    world: LoggedWorld,
    spec: Spec,
    weights: Path,
    folder: Path,
    *,
    lanes: Keys,
    steps: int,
    seed: int,
) -> Live:
    """Serve a trained policy over a broker, first to the log's users, then to simulated ones."""
    from streaming import EmbeddedBroker, Faults, export_log, replay_log

    config = describe(like=address, partitions=PARTITIONS, slate_size=world.slate_size, seed=seed)
    with EmbeddedBroker() as broker:
        note(f"broker at {broker.bootstrap_servers}")
        with reach(broker.bootstrap_servers, None, CLIENT) as transport:
            with _serving(broker.bootstrap_servers, address, world, spec, weights, folder, seed):
                with progress("telling the real log again") as advance:
                    told = replay_log(transport, log, config, progress=advance)
                with progress("simulated users answer") as advance:
                    driven = drive(
                        transport,
                        world,
                        config,
                        lanes,
                        steps,
                        faults=Faults(duplicate=DUPLICATES, poison=POISON, seed=seed),
                        start=told.end,
                        advance=advance,
                    )
            with activity("exporting outcomes"):
                exported = export_log(transport, config, folder / "outcomes")
    served = json.loads((folder / "serve.json").read_text())
    bounds = world.bounds()
    random, myopic = (_curve(world, bounds[name], lanes, steps) for name in ("random", "myopic"))
    return Live(dict(told.sent), driven, random, myopic, served, exported)


def _curve(world: LoggedWorld, policy: Policy, lanes: Keys, steps: int) -> Floats:
    """Return the click rate per slot at every step, for the same users without a loop."""
    from simulators import rollout

    world.reset(lanes)
    played = rollout(world, policy, steps, learn=False)
    return np.array([response.outcomes.rewards.mean() for response in played])


@contextmanager
def _serving(
    servers: str,
    address: str,
    world: LoggedWorld,
    spec: Spec,
    weights: Path,
    folder: Path,
    seed: int,
) -> Iterator[None]:
    """Run `serve` while the body runs, then end it as Ctrl-C does; explain if it ended early."""
    command = [sys.executable, str(RUN), "serve", "--json", "--policy", str(spec)]
    command += ["--weights", str(weights), "--bootstrap-servers", servers, "--client", CLIENT]
    command += ["--like", address, "--partitions", str(PARTITIONS), "--seed", str(seed)]
    command += ["--slate-size", str(world.slate_size)]
    log = folder / "serve.log"
    with (folder / "serve.json").open("wb") as out, log.open("wb") as err:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, start_new_session=True
        )
        try:
            yield
        except RecloopError as error:
            if process.poll() is None:
                raise
            raise RecloopError(_why(log)) from error
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            try:
                code = process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
    if code:
        raise RecloopError(_why(log))


def _why(log: Path) -> str:
    """Return what the worker said last."""
    said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f"the worker did not do its work (see {log}): {said[-1] if said else 'it said nothing'}"
