"""News: readers go down a page of articles that are old by tomorrow."""

from __future__ import annotations

from simulators.compose import (
    Composition,
    Items,
    cascade,
    churn,
    enjoying,
    freshness,
    hours,
    influence,
    interests,
    returning,
    satiation,
    satisfaction,
)

news = Composition(
    name="News",
    choice=cascade,
    payoff=enjoying,
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
    items=Items(num_items=1500, life=36.0, length=3.0, honesty=0.2),
    num_candidates=20,
    slate_size=5,
    horizon=60,
    law={
        "click_value": 0.0,
        "dwell_value": 1 / 3.0,
        "tick": 0.1,
        "base": -1.0,
        "patience": 0.85,
        "enjoyment": -0.4,
        "influence": 0.02,
        "narrowing": 0.1,
        "satiety": 0.4,
        "recovery": 12.0,
        "absence": 10.0,
        "staleness": 1.0,
        "daytime": 0.3,
    },
    feedback={"delay": 0.5, "lost": 0.02, "duplicate": 0.01},
)
"""The reward is time read, in units of an article's mean length of 3 minutes."""
