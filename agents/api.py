"""What a policy is, and the four records it speaks in.

Simulated worlds, offline evaluation and the live loop meet in this module alone: each of them makes
`Requests`, hands them to a `Policy`, receives `Decisions`, and returns `Outcomes`. Everything is
batched (B requests at once, one request is a batch of one) and held in arrays. The module stands on
NumPy and the standard library, so that anything may import it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

    Keys: TypeAlias = NDArray[np.uint64]
    Rows: TypeAlias = NDArray[np.int64]
    Floats: TypeAlias = NDArray[np.float64]
    State: TypeAlias = dict[str, NDArray[Any]]
    Index: TypeAlias = NDArray[Any] | Sequence[int] | slice

Record = TypeVar("Record", "Requests", "Decisions")

PAD = -1
"""The row number that stands for "no item" in candidates and slates."""


class RecloopError(Exception):
    """Something the user can mend; the message says what was wrong, where, and what to do."""


class ShapeError(RecloopError, ValueError):
    """Arrays that do not fit together, or are of another type than they must be."""


def key_of(name: str) -> int:
    """Return the 64-bit key of a name: the same on every machine and in every run.

    Parameters
    ----------
    name : str
        The identifier that the outside world uses for a user, an item or a ranking.

    Returns
    -------
    int
        The first eight bytes of the name's BLAKE2b digest. Among a million names the chance of any
        two sharing a key is 3e-8.
    """
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")


def keys_of(names: Iterable[str]) -> Keys:
    """Return the keys of many names: uint64 [N]; see `key_of`."""
    return np.fromiter((key_of(name) for name in names), dtype=np.uint64)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Catalogue:
    """The items that can be shown.

    A row number is an item's address within one catalogue; its key is its address everywhere else.
    A catalogue never changes: `with_items` and `without` return another one, in which every item
    that stays keeps its row, so that slates decided against the older one can still be read.

    Parameters
    ----------
    keys : uint64 [N]
        Distinct item keys.
    features : float32 [N, F]
        What is known of every item.
    available : bool [N]
        Whether the item may be shown now.
    names : tuple of str, optional
        The items' identifiers in the outside world, where they have any.
    """

    keys: Keys
    features: NDArray[np.float32]
    available: NDArray[np.bool_]
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        _typed(self, keys=np.uint64, features=np.float32, available=np.bool_)
        n = len(self.keys)
        if self.features.ndim != 2 or len(self.features) != n or self.available.shape != (n,):
            raise ShapeError(
                f"a catalogue of {n} keys needs features [{n}, F] and availability [{n}], "
                f"not {self.features.shape} and {self.available.shape}"
            )
        if self.names is not None and len(self.names) != n:
            raise ShapeError(f"{n} items, but {len(self.names)} names")

    def __len__(self) -> int:
        return len(self.keys)

    @classmethod
    def of(cls, names: Sequence[str], features: ArrayLike) -> Catalogue:
        """Return a catalogue of named items, all of them available.

        Raises
        ------
        ShapeError
            If a name occurs twice, or the features are not [N, F].
        """
        keys = keys_of(names)
        if len(np.unique(keys)) != len(keys):
            twice = Counter(names).most_common(1)[0][0]
            raise ShapeError(f"item {twice!r} occurs twice in the catalogue")
        table = np.asarray(features, dtype=np.float32)
        return cls(keys, table, np.ones(len(keys), dtype=np.bool_), tuple(names))

    @classmethod
    def empty(cls, width: int) -> Catalogue:
        """Return a catalogue without items whose features will be `width` numbers wide."""
        return cls.of((), np.zeros((0, width), dtype=np.float32))

    def rows_of(self, keys: Keys) -> Rows:
        """Return the row of every key: int64, shaped as the keys, `PAD` where one is unknown."""
        if not len(self):
            return np.full(np.shape(keys), PAD, dtype=np.int64)
        order = np.argsort(self.keys, kind="stable")
        place = np.minimum(np.searchsorted(self.keys, keys, sorter=order), len(self) - 1)
        rows = order[place]
        return np.where(self.keys[rows] == keys, rows, PAD)

    def with_items(self, names: Sequence[str], features: ArrayLike) -> Catalogue:
        """Return a catalogue that also offers these items: known ones renewed, others appended.

        Raises
        ------
        ShapeError
            If this catalogue has no names, or the features have another width.
        """
        if self.names is None:
            raise ShapeError("items can only be added by name to a catalogue that has names")
        new = Catalogue.of(names, features)
        if new.features.shape[1] != self.features.shape[1]:
            raise ShapeError(
                f"items have {self.features.shape[1]} features here, not {new.features.shape[1]}"
            )
        rows = self.rows_of(new.keys)
        known, fresh = rows != PAD, np.flatnonzero(rows == PAD)
        table, available = self.features.copy(), self.available.copy()
        table[rows[known]], available[rows[known]] = new.features[known], True
        return Catalogue(
            np.concatenate([self.keys, new.keys[fresh]]),
            np.concatenate([table, new.features[fresh]]),
            np.concatenate([available, np.ones(len(fresh), dtype=np.bool_)]),
            self.names + tuple(names[int(i)] for i in fresh),
        )

    def without(self, keys: Keys) -> Catalogue:
        """Return a catalogue in which these items are known but may not be shown."""
        return replace(self, available=self.available & ~np.isin(self.keys, keys))

    def fingerprint(self) -> int:
        """Return a 64-bit hash of the set of available items, whatever their order."""
        return key_of(np.sort(self.keys[self.available]).tobytes().hex())


@dataclass(frozen=True, slots=True)
class Requests:
    """B requests for a slate: who asks, in what situation, and what may be shown.

    Parameters
    ----------
    keys : uint64 [B]
        Request keys, the root of all randomness of the decision.
    users : uint64 [B]
        User keys.
    context : float32 [B, D]
        What is known of user and situation.
    candidates : int64 [B, M]
        Rows of `items` that may be shown, all different; `PAD` fills the rest of a row.
    items : Catalogue
        The shared catalogue, or a table drawn for this batch alone.
    positions : int64 [B, K]
        The display position of every slot asked for, 0 the first. K is the slate size. A log that
        holds one position of a page is a log of slates of one slot.
    time : int64 [B]
        Event time in milliseconds since the epoch.
    """

    keys: Keys
    users: Keys
    context: NDArray[np.float32]
    candidates: Rows
    items: Catalogue
    positions: Rows
    time: NDArray[np.int64]

    def __post_init__(self) -> None:
        _typed(self, keys=np.uint64, users=np.uint64, context=np.float32)
        _typed(self, candidates=np.int64, positions=np.int64, time=np.int64)
        b = len(self.keys)
        for field in ("users", "context", "candidates", "positions", "time"):
            shape, ndim = getattr(self, field).shape, 1 if field in ("users", "time") else 2
            if len(shape) != ndim or shape[0] != b:
                raise ShapeError(f"{b} requests need {ndim}-d {field} with {b} rows, not {shape}")

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def slate_size(self) -> int:
        """K, the number of slots asked for."""
        return int(self.positions.shape[1])

    def take(self, index: Index) -> Requests:
        """Return the requests at these positions of the batch (an index, slice or mask)."""
        return _take(self, index, keep="items")


@dataclass(frozen=True, slots=True)
class Decisions:
    """What was decided for B requests, and how likely it was.

    Parameters
    ----------
    slates : int64 [B, K]
        Rows of the requests' `items`; `PAD` where there were fewer candidates than slots.
    propensities : float64 [B, K]
        The probability of slot k's item given the slots before it (1 for a padded slot). The
        product over a row is the probability of the slate, the running product the cascade's.
    versions : int64 [B]
        How many outcomes the deciding policy had learned from.
    policy : str
        The name of the policy that decided.
    """

    slates: Rows
    propensities: Floats
    versions: NDArray[np.int64]
    policy: str

    def __post_init__(self) -> None:
        if self.slates.ndim != 2 or self.propensities.shape != self.slates.shape:
            raise ShapeError(
                f"slates and propensities must both be [B, K], "
                f"not {self.slates.shape} and {self.propensities.shape}"
            )
        if self.versions.shape != self.slates.shape[:1]:
            raise ShapeError(f"{len(self.slates)} decisions, but versions {self.versions.shape}")

    def __len__(self) -> int:
        return len(self.slates)

    def take(self, index: Index) -> Decisions:
        """Return the decisions at these positions of the batch (an index, slice or mask)."""
        return _take(self, index, keep="policy")


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What came of B decisions: complete facts, from which alone every policy learns.

    Parameters
    ----------
    requests : Requests
    decisions : Decisions
    rewards : float32 [B, K]
        The reward of every slot; 0 in padded slots.
    seen : bool [B, K]
        Whether the user looked at the slot. Policies learn from seen slots only; what was not seen
        says nothing of the item.
    time : int64 [B]
        When the outcome was complete, in milliseconds since the epoch.
    """

    requests: Requests
    decisions: Decisions
    rewards: NDArray[np.float32]
    seen: NDArray[np.bool_]
    time: NDArray[np.int64]

    def __post_init__(self) -> None:
        shape = self.decisions.slates.shape
        if self.rewards.shape != shape or self.seen.shape != shape:
            raise ShapeError(
                f"slates are {shape}, but rewards {self.rewards.shape} and seen {self.seen.shape}"
            )
        if not len(self.requests) == len(self.decisions) == len(self.time):
            raise ShapeError(
                f"{len(self.requests)} requests, {len(self.decisions)} decisions and "
                f"{len(self.time)} times do not make outcomes"
            )

    def __len__(self) -> int:
        return len(self.decisions)

    def take(self, index: Index) -> Outcomes:
        """Return the outcomes at these positions of the batch (an index, slice or mask)."""
        return Outcomes(
            self.requests.take(index),
            self.decisions.take(index),
            self.rewards[index],
            self.seen[index],
            self.time[index],
        )


