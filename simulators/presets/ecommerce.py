"""ECommerce: shoppers scan a grid of products, click some, and buy few."""

from __future__ import annotations

from math import exp
from typing import Any

from simulators.compose import (
    Composition,
    Items,
    Number,
    Part,
    Payoff,
    churn,
    hours,
    inlined,
    interests,
    position_based,
    returning,
    satiation,
    satisfaction,
    uniform,
)


@inlined
def _means(user: Any, here: Any, law: Any, draw: Any) -> None:
    user.thrift = uniform(draw, 0)


@inlined
def _too_dear(user: Any, item: Any, here: Any, law: Any) -> float:
    return float(-law.thriftiness * user.thrift * item.price)


thrift = Part(
    name="thrift",
    law={"thriftiness": Number(2.0, 0.0)},
    numbers={"thrift": (0.0, 1.0)},
    birth=_means,
    utility=_too_dear,
)
"""Each shopper minds prices more or less: h ~ U(0, 1), hidden; utility -thriftiness h price."""


@inlined
def _bought(user: Any, item: Any, utility: float, law: Any) -> float:
    return 1.0 / (1.0 + exp(-law.buying - law.wanting * utility - law.substance * item.quality))


buying = Payoff(
    name="buying",
    law={"buying": Number(-2.2), "wanting": Number(0.5), "substance": Number(0.8)},
    purchase=_bought,
)
"""A click leads to a purchase with probability
sigma(buying + wanting utility + substance quality)."""

ecommerce = Composition(
    name="ECommerce",
    choice=position_based,
    payoff=buying,
    parts=(interests, thrift, satiation, satisfaction, churn, returning, hours),
    items=Items(num_items=500, topics=12, honesty=0.5),
    num_candidates=30,
    slate_size=6,
    horizon=40,
    law={
        "base": -1.5,
        "eta": 0.7,
        "satiety": 0.6,
        "recovery": 14 * 24.0,
        "absence": 5 * 24.0,
        "grudge": 30 * 24.0,
        "staying": 3.0,
        "daytime": 0.2,
        "click_value": 0.02,
        "purchase_value": 1.0,
    },
)
"""Reward: what was bought, at its price from 0 to 1, and 0.02 for a click."""
