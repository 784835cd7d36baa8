"""`run.py train`: let a policy learn from simulated users."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.console import Json, Seed, emit, figure, note, progress, table
from commands.loop import stopping
from commands.sources import POLICY_HELP, WORLD_HELP, open_policy, open_world, seeds

if TYPE_CHECKING:
    import threading

    from agents import Policy
    from agents.api import Floats, Keys
    from simulators import World

Candidates = Annotated[
    int | None, typer.Option(help="Items on offer at a request; the world's own by default.", min=1)
]
Slate = Annotated[
    int | None, typer.Option(help="Items shown at a request; the world's own by default.", min=1)
]


def train(
    env: Annotated[str, typer.Option(help=WORLD_HELP)],
    agent: Annotated[str, typer.Option(help=POLICY_HELP)],
    out: Annotated[Path, typer.Option(help="The folder that the trained policy is saved in.")],
    users: Annotated[int, typer.Option(help="Users who are served side by side.", min=1)] = 100,
    steps: Annotated[int, typer.Option(help="Requests that each of them makes.", min=1)] = 1000,
    candidates: Candidates = None,
    slate_size: Slate = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Train a policy on simulated users, and save it.

    Ctrl-C ends the training early; what was learned until then is saved.
    """
    from agents.store import save

    policy, spec = open_policy(agent, seed)
    world = open_world(env, seed=seed, candidates=candidates, slate_size=slate_size)
    out.mkdir(parents=True, exist_ok=True)  # now, not after an hour of training
    with stopping() as stop:
        curve = practise(policy, world, seeds(seed, users), steps, stop=stop)
    save(policy, spec, out)
    tenth = max(1, len(curve) // 10)
    document = {
        "env": env,
        "agent": agent,
        "seed": seed,
        "users": users,
        "steps": len(curve),
        "reward_per_request_first_tenth": float(curve[:tenth].mean()),
        "reward_per_request_last_tenth": float(curve[-tenth:].mean()),
        "out": str(out),
    }
    if len(curve) < steps:
        note(f"stopped after {len(curve)} of {steps} steps")
    if as_json:
        emit(document)
        return
    rows = [(k, figure(v) if isinstance(v, float) else v) for k, v in document.items()]
    table("trained", ["figure", "value"], rows)


def practise(
    policy: Policy,
    world: World,
    lanes: Keys,
    steps: int,
    *,
    stop: threading.Event | None = None,
) -> Floats:
    """Let a policy learn from users, showing a bar; return the mean reward of every step.

    Parameters
    ----------
    policy : Policy
        Learns.
    world : World
        Is reset.
    lanes : uint64 [B]
        The users' seeds. Who leaves is followed by the next user of the same seed.
    steps : int
        Requests per lane.
    stop : Event, optional
        Ends the training after the step at hand.

    Returns
    -------
    float64 [steps done]
    """
    import numpy as np

    from simulators import rollout

    world.reset(lanes)
    curve = []
    with progress(f"training {policy.name} in {world.name}") as advance:
        for response in rollout(world, policy, steps, progress=advance):
            asked = response.feedback.asked
            curve.append(response.outcomes.rewards[asked].sum(axis=1).mean() if asked.any() else 0)
            if stop is not None and stop.is_set():
                break
    return np.array(curve, dtype=np.float64)
