"""Parts of worlds: equations by hook, the numbers in them, and what they keep of a user.

`Part` is what anybody writes; `Choice` and `Payoff` are the two parts of which a world has exactly
one: how a slate becomes clicks, and what a click is worth. `merged` makes one kernel of the same
hook of many parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from agents.jit import bound, inlined
from simulators.compose import hooks
from simulators.compose.hooks import branch

Hook: TypeAlias = Callable[..., Any]


class Number(NamedTuple):
    """A number of an equation: its default, and between what it must lie."""

    default: float
    low: float = -np.inf
    high: float = np.inf


@dataclass(frozen=True, eq=False, kw_only=True)
class Part:
    """One reason why users do what they do. `simulators.compose.hooks` says what the hooks mean.

    Parameters
    ----------
    name : str
    law : mapping of str to Number
        The numbers of the equations, which become options of the world.
    numbers : mapping of str to (float, float)
        What is kept of a user, and between what it stays.
    topics : mapping of str to (float, float)
        The same, with one number for every topic.
    observed : tuple of str
        Which of these the policy sees.
    needs : tuple of str
        Fields that other parts keep and this one reads or writes.
    situation : tuple of str
        What the policy sees of `here`: some of "calendar", "hour", "device", "region", "domain".
    arrive, birth, utility, clicked, passed, gap, turn, leave, move : function, optional
        Scalar equations, in Python that numba compiles.
    """

    name: str
    law: Mapping[str, Number] = field(default_factory=dict)
    numbers: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    topics: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    observed: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    situation: tuple[str, ...] = ()
    arrive: Hook | None = None
    birth: Hook | None = None
    utility: Hook | None = None
    clicked: Hook | None = None
    passed: Hook | None = None
    gap: Hook | None = None
    turn: Hook | None = None
    leave: Hook | None = None
    move: Hook | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Choice:
    """How a slate becomes clicks.

    Parameters
    ----------
    name : str
    law : mapping of str to Number
    weigh : function
        `weigh(utility, law)`: an item's weight, not negative.
    choose : function
        `choose(weights, shown, law, start, chances, seen, clicked)`: from the weights of the slots,
        float64 [K], of which those are filled that are `shown`, bool [K], write how likely each is
        clicked, which are looked at and which are clicked, by the draws of the stream `start`.
    alone : function
        `alone(weight, law)`: how likely an item is clicked when nothing else is shown.
    best : function
        `best(weights, values, slots, law, out)`: numbers of which the highest, best first, are the
        slate with the highest expected sum of the values of what is clicked.
    """

    name: str
    weigh: Hook
    choose: Hook
    alone: Hook
    best: Hook
    law: Mapping[str, Number] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, kw_only=True)
class Payoff:
    """What comes of a click beside the click: dwell time, a purchase.

    Parameters
    ----------
    name : str
    law : mapping of str to Number
    dwell : function, optional
        `dwell(user, item, utility, law)`: the mean share of the item's length that is enjoyed.
    purchase : function, optional
        `purchase(user, item, utility, law)`: how likely the item is bought.
    event : str
        What the signal of a purchase is called.
    """

    name: str
    law: Mapping[str, Number] = field(default_factory=dict)
    dwell: Hook | None = None
    purchase: Hook | None = None
    event: str = "bought"


def scalar(hook: Hook) -> Hook:
    """Return a hook as a kernel, whether it is one already or plain Python."""
    return hook if hasattr(hook, "py_func") else inlined(hook)


def merged(name: str, parts: tuple[Part, ...]) -> Hook:
    """Return one kernel that does what a hook of many parts says, in their order."""
    own = [scalar(hook) for part in parts if (hook := getattr(part, name)) is not None]
    whole = own.pop(0) if own else getattr(hooks, name)
    for hook in own:
        whole = inlined(bound(_PAIRS[name], first=whole, second=hook))
    return whole


first: Hook = hooks.utility  # these stand for what `merged` binds
second: Hook = hooks.utility


def _arrive(here: Any, law: Any, draw: np.uint64) -> None:
    first(here, law, draw)
    second(here, law, branch(draw, 0))


def _birth(user: Any, here: Any, law: Any, draw: np.uint64) -> None:
    first(user, here, law, draw)
    second(user, here, law, branch(draw, 0))


def _utility(user: Any, item: Any, here: Any, law: Any) -> float:
    return float(first(user, item, here, law) + second(user, item, here, law))


def _clicked(user: Any, item: Any, here: Any, law: Any, dose: float, draw: np.uint64) -> None:
    first(user, item, here, law, dose, draw)
    second(user, item, here, law, dose, branch(draw, 0))


def _passed(user: Any, item: Any, here: Any, law: Any) -> None:
    first(user, item, here, law)
    second(user, item, here, law)


def _gap(user: Any, here: Any, law: Any, draw: np.uint64) -> float:
    return float(first(user, here, law, draw) + second(user, here, law, branch(draw, 0)))


def _turn(user: Any, here: Any, law: Any, hours: float) -> None:
    first(user, here, law, hours)
    second(user, here, law, hours)


def _leave(user: Any, here: Any, law: Any) -> float:
    return float(1.0 - (1.0 - first(user, here, law)) * (1.0 - second(user, here, law)))


_PAIRS: dict[str, Hook] = {
    "arrive": _arrive,
    "birth": _birth,
    "utility": _utility,
    "clicked": _clicked,
    "passed": _passed,
    "gap": _gap,
    "turn": _turn,
    "leave": _leave,
    "move": _arrive,
}
