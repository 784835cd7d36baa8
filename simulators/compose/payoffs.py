"""What comes of a click: dwell time, purchases, and what speaks against paying for it."""

from __future__ import annotations

from math import exp
from typing import Any

import numpy as np

from agents.jit import inlined
from agents.streams import uniform
from simulators.compose.part import Number, Part, Payoff


@inlined
def sigma(x: float) -> float:
    """Return the logistic function of x."""
    return 1.0 / (1.0 + exp(-x))


@inlined
def _enjoyed(user: Any, item: Any, utility: float, law: Any) -> float:
    return float(sigma(law.enjoyment + law.substance * item.quality))


enjoying = Payoff(
    name="enjoying",
    law={"enjoyment": Number(0.0), "substance": Number(1.5)},
    dwell=_enjoyed,
)
"""Of what was clicked the share m = sigma(enjoyment + substance quality) is enjoyed on average."""


@inlined
def _bought(user: Any, item: Any, utility: float, law: Any) -> float:
    return float(sigma(law.buying + law.wanting * utility + law.worth * item.quality))


buying = Payoff(
    name="buying",
    law={"buying": Number(-2.2), "wanting": Number(0.5), "worth": Number(0.8)},
    purchase=_bought,
)
"""What was clicked is bought with probability sigma(buying + wanting utility + worth quality)."""


@inlined
def _purse(user: Any, here: Any, law: Any, draw: np.uint64) -> None:
    user.thrift = uniform(draw, 0)


@inlined
def _too_dear(user: Any, item: Any, here: Any, law: Any) -> float:
    return float(-law.thriftiness * user.thrift * item.price)


thrift = Part(
    name="thrift",
    law={"thriftiness": Number(2.0, 0.0)},
    numbers={"thrift": (0.0, 1.0)},
    birth=_purse,
    utility=_too_dear,
)
"""Users mind prices more or less: h ~ U(0, 1), hidden, costs thriftiness h price of utility."""
