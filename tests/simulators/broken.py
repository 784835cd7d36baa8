"""Worlds that break one law each."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np

from agents import PAD
from simulators import Feedback, InterestEvolution, WorldError, first_fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from agents import Policy, Requests
    from agents.api import Rows
    from simulators import BatchedWorld


class Small(InterestEvolution):
    """Whole, but small."""

    def __init__(self) -> None:
        super().__init__(6, 3, horizon=40)


class RemembersOtherRuns(Small):
    """Its generator goes on from run to run."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng(0)

    def _begin(self, mask: NDArray[np.bool_]) -> None:
        super()._begin(mask)
        self.users["interests"][mask] = self.rng.uniform(-1, 1, (int(mask.sum()), 20))


class CountsItsLanes(Small):
    """A user's budget hangs on the place in the batch."""

    def _begin(self, mask: NDArray[np.bool_]) -> None:
        super()._begin(mask)
        self.users["budget"] -= 50.0 * np.arange(len(self)) * mask


class HoldsGrudges(Small):
    """The next user is in the mood that the last one left in."""

    def _begin(self, mask: NDArray[np.bool_]) -> None:
        before = self.users["interests"].copy()
        super()._begin(mask)
        later = mask & (self.lanes["episode"] > 0)
        self.users["interests"][later] = before[later]


class OverwritesRequests(Small):
    """It tells everybody the same array."""

    def _allocate(self, lanes: int) -> None:
        super()._allocate(lanes)
        self.told = np.zeros((lanes, 20), dtype=np.float32)

    def context(self) -> NDArray[np.float32]:
        self._look(self.told)
        return self.told


class ShowsToNobody(Small):
    """Who has left may still be shown things."""

    def requests(self) -> Requests:
        requests = super().requests()
        away = self.lanes["ended"]
        requests.candidates[away] = np.arange(len(self) * 6).reshape(-1, 6)[away]
        return requests


class RewardsEmptySlots(Small):
    """Everybody looks at slots that nothing is in."""

    def _answer(self, choices: Rows, feedback: Feedback) -> None:
        super()._answer(choices, feedback)
        feedback.seen[(choices == PAD) & feedback.asked[:, None]] = True


class Boasts(Small):
    """It expects a tenth more than it gives."""

    def _answer(self, choices: Rows, feedback: Feedback) -> None:
        super()._answer(choices, feedback)
        feedback.expected *= 1.1


class TakesAnything(Small):
    """What is no slate it reads as another one."""

    def _places(self, slates: Rows) -> Rows:
        places = super()._places(slates)
        if first_fault(places, 6, True) >= 0:
            places[:] = np.arange(3)
        return places


class ChangesWhenItRefuses(Small):
    """A wrong slate costs the user patience."""

    def step(self, choices: Rows) -> Feedback:
        try:
            return super().step(choices)
        except WorldError:
            self.users["budget"] -= 50.0
            raise


class HasNoBounds(Small):
    """Nothing to measure by."""

    def bounds(self) -> dict[str, Policy]:
        return {}


class RollsTheDice(Small):
    """It seeds the process's generator."""

    def _offer(self) -> None:
        random.seed(3)
        super()._offer()


BROKEN: list[tuple[str, Callable[[], BatchedWorld]]] = [
    ("replay", RemembersOtherRuns),
    ("alone", CountsItsLanes),
    ("users", HoldsGrudges),
    ("own", OverwritesRequests),
    ("gone", ShowsToNobody),
    ("facts", RewardsEmptySlots),
    ("expected", Boasts),
    ("refusal", TakesAnything),
    ("refusal", ChangesWhenItRefuses),
    ("bounds", HasNoBounds),
    ("generators", RollsTheDice),
]
