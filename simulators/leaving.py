"""Sessions in a log, and when users leave: fitted to the log, and measured on users held out.

A session is what a user asks for until they are silent for longer than a gap. Whether a user
leaves after a request is a law of how many they have made in the session and of whether they
clicked: a hazard for each, from the counts of the log, drawn towards one another where the log has
little. What comes in the last gap of the log is no evidence of leaving: it may have gone on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from agents import PAD, Outcomes
from simulators.impressions import FitError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from agents.api import Floats, Keys, Rows

    Mask = NDArray[np.bool_]

GAP = 30 * 60 * 1000
"""The silence that ends a session, in milliseconds: half an hour, as web analytics has it."""
LONGEST = 30
"""From so many requests on all are one number: what is known of them is not much."""
WEIGHT = 5.0
"""How many requests' worth of evidence the hazard over all is, for the hazard of each number."""
EDGES = (1, 2, 3, 4, 6, 9, 15, 25)
"""Where the groups of lengths begin that distributions are told by."""


@dataclass(frozen=True, slots=True, eq=False)
class Sessions:
    """The requests of a log, those of a session one after the other.

    Parameters
    ----------
    row : int64 [n]
        Which request of the log, in its order.
    user : int64 [n]
        A number for every user.
    session : int64 [n]
        A number for every session.
    visit : int64 [n]
        How many requests of the session came before.
    clicked : bool [n]
        Whether something was clicked.
    left : bool [n]
        Whether the user left after it.
    known : bool [n]
        Whether that is known: it is not, of the last request of a session that the log cuts off.
    """

    row: Rows
    user: Rows
    session: Rows
    visit: Rows
    clicked: Mask
    left: Mask
    known: Mask

    def __len__(self) -> int:
        return len(self.row)

    @classmethod
    def of(cls, outcomes: Outcomes | Iterable[Outcomes], gap: int = GAP) -> Sessions:
        """Return the sessions of a log.

        Parameters
        ----------
        outcomes : Outcomes, or chunks of them
        gap : int
            The silence that ends a session, in milliseconds.

        Raises
        ------
        FitError
            If all requests are of one user or of one moment, so that there are none.
        """
        chunks = [outcomes] if isinstance(outcomes, Outcomes) else list(outcomes)
        users: Keys = np.concatenate([chunk.requests.users for chunk in chunks])
        times = np.concatenate([chunk.requests.time for chunk in chunks])
        clicked = np.concatenate(
            [
                ((chunk.decisions.slates != PAD) & (chunk.rewards > 0)).any(axis=1)
                for chunk in chunks
            ]
        )
        names, user = np.unique(users, return_inverse=True)
        if len(names) < 2 or times.min() == times.max():
            raise FitError(
                f"the log has no sessions: it knows {len(names)} users, and its requests are from "
                f"{times.min()} to {times.max()} ms; leave the session gap out"
            )
        order = np.lexsort((np.arange(len(times)), times, user))
        user, time = user[order], times[order]
        follows = np.zeros(len(order), dtype=np.bool_)  # the request before it, in its session
        follows[1:] = (user[1:] == user[:-1]) & (np.diff(time) <= gap)
        session = np.cumsum(~follows) - 1
        starts = np.flatnonzero(~follows)
        left = np.append(~follows[1:], True)
        return cls(
            row=order,
            user=user,
            session=session,
            visit=np.arange(len(order)) - starts[session],
            clicked=clicked[order],
            left=left,
            known=~(left & (time > times.max() - gap)),
        )

    def take(self, mask: Mask) -> Sessions:
        """Return some of the requests."""
        return replace(self, **{name: getattr(self, name)[mask] for name in self.__slots__})

    def lengths(self) -> Rows:
        """Return how many requests every session had whose end is known."""
        ends = self.left & self.known
        return self.visit[ends] + 1


def hazards(sessions: Sessions) -> Floats:
    """Return how likely users leave: float64 [2, LONGEST].

    First without a click, then with one; by how many requests of the session came before, the last
    one for all that are as many or more. Each is the share of those who left, with `WEIGHT`
    requests added that left as those of all numbers did.
    """
    table = np.zeros((2, LONGEST))
    known = sessions.take(sessions.known)
    visit = np.minimum(known.visit, LONGEST - 1)
    everyone = (known.left.sum() + 0.5) / (len(known) + 1.0)
    for clicked in (0, 1):
        here = known.clicked == bool(clicked)
        overall = (known.left[here].sum() + WEIGHT * everyone) / (here.sum() + WEIGHT)
        stood = np.bincount(visit[here], minlength=LONGEST)
        went = np.bincount(visit[here & known.left], minlength=LONGEST)
        table[clicked] = (went + WEIGHT * overall) / (stood + WEIGHT)
    return table


def likely(sessions: Sessions, table: Floats) -> Floats:
    """Return how likely the users were to leave after each request: float64 [n]."""
    return table[sessions.clicked.astype(np.int64), np.minimum(sessions.visit, LONGEST - 1)]


def played(
    sessions: Sessions,
    chances: Floats,
    table: Floats,
    generator: np.random.Generator,
    longest: int = 10_000,
) -> Rows:
    """Return the lengths of simulated sessions, one for each of these whose end is known.

    A simulated session is of the same user, who is shown at every visit what the log showed them at
    one of theirs, drawn at random; clicks by the click model, and leaves by the hazards.

    Parameters
    ----------
    sessions : Sessions
        Whole ones.
    chances : float64 [n]
        How likely something is clicked at each of their requests.
    table : float64 [2, LONGEST]
        See `hazards`.
    generator : numpy Generator
    longest : int
        Where a session is cut off.
    """
    first = np.searchsorted(sessions.user, sessions.user, "left")
    count = np.searchsorted(sessions.user, sessions.user, "right") - first
    ends = np.flatnonzero(sessions.left & sessions.known)
    first, count = first[ends], count[ends]
    lengths = np.zeros(len(ends), dtype=np.int64)
    there = np.arange(len(ends))
    for visit in range(longest):
        if not len(there):
            break
        lengths[there] += 1
        shown = first[there] + (generator.random(len(there)) * count[there]).astype(np.int64)
        clicked = (generator.random(len(there)) < chances[shown]).astype(np.int64)
        stays = generator.random(len(there)) >= table[clicked, min(visit, LONGEST - 1)]
        there = there[stays]
    return lengths
