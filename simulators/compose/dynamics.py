"""How users change: the parts that most worlds are put together of, each a law of the literature.

`interests` keeps the taste that the others move. Time constants are in hours, so that users who
come back late have changed more.
"""

from __future__ import annotations

from math import exp, log, sqrt
from typing import Any

import numpy as np

from agents.jit import inlined
from agents.streams import uniform
from simulators.compose.part import Number, Part
from simulators.draws import clip, normal

SHARE, RATE, AMOUNT = (0.0, 1.0), (0.0, np.inf), (-np.inf, np.inf)


# --- interests: a taste for every topic, in part the same in all domains


@inlined
def _tastes(user: Any, here: Any, law: Any, draw: np.uint64) -> None:
    own = int(law.topics)
    for i in range(len(user.taste)):
        common = 2.0 * uniform(draw, i % own) - 1.0
        here_alone = 2.0 * uniform(draw, own + i) - 1.0
        user.taste[i] = law.shared * common + (1.0 - law.shared) * here_alone


@inlined
def _liking(user: Any, item: Any, here: Any, law: Any) -> float:
    return float(law.liking * user.taste[item.topic] + law.luring * item.allure + law.base)


interests = Part(
    name="interests",
    law={
        "liking": Number(2.0),
        "luring": Number(0.5),
        "base": Number(0.0),
        "shared": Number(0.5, *SHARE),
    },
    topics={"taste": (-1.0, 1.0)},
    observed=("taste",),
    birth=_tastes,
    utility=_liking,
)
"""A taste for every topic, observed, at birth shared c + (1 - shared) o, where c ~ U(-1, 1) is the
same for the topics of one number in all domains and o ~ U(-1, 1) is not (one domain alone has no
use for `shared` = 1/2: set it to 0 or 1 there). Utility: liking taste + luring allure + base."""


# --- drift: clicks move interests


@inlined
def _drifted(user: Any, item: Any, here: Any, law: Any, dose: float, draw: np.uint64) -> None:
    taste = user.taste[item.topic]
    step = law.drift * (1.0 - abs(taste)) * (1.0 - taste)
    user.taste[item.topic] = clip(
        taste + step if uniform(draw, 0) < (taste + 1.0) / 2.0 else taste - step, -1.0, 1.0
    )


drift = Part(
    name="drift",
    law={"drift": Number(0.3, *SHARE)},
    needs=("taste",),
    clicked=_drifted,
)
"""A click on a topic moves its taste u by drift (1 - |u|) (1 - u), up with probability (u + 1) / 2,
else down, within [-1, 1] (Ie et al. 2019, arXiv 1909.04847, where drift is 0.3)."""


# --- influence: clicks pull interests towards what was clicked, in all domains a little


@inlined
def _influenced(user: Any, item: Any, here: Any, law: Any, dose: float, draw: np.uint64) -> None:
    own = int(law.topics)
    for i in range(len(user.taste)):
        pull = law.influence * dose
        if i // own != item.domain:
            pull *= law.spill
        goal = 1.0 if i % own == item.topic % own else -law.narrowing
        user.taste[i] += pull * (goal - user.taste[i])


influence = Part(
    name="influence",
    law={
        "influence": Number(0.05, *SHARE),
        "narrowing": Number(0.0, *SHARE),
        "spill": Number(0.5, *SHARE),
    },
    needs=("taste",),
    clicked=_influenced,
)
"""A click pulls the taste for its topic towards 1 and the others towards -narrowing, by influence
times the share enjoyed: u <- u + influence dose (goal - u), an exponential average of what was
clicked (Deffayet et al. 2024's omega is 1 - influence). Other domains move by `spill` of it."""


# --- satiation: what was just had is wanted less


@inlined
def _sated(user: Any, item: Any, here: Any, law: Any, dose: float, draw: np.uint64) -> None:
    user.satiation[item.topic] = min(user.satiation[item.topic] + dose, 20.0)


@inlined
def _recovers(user: Any, here: Any, law: Any, hours: float) -> None:
    left = exp(-hours / law.recovery)
    for i in range(len(user.satiation)):
        user.satiation[i] *= left


@inlined
def _had_enough(user: Any, item: Any, here: Any, law: Any) -> float:
    return float(-law.satiety * user.satiation[item.topic])


satiation = Part(
    name="satiation",
    law={"satiety": Number(0.5, *RATE), "recovery": Number(24.0, 1e-9)},
    topics={"satiation": (0.0, 20.0)},
    utility=_had_enough,
    clicked=_sated,
    turn=_recovers,
)
"""Each click adds the share enjoyed to its topic's satiation s, which costs satiety s of utility
and is forgotten as exp(-hours / recovery) (Leqi et al. 2021, "Rebounding bandits for modeling
satiation effects": the linear dynamical system there, in continuous time). At most 20."""


# --- boredom: too much of a topic puts the user off it for a while


