"""All that happens in a step of a batch, in one compiled call.

A world says what its users do in loops over the lanes, one for each thing that happens. Called one
by one from Python they cost a microsecond each, which for a few users is more than the loops
themselves take. So they are bound into one kernel, the same for every world, that checks the
slates, has them answered, counts, brings the next users and writes what is observed.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from agents.addresses import references
from agents.jit import bound, compiled, entry
from simulators.frames import Frame
from simulators.lanes import advance, enter, first_fault
from simulators.records import Feedback

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from agents.api import Floats, Rows
    from simulators.records import Mask
    from simulators.world import BatchedWorld

    Loop = Callable[..., Any]

HELD = -(1 << 62)
"""What a visit returns if somebody holds the frame that it was to write, or it does not fit."""
_NEXT = np.uint64(1)
_IN_ANY_LAYOUT = np.empty((2, 4), np.int64)[:, ::2]
"""Slates of which numba does not take for granted that they stand in C order."""


@compiled
def look_at_nothing(state: Any, context: NDArray[np.float32]) -> None:
    """Observe nothing but that there is a user."""
    for b in range(context.shape[0]):
        for d in range(context.shape[1]):
            context[b, d] = 1.0


@compiled
def offer_all(lanes: NDArray[Any], state: Any) -> None:
    """Offer what is always on offer."""


@compiled
def show_nothing(state: Any, documents: NDArray[np.float32]) -> None:
    """Draw no documents: there is a catalogue."""


@compiled
def tell_nothing(state: Any, mask: Mask, told: NDArray[np.float32]) -> None:
    """Leave what was revealed before the first visit as it is, which is blank."""


class Loops(NamedTuple):
    """What a world is made of: compiled loops over its lanes.

    `state` is the tuple that the world's `_keeps` returns: its arrays of users and of what is on
    offer, and its numbers. The other arguments are those of the hooks of `BatchedWorld` that the
    loops stand in for.

    Parameters
    ----------
    begin : compiled function
        `begin(lanes, mask, state)`.
    answer : compiled function
        `answer(lanes, state, choices, told, seen, expected, terminated)`.
    look : compiled function
        `look(state, context)`.
    offer : compiled function
        `offer(lanes, state)`.
    show : compiled function
        `show(state, documents)`.
    open : compiled function
        `open(state, mask, told)`, where `told` is blank.
    """

    begin: Loop
    answer: Loop
    look: Loop
    offer: Loop = offer_all
    show: Loop = show_nothing
    open: Loop = tell_nothing


class Kernels(NamedTuple):
    """What a world calls.

    Parameters
    ----------
    come : callable
        `come(users, mask, later, now)`: users come; returns how many.
    visit : callable
        See `_visit`.
    """

    come: Loop
    visit: Loop


@cache
def _kernels_of(loops: Loops) -> Kernels:
    """Return the kernels in which some loops are called."""
    come = compiled(bound(_come, begin=loops.begin))
    others = {name: loop for name, loop in loops._asdict().items() if name != "begin"}
    return Kernels(come, compiled(bound(_visit, come=come, **others)))


def entries_of(world: BatchedWorld, loops: Loops) -> Kernels:
    """Return the kernels of a world that has been reset, for the types of what it keeps."""
    kernels, users, frame = _kernels_of(loops), world._users, Frame(world, observed=False)
    return Kernels(
        entry(kernels.come, users, frame.asked, _NEXT, 0.0),
        entry(kernels.visit, users, frame.packed, True, True, True, 0.0, _IN_ANY_LAYOUT),
    )


def hooks_of(world: BatchedWorld) -> Kernels:
    """Return what does the same in a world whose hooks are written in Python."""
    return Kernels(partial(_come_by_hooks, world), partial(_visit_by_hooks, world))


begin: Loop = offer_all  # these stand for a world's own
come: Loop = offer_all
answer: Loop = offer_all
look: Loop = offer_all
offer: Loop = offer_all
show: Loop = offer_all
open: Loop = offer_all


def _come(users: Any, mask: Mask, later: np.uint64, now: float) -> int:
    lanes, state, began, _ = users.values
    came = enter(lanes, mask, later, began, now)
    if came > 0:
        begin(lanes, mask, state)
    return came


def _visit(
    users: Any, frame: Any, offered: bool, renew: bool, observe: bool, now: float, choices: Rows
) -> int:
    """Show every user a slate, and write what comes of it into a frame.

    Parameters
    ----------
    users : Pack
        The lanes, the state, since when users are there, in seconds, and the rules: what is blank,
        float32 [1 + S], how many candidates there are, and the horizon or -1.
    frame : Pack
        See `simulators.frames.Frame`.
    offered : bool
        Whether what is on offer was drawn already.
    renew : bool
        Whether the next users come into the lanes that had none.
    observe : bool
        Whether to write what is observed of those who are there then. Empty slots are refused.
    now : float
        Seconds, on the clock of `began`.
    choices : int64 [B, K]
        In any layout.

    Returns
    -------
    int
        How many users are gone; -1 - b if what lane b is shown is no slate, and HELD if somebody
        holds the frame, or there are not as many slates as users: then nothing has happened.
    """
    lanes, state, began, (blank, candidates, horizon) = users.values
    (ids, unheld), feedback, episodes, context, documents = frame.values
    asked, told, reward, seen, expected, terminated, truncated, ended = feedback
    if references(ids) != unheld[0] or len(asked) != len(lanes) or len(choices) != len(lanes):
        return HELD
    fault = first_fault(choices, candidates, not observe)
    if fault >= 0:
        return -1 - fault
    if not offered:
        offer(lanes, state)
    vacant = False
    for b in range(len(lanes)):
        asked[b] = not lanes[b].ended
        vacant = vacant or lanes[b].ended
        reward[b], terminated[b], truncated[b] = 0.0, False, False
        for k in range(choices.shape[1]):
            seen[b, k], expected[b, k] = False, 0.0
    for s in range(told.shape[0]):
        for b in range(told.shape[1]):
            for k in range(told.shape[2]):
                told[s, b, k] = blank[s]
    answer(lanes, state, choices, told, seen, expected, terminated)
    gone = advance(lanes, told, horizon, reward, terminated, truncated, ended)
    if gone > 0:
        _episodes(lanes, asked, began, now, *episodes)
    if renew and vacant:
        came = ~asked
        come(users, came, _NEXT, now)
        open(state, came, told[1:])
    if observe:
        offer(lanes, state)
        look(state, context)
        show(state, documents)
    return int(gone)


@compiled
def _episodes(
    lanes: NDArray[Any],
    asked: Mask,
    began: Floats,
    now: float,
    ended: Mask,
    totals: Floats,
    lengths: Rows,
    seconds: Floats,
) -> None:
    """Write return, length and seconds of the episodes that have ended just now."""
    for b in range(len(ended)):
        ended[b] = asked[b] and lanes[b].ended
        totals[b], lengths[b], seconds[b] = 0.0, 0, 0.0
        if ended[b]:
            totals[b], lengths[b] = lanes[b].total, np.int64(lanes[b].visit)
            seconds[b] = now - began[b]


def _come_by_hooks(
    world: BatchedWorld, users: Any, mask: Mask, later: np.uint64, now: float
) -> int:
    came = enter(world.lanes, mask, later, world.began, now)
    if came > 0:
        world._begin(mask)
    return came


def _visit_by_hooks(
    world: BatchedWorld,
    users: Any,
    frame: Any,
    offered: bool,
    renew: bool,
    observe: bool,
    now: float,
    choices: Rows,
) -> int:
    lanes, _, began, (blank, candidates, horizon) = users
    ids, unheld = frame[0]
    if references(ids) != unheld[0]:  # before more names hold what is in it
        return HELD
    if len(frame[1][0]) != len(lanes) or len(choices) != len(lanes):
        return HELD
    _, feedback, episodes, context, documents = frame
    asked, told, reward, seen, expected, terminated, truncated, ended = feedback
    fault = first_fault(choices, candidates, not observe)
    if fault >= 0:
        return int(-1 - fault)
    world.prepare()
    np.logical_not(lanes["ended"], out=asked)
    told[:] = blank[:, None, None]
    for array in (seen, expected, reward, terminated, truncated):
        array[:] = 0
    np.logical_not(asked, out=ended)
    world._answer(choices, Feedback(world.signal_names, *feedback))
    gone = advance(lanes, told, horizon, reward, terminated, truncated, ended)
    world._moved()
    if gone > 0:
        _episodes(lanes, asked, began, now, *episodes)
    if renew and not asked.all():
        world.renew(~asked)
        world.open(told[1:], ~asked)
    if observe:
        world.prepare()
        world._look(context)
        if world.catalogue is None:
            world._show(documents)
    return int(gone)
