"""StreamingMedia: viewers choose a title of a row, or none, and watch while it holds them."""

from __future__ import annotations

from simulators.compose import (
    Composition,
    Items,
    churn,
    crossing,
    devices,
    drift,
    enjoying,
    hours,
    interests,
    mnl,
    returning,
    satiation,
    satisfaction,
)

DAY = 24.0

streaming_media = Composition(
    name="StreamingMedia",
    choice=mnl,
    payoff=enjoying,
    parts=(
        interests,
        drift,
        satiation,
        satisfaction,
        churn,
        returning,
        devices,
        hours,
        crossing,
    ),
    items=Items(num_items=600, topics=6, domains=3, length=45.0),
    num_candidates=20,
    slate_size=5,
    horizon=60,
    law={
        "click_value": 0.0,
        "dwell_value": 1 / 45.0,
        "tick": 0.5,
        "no_click": 1.5,
        "drift": 0.1,
        "satiety": 0.3,
        "recovery": 3 * DAY,
        "absence": 1.5 * DAY,
        "grudge": 30 * DAY,
        "staying": 3.5,
        "crossing": 0.15,
        "phone": 0.35,
        "computer": 0.2,
    },
    feedback={"delay": 1.0, "slow": {"dwell": 1.0}, "lost": 0.01},
)
"""Films, series and music. The reward is time watched, in units of a title's mean 45 minutes."""
