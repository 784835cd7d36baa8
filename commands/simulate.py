"""`run.py simulate`: how good a policy is in a world, between the bounds that the world knows."""

from __future__ import annotations

from typing import Annotated

import typer

from agents.api import RecloopError
from commands.console import Json, Seed, emit, figure, progress, table
from commands.sources import (
    POLICY_HELP,
    WORLD_HELP,
    is_log_or_folder,
    open_policy,
    open_world,
    seeds,
)
from commands.train import Candidates, Slate


def simulate(
    env: Annotated[str, typer.Option(help=WORLD_HELP)],
    policy: Annotated[
        list[str] | None, typer.Option(help=POLICY_HELP + " Give it once per policy.")
    ] = None,
    users: Annotated[int, typer.Option(help="How many users each policy serves.", min=2)] = 1000,
    steps: Annotated[
        int | None,
        typer.Option(
            help="Requests that a user makes at most; until they leave if not given.", min=1
        ),
    ] = None,
    candidates: Candidates = None,
    slate_size: Slate = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Let policies serve the same simulated users, and score them between the world's bounds.

    They do not learn on the way. The score is 0 for the worst bound (random) and 1 for the best one
    that the world knows (the oracle, or the myopic policy that sees the true rewards).
    """
    from simulators import standings

    policies = {address: open_policy(address, seed)[0] for address in policy or ()}
    if steps is None and is_log_or_folder(env):
        raise RecloopError(f"nobody ever leaves {env}: say for how many --steps to play")
    world = open_world(env, seed=seed, candidates=candidates, slate_size=slate_size, horizon=steps)
    if world.endless:
        raise RecloopError(f"nobody ever leaves {env}: say for how many --steps to play")
    with progress("simulating") as advance:
        found = standings(
            world,
            policies,
            seeds(seed, users),
            progress=lambda _, done, total: advance(done, total),
        )
    if as_json:
        documents = {
            name: {
                "return_mean": standing.value.mean,
                "return_se": standing.value.se,
                "score": standing.score.mean,
                "score_se": standing.score.se,
                "episodes": standing.episodes,
            }
            for name, standing in found.items()
        }
        emit({"env": env, "seed": seed, "policies": documents})
        return
    rows = [
        (
            name,
            f"{figure(standing.value.mean)} ± {figure(standing.value.se)}",
            f"{standing.score.mean:.3f} ± {standing.score.se:.3f}",
        )
        for name, standing in found.items()
    ]
    table(f"{users} users of {env}, seed {seed}", ["policy", "return per user", "score"], rows)
