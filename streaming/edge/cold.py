"""Slates for users whom the loop does not know yet: chosen at random, by chances that are logged.

Such a slate is a function of seed, user and catalogue, and its id names the last two. So nothing
needs to be kept of it: when a ranking that shows it comes back, from any process, the slate is
made again, and its propensities are what they were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from agents.api import PAD
from streaming.events import RankedItem
from streaming.names import name_of
from streaming.records import Recommendation, Slot
from streaming.state import UserState

if TYPE_CHECKING:
    from agents.api import Policy
    from streaming.edge.view import View
    from streaming.events import RankingEvent
    from streaming.slates import Slates

_PREFIX = "cold-"


class Cold:
    """Decides for strangers.

    Parameters
    ----------
    policy : Policy
        One that learns nothing and needs no context: `Uniform`, as a rule.
    seed : int
        The policy's, which is logged with every decision.
    ttl : int
        How long a slate may be shown, in milliseconds.
    """

    def __init__(self, policy: Policy, seed: int, ttl: int) -> None:
        self.policy, self._seed, self._ttl = policy, seed, ttl

    def decide(self, user: str, slates: Slates, now: int) -> Recommendation | None:
        """Return the slate of a user; None if there is nothing to show.

        Parameters
        ----------
        user : str
        slates : Slates
        now : int
            In milliseconds since the epoch.
        """
        if not len(slates):
            return None
        requests = slates.requests([user], [UserState()], [now])
        decisions = self.policy.decide(requests)
        rows = [row for row in decisions.slates[0].tolist() if row != PAD]
        chances = decisions.propensities[0, : len(rows)].tolist()
        slots = zip(slates.names(rows), chances, range(len(rows)), strict=True)
        request = name_of(int(requests.keys[0]))
        return Recommendation(
            user=user,
            id=f"{_PREFIX}{slates.fingerprint}-{request}",
            request=request,
            ordinal=0,
            time=now,
            expires=now + self._ttl,
            context=np.asarray(requests.context[0]).tolist(),
            items=[Slot(*slot) for slot in slots],
            policy=decisions.policy,
            version=int(decisions.versions[0]),
            seed=self._seed,
            candidates=slates.fingerprint,
        )

    def completed(self, event: RankingEvent, view: View) -> RankingEvent:
        """Return a ranking with what is known of the slate it shows, if it shows one of ours.

        A ranking that shows anything else, states its own propensities, or comes so late that its
        catalogue is forgotten, is returned as it is.
        """
        shown = event.decision or event.id
        slates = view.catalogue(shown.removeprefix(_PREFIX)[:16])
        if not shown.startswith(_PREFIX) or slates is None:
            return event
        made = self.decide(event.user, slates, event.time)
        names = [item.id for item in event.items]
        if (
            made is None
            or made.id != shown
            or names != [slot.id for slot in made.items][: len(names)]
        ):
            return event
        if any(item.propensity is not None for item in event.items):
            return event
        items = [
            RankedItem(item.id, slot.propensity, slot.position, item.seen)
            for item, slot in zip(event.items, made.items, strict=False)
        ]
        return msgspec.structs.replace(event, items=items, policy=made.policy, version=made.version)
