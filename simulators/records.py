"""What worlds are made of: lanes of users, streams with a purpose, and what users answer."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np

from agents import Outcomes, RecloopError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from agents.api import Floats

    Mask = NDArray[np.bool_]

LANE = np.dtype(
    [
        ("seed", np.uint64),
        ("episode", np.uint64),  # how many users of this seed came before
        ("user", np.uint64),  # the present user's key
        ("visit", np.uint64),  # how many requests the user has had answered
        ("clock", np.int64),  # how many requests the lane has had answered
        ("total", np.float64),  # the user's summed reward
        ("ended", np.bool_),  # whether the user has left
    ],
    align=True,
)
"""One record per lane. Kernels take the records and read them as `lanes[b].user`."""

BIRTH, OFFER, ANSWER = np.uint64(2), np.uint64(3), np.uint64(4)
"""Stream purposes: who a user is, what is on offer at a visit, and how the user answers to it.

A draw is `uniform(stream(lane.user, lane.visit, PURPOSE), counter)`. Purpose 1 makes request keys.
"""


class WorldError(RecloopError, ValueError):
    """A world that cannot be built as asked, or was handed what it cannot answer."""


def near(given: str, known: Iterable[str]) -> str:
    """Return a hint at what was perhaps meant, or nothing."""
    folded = {name.casefold(): name for name in known}
    found = get_close_matches(given.casefold(), folded, n=1)
    return f"did you mean {folded[found[0]]}? " if found else ""


@dataclass(frozen=True, slots=True)
class Signal:
    """Something that a response reveals of every slot, float32 [B, K].

    Parameters
    ----------
    name : str
    low, high : float
        The bounds of its values.
    blank : float
        Its value where there was no response: before a user's first, and in empty slots.
    """

    name: str
    low: float
    high: float
    blank: float = 0.0


@dataclass(slots=True, eq=False)  # not frozen: that costs a single environment a tenth of its speed
class Feedback:
    """What the users of a batch did with their slates, in arrays that kernels write into.

    Parameters
    ----------
    names : tuple of S str
        The signals' names.
    asked : bool [B]
        Whether the lane had a user who asked. The other rows are blank.
    told : float32 [1 + S, B, K]
        The rewards, and then the S signals in their order: one array, since making and passing many
        is most of what a single user's step costs.
    reward : float64 [B]
        The rewards' sum: what the visit was worth.
    seen : bool [B, K]
    expected : float64 [B, K]
        The true expected reward of every slot, given the slate and the user as they were.
    terminated : bool [B]
        Whether the user left.
    truncated : bool [B]
        Whether the user was still there when the horizon was reached.
    ended : bool [B]
        The lanes that are without a user now.
    gone : int
        How many users left, or reached the horizon: where it is 0, as in most steps of few users,
        nobody has to look.
    """

    names: tuple[str, ...]
    asked: Mask
    told: NDArray[np.float32]
    reward: Floats
    seen: Mask
    expected: Floats
    terminated: Mask
    truncated: Mask
    ended: Mask
    gone: int = 0

    @property
    def rewards(self) -> NDArray[np.float32]:
        """The rewards: float32 [B, K]."""
        rewards: NDArray[np.float32] = self.told[0]
        return rewards

    @property
    def signals(self) -> dict[str, NDArray[np.float32]]:
        """What the response reveals beside the rewards: float32 [B, K] by name."""
        return dict(zip(self.names, self.told[1:], strict=True))


@dataclass(frozen=True, slots=True)
class Response:
    """The complete facts of one step, and what only a simulation knows of them.

    Parameters
    ----------
    outcomes : Outcomes
        One row per lane. Rows whose lane had no user are empty slates: see `facts`.
    feedback : Feedback
    """

    outcomes: Outcomes
    feedback: Feedback

    @property
    def expected(self) -> Floats:
        """The true expected rewards: float64 [B, K]."""
        return self.feedback.expected

    @property
    def ended(self) -> Mask:
        """The lanes that are without a user now: bool [B]."""
        return self.feedback.ended

    @property
    def signals(self) -> Mapping[str, NDArray[np.float32]]:
        """What the response reveals beside the reward: float32 [B, K] by name."""
        return self.feedback.signals

    @property
    def facts(self) -> Outcomes:
        """The outcomes of the lanes that had a user: what a policy learns from."""
        asked = self.feedback.asked
        return self.outcomes if asked.all() else self.outcomes.take(np.flatnonzero(asked))
