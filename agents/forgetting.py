"""Forgetting: sums of what was observed of every item, in which the past fades.

What policies learn is kept as sums over observations. Here these sums are kept for items by key, so
that an item that comes, leaves and comes back is the same; and here they forget, by a half-life or
by a sliding window of event time. An observation's weight follows from its own time and the newest
time learned of alone. So the weighted sums still add up over the partitions of a log, and neither
the order nor the batches of the outcomes matter, which cannot be said of a discount an outcome.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.arms import Arms
from agents.jit import compiled
from agents.options import OptionError, StateError, at_least, entry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from agents.api import Floats, Keys, Requests, Rows, State

STEPS = 8
"""How many ticks a half-life or a window is cut into: the clock that fading goes by."""

NEVER = -(1 << 62)
"""The tick of a cell that holds nothing."""


class Memory:
    """How long an observation counts.

    Time is cut into ticks of an eighth of the half-life or window, on the grid of the epoch. With
    the clock at tick c, an observation of tick t weighs 2^(-(c - t) / 8) under a half-life; under a
    window it weighs 1 while c - t < 8, and nothing after.

    Parameters
    ----------
    half_life : float
        Seconds of event time after which an observation counts half; 0 never forgets.
    window : float
        Seconds of event time after which an observation does not count; 0 never forgets.

    Attributes
    ----------
    cells : int
        How many sums are kept an item: one for each tick of a window, or 1.
    """

    def __init__(self, half_life: float = 0.0, window: float = 0.0) -> None:
        at_least("half_life", half_life, 0.0)
        at_least("window", window, 0.0)
        if half_life and window:
            raise OptionError("half_life and window are two ways to forget: give one of them")
        self._length = int(np.ceil((half_life or window) * 1000 / STEPS))
        self.cells = STEPS if window else 1

    def __bool__(self) -> bool:
        """Whether anything is ever forgotten."""
        return self._length > 0

    def ticks(self, times: NDArray[np.int64]) -> Rows:
        """Return the tick, int64 [T], of every time in milliseconds; all 0 if nothing fades."""
        if not self:
            return np.zeros(len(times), dtype=np.int64)
        ticks: Rows = times // self._length
        return ticks


class Sums:
    """Sums of an item's observations, by its key, that fade.

    Parameters
    ----------
    parts : mapping of str to int
        What is summed, and how many numbers each is: the columns of `values`, in this order.
    memory : Memory

    Attributes
    ----------
    arms : Arms
        Which arm is whose.
    values : float64 [room, cells, S]
        Under a half-life, relative to the newest tick of the arm; room is at least `len(arms)`.
    ticks : int64 [room, cells]
        The tick of each cell.
    clock : int
        The newest tick learned of.
    """

    def __init__(self, parts: Mapping[str, int], memory: Memory) -> None:
        self.parts, self.memory = dict(parts), memory
        self.arms, self.clock = Arms(), NEVER
        self._blank(0)

    def _blank(self, room: int) -> None:
        cells, width = self.memory.cells, sum(self.parts.values())
        self.values = np.zeros((room, cells, width))
        self.ticks = np.full((room, cells), NEVER, dtype=np.int64)

    def admit(self, keys: Keys) -> Rows:
        """Return the arm of every key, int64 [T], with room for those that had none."""
        arms, values, ticks = self.arms.admit(keys), self.values, self.ticks
        if len(self.arms) > len(values):
            self._blank(max(len(self.arms), 2 * len(values)))
            self.values[: len(values)], self.ticks[: len(ticks)] = values, ticks
        return arms

    def add(self, keys: Keys, rows: Floats, times: NDArray[np.int64]) -> None:
        """Add observations, one by one in their order.

        Parameters
        ----------
        keys : uint64 [T]
            Whose they are.
        rows : float64 [T, S]
            What each adds to the sums.
        times : int64 [T]
            When they were made, in milliseconds since the epoch.
        """
        arms, ticks = self.admit(keys), self.memory.ticks(times)
        _add(arms, rows, ticks, self.ticks, self.values)
        self.clock = int(ticks.max(initial=self.clock))

    def of(self, requests: Requests) -> Floats:
        """Return the sums of every candidate, as they weigh now: float64 [B, M, S], 0 if none."""
        arms = self.arms.of(requests)
        out = np.zeros((*arms.shape, self.values.shape[2]))
        _of(arms, self.ticks, self.values, self.clock, out)
        return out

    def now(self) -> Floats:
        """Return the sums of every arm, as they weigh now: float64 [n, S]."""
        out = np.zeros((len(self.arms), self.values.shape[2]))
        _of(np.arange(len(out))[None], self.ticks, self.values, self.clock, out[None])
        return out

    def state(self) -> State:
        """Return the arms' keys and each part's sums: they add up over the partitions of a log.

        A part is float64 [n, its width]; where sums fade it is [n, cells, its width], with the
        cells' ticks, int64 [n, cells], beside it.
        """
        n, at = len(self.arms), 0
        state: State = {"arms": self.arms.keys}
        if self.memory:
            state["ticks"] = self.ticks[:n].copy()
        for name, width in self.parts.items():
            part = self.values[:n, :, at : at + width]
            state[name] = part.copy() if self.memory else part[:, 0].copy()
            at += width
        return state

    def load(self, state: State) -> None:
        """Take over a state that `state` returned."""
        keys = entry(state, "arms", np.uint64, (None,))
        n, cells = len(keys), (self.memory.cells,) if self.memory else ()
        parts = [
            entry(state, name, np.float64, (n, *cells, width)) for name, width in self.parts.items()
        ]
        ticks = entry(state, "ticks", np.int64, (n, *cells)) if self.memory else None
        arms = Arms(keys)
        if len(arms) != n:
            raise StateError("an item has two arms in the state: it was not written by a policy")
        self.arms = arms
        self._blank(n)
        self.values[:] = np.concatenate(parts, axis=-1).reshape(self.values.shape)
        self.ticks[:] = 0 if ticks is None else ticks
        self.clock = int(self.ticks.max(initial=NEVER))


def merged(states: Sequence[State], parts: Sequence[str]) -> State:
    """Return the sums over all partitions of a log, from the state of each.

    Parameters
    ----------
    states : sequence of dict
        As `Sums.state` returns them, of policies with the same options.
    parts : sequence of str
        The entries that add up.
    """
    arms = Arms()
    rows = [arms.admit(state["arms"]) for state in states]
    total: State = {"arms": arms.keys}
    fading = "ticks" in states[0]
    if fading:
        shape = states[0]["ticks"].shape[1:]
        total["ticks"] = np.full((len(arms), *shape), NEVER, dtype=np.int64)
        for state, row in zip(states, rows, strict=True):
            total["ticks"][row] = np.maximum(total["ticks"][row], state["ticks"])
    for name in parts:
        total[name] = np.zeros((len(arms), *states[0][name].shape[1:]))
        for state, row in zip(states, rows, strict=True):
            part = state[name]
            if fading:
                behind = total["ticks"][row] - state["ticks"]
                part = part * _weights(behind, window=shape != (1,))[..., None]
            total[name][row] += part
    return total


def _weights(behind: Rows, *, window: bool) -> Floats:
    """Return what cells weigh that are this many ticks behind the newest of their place."""
    return np.where(behind == 0, 1.0, 0.0) if window else np.exp2(-behind / STEPS)


@compiled
def weight_of(behind: int, cells: int) -> float:
    """Return what an observation counts that is so many ticks behind the clock."""
    if behind == 0:
        return 1.0
    if cells == 1:
        return float(np.exp2(-behind / STEPS))
    return 1.0 if behind < STEPS else 0.0


@compiled
def cell_of(tick: int, ticks: Rows, values: Floats) -> tuple[int, float]:
    """Make one arm's cells ready for an observation of a tick.

    Parameters
    ----------
    tick : int
    ticks : int64 [cells]
        Brought up to date.
    values : float64 [cells, S]
        Faded, or cleared of what the window has left behind.

    Returns
    -------
    cell : int
        Where the observation belongs.
    weight : float
        What it counts there; 0 if it came too late to count.
    """
    if len(ticks) == 1:
        if tick > ticks[0]:
            values[0] *= weight_of(tick - ticks[0], 1)
            ticks[0] = tick
        return 0, weight_of(ticks[0] - tick, 1)
    cell = tick % len(ticks)
    if tick > ticks[cell]:
        values[cell] = 0.0
        ticks[cell] = tick
    return cell, 1.0 if tick == ticks[cell] else 0.0


@compiled
def weigh_cells(clock: int, ticks: Rows, values: Floats, out: Floats) -> None:
    """Fill `out`, [S], with the sum over one arm's cells as they weigh at this clock."""
    out[:] = 0.0
    for cell in range(len(ticks)):
        weight = weight_of(clock - ticks[cell], len(ticks))
        for s in range(len(out)):
            out[s] += weight * values[cell, s]


@compiled
def _add(arms: Rows, rows: Floats, tick: Rows, ticks: Rows, values: Floats) -> None:
    for t in range(len(arms)):
        cell, weight = cell_of(tick[t], ticks[arms[t]], values[arms[t]])
        for s in range(rows.shape[1]):
            values[arms[t], cell, s] += weight * rows[t, s]


@compiled
def _of(arms: Rows, ticks: Rows, values: Floats, clock: int, out: Floats) -> None:
    for b in range(arms.shape[0]):
        for m in range(arms.shape[1]):
            if arms[b, m] >= 0:
                weigh_cells(clock, ticks[arms[b, m]], values[arms[b, m]], out[b, m])