def _typed(record: object, **wanted: type[np.generic]) -> None:
    """Raise `ShapeError` unless arrays are of their types: int64 keys would draw otherwise."""
    for field, dtype in wanted.items():
        found = getattr(record, field).dtype
        if found != dtype:
            raise ShapeError(
                f"{type(record).__name__}.{field} must be {np.dtype(dtype)}, not {found}: "
                f"convert it with .astype(np.{np.dtype(dtype)})"
            )


def _take(record: Record, index: Index, keep: str) -> Record:
    """Return a copy of a record with every array but `keep` cut to `index`."""
    cut = {f.name: getattr(record, f.name)[index] for f in fields(record) if f.name != keep}
    return replace(record, **cut)


@runtime_checkable
class Policy(Protocol):
    """Decides, states its probabilities, learns. `agents.check_policy` checks the laws below.

    1. `propensities(requests, decide(requests).slates)` equals what `decide` logged, and the
       frequencies of many decisions agree with it.
    2. Nothing that is needed later is kept between `decide` and `update`: outcomes may come late,
       shuffled, in any batches.
    3. A decision's randomness is a function of (policy seed, request key) alone: it replays bit for
       bit in any batch, order and process.
    4. The state is arrays, it round-trips, and loading it runs no code.
    5. A policy that does not choose at random has propensity 1; `Explore` makes it safe to log.
    """

    @property
    def name(self) -> str:
        """What decisions are logged under."""

    def decide(self, requests: Requests) -> Decisions:
        """Choose a slate for every request, and state how likely each slot was."""

    def propensities(self, requests: Requests, slates: Rows) -> Floats:
        """Return the probability, float64 [B, K], of each slot's item given the slots before it.

        Parameters
        ----------
        requests : Requests
        slates : int64 [B, K]
            Rows of `requests.items`. An item that is no candidate, or stands in the slate twice,
            has probability 0; a padded slot has probability 1.
        """

    def update(self, outcomes: Outcomes) -> None:
        """Learn from complete facts: the same rows in the same order, in one batch or in many."""

    def state_dict(self) -> State:
        """Return all that was learned, as arrays of numbers or text: no objects, no code."""

    def load_state_dict(self, state: State) -> None:
        """Take over a state that a policy of the same kind and options returned."""
