"""Education: learners take lessons that are neither too easy nor too hard, and pass them or not."""

from __future__ import annotations

from math import exp
from typing import Any

import numpy as np

from simulators.compose import (
    Composition,
    Items,
    Number,
    Part,
    Payoff,
    churn,
    clip,
    inlined,
    interests,
    mnl,
    returning,
    satisfaction,
    sigma,
    uniform,
)

DAY = 24.0


@inlined
def _beginner(user: Any, here: Any, law: Any, draw: np.uint64) -> None:
    for i in range(len(user.skill)):
        user.skill[i] = -1.0 + law.schooling * uniform(draw, i)


@inlined
def _challenge(user: Any, item: Any, here: Any, law: Any) -> float:
    return float(-law.picky * (item.level - user.skill[item.topic] - law.stretch) ** 2)


@inlined
def _learns(user: Any, item: Any, here: Any, law: Any, dose: float, draw: np.uint64) -> None:
    gap = item.level - user.skill[item.topic]
    gain = law.learning * dose * exp(-((gap / law.reach) ** 2))
    user.skill[item.topic] = clip(user.skill[item.topic] + gain, -1.0, 2.0)


@inlined
def _forgets(user: Any, here: Any, law: Any, hours: float) -> None:
    left = exp(-hours / law.forgetting)
    for i in range(len(user.skill)):
        user.skill[i] = (user.skill[i] + 1.0) * left - 1.0


skill = Part(
    name="skill",
    law={
        "schooling": Number(1.0, 0.0, 3.0),
        "picky": Number(1.5, 0.0),
        "stretch": Number(0.2),
        "learning": Number(0.25, 0.0),
        "reach": Number(0.6, 1e-9),
        "forgetting": Number(60 * DAY, 1e-9),
    },
    topics={"skill": (-1.0, 2.0)},
    birth=_beginner,
    utility=_challenge,
    clicked=_learns,
    turn=_forgets,
)
"""A skill s for every topic, hidden, at birth -1 + schooling U(0, 1). Lessons of level l are liked
by -picky (l - s - stretch)^2: best a little above one's skill (Vygotsky's zone of proximal
development). One adds learning dose exp(-((l - s) / reach)^2), up to 2; s + 1 is forgotten as
exp(-hours / forgetting) (Ebbinghaus 1885)."""


@inlined
def _completed(user: Any, item: Any, utility: float, law: Any) -> float:
    return float(sigma(law.diligence + user.skill[item.topic] - item.level))


@inlined
def _passed(user: Any, item: Any, utility: float, law: Any) -> float:
    return float(sigma(law.discrimination * (user.skill[item.topic] - item.level)))


practising = Payoff(
    name="practising",
    law={"diligence": Number(1.0), "discrimination": Number(3.0, 0.0)},
    dwell=_completed,
    purchase=_passed,
    event="passed",
)
"""A lesson is worked through to the share sigma(diligence + s - l) on average, and its test passed
with probability sigma(discrimination (s - l)): item response theory's two-parameter model (Birnbaum
1968)."""

education = Composition(
    name="Education",
    choice=mnl,
    payoff=practising,
    parts=(interests, skill, satisfaction, churn, returning),
    items=Items(num_items=300, length=10.0, honesty=0.8),
    num_candidates=12,
    slate_size=3,
    horizon=60,
    law={
        "click_value": 0.0,
        "purchase_value": 1.0,
        "tick": 1.0,
        "liking": 1.0,
        "luring": 0.3,
        "no_click": 0.5,
        "effect": 0.3,
        "absence": 1.5 * DAY,
        "grudge": 14 * DAY,
        "staying": 3.5,
    },
    feedback={"delay": 0.5, "slow": {"passed": 1.0}},
)
"""The reward is the credit (`price`, 0 to 1) of the tests that were passed."""
