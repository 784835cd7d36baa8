"""The loops over users that every composed world is made of.

They are templates: the names of hooks, choice and payoff in them stand for nothing until
`kernels_of` binds a world's own equations to them. Worlds of the same parts share their kernels,
whatever the numbers in their equations are.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from agents.jit import bound, compiled, inlined
from agents.streams import stream, uniform
from simulators.compose.hooks import (
    arrive,
    birth,
    branch,
    clicked,
    gap,
    leave,
    move,
    passed,
    turn,
    utility,
)
from simulators.compose.items import offer, show
from simulators.compose.part import Choice, Hook, Part, Payoff, merged, scalar
from simulators.compose.situation import look
from simulators.compose.value import valued
from simulators.loops import Loops
from simulators.records import ANSWER, BIRTH

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from agents.api import Floats, Rows
    from simulators.records import Mask

CHANGE, MOVE, FORESEE = np.uint64(5), np.uint64(6), np.uint64(7)
REWARD, CLICKED, DWELL, BOUGHT = range(4)
LEAST_SHARE = 1e-3


@inlined
def dwell(user: Any, item: Any, utility: float, law: Any) -> float:
    """Return the mean share of an item that is enjoyed; see `Payoff`."""
    return 1.0


@inlined
def purchase(user: Any, item: Any, utility: float, law: Any) -> float:
    """Return how likely an item is bought; see `Payoff`."""
    return 0.0


weigh: Hook = utility  # these stand for a world's choice
choose: Hook = utility
alone: Hook = utility
best: Hook = utility
DWELLS = BUYS = -1  # where the signals stand in `Feedback.told`, if there are any


class Kernels(NamedTuple):
    """The loops of the worlds of some parts, compiled on first use."""

    loops: Loops
    appeal: Callable[..., None]
    worth: Callable[..., None]
    rank: Callable[..., None]


@cache
def kernels_of(choice: Choice, payoff: Payoff, parts: tuple[Part, ...]) -> Kernels:
    """Return the loops in which the equations of some parts are copied."""
    names: dict[str, Any] = {name: merged(name, parts) for name in HOOKS}
    for name in ("weigh", "choose", "alone"):
        names[name] = scalar(getattr(choice, name))
    for name in ("dwell", "purchase"):
        if (hook := getattr(payoff, name)) is not None:
            names[name] = scalar(hook)
    names["DWELLS"] = DWELL if payoff.dwell else -1
    names["BUYS"] = (BOUGHT if payoff.dwell else DWELL) if payoff.purchase else -1

    def made(template: Hook, **more: Any) -> Any:
        used = {name: names[name] for name in template.__code__.co_names if name in names}
        return bound(template, **used, **more)

    come_of, pass_on = inlined(made(_come_of)), inlined(made(_pass_on))
    answer = compiled(made(_answer, _come_of=come_of, _pass_on=pass_on))
    return Kernels(
        Loops(compiled(made(_begin)), answer, look, offer, show),
        compiled(made(_appeal, _come_of=come_of)),
        compiled(made(_worth, _come_of=come_of, _pass_on=pass_on)),
        _ranking(choice),
    )


@cache
def _ranking(choice: Choice) -> Any:
    return compiled(bound(_rank, best=scalar(choice.best)))


HOOKS = (
    "arrive",
    "birth",
    "utility",
    "clicked",
    "passed",
    "gap",
    "turn",
    "leave",
    "move",
)


def _begin(lanes: NDArray[Any], mask: Mask, state: Any) -> None:
    numbers, users, heres, laws = state[0]
    law = laws[0]
    for b in range(len(lanes)):
        if mask[b]:
            for i in range(numbers.shape[1]):
                numbers[b, i] = 0.0
            user, here = users[b], heres[b]
            start = stream(lanes[b].user, np.uint64(0), BIRTH)
            here.now = law.span * uniform(start, 0)  # users come at any time of the calendar
            here.hour, here.phase = here.now % 24.0, here.now / law.span
            here.device = here.region = here.domain = 0
            arrive(here, law, branch(start, 0))
            birth(user, here, law, branch(start, 1))


@inlined
def _pay(item: Any, share: float, chance: float, law: Any) -> float:
    """Return what a click on an item is worth on average."""
    value = law.click_value
    value += law.dwell_value * item.length * share
    value += law.purchase_value * item.price * chance
    return float(value)


def _come_of(user: Any, item: Any, pull: float, law: Any) -> tuple[float, float]:
    """Return what share of an item is enjoyed on average, and how likely it is bought."""
    share, chance = 1.0, 0.0
    if DWELLS >= 0:  # kept from 0, for U^(1/m - 1) has the mean m
        share = min(1.0, max(LEAST_SHARE, dwell(user, item, pull, law)))
    if BUYS >= 0:
        chance = purchase(user, item, pull, law)
    return share, chance


def _pass_on(user: Any, here: Any, law: Any, draw: np.uint64) -> float:
    """Let the time until the next visit pass; return how likely there is none."""
    hours = law.tick + gap(user, here, law, draw)
    turn(user, here, law, hours)
    here.now += hours
    here.hour, here.phase = here.now % 24.0, (here.now / law.span) % 1.0
    return float(leave(user, here, law))


def _answer(
    lanes: NDArray[Any],
    state: Any,
    choices: Rows,
    told: NDArray[np.float32],
    seen: Mask,
    expected: Floats,
    terminated: Mask,
) -> None:
    (_, users, heres, laws), (items, candidates, _, _), _ = state
    K, law = choices.shape[1], laws[0]
    shown, chosen = np.empty(K, dtype=np.bool_), np.empty(K, dtype=np.bool_)
    rows, pulls, weights, doses = np.empty(K, np.int64), np.empty(K), np.empty(K), np.empty(K)
    for b in range(len(lanes)):
        lane = lanes[b]
        if lane.ended:
            continue
        user, here = users[b], heres[b]
        for k in range(K):
            rows[k] = candidates[b, choices[b, k]] if choices[b, k] >= 0 else -1
            shown[k], weights[k] = rows[k] >= 0, 0.0
            if shown[k]:
                pulls[k] = utility(user, items[rows[k]], here, law)
                weights[k] = weigh(pulls[k], law)
        start = stream(lane.user, lane.visit, ANSWER)
        choose(weights, shown, law, branch(start, 0), expected[b], seen[b], chosen)
        for k in range(K):
            if shown[k]:
                item = items[rows[k]]
                share, chance = _come_of(user, item, pulls[k], law)
                expected[b, k] *= _pay(item, share, chance, law)
                if chosen[k]:
                    luck = branch(start, k + 1)
                    told[CLICKED, b, k], doses[k], bought = 1.0, 1.0, 0.0
                    if DWELLS >= 0:
                        doses[k] = (1.0 - uniform(luck, 0)) ** (1.0 / share - 1.0)
                        told[DWELLS, b, k] = item.length * doses[k]
                    if BUYS >= 0:
                        bought = 1.0 if uniform(luck, 1) < chance else 0.0
                        told[BUYS, b, k] = bought
                    told[REWARD, b, k] = _pay(item, doses[k], bought, law)
        start = stream(lane.user, lane.visit, CHANGE)
        for k in range(K):
            if shown[k] and chosen[k]:
                clicked(user, items[rows[k]], here, law, doses[k], branch(start, k))
            elif seen[b, k]:
                passed(user, items[rows[k]], here, law)
        start = stream(lane.user, lane.visit, MOVE)
        gone = _pass_on(user, here, law, branch(start, 0))
        move(here, law, branch(start, 1))
        terminated[b] = uniform(start, 0) < gone


def _appeal(
    users: NDArray[Any],
    heres: NDArray[Any],
    items: NDArray[Any],
    candidates: Rows,
    laws: NDArray[Any],
    out: Floats,
) -> None:
    law = laws[0]
    for b in range(len(users)):
        user, here = users[b], heres[b]
        for j in range(candidates.shape[1]):
            row = candidates[b, j]
            out[b, j] = 0.0
            if row >= 0:
                pull = utility(user, items[row], here, law)
                share, chance = _come_of(user, items[row], pull, law)
                out[b, j] = alone(weigh(pull, law), law) * _pay(items[row], share, chance, law)


def _worth(
    lanes: NDArray[Any],
    users: NDArray[Any],
    state: Floats,
    heres: NDArray[Any],
    items: NDArray[Any],
    candidates: Rows,
    laws: NDArray[Any],
    spare: NDArray[Any],
    spare_state: Floats,
    fields: Rows,
    value: Floats,
    later: Floats,
    weights: Floats,
    values: Floats,
) -> None:
    """Write what every candidate weighs, and what a click on it is worth, one visit ahead.

    It is worth what it pays, and what it changes: the value of the user who clicked it, at the next
    visit, beyond that of the user who clicked nothing. Both are [B, M]; padding has no weight.
    """
    M, law = candidates.shape[1], laws[0]
    there = np.empty(1, heres.dtype)
    for b in range(len(lanes)):
        luck = stream(lanes[b].user, lanes[b].visit, FORESEE)
        without = 0.0
        for j in range(-1, M):  # -1: nothing is clicked
            row, here = candidates[b, j] if j >= 0 else -1, heres[b]
            if j >= 0:
                weights[b, j] = values[b, j] = 0.0
                if row < 0:
                    continue
            share = 1.0
            if row >= 0:
                item = items[row]
                pull = utility(users[b], item, here, law)
                share, chance = _come_of(users[b], item, pull, law)
                weights[b, j], values[b, j] = weigh(pull, law), _pay(item, share, chance, law)
            if later[b] > 0.0:
                for i in range(state.shape[1]):
                    spare_state[0, i] = state[b, i]
                there[0] = here
                if row >= 0:
                    clicked(spare[0], items[row], there[0], law, share, branch(luck, 1))
                gone = _pass_on(spare[0], there[0], law, branch(luck, 0))
                after = later[b] * (1.0 - gone) * valued(spare_state[0], fields, value)
                if row < 0:
                    without = after
                else:
                    values[b, j] += after - without


def _rank(
    candidates: Rows, weights: Floats, values: Floats, laws: NDArray[Any], slots: int, out: Floats
) -> None:
    """Write scores whose highest, best first, are the slate with the highest expected value."""
    M, law = candidates.shape[1], laws[0]
    w, v, scores = np.empty(M), np.empty(M), np.empty(M)
    for b in range(len(candidates)):
        n = 0
        for j in range(M):
            out[b, j] = -np.inf
            if candidates[b, j] >= 0:
                w[n], v[n] = weights[b, j], values[b, j]
                n += 1
        if n > 0:
            best(w[:n], v[:n], min(slots, n), law, scores[:n])
        n = 0
        for j in range(M):
            if candidates[b, j] >= 0:
                out[b, j] = scores[n]
                n += 1
