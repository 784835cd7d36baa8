"""Travel: trips are looked for rarely, booked more rarely, and confirmed late."""

from __future__ import annotations

from simulators.compose import (
    Composition,
    Items,
    buying,
    churn,
    crossing,
    interests,
    proportional,
    regions,
    returning,
    satiation,
    satisfaction,
    season,
    thrift,
)

DAY = 24.0

travel = Composition(
    name="Travel",
    choice=proportional,
    payoff=buying,
    parts=(
        interests,
        thrift,
        satiation,
        satisfaction,
        churn,
        returning,
        season,
        regions,
        crossing,
    ),
    items=Items(num_items=1200, topics=6, domains=3, regions=4, life=30 * DAY, span=int(364 * DAY)),
    num_candidates=20,
    slate_size=5,
    horizon=30,
    law={
        "click_value": 0.01,
        "purchase_value": 10.0,
        "tick": 0.2,
        "lift": 0.0,
        "no_click_score": 3.0,
        "shared": 0.8,
        "buying": -3.0,
        "thriftiness": 1.5,
        "satiety": 1.0,
        "recovery": 45 * DAY,
        "grudge": 180 * DAY,
        "absence": 10 * DAY,
        "staying": 2.5,
        "seasonal": 1.0,
        "nearness": 0.3,
        "crossing": 0.35,
    },
    feedback={"delay": 0.5, "slow": {"bought": 4.0}, "lost": 0.05, "duplicate": 0.02},
)
"""Flights, stays and activities. The reward is what was booked at its price, from 0 to 10, and 0.01
for each click."""
