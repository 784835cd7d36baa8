"""The referee: holds every challenger against the champion, by the gate of `evaluate --gate`.

The log says of every slate with what probability champion and challenger would have shown it, as
they were when it was decided. `evaluation.Evidence` sums that as outcomes come in, and answers by
an interval that holds at all times, so it may be asked again and again. It is asked after every
hundred outcomes since the champion took office, counted one by one: a worker that restores itself
folds the same outcomes and arrives at the same answers, in whatever batches they come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from agents.api import RecloopError
from evaluation import Evidence, Promise, stated_pair
from streaming.roles import Canary, Promote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluation import Judgement
    from streaming.records import OutcomeRecord
    from streaming.roles import Order, Roles
    from streaming.rules import GateRules

EVERY = 100
"""After how many outcomes of a challenger it is judged."""

_REPLICATES = 200  # they only tell whether the weights' mean is 1; the interval is another


class Standing(msgspec.Struct, frozen=True):
    """How a challenger stands against the champion.

    Parameters
    ----------
    rounds : int
        How many outcomes it was judged on.
    low, high : float or None
        Between what its lead per slate lies; None where nothing is ruled out.
    reason : str
        What the gate says.
    shut : bool
        Whether it will say nothing more, because a promise was broken.
    """

    rounds: int = 0
    low: float | None = None
    high: float | None = None
    reason: str = "not judged yet"
    shut: bool = False


def evidence(rules: GateRules, slots: int, level: float) -> Evidence:
    """Return what a challenger is judged on, with nothing in it.

    Raises
    ------
    RecloopError
        If the rules name an estimator without an interval that holds at all times, or a promise
        that is none.
    """
    return Evidence(
        method=rules.method or ("SNIPS" if slots == 1 else "RIPS"),
        slots=slots,
        promise=Promise(rules.low, rules.high, rules.largest_weight),
        replicates=_REPLICATES,
        level=level,
    )


class _Row(NamedTuple):
    """A slate of K slots as two policies stated it."""

    rewards: list[float]
    logged: list[float]
    candidate: list[float]
    incumbent: list[float]
    key: int


class _Contest:
    """One challenger against the champion."""

    def __init__(self, rules: GateRules, slots: int, level: float) -> None:
        self._margin, self._slots = rules.margin, slots
        self._evidence = evidence(rules, slots, level)
        self._rows: list[_Row] = []
        self.standing = Standing()

    def take(self, record: OutcomeRecord, candidate: str, incumbent: str) -> Judgement | None:
        """Take in an outcome, and judge if it is time to."""
        mine, theirs = (_stated(record, name) for name in (candidate, incumbent))
        logged = record.propensities
        if self.standing.shut or not (mine and theirs and logged) or len(logged) > self._slots:
            return None
        ones, zeros = ([fill] * (self._slots - len(logged)) for fill in (1.0, 0.0))
        key = int(record.request, 16)
        self._rows.append(
            _Row(record.rewards + zeros, logged + ones, mine + ones, theirs + ones, key)
        )
        return self._judged() if len(self._rows) == EVERY else None

    def _judged(self) -> Judgement | None:
        rewards, logged, mine, theirs, keys = zip(*self._rows, strict=True)
        self._rows = []
        pair = stated_pair(
            np.array(rewards, dtype=np.float64),
            logged=np.array(logged),
            candidate=np.array(mine),
            incumbent=np.array(theirs),
            keys=np.array(keys, dtype=np.uint64),
        )
        try:
            self._evidence.add(pair)
        except RecloopError as error:
            self.standing = msgspec.structs.replace(self.standing, reason=str(error), shut=True)
            return None
        found = self._evidence.judge(self._margin)
        low, high = (end if np.isfinite(end) else None for end in (found.low, found.high))
        self.standing = Standing(self._evidence.rounds, low, high, found.reason)
        return found


def _stated(record: OutcomeRecord, policy: str) -> list[float] | None:
    """Return the propensities that a policy stated for a slate, if it was asked."""
    return record.propensities if record.policy == policy else record.shadow.get(policy)


class Referee:
    """Judges challengers, and orders what follows.

    A challenger that is better than the champion by more than the margin, beyond doubt, is
    promoted; a canary that is worse by more than it is ended. Of several challengers each is judged
    at a level so much higher that all answers together hold at the level asked for.

    Parameters
    ----------
    rules : GateRules
    slots : int
        How long slates are; longer ones are left out, shorter ones taken as filled with nothing.
    """

    def __init__(self, rules: GateRules, slots: int) -> None:
        self._rules, self._slots = rules, slots
        self._roles: Roles | None = None
        self._contests: dict[str, _Contest] = {}
        self._orders: list[Order] = []

    @property
    def standings(self) -> dict[str, Standing]:
        """How every challenger stands."""
        return {name: contest.standing for name, contest in self._contests.items()}

    def begin(self, roles: Roles) -> None:
        """Take note of who decides; with a new champion the contest begins anew."""
        self._orders = []
        before, self._roles = self._roles, roles
        if before is None or (before.champion, before.since) != (roles.champion, roles.since):
            others = [name for name in roles.policies if name != roles.champion]
            level = 1.0 - (1.0 - self._rules.level) / max(len(others), 1)
            self._contests = {n: _Contest(self._rules, self._slots, level) for n in others}

    def take(self, records: Sequence[OutcomeRecord]) -> None:
        """Take in outcomes, in their order, as far as they count.

        Corrections and what is quarantined do not, nor do slates that were shown again: nothing was
        drawn for them, so they are no more evidence than the first time they were.
        """
        assert self._roles is not None
        champion, since = self._roles.champion, self._roles.since
        for record in records:
            plain = record.corrects is None and not (record.quarantined or record.again)
            if record.seq < since or not plain:
                continue
            for name, contest in self._contests.items():
                found = contest.take(record, name, champion)
                if found is not None and not self._orders:
                    self._orders += self._answer(name, found)

    def orders(self) -> list[Order]:
        """Return what follows from what was taken in since `begin`."""
        return self._orders

    def _answer(self, name: str, found: Judgement) -> list[Order]:
        assert self._roles is not None
        reason, revision = f"the gate: {found.reason}", self._roles.revision
        if found.promoted:
            return [Promote(policy=name, reason=reason, revision=revision)]
        if found.worse and self._roles.canary == name:
            return [Canary(policy=name, share=0.0, reason=reason, revision=revision)]
        return []
