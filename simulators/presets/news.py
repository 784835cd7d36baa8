"""News: readers go down a page of articles that are old by tomorrow."""

from __future__ import annotations

from math import exp
from typing import Any

from simulators.compose import (
    Composition,
    Items,
    Number,
    Payoff,
    cascade,
    churn,
    freshness,
    hours,
    influence,
    inlined,
    interests,
    returning,
    satiation,
    satisfaction,
)


@inlined
def _read(user: Any, item: Any, utility: float, law: Any) -> float:
    return 1.0 / (1.0 + exp(-law.reading - law.substance * item.quality))


reading = Payoff(
    name="reading",
    law={"reading": Number(-0.4), "substance": Number(1.5)},
    dwell=_read,
)
"""A clicked article is read to the share sigma(reading + substance quality) on average."""

news = Composition(
    name="News",
    choice=cascade,
    payoff=reading,
    parts=(
        interests,
        influence,
        satiation,
        satisfaction,
        churn,
        returning,
        freshness,
        hours,
    ),
    items=Items(num_items=1500, topics=8, life=36.0, span=24 * 28, length=3.0, honesty=0.2),
    num_candidates=20,
    slate_size=5,
    horizon=60,
    law={
        "base": -1.0,
        "patience": 0.85,
        "influence": 0.02,
        "narrowing": 0.1,
        "satiety": 0.4,
        "recovery": 12.0,
        "absence": 10.0,
        "tick": 0.1,
        "staleness": 1.0,
        "daytime": 0.3,
        "dwell_value": 1 / 3,
        "click_value": 0.0,
    },
)
"""Reward: minutes read, in units of an article's mean length."""
