"""What a part of a world may say about one user: the hooks, each with what holds where none speaks.

A part defines some of these functions with the same arguments. They are scalar equations: they read
and write the records below, and numba copies them into the loops of `simulators.compose.loops`.

user
    What the parts keep of the user: a record of the fields that they declare, numbers
    (`user.mood`) or one number per topic (`user.taste[item.topic]`).
item
    `simulators.compose.items.ITEM`: what was made of the item when the world was.
here
    `simulators.compose.situation.HERE`: time, device, region and domain of the present visit.
law
    The numbers of the equations, which are options of the world.
draw
    A stream of random numbers of the hook's own: `uniform(draw, 0)`, `normal(draw, 1)`, ...
"""

from __future__ import annotations

from typing import Any

import numpy as np

from agents.jit import inlined
from agents.streams import mix

_ODD, _ONE = np.uint64(0xD1B54A32D192ED03), np.uint64(1)


@inlined
def arrive(here: Any, law: Any, draw: np.uint64) -> None:
    """Draw the situation of a user's first visit, before `birth`."""


@inlined
def birth(user: Any, here: Any, law: Any, draw: np.uint64) -> None:
    """Draw what is kept of a user who has just come; fields are 0 before."""


@inlined
def utility(user: Any, item: Any, here: Any, law: Any) -> float:
    """Return what speaks for an item in the user's eyes. The parts' utilities are summed."""
    return 0.0


@inlined
def clicked(user: Any, item: Any, here: Any, law: Any, dose: float, draw: np.uint64) -> None:
    """Change the user by an item that was clicked, and of which this share was enjoyed."""


@inlined
def passed(user: Any, item: Any, here: Any, law: Any) -> None:
    """Change the user by an item that was looked at and not clicked."""


@inlined
def gap(user: Any, here: Any, law: Any, draw: np.uint64) -> float:
    """Return how many hours pass before the next visit. The parts' hours are summed."""
    return 0.0


@inlined
def turn(user: Any, here: Any, law: Any, hours: float) -> None:
    """Change the user by the hours that pass before the next visit."""


@inlined
def leave(user: Any, here: Any, law: Any) -> float:
    """Return how likely the user never comes back. Users stay if each of the parts lets them."""
    return 0.0


@inlined
def move(here: Any, law: Any, draw: np.uint64) -> None:
    """Go from one visit's situation to the next one's; its time has come already."""


@inlined
def branch(start: np.uint64, n: int) -> np.uint64:
    """Return the start of the n-th stream that branches off a stream."""
    return mix(start ^ (np.uint64(n) + _ONE) * _ODD)
