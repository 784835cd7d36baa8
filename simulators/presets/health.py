"""Health: a coach suggests activities; habits form, and too many suggestions wear people out."""

from __future__ import annotations

from math import exp
from typing import Any

import numpy as np

from simulators.compose import (
    Composition,
    Items,
    Number,
    Part,
    enjoying,
    hours,
    inlined,
    interests,
    mnl,
    sigma,
)

DAY = 24.0


@inlined
def _practised(user: Any, item: Any, here: Any, law: Any, dose: float, draw: np.uint64) -> None:
    user.habit[item.topic] += law.forming * dose * (1.0 - user.habit[item.topic])


@inlined
def _lapses(user: Any, here: Any, law: Any, hours: float) -> None:
    left = exp(-hours / law.lapse)
    for i in range(len(user.habit)):
        user.habit[i] *= left


@inlined
def _habitual(user: Any, item: Any, here: Any, law: Any) -> float:
    return float(law.ease * user.habit[item.topic])


habit = Part(
    name="habit",
    law={
        "forming": Number(0.05, 0.0, 1.0),
        "lapse": Number(30 * DAY, 1e-9),
        "ease": Number(3.0, 0.0),
    },
    topics={"habit": (0.0, 1.0)},
    observed=("habit",),
    utility=_habitual,
    clicked=_practised,
    turn=_lapses,
)
"""A habit h for every kind of activity, observed, from 0. Doing it adds forming dose (1 - h), the
asymptotic curve of Lally et al. 2010, "How are habits formed"; not doing it lets h fade as
exp(-hours / lapse). Utility: ease h."""


@inlined
def _tired(user: Any, item: Any, here: Any, law: Any, dose: float, draw: np.uint64) -> None:
    user.burden = min(20.0, user.burden + law.effort * dose)


@inlined
def _nagged(user: Any, item: Any, here: Any, law: Any) -> None:
    user.burden = min(20.0, user.burden + law.nagging)


@inlined
def _rests(user: Any, here: Any, law: Any, hours: float) -> None:
    user.burden *= exp(-hours / law.rest)


@inlined
def _unwilling(user: Any, item: Any, here: Any, law: Any) -> float:
    return float(-law.reluctance * user.burden)


@inlined
def _quits(user: Any, here: Any, law: Any) -> float:
    return float(sigma(law.overload * user.burden - law.resolve))


burden = Part(
    name="burden",
    law={
        "effort": Number(0.5, 0.0),
        "nagging": Number(0.15, 0.0),
        "rest": Number(1.5 * DAY, 1e-9),
        "reluctance": Number(0.5, 0.0),
        "overload": Number(0.7, 0.0),
        "resolve": Number(5.0),
    },
    numbers={"burden": (0.0, 20.0)},
    utility=_unwilling,
    clicked=_tired,
    passed=_nagged,
    turn=_rests,
    leave=_quits,
)
"""Burden b, hidden, grows by effort dose with each activity and by nagging with each suggestion
that is not followed, and is slept off as exp(-hours / rest). It costs reluctance b of utility, and
the user gives up with probability sigma(overload b - resolve): the burden and disengagement that
just-in-time interventions are designed around (Nahum-Shani et al. 2018)."""

health = Composition(
    name="Health",
    choice=mnl,
    payoff=enjoying,
    parts=(interests, habit, burden, hours),
    items=Items(num_items=60, topics=6, length=20.0, honesty=0.5),
    num_candidates=8,
    slate_size=2,
    horizon=120,
    law={
        "click_value": 0.0,
        "dwell_value": 1 / 20.0,
        "tick": 6.0,
        "liking": 1.5,
        "no_click": 1.5,
        "enjoyment": 0.5,
        "substance": 0.5,
        "daytime": 1.0,
    },
    feedback={"delay": 1.0, "lost": 0.1},
)
"""Four times a day for a month. The reward is time active, in units of an activity's 20 minutes."""
