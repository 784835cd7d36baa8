"""SocialFeed: users scroll, stop at what looks good, and become what they stop at."""

from __future__ import annotations

from simulators.compose import (
    Composition,
    Items,
    boredom,
    churn,
    dependent_click,
    enjoying,
    influence,
    interests,
    returning,
    satisfaction,
)

social_feed = Composition(
    name="SocialFeed",
    choice=dependent_click,
    payoff=enjoying,
    parts=(interests, influence, boredom, satisfaction, churn, returning),
    items=Items(num_items=1000, topics=10, life=48.0, span=24 * 14, length=0.5, honesty=-0.3),
    num_candidates=30,
    slate_size=8,
    horizon=80,
    law={
        "click_value": 0.0,
        "dwell_value": 2.0,
        "tick": 0.05,
        "base": -1.0,
        "luring": 1.5,
        "persistence": 0.8,
        "influence": 0.03,
        "narrowing": 0.3,
        "tolerance": 6.0,
        "memory": 3.0,
        "weariness": 12.0,
        "aversion": 3.0,
        "effect": 0.4,
        "annoyance": 0.02,
        "absence": 4.0,
        "staying": 4.0,
    },
    feedback={"delay": 0.2, "lost": 0.03, "duplicate": 0.03, "shuffle": True},
)
"""What looks good is, here, on average not (honesty -0.3). The reward is time spent, in units of a
post's mean half minute."""