@inlined
def _counted(user: Any, item: Any, here: Any, law: Any, dose: float, draw: np.uint64) -> None:
    user.recent[item.topic] = min(user.recent[item.topic] + 1.0, 1000.0)


@inlined
def _bored(user: Any, here: Any, law: Any, hours: float) -> None:
    for i in range(len(user.recent)):
        if user.recent[i] >= law.tolerance:
            user.weary[i], user.recent[i] = law.weariness, 0.0
        user.weary[i] = max(0.0, user.weary[i] - hours)
        user.recent[i] *= exp(-hours / law.memory)


@inlined
def _put_off(user: Any, item: Any, here: Any, law: Any) -> float:
    return float(-law.aversion) if user.weary[item.topic] > 0.0 else 0.0


boredom = Part(
    name="boredom",
    law={
        "tolerance": Number(3.5, 0.0),
        "memory": Number(24.0, 1e-9),
        "weariness": Number(24.0, 0.0),
        "aversion": Number(4.0, *RATE),
    },
    topics={"recent": (0.0, 1000.0), "weary": (0.0, np.inf)},
    utility=_put_off,
    clicked=_counted,
    turn=_bored,
)
"""Clicks on a topic are counted, and forgotten as exp(-hours / memory); a visit that leaves
`tolerance` of them makes the topic averse (utility -aversion) for `weariness` hours
(SARDINE's boredom, Deffayet et al. 2024, in hours where that has steps)."""


# --- satisfaction: what looked better than it was is remembered


@inlined
def _content(user: Any, item: Any, here: Any, law: Any, dose: float, draw: np.uint64) -> None:
    user.exposure += law.effect * dose * item.quality + law.whim * normal(draw, 0)
    user.exposure = clip(user.exposure, -20.0, 20.0)
    user.satisfaction = 2.0 / (1.0 + exp(-user.exposure)) - 1.0


@inlined
def _annoyed(user: Any, item: Any, here: Any, law: Any) -> None:
    user.exposure = max(-20.0, user.exposure - law.annoyance)
    user.satisfaction = 2.0 / (1.0 + exp(-user.exposure)) - 1.0


@inlined
def _forgets(user: Any, here: Any, law: Any, hours: float) -> None:
    user.exposure *= exp(-hours / law.grudge)
    user.satisfaction = 2.0 / (1.0 + exp(-user.exposure)) - 1.0


@inlined
def _goodwill(user: Any, item: Any, here: Any, law: Any) -> float:
    return float(law.goodwill * user.satisfaction)


satisfaction = Part(
    name="satisfaction",
    law={
        "effect": Number(0.5),
        "annoyance": Number(0.05, *RATE),
        "whim": Number(0.05, *RATE),
        "grudge": Number(168.0, 1e-9),
        "goodwill": Number(0.5),
    },
    numbers={"exposure": (-20.0, 20.0), "satisfaction": (-1.0, 1.0)},
    utility=_goodwill,
    clicked=_content,
    passed=_annoyed,
    turn=_forgets,
)
"""Hidden: exposure x grows by effect dose quality + whim N(0, 1) with each click, falls by
annoyance with each item passed over, and is forgotten as exp(-hours / grudge); satisfaction is
2 sigma(x) - 1, and adds goodwill satisfaction to every utility (the net positive exposure of
`long_term_satisfaction` in Ie et al. 2019, arXiv 1909.04847, in continuous time)."""


# --- churn, and the time until the next visit


@inlined
def _churns(user: Any, here: Any, law: Any) -> float:
    return 1.0 / (1.0 + exp(law.staying + law.loyalty * user.satisfaction))


churn = Part(
    name="churn",
    law={"staying": Number(3.5), "loyalty": Number(2.0)},
    needs=("satisfaction",),
    leave=_churns,
)
"""After each visit the user leaves for good with probability sigma(-staying - loyalty s), where s
is their satisfaction: a discrete-time logistic hazard."""


@inlined
def _returns(user: Any, here: Any, law: Any, draw: np.uint64) -> float:
    mean = law.absence * exp(-law.eagerness * user.satisfaction)
    return float(-mean * log(1.0 - uniform(draw, 0)))


returning = Part(
    name="returning",
    law={"absence": Number(24.0, *RATE), "eagerness": Number(0.5)},
    needs=("satisfaction",),
    gap=_returns,
)
"""The next visit comes after exponential hours with mean absence exp(-eagerness s): satisfied users
come back sooner (a proportional-hazards return time, Kapoor et al. 2014, "A hazard based approach
to user return time prediction")."""


# --- freshness: old things are dull


@inlined
def _stale(user: Any, item: Any, here: Any, law: Any) -> float:
    age = (here.now - item.arrival) % law.span
    return float(-law.staleness * sqrt(age / 24.0))


freshness = Part(
    name="freshness",
    law={"staleness": Number(0.5, *RATE)},
    situation=("calendar",),
    utility=_stale,
)
"""An item that came `age` hours ago loses staleness sqrt(age / 24) of utility."""
