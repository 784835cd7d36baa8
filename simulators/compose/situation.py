"""The situation of a visit, and the parts that sway it: hour, device, region, domain."""

from __future__ import annotations

from math import cos, pi, sin
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.jit import compiled, inlined
from agents.streams import uniform
from simulators.compose.part import Number, Part

if TYPE_CHECKING:
    from numpy.typing import NDArray


HERE = np.dtype(
    [
        ("now", np.float64),  # hours since the world's start, as the user's own visits go
        ("hour", np.float64),  # of the day, in [0, 24)
        ("phase", np.float64),  # of the calendar in which items come and go, in [0, 1)
        ("device", np.int64),  # 0 phone, 1 computer, 2 television
        ("region", np.int64),
        ("domain", np.int64),
    ]
)
DEVICES = 3
CALENDAR, HOUR, DEVICE, REGION, DOMAIN = range(5)
SITUATIONS = ("calendar", "hour", "device", "region", "domain")


# --- the hour: every topic has its hour of the day


@inlined
def _time_of_day(user: Any, item: Any, here: Any, law: Any) -> float:
    peak = 24.0 * (item.topic % law.topics) / law.topics
    return float(law.daytime * cos(2.0 * pi * (here.hour - peak) / 24.0))


hours = Part(
    name="hours",
    law={"daytime": Number(0.5)},
    situation=("hour",),
    utility=_time_of_day,
)
"""Topic t of T is liked best at its hour: utility daytime cos(2 pi (hour / 24 - t / T))."""


# --- the season: every topic has its time of the calendar


@inlined
def _season(user: Any, item: Any, here: Any, law: Any) -> float:
    return float(
        law.seasonal * cos(2.0 * pi * (here.phase - (item.topic % law.topics) / law.topics))
    )


season = Part(
    name="season",
    law={"seasonal": Number(0.5)},
    situation=("calendar",),
    utility=_season,
)
"""Topic t of T is liked best at its season: utility seasonal cos(2 pi (now / span - t / T))."""


# --- devices: long things are not for small screens


@inlined
def _device(here: Any, law: Any, draw: np.uint64) -> None:
    x = uniform(draw, 0)
    here.device = 0 if x < law.phone else 1 if x < law.phone + law.computer else 2


@inlined
def _another_device(here: Any, law: Any, draw: np.uint64) -> None:
    if uniform(draw, 1) < law.switching:
        _device(here, law, draw)


@inlined
def _too_long(user: Any, item: Any, here: Any, law: Any) -> float:
    return float(-law.too_long * item.length / law.length) if here.device == 0 else 0.0


devices = Part(
    name="devices",
    law={
        "phone": Number(0.6, 0.0, 1.0),
        "computer": Number(0.3, 0.0, 1.0),
        "switching": Number(0.1, 0.0, 1.0),
        "too_long": Number(0.5),
    },
    situation=("device",),
    arrive=_device,
    move=_another_device,
    utility=_too_long,
)
"""A phone, a computer or, with the rest of the probability, a television; before each visit it is
drawn again with probability `switching`. On a phone an item loses too_long length / mean length."""


# --- regions: what is near is liked better


@inlined
def _home(here: Any, law: Any, draw: np.uint64) -> None:
    here.region = int(law.regions * uniform(draw, 0))


@inlined
def _near(user: Any, item: Any, here: Any, law: Any) -> float:
    return float(law.nearness) if item.region == here.region else 0.0


regions = Part(
    name="regions",
    law={"nearness": Number(0.5)},
    situation=("region",),
    arrive=_home,
    utility=_near,
)
"""Users live in one of the regions, all as likely, and add `nearness` to what is of theirs."""


# --- domains: users cross from one to another


@inlined
def _domain(here: Any, law: Any, draw: np.uint64) -> None:
    here.domain = int(law.domains * uniform(draw, 0))


@inlined
def _cross(here: Any, law: Any, draw: np.uint64) -> None:
    if uniform(draw, 0) < law.crossing:
        steps = 1 + int((law.domains - 1.0) * uniform(draw, 1))
        here.domain = (here.domain + steps) % int(law.domains)


crossing = Part(
    name="crossing",
    law={"crossing": Number(0.1, 0.0, 1.0)},
    situation=("domain",),
    arrive=_domain,
    move=_cross,
)
"""Users begin in any domain, and before each visit cross to another with probability `crossing`.
What is on offer is of the domain that they are in."""


# --- what a policy sees


@compiled
def look(state: Any, context: NDArray[np.float32]) -> None:
    """Write the observed numbers of every user, and then what is seen of their situations.

    `state` is what `ComposedWorld` keeps. Of a user's numbers the first `observed` are observed,
    and `sizes`, int64 [5], says how many columns each of `SITUATIONS` has; 0 where it is not seen.
    """
    (numbers, _, heres, _), _, (observed, sizes) = state
    for b in range(len(numbers)):
        context[b, 0] = 1.0  # where nothing else is observed
        for i in range(observed):
            context[b, i] = numbers[b, i]
        at, here = observed, heres[b]
        for which, angle in ((CALENDAR, here.phase), (HOUR, here.hour / 24.0)):
            if sizes[which] > 0:
                context[b, at] = cos(2.0 * pi * angle)
                context[b, at + 1] = sin(2.0 * pi * angle)
                at += 2
        for which, value in ((DEVICE, here.device), (REGION, here.region), (DOMAIN, here.domain)):
            for i in range(sizes[which]):
                context[b, at + i] = 1.0 if i == value else 0.0
            at += sizes[which]
