"""`run.py simulate`: how good a policy is in a world, between the bounds that the world knows.

What the policy did can be written down while it is played: as a log in Parquet, as a Minari data
set, and as Kafka traffic, the three from one rollout.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agents.api import RecloopError
from commands.console import Json, Seed, emit, figure, note, progress, say, table
from commands.loop import PARTITIONS, PREFIX, Client, Partitions, Prefix, Properties
from commands.recording import Recording, sending, write_log, write_minari
from commands.sources import (
    POLICY_HELP,
    WORLD_HELP,
    is_log,
    knows_sessions,
    open_policy,
    open_world,
    seeds,
    warn_of_untrained,
)
from commands.train import Candidates, Slate

if TYPE_CHECKING:
    from simulators import Standing


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
    log: Annotated[
        Path | None,
        typer.Option(help="Write what the policy did as a log in Parquet, into a new folder."),
    ] = None,
    minari: Annotated[
        str | None,
        typer.Option(
            help="Write it as the Minari data set of this name (recloop/shop/uniform-v0), where "
            "Minari keeps them."
        ),
    ] = None,
    traffic: Annotated[
        str | None,
        typer.Option(help="Send it as events to Kafka: host:port, several between commas."),
    ] = None,
    properties: Properties = None,
    client: Client = "kafka-python",
    prefix: Prefix = PREFIX,
    partitions: Partitions = PARTITIONS,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Let policies serve the same simulated users, and score them between the world's bounds.

    They do not learn on the way. The score is 0 for the worst bound (random) and 1 for the best one
    that the world knows (the oracle, or the myopic policy that sees the true rewards).

    One policy's rollout can be written down, with the probability of everything shown: --log,
    --minari and --traffic, of which the last takes --properties, --client, --prefix and
    --partitions too.
    """
    from simulators import standings

    written = log is not None or minari is not None or traffic is not None
    if written and len(policy or ()) != 1:
        raise RecloopError("--log, --minari and --traffic write one policy's rollout: give one")
    policies = {address: open_policy(address, seed)[0] for address in policy or ()}
    if steps is None and is_log(env) and not knows_sessions(env):  # before a world is fitted
        raise RecloopError(f"nobody ever leaves {env}: say for how many --steps to play")
    world = open_world(env, seed=seed, candidates=candidates, slate_size=slate_size, horizon=steps)
    if world.endless:
        raise RecloopError(f"nobody ever leaves {env}: say for how many --steps to play")
    warn_of_untrained(policies, "simulated")
    recording = Recording()
    with ExitStack() as open_:
        if traffic is not None:  # what is wrong with the broker is said before a file is made
            where = sending(recording, world, traffic, properties, client, prefix, partitions)
            open_.enter_context(where)
        if log is not None:
            write_log(recording, world, log)
        if minari is not None:
            options = {"num_candidates": candidates, "slate_size": slate_size, "horizon": steps}
            write_minari(recording, world, minari, env, next(iter(policies)), options)
        with progress("simulating") as advance:
            found = standings(
                world,
                policies,
                seeds(seed, users),
                record=dict.fromkeys(policies, recording.recorders),
                progress=lambda _, done, total: advance(done, total),
            )
    _warn_of_bounds(found, list(world.bounds()))
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
        emit({"env": env, "seed": seed, "policies": documents, "recorded": recording.told()})
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
    for kind, figures in recording.told().items():
        said = ", ".join(f"{name} {value}" for name, value in figures.items())
        say(f"{kind}: {said}")


def _warn_of_bounds(found: dict[str, Standing], bounds: list[str]) -> None:
    """Tell if the better bound is none on these users, so that scores mean nothing."""
    low, high = bounds[0], bounds[-1]
    if found[high].value.mean <= found[low].value.mean:
        note(
            f"{high} earns no more than {low} here, so that no score means anything: it plans for "
            "whole sessions; leave --steps away, or take more steps and users"
        )
