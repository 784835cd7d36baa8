"""`run.py train`: let a policy learn from simulated users, or from a log."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agents.api import RecloopError
from commands.console import Json, Seed, emit, figure, note, progress, table
from commands.loop import stopping
from commands.sources import (
    CHANNEL_HELP,
    LOG_HELP,
    POLICY_HELP,
    WORLD_HELP,
    open_channel,
    open_log,
    open_policy,
    open_world,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from agents import Policy
    from agents.api import Floats, Keys, State
    from envs.learners import Learner
    from simulators import World

Candidates = Annotated[
    int | None, typer.Option(help="Items on offer at a request; the world's own by default.", min=1)
]
Slate = Annotated[
    int | None, typer.Option(help="Items shown at a request; the world's own by default.", min=1)
]
AGENT_HELP = (
    POLICY_HELP
    + " Trained in environments, by Stable-Baselines3: ppo, a2c, maskable-ppo, latent-topk, "
    "latent-topk-td3, latent-topk-ppo, wolpertinger-sac, wolpertinger-td3, gems, slateq, "
    "slate-ahead."
)
STEPS = 1000


def train(
    agent: Annotated[str, typer.Option(help=AGENT_HELP)],
    out: Annotated[Path, typer.Option(help="The folder that the trained policy is saved in.")],
    env: Annotated[str | None, typer.Option(help=WORLD_HELP)] = None,
    logs: Annotated[
        str | None, typer.Option(help="Learn from this log instead of users. " + LOG_HELP)
    ] = None,
    users: Annotated[int, typer.Option(help="Users who are served side by side.", min=1)] = 100,
    steps: Annotated[
        int | None,
        typer.Option(
            help=f"Requests that each of them makes; {STEPS} if no --minutes are given.", min=1
        ),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="How long to train at most, by the clock.", min=0.0)
    ] = None,
    chapter: Annotated[
        int,
        typer.Option(help="Steps from one checkpoint to the next; each begins anew.", min=1),
    ] = 500,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in --out.")
    ] = False,
    candidates: Candidates = None,
    slate_size: Slate = None,
    channel: Annotated[str | None, typer.Option(help=CHANNEL_HELP)] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Train a policy, and save it; curves for TensorBoard are in OUT/tensorboard.

    Ctrl-C ends the training early; what was learned until then is saved. With --resume it goes on
    from the last checkpoint, to the same figures as if it had never been broken off.
    """
    from agents.store import save

    if (env is None) == (logs is None):
        raise RecloopError("say either in which --env, or from which --logs to learn")
    if channel is not None and env is None:
        raise RecloopError("a --channel is on the way from the users of an --env")
    if logs is not None or env is None:
        document = study(str(logs), agent, seed, out)
    else:
        world = open_world(env, seed=seed, candidates=candidates, slate_size=slate_size)
        learner = _learner(agent, world, users, seed, out / "tensorboard")
        if channel is not None:
            learner.hear_through(open_channel(channel, world, seed))
        out.mkdir(parents=True, exist_ok=True)  # now, not after an hour of training
        terms = [env, agent, seed, users, chapter, candidates, slate_size]
        terms += [] if channel is None else [channel]
        training = Training(learner, chapter, " ".join(map(str, terms)))
        if resume:
            training.resume(out / "checkpoint")
        steps = STEPS if steps is None and minutes is None else steps
        with stopping() as stop:
            training.run(steps, minutes, out, stop.is_set, seed)
        save(*learner.policy(), out)
        document = _told(training, env, agent, seed, users, out)
        if steps is not None and len(training.curve) < steps:
            note(f"stopped after {len(training.curve)} of {steps} steps")
    if as_json:
        emit(document)
        return
    rows = [(k, figure(v) if isinstance(v, float) else v) for k, v in document.items()]
    table("trained", ["figure", "value"], rows)


def _learner(agent: str, world: World, users: int, seed: int, board: Path) -> Learner:
    from envs.learners import RolloutLearner, make_learner

    if Path(agent).is_dir():
        return RolloutLearner(world, users, seed, *open_policy(agent, seed))
    return make_learner(agent, world, users, seed, board=board)


