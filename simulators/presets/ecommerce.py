"""ECommerce: shoppers scan a grid of products, click some, and buy few."""

from __future__ import annotations

from simulators.compose import (
    Composition,
    Items,
    buying,
    churn,
    hours,
    interests,
    position_based,
    returning,
    satiation,
    satisfaction,
    thrift,
)

DAY = 24.0

ecommerce = Composition(
    name="ECommerce",
    choice=position_based,
    payoff=buying,
    parts=(
        interests,
        thrift,
        satiation,
        satisfaction,
        churn,
        returning,
        hours,
    ),
    items=Items(num_items=500, topics=12),
    num_candidates=30,
    slate_size=6,
    horizon=40,
    law={
        "click_value": 0.02,
        "purchase_value": 1.0,
        "base": -1.5,
        "eta": 0.7,
        "satiety": 0.6,
        "recovery": 14 * DAY,
        "absence": 5 * DAY,
        "grudge": 30 * DAY,
        "staying": 3.0,
        "daytime": 0.2,
    },
    feedback={"delay": 0.2, "slow": {"bought": 2.0}, "lost": 0.05, "duplicate": 0.02},
)
"""The reward is what was bought at its price, from 0 to 1, and 0.02 for each click."""
