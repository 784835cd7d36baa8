"""What a network learns from again and again: the latest outcomes, and who came back after them.

Outcomes say what one visit came to. A policy that looks beyond the visit needs the next one of the
same user, which comes later, or never: the memory links a visit to its successor when that arrives.
Until then the visit counts as the user's last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.api import PAD, ShapeError
from agents.jit import compiled
from agents.lessons import lessons_of
from agents.options import StateError, entry
from agents.streams import stream, uniform, word

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Keys, Outcomes, Rows, State
    from agents.deep.mlp import Singles

SAMPLE = np.uint64(21)
"""The stream purpose that the candidates to be remembered are drawn from."""

KINDS = {
    "users": np.uint64,
    "context": np.float32,
    "offered": np.float32,
    "rewards": np.float32,
    "taught": np.bool_,
    "chances": np.float64,
    "weights": np.float32,
    "after": np.int64,
}
"""The arrays of a memory, and their types."""


class Memory:
    """The latest outcomes that taught anything, in a ring.

    Parameters
    ----------
    size : int
        C, how many are kept.
    sample : int
        How many candidates of a request are kept beside those shown; all of them if there are no
        more. The rest of the candidates is represented by them.
    seed : int
        What the sample is drawn by, with the request keys.

    Attributes
    ----------
    count : int
        How many outcomes were remembered so far. Outcome number n is in row n % C.
    users : uint64 [C]
    context : float32 [C, D]
    offered : float32 [C, K + sample, F]
        Features: those of the slate's items, slot by slot, then those of the sample.
    rewards, taught, chances : float32, bool, float64 [C, K]
        Rewards, whether the slot was filled and seen, and the propensity it was logged with.
    weights : float32 [C, K + sample]
        How many candidates each of the offered stands for; 0 where there is none.
    after : int64 [C]
        The number of the same user's next outcome, or -1.
    """

    users: Keys
    context: Singles
    offered: Singles
    rewards: Singles
    taught: NDArray[np.bool_]
    chances: Floats
    weights: Singles
    after: Rows

    def __init__(self, size: int, sample: int, seed: int) -> None:
        self.size, self.sample, self.seed = size, sample, seed
        self.count = 0
        self._latest: dict[int, int] = {}
        self._make(0, 0, 0)

    def __len__(self) -> int:
        return min(self.count, self.size)

    @property
    def widths(self) -> tuple[int, int, int]:
        """D, K and F."""
        return self.context.shape[1], self.rewards.shape[1], self.offered.shape[2]

    def _make(self, D: int, K: int, F: int) -> None:
        shapes = self._shapes(self.size if K else 0, D, K, F)
        for name, kind in KINDS.items():
            setattr(self, name, np.zeros(shapes[name], dtype=kind))

    def _shapes(self, C: int, D: int, K: int, F: int) -> dict[str, tuple[int, ...]]:
        S = K + self.sample
        return {
            "users": (C,),
            "context": (C, D),
            "offered": (C, S, F),
            "rewards": (C, K),
            "taught": (C, K),
            "chances": (C, K),
            "weights": (C, S),
            "after": (C,),
        }

    def fit(self, outcomes: Outcomes) -> Rows:
        """Return the rows that teach something, once it is sure that they can be remembered.

        Raises
        ------
        LessonError
            If something in them is not finite.
        ShapeError
            If they have other widths than those remembered. Nothing was changed.
        """
        rows = np.unique(lessons_of(outcomes).request)
        requests = outcomes.requests
        D, F = requests.context.shape[1], requests.items.features.shape[1]
        if len(rows) and not self.count:
            self._make(D, requests.slate_size, F)
        if len(rows) and self.widths != (D, requests.slate_size, F):
            raise ShapeError(
                f"the policy learned from (context, slots, item features) = {self.widths} and "
                f"cannot learn from {(D, requests.slate_size, F)} as well"
            )
        return rows

    def add(self, outcomes: Outcomes, row: int) -> None:
        """Remember one outcome, and link the user's previous one to it."""
        place, user = self.count % self.size, int(outcomes.requests.users[row])
        if self.count >= self.size:
            forgotten = int(self.users[place])
            if self._latest.get(forgotten) == self.count - self.size:
                del self._latest[forgotten]
        previous = self._latest.get(user)
        if previous is not None:
            self.after[previous % self.size] = self.count
        self._latest[user] = self.count
        requests, decisions = outcomes.requests, outcomes.decisions
        self.users[place], self.after[place] = user, PAD
        self.context[place] = requests.context[row]
        self.taught[place] = outcomes.seen[row] & (decisions.slates[row] != PAD)
        self.rewards[place] = np.where(self.taught[place], outcomes.rewards[row], 0.0)
        self.chances[place] = decisions.propensities[row]
        _sample(
            word(self.seed),
            requests.keys[row],
            requests.items.features,
            requests.candidates[row],
            decisions.slates[row],
            self.offered[place],
            self.weights[place],
        )
        self.count += 1

    def state(self) -> State:
        """Return what is remembered, as arrays."""
        arrays = {f"memory.{name}": getattr(self, name)[: len(self)].copy() for name in KINDS}
        return {"memory.count": np.array(self.count, dtype=np.int64)} | arrays

    @classmethod
    def load(cls, state: State, size: int, sample: int, seed: int) -> Memory:
        """Return the memory that a state holds.

        Raises
        ------
        StateError
            If it holds none of this size.
        """
        memory = cls(size, sample, seed)
        memory.count = int(entry(state, "memory.count", np.int64, ()))
        n = len(memory)
        D = entry(state, "memory.context", np.float32, (n, None)).shape[1]
        K = entry(state, "memory.rewards", np.float32, (n, None)).shape[1]
        F = entry(state, "memory.offered", np.float32, (n, None, None)).shape[2]
        memory._make(D, K, F)
        shapes = memory._shapes(n, D, K, F)
        for name, kind in KINDS.items():
            getattr(memory, name)[:n] = entry(state, f"memory.{name}", kind, shapes[name])
        if (memory.after >= memory.count).any():
            raise StateError("'memory.after' names outcomes that are not remembered")
        order = range(memory.count - n, memory.count)
        memory._latest = {int(memory.users[i % size]): i for i in order}
        return memory


@compiled
def _sample(
    seed: np.uint64,
    request_key: np.uint64,
    features: Singles,
    candidates: Rows,
    slate: Rows,
    offered: Singles,
    weights: Singles,
) -> None:
    """Write the slate's items, and a sample without replacement of the other candidates."""
    K, S = len(slate), len(weights)
    weights[:] = 0.0
    offered[:] = 0.0
    for k in range(K):
        if slate[k] >= 0:
            offered[k] = features[slate[k]]
            weights[k] = 1.0
    others, count = np.empty(len(candidates), dtype=np.int64), 0
    for m in range(len(candidates)):
        fresh = candidates[m] >= 0
        for k in range(K):
            fresh &= candidates[m] != slate[k]
        if fresh:
            others[count] = candidates[m]
            count += 1
    start = stream(seed, request_key, SAMPLE)
    taken = min(count, S - K)
    for i in range(taken):
        j = i + min(int(uniform(start, i) * (count - i)), count - i - 1)
        others[i], others[j] = others[j], others[i]
        offered[K + i] = features[others[i]]
        weights[K + i] = count / taken
