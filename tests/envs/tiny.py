"""A world that is learned in seconds: users like one of two features, and click accordingly."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from agents.streams import derive, uniforms
from simulators import BatchedWorld, Signal, standings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents import Policy
    from agents.api import Floats, Rows
    from simulators import Feedback


class Tiny(BatchedWorld):
    """A user who likes feature j clicks an item with probability features[j]; each slot alone."""

    name = "Tiny"
    signals = (Signal("clicked", 0.0, 1.0),)
    leaves = False
    context_bounds = item_bounds = (0.0, 1.0)
    context_width = item_width = 2

    def __init__(self, num_candidates: int = 6, slate_size: int = 2, horizon: int = 5) -> None:
        super().__init__(num_candidates=num_candidates, slate_size=slate_size, horizon=horizon)

    def _allocate(self, lanes: int) -> None:
        self.taste = np.zeros(lanes, dtype=np.int64)
        self.offered: Floats = np.zeros((lanes, self.num_candidates, 2))

    def _begin(self, mask: NDArray[np.bool_]) -> None:
        drawn = uniforms(1, self.lanes["user"], 1)[:, 0] < 0.5
        self.taste[mask] = drawn[mask]

    def _visit(self) -> NDArray[np.uint64]:
        return derive(self.lanes["user"], self.lanes["visit"])

    def _offer(self) -> None:
        drawn = uniforms(2, self._visit(), 2 * self.num_candidates)
        self.offered[:] = drawn.reshape(self.offered.shape)

    def appeal(self) -> Floats:
        self.prepare()
        chances: Floats = self.offered[np.arange(len(self)), :, self.taste]
        return chances

    def _answer(self, choices: Rows, feedback: Feedback) -> None:
        there = (choices >= 0) & ~self.lanes["ended"][:, None]
        chances = np.take_along_axis(self.appeal(), np.maximum(choices, 0), axis=1)
        clicked = uniforms(3, self._visit(), self.slate_size) < chances
        feedback.told[0] = feedback.told[1] = np.where(there, clicked, 0.0)
        feedback.seen[:] = there
        feedback.expected[:] = np.where(there, chances, 0.0)

    def _look(self, context: NDArray[np.float32]) -> None:
        context[:] = np.eye(2, dtype=np.float32)[self.taste]

    def _show(self, documents: NDArray[np.float32]) -> None:
        documents[:] = self.offered


class Standing(NamedTuple):
    """How a policy did: its score between random and myopic, and its gain over chance."""

    score: float
    gain: float
    error: float
    """The standard error of the gain, of two independent means: more than that of the pairs."""


def judge(policy: Policy, world: Tiny, users: int = 400) -> Standing:
    """Let a policy serve users that nothing was trained on."""
    seeds = np.arange(10_000, 10_000 + users, dtype=np.uint64)
    found = standings(world, {"it": policy}, seeds)
    it, chance = found["it"], found["random"]
    error = float(np.hypot(it.value.se, chance.value.se))
    return Standing(it.score.mean, it.value.mean - chance.value.mean, error)
