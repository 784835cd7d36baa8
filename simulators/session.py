"""`Session`: a world whose context also tells what the session has revealed so far.

Users keep things to themselves, a budget of time or a growing boredom, that their answers give
away little by little. What was shown, what came of it, and what the answers revealed is added up
here and appended to the context, so that every request holds all that may be known: in a
simulation, in a log and in front of a live policy alike, and nothing has to be remembered between
two of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.jit import compiled
from simulators.bounds import Privileged
from simulators.records import WorldError
from simulators.world import BatchedWorld

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents import Policy
    from agents.api import Floats, Rows
    from simulators.records import Feedback, Mask

    Sums = NDArray[np.float32]

COUNTS = 3
"""Visits, visits without a reward, and the summed reward come first."""


class Session(BatchedWorld):
    """A world, and what its users' sessions have revealed.

    To the D context features of the world are appended, of the present user's session:

    - the number of visits, of visits without a reward, and the summed reward;
    - for every signal that adds up (one that is 0 where nothing happened): the sum of reward x
      signal over all slots. In InterestEvolution that of the quality tells, with the first three,
      how much of the time budget is left;
    - for every memory: the sum of the features of all items that were seen, and the sum of reward x
      features: what the user was shown, and what they liked.

    Parameters
    ----------
    world : BatchedWorld
        Is the session's own from now on.
    memories : tuple of float
        How much of the items' sums is left from one visit to the next: 1 keeps all, 0.5 half.
        Where there are none there are no sums of items.

    Raises
    ------
    WorldError
        If a memory is not above 0 and at most 1.
    """

    def __init__(self, world: BatchedWorld, *, memories: tuple[float, ...] = (1.0, 0.7)) -> None:
        if not all(0.0 < memory <= 1.0 for memory in memories):
            raise WorldError(f"memories are shares above 0 and at most 1, not {memories}")
        self.world, self.memories = world, np.array(memories, dtype=np.float64)
        self.name, self.signals, self.leaves = world.name, world.signals, world.leaves
        self.item_bounds, self.start, self.tick = world.item_bounds, world.start, world.tick
        self._adding = np.array(
            [place for place, signal in enumerate(world.signals, start=1) if signal.blank == 0.0],
            dtype=np.int64,
        )
        super().__init__(
            num_candidates=world.num_candidates,
            slate_size=world.slate_size,
            horizon=world.horizon,
            catalogue=world.catalogue,
        )

    @property
    def context_width(self) -> int:
        """D and the width of the sums."""
        items = 2 * self.item_width * len(self.memories)
        return self.world.context_width + COUNTS + len(self._adding) + items

    @property
    def item_width(self) -> int:
        """F, the world's."""
        return self.world.item_width

    def _allocate(self, lanes: int) -> None:
        self.world.lanes = self.lanes
        self.world._allocate(lanes)
        self.world._kept = self.world._keeps()
        width = self.world.context_width
        self._plain = np.zeros((lanes, width), dtype=np.float32)
        self.sums: Sums = np.zeros((lanes, self.context_width - width), dtype=np.float32)
        shape = (lanes, self.num_candidates, self.item_width)
        self._features: Sums = np.zeros(shape if self.catalogue is None else (0, 0, 0), np.float32)
        if self.catalogue is not None:
            self._features = self.catalogue.features[self.open_rows][None]

    def _begin(self, mask: Mask) -> None:
        self.world._begin(mask)
        self.sums[mask] = 0.0

    def _moved(self) -> None:
        super()._moved()
        self.world._moved()

    def _offer(self) -> None:
        self.world.prepare()

    def _answer(self, choices: Rows, feedback: Feedback) -> None:
        if self.catalogue is None:
            self.world._show(self._features)
        self.world._answer(choices, feedback)
        fold(
            self._gone,
            choices,
            self._features,
            feedback.told,
            feedback.seen,
            self._adding,
            self.memories,
            self.sums,
        )

    def open(self, told: NDArray[np.float32], mask: Mask) -> None:
        """Write what was revealed before the first visit: see `BatchedWorld.open`."""
        self.world.blank = self.blank
        self.world.open(told, mask)

    def _look(self, context: NDArray[np.float32]) -> None:
        self.world._look(self._plain)
        width = self._plain.shape[1]
        context[:, :width], context[:, width:] = self._plain, self.sums

    def _show(self, documents: NDArray[np.float32]) -> None:
        self.world._show(documents)

    def appeal(self) -> Floats:
        """Return the true expected reward of every candidate; see `BatchedWorld.appeal`."""
        return self.world.appeal()

    def bounds(self) -> dict[str, Policy]:
        """Return the world's bounds, made to serve this world's requests."""
        bounds = self.world.bounds()
        for policy in bounds.values():
            if isinstance(policy, Privileged):
                policy.world = self
        return bounds


@compiled
def fold(
    gone: Mask,
    choices: Rows,
    features: Sums,
    told: Sums,
    seen: Mask,
    adding: Rows,
    memories: Floats,
    sums: Sums,
) -> None:
    """Add a step's answers to the sums of every session.

    Parameters
    ----------
    gone : bool [B]
        Lanes that are skipped.
    choices : int64 [B, K]
        Places in `features`; -1 in empty slots.
    features : float32 [B or 1, M, F]
        The features of what was on offer, to each or to all alike.
    told : float32 [1 + S, B, K]
        Rewards, and the signals.
    seen : bool [B, K]
    adding : int64 [A]
        Which rows of `told` add up.
    memories : float64 [T]
    sums : float32 [B, 3 + A + 2 F T]
        Is written.
    """
    K, F, A = choices.shape[1], features.shape[2], len(adding)
    for b in range(len(gone)):
        if gone[b]:
            continue
        total = 0.0
        for k in range(K):
            total += told[0, b, k]
        sums[b, 0] += 1.0
        sums[b, 1] += total == 0.0
        sums[b, 2] += total
        for a in range(A):
            for k in range(K):
                sums[b, COUNTS + a] += told[0, b, k] * told[adding[a], b, k]
        table, start = b if len(features) > 1 else 0, COUNTS + A
        for memory in memories:
            for f in range(2 * F):
                sums[b, start + f] *= memory
            for k in range(K):
                if seen[b, k] and choices[b, k] >= 0:
                    for f in range(F):
                        feature = features[table, choices[b, k], f]
                        sums[b, start + f] += feature
                        sums[b, start + F + f] += told[0, b, k] * feature
            start += 2 * F
