"""What can be trained in a world, by name, and how: chapter by chapter, so that it can go on later.

A training is cut into chapters. Each begins with new users, whose seeds follow from its number, and
with random generators that do too; so what has been learned at the end of a chapter is all that
the next one needs, and a training that was broken off goes on to the same figures.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np

from agents import RecloopError, names
from agents.streams import row_of, word
from simulators import rollout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from agents import Policy, Spec
    from agents.api import Floats, Keys, State
    from simulators import Channel, World


class Learner(ABC):
    """Something that learns in a world.

    Parameters
    ----------
    world : World
        Is its own from now on.
    lanes : int
        How many users are served side by side.
    seed : int
    """

    def __init__(self, world: World, lanes: int, seed: int) -> None:
        self.world, self.lanes, self.seed = world, lanes, seed

    def hear_through(self, channel: Callable[[], Channel]) -> None:
        """Learn from now on from what comes through channels, a new one for every chapter.

        Raises
        ------
        RecloopError
            If it learns from the steps of an environment, and not from outcomes.
        """
        raise RecloopError(
            "it learns step by step in an environment, which answers at once: a channel is for "
            "policies that learn from outcomes as they come, linucb for example"
        )

    @abstractmethod
    def learn(
        self, chapter: int, steps: int, advance: Callable[[int], None], stop: Callable[[], bool]
    ) -> Floats:
        """Learn for one chapter.

        Parameters
        ----------
        chapter : int
            Which one; 0 is the first.
        steps : int
            Requests of every lane.
        advance : callable
            Is told how many steps of the chapter are done.
        stop : callable
            Whether to end after the step at hand.

        Returns
        -------
        float64 [steps done]
            The mean reward per request of every step.
        """

    @abstractmethod
    def policy(self) -> tuple[Policy, Spec]:
        """Return the policy that serves what has been learned, and how it is built."""

    @abstractmethod
    def state_dict(self) -> State:
        """Return all that another learner, built alike, needs to go on."""

    @abstractmethod
    def load_state_dict(self, state: State) -> None:
        """Go on where another learner was."""

    def keys(self, chapter: int) -> Keys:
        """Return the seeds of a chapter's lanes: uint64 [lanes]."""
        return row_of(self.seed, self.lanes, chapter * self.lanes)


class RolloutLearner(Learner):
    """A policy that learns from outcomes as they come: every bandit, and networks that replay."""

    def __init__(self, world: World, lanes: int, seed: int, policy: Policy, spec: Spec) -> None:
        super().__init__(world, lanes, seed)
        self.learning, self.spec = policy, spec
        self._channel: Callable[[], Channel] | None = None

    def hear_through(self, channel: Callable[[], Channel]) -> None:
        """Learn from what comes through channels; see `Learner.hear_through`."""
        self._channel = channel

    def learn(
        self, chapter: int, steps: int, advance: Callable[[int], None], stop: Callable[[], bool]
    ) -> Floats:
        """Serve and learn; see `Learner.learn`."""
        self.world.reset(self.keys(chapter))
        curve = []
        channel = None if self._channel is None else self._channel()
        played = rollout(self.world, self.learning, steps, channel=channel)
        for done, response in enumerate(played, start=1):
            asked = response.feedback.asked
            curve.append(response.feedback.reward[asked].mean() if asked.any() else 0.0)
            advance(done)
            if stop():
                break
        if channel is not None:
            for outcomes in channel.rest():  # what is under way does not outlive the chapter
                self.learning.update(outcomes)
        return np.array(curve, dtype=np.float64)

    def policy(self) -> tuple[Policy, Spec]:
        """Return the policy itself."""
        return self.learning, self.spec

    def state_dict(self) -> State:
        """Return the policy's state."""
        return self.learning.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Take over a policy's state."""
        self.learning.load_state_dict(state)


@contextmanager
def own_generators(seed: int) -> Iterator[None]:
    """Lend a library that draws from the global generators some that nobody else does.

    torch runs on one thread meanwhile: another number of threads would add up in another order.
    """
    import torch

    numbers, plain = np.random.get_state(), random.getstate()  # noqa: NPY002 - lent and put back
    threads = torch.get_num_threads()
    short = int(word(seed) % np.uint64(2**32))
    with torch.random.fork_rng():
        torch.manual_seed(short)
        np.random.seed(short)  # noqa: NPY002
        random.seed(short)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            np.random.set_state(numbers)  # noqa: NPY002
            random.setstate(plain)


DEEP = (
    "a2c",
    "gems",
    "latent-topk",
    "latent-topk-ppo",
    "latent-topk-td3",
    "maskable-ppo",
    "ppo",
    "slate-ahead",
    "slateq",
    "wolpertinger-sac",
    "wolpertinger-td3",
)
"""What is trained in environments, by name, beside the policies of the registry."""


def make_learner(
    agent: str, world: World, lanes: int, seed: int, *, board: Path | None = None
) -> Learner:
    """Return what learns under a name in a world.

    Parameters
    ----------
    agent : str
        One of `DEEP`, or a policy's spec.
    world : World
    lanes : int
    seed : int
    board : Path, optional
        The folder that a deep learner writes its losses to, for TensorBoard.

    Raises
    ------
    RecloopError
        If there is no such agent, or it cannot learn in this world.
    """
    from agents import Spec

    name = agent.partition(":")[0]
    if name in DEEP:
        from envs.deep_learners import build

        return build(agent, world, lanes, seed, board)
    near = get_close_matches(name, DEEP, n=1, cutoff=0.8)
    if near and name not in names():
        raise RecloopError(f"there is no agent {name!r}; did you mean {near[0]!r}?")
    spec = Spec.parse(agent, seed)
    return RolloutLearner(world, lanes, seed, spec.make(), spec)