def _told(
    training: Training, env: str, agent: str, seed: int, users: int, out: Path
) -> dict[str, Any]:
    curve = training.curve
    tenth = max(1, len(curve) // 10)
    return {
        "env": env,
        "agent": agent,
        "seed": seed,
        "users": users,
        "steps": len(curve),
        "reward_per_request_first_tenth": sum(curve[:tenth]) / tenth,
        "reward_per_request_last_tenth": sum(curve[-tenth:]) / tenth,
        "out": str(out),
    }


def study(logs: str, agent: str, seed: int, out: Path) -> dict[str, Any]:
    """Let a policy learn from a log, save it, and return what is to be told of it."""
    from agents.store import save

    policy, spec = open_policy(agent, seed)
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    with progress(f"{policy.name} learns from {logs}") as advance:
        for outcomes in open_log(logs):
            policy.update(outcomes)
            count += len(outcomes)
            advance(count, None)
    save(policy, spec, out)
    return {"logs": logs, "agent": agent, "seed": seed, "outcomes": count, "out": str(out)}


class Training:
    """A learner, how far it is, and its curve: what a checkpoint holds.

    Parameters
    ----------
    learner : Learner
    length : int
        Steps of a chapter.
    terms : str
        What a training must have in common with one that it goes on from.
    """

    name = "training"

    def __init__(self, learner: Learner, length: int, terms: str) -> None:
        self.learner, self.length, self.terms = learner, length, terms
        self.curve: list[float] = []

    def run(
        self,
        steps: int | None,
        minutes: float | None,
        out: Path,
        stop: Callable[[], bool],
        seed: int,
    ) -> None:
        """Learn chapter by chapter, showing a bar, and keep a checkpoint after each.

        Parameters
        ----------
        steps : int, optional
            After how many steps of every lane to end, those of before it was resumed included.
        minutes : float, optional
            After how long to end.
        out : Path
        stop : callable
            Whether somebody wants it to end.
        seed : int
            Is written into the checkpoint.
        """
        from agents import Spec
        from agents.store import save
        from commands.board import Board

        end = float("inf") if minutes is None else time.monotonic() + 60.0 * minutes

        def over() -> bool:
            return stop() or time.monotonic() > end

        board = Board(out / "tensorboard")
        with closing(board), progress(f"training in {self.learner.world.name}") as advance:
            while (steps is None or len(self.curve) < steps) and not over():
                done = len(self.curve)
                length = self.length if steps is None else min(self.length, steps - done)

                def told(now: int, done: int = done) -> None:
                    advance(done + now, steps)

                part = self.learner.learn(done // self.length, length, told, over).tolist()
                requests = range(done + 1, done + 1 + len(part))
                board.curve("reward per request", (r * self.learner.lanes for r in requests), part)
                self.curve += part
                if len(part) < self.length:
                    break
                save(self, Spec("training", seed=seed), out / "checkpoint")

    def resume(self, folder: Path) -> None:
        """Go on from a checkpoint.

        Raises
        ------
        RecloopError
            If there is none, or it is another training's.
        """
        from agents.store import restore

        restore(folder, self)

    def state_dict(self) -> State:
        """Return the curve, the terms, and the learner's state."""
        import numpy as np

        state = {f"learner.{name}": part for name, part in self.learner.state_dict().items()}
        state["curve"] = np.array(self.curve, dtype=np.float64)
        return state | {"terms": np.array(self.terms, dtype=np.str_)}

    def load_state_dict(self, state: State) -> None:
        """Take over a training on the same terms."""
        terms = str(state["terms"])
        if terms != self.terms:
            raise RecloopError(
                f"the checkpoint is of another training ({terms}, where this is {self.terms})"
            )
        parts = {name: part for name, part in state.items() if name.startswith("learner.")}
        self.learner.load_state_dict({n.removeprefix("learner."): p for n, p in parts.items()})
        self.curve = state["curve"].tolist()


def practise(policy: Policy, world: World, lanes: Keys, steps: int) -> Floats:
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

    Returns
    -------
    float64 [steps]
    """
    from simulators import rollout, summarise

    world.reset(lanes)
    with progress(f"training {policy.name} in {world.name}") as advance:
        return summarise(rollout(world, policy, steps, progress=advance)).curve
