"""Frames: the arrays that a step of an environment hands out, made once and handed out again.

Making a dozen arrays and their views anew costs a few users more than all that they do. A receiver
may keep what it was given for as long as it likes: a frame is used again only when nobody but the
frame itself holds any of its arrays, or a view of one.
"""

from __future__ import annotations

from sys import getrefcount
from typing import TYPE_CHECKING, Any

import numpy as np

from simulators.buffers import KEPT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulators.records import Feedback
    from simulators.world import BatchedWorld


class Frame:
    """What comes of a step, and what is observed after it.

    Parameters
    ----------
    world : BatchedWorld
        Has been reset: a frame is for as many lanes.
    single : bool
        Whether the observation is that of one user, without an axis of lanes.

    Attributes
    ----------
    told : float32 [1 + S, B, K]
        The rewards, and the signals.
    reward : float64 [B]
    terminated, truncated : bool [B]
    context, documents : float32 [B, D] and [B, M, F]
        What is observed; no documents where there is a catalogue.
    observation : dict of arrays
        The signals, context and documents by their names; copy it to hand it out.
    ended : bool [B]
        Whose episode ended at this step. This and what follows is only written if one did.
    totals, lengths, seconds : [B]
        What these episodes came to; 0 elsewhere.
    arrays : tuple
        All of that in the order of `simulators.loops`.
    """

    def __init__(self, world: BatchedWorld, *, single: bool = False) -> None:
        B, K, M = len(world), world.slate_size, world.num_candidates
        self.told = np.empty((1 + len(world.signals), B, K), np.float32)
        self.reward = np.empty(B)
        self.terminated, self.truncated, self.ended, asked = np.empty((4, B), np.bool_)
        self.context = np.empty((B, world.context_width), np.float32)
        shape = (B, M, world.item_width) if world.catalogue is None else (0, 0, 0)
        self.documents = np.empty(shape, np.float32)
        self.totals, self.seconds = np.empty(B), np.empty(B)
        self.lengths = np.empty(B, np.int64)
        self.arrays: tuple[Any, ...] = (
            self.told,
            np.empty((B, K), np.bool_),
            np.empty((B, K)),
            self.reward,
            self.terminated,
            self.truncated,
            asked,
            self.context,
            self.documents,
            (self.ended, self.totals, self.lengths, self.seconds),
        )
        lane: Any = 0 if single else slice(None)
        self.observation: dict[str, NDArray[Any]] = {
            signal.name: told[lane]
            for signal, told in zip(world.signals, self.told[1:], strict=True)
        }
        self.observation["user"] = self.context[lane]
        if world.catalogue is None:
            self.observation["documents"] = self.documents[lane]
        outside: list[NDArray[Any]] = [self.told, self.reward, self.terminated, self.truncated]
        outside += [self.context, self.documents, *self.observation.values()]
        outside += [self.ended, self.totals, self.lengths, self.seconds]
        outside += [array.base for array in outside if array.base is not None]
        self._outside = tuple({id(array): array for array in outside}.values())
        self._unheld = 0

    def settle(self) -> None:
        """Take for unheld what is held now, by the frame alone."""
        self._unheld = sum(map(getrefcount, self._outside))

    def free(self) -> bool:
        """Return whether nobody else holds any of it."""
        return sum(map(getrefcount, self._outside)) == self._unheld

    def episodes(self) -> dict[str, Any]:
        """Return the infos that Gymnasium would gather of episodes that ended."""
        told = self.ended
        episode = {"r": self.totals, "l": self.lengths, "t": self.seconds}
        return {"episode": episode | {"_r": told, "_l": told, "_t": told}, "_episode": told}


def unobserved(feedback: Feedback) -> tuple[Any, ...]:
    """Return feedback as `Frame.arrays` are, for kernels to write where nobody looks on."""
    B = len(feedback.reward)
    return (
        feedback.told,
        feedback.seen,
        feedback.expected,
        feedback.reward,
        feedback.terminated,
        feedback.truncated,
        feedback.asked,
        np.empty((0, 0), np.float32),
        np.empty((0, 0, 0), np.float32),
        (np.empty(B, np.bool_), np.empty(B), np.empty(B, np.int64), np.empty(B)),
    )


class Frames:
    """The frames of an environment; see `Frame` for the parameters."""

    def __init__(self, world: BatchedWorld, *, single: bool = False) -> None:
        self._world, self._single = world, single
        self._kept: list[Frame] = []
        self._turn = 0

    def opening(self) -> dict[str, NDArray[Any]]:
        """Return what is observed before anybody's first visit."""
        frame = self.take()
        self._world.open(frame.told[1:], np.ones(len(self._world), np.bool_))
        self._world.see(frame)
        return frame.observation.copy()

    def take(self) -> Frame:
        """Return a frame that nobody holds. What is in it is anything."""
        kept = self._kept
        for _ in kept:
            self._turn = (self._turn + 1) % len(kept)
            frame = kept[self._turn]
            if frame.free():
                return frame
        frame = Frame(self._world, single=self._single)
        frame.settle()
        if len(kept) < KEPT:
            kept.append(frame)
        return frame
