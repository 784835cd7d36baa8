"""Frames: the arrays that a step of an environment hands out, made once and handed out again.

Making a dozen arrays and their views anew costs a few users more than all that they do. A receiver
may keep what it was given for as long as it likes: a frame is used again only when nobody but the
frame itself holds any of its arrays, or a view of one.
"""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.addresses import references
from simulators.buffers import KEPT
from simulators.stores import in_lines

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulators.world import BatchedWorld


class Frame:
    """What comes of a step, and what is observed after it.

    Parameters
    ----------
    world : BatchedWorld
        Has been reset: a frame is for as many lanes.
    single : bool
        Whether the observation is that of one user, without an axis of lanes.
    observed : bool
        Whether somebody looks on. Otherwise there is no room for context and documents.

    Attributes
    ----------
    told : float32 [1 + S, B, K]
        The rewards, and the signals.
    seen, expected : bool and float64 [B, K]
    reward : float64 [B]
    asked, terminated, truncated : bool [B]
    context, documents : float32 [B, D] and [B, M, F]
        What is observed; no documents where there is a catalogue.
    observation : dict of arrays
        The signals, context and documents by their names; copy it to hand it out.
    feedback : tuple of arrays
        What was answered, as `Feedback` is made of after its names.
    ended : bool [B]
        Whose episode ended at this step. This and what follows is only written if one did.
    totals, lengths, seconds : [B]
        What these episodes came to; 0 elsewhere.
    packed : Pack
        All of that, as `simulators.loops` takes it.
    """

    def __init__(self, world: BatchedWorld, *, single: bool = False, observed: bool = True) -> None:
        B, K, M = len(world), world.slate_size, world.num_candidates
        self.told = np.empty((len(world.blank), B, K), np.float32)
        self.seen, self.expected = np.empty((B, K), np.bool_), np.empty((B, K))
        self.reward, self.totals, self.seconds = np.empty(B), np.empty(B), np.empty(B)
        self.asked, self.ended = np.empty(B, np.bool_), np.empty(B, np.bool_)
        self.terminated, self.truncated = np.empty(B, np.bool_), np.empty(B, np.bool_)
        self.lengths = np.empty(B, np.int64)
        self.context = np.empty((B, world.context_width) if observed else (0, 0), np.float32)
        drawn = observed and world.catalogue is None
        self.documents = in_lines((B, M, world.item_width) if drawn else (0, 0, 0))
        self.feedback = (
            self.asked,
            self.told,
            self.reward,
            self.seen,
            self.expected,
            self.terminated,
            self.truncated,
            np.empty(B, np.bool_),
        )
        episodes = self.ended, self.totals, self.lengths, self.seconds
        self.observation: dict[str, NDArray[Any]] = dict(
            zip(world.signal_names, self.told[1:], strict=True)
        )
        self.observation["user"] = self.context
        if world.catalogue is None:
            self.observation["documents"] = self.documents
        self._episode: dict[str, NDArray[Any]] = dict(zip("rlt", episodes[1:], strict=True))
        self._episode |= dict.fromkeys(("_r", "_l", "_t"), self.ended)
        outside = [self.told, self.reward, self.terminated, self.truncated, *episodes]
        if drawn:
            outside.append(self.documents.base)  # which is what views of the documents hold
        outside += self.observation.values() if observed else self.feedback
        if single:
            self.observation = {name: all_[0] for name, all_ in self.observation.items()}
            outside += self.observation.values()
        self._outside = {id(array): array for array in outside}  # counted, so they must stay
        self._ids = np.array([*self._outside])
        self._unheld = np.zeros(1, np.int64)
        held = self._ids, self._unheld
        self.packed = world.pack(held, self.feedback, episodes, self.context, self.documents)

    def settle(self) -> None:
        """Take for unheld what is held now, by the frame alone.

        Raises
        ------
        RuntimeError
            If this Python counts references otherwise.
        """
        self._unheld[0] = references(self._ids)
        more = list(self._outside.values())
        if references(self._ids) != self._unheld[0] + len(more):
            raise RuntimeError("this Python keeps no count of references at the head of an object")

    def free(self) -> bool:
        """Return whether nobody else holds any of it; `simulators.loops` looks by itself."""
        return bool(references(self._ids) == self._unheld[0])

    def episodes(self) -> dict[str, Any]:
        """Return the infos that Gymnasium would gather of episodes that ended."""
        return {"episode": self._episode.copy(), "_episode": self.ended}


class Frames:
    """The frames of an environment; see `Frame` for the parameters.

    Attributes
    ----------
    turns : iterator over Frame
        Whose turn it is, for ever: who asks for the next one sees to it that nobody holds it, or
        takes another. It is empty before one was taken.
    """

    def __init__(self, world: BatchedWorld, *, single: bool = False, observed: bool = True) -> None:
        self._world, self._kind = world, {"single": single, "observed": observed}
        self._kept: list[Frame] = []
        self.turns = cycle(self._kept)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the frames: what is packed is of this process alone."""
        return {"_world": self._world, "_kind": self._kind, "_kept": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, turns=cycle(state["_kept"]))

    def opening(self) -> dict[str, NDArray[Any]]:
        """Return what is observed before anybody's first visit."""
        frame = self.take()
        self._world.open(frame.told[1:], np.ones(len(self._world), np.bool_))
        self._world.see(frame)
        return frame.observation.copy()

    def take(self) -> Frame:
        """Return a frame that nobody holds. What is in it is anything."""
        for frame in self._kept:
            if frame.free() and len(frame.reward) == len(self._world):
                return frame
        frame = Frame(self._world, **self._kind)
        frame.settle()
        if len(self._kept) < KEPT:
            self._kept.append(frame)
            self.turns = cycle(self._kept)
        return frame
