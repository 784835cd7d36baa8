"""What the loop knows of every user and every partition of feedback, and how a batch changes it.

The state of a user is one value: plain structs, encoded with msgpack, the same bytes in memory and
on the changelog. A batch works on decoded copies (`Shard.user`) and what it changed becomes the
live state only when `Shard.promote` is called, after the commit; so there is nothing to undo: after
an abort the shard is worth nothing, and another is restored. The copies of those who came lately
are kept for when they come again.
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from streaming.events import Field
from streaming.records import read
from streaming.watermark import NEVER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PARTITION_KEY = b"\xffpartition"
"""The changelog key of a partition's own state: not UTF-8, so no user's name."""


class Issued(msgspec.Struct, array_like=True, gc=False):
    """A decision that its user may be shown until it expires."""

    id: str
    ordinal: int
    key: int
    time: int
    expires: int
    context: bytes  # float32 [D]
    items: list[str]
    propensities: list[float]
    policy: str
    version: int
    candidates: str
    shadow: dict[str, list[float]] = {}


class Credit(msgspec.Struct, array_like=True, order=True, gc=False):
    """A rewarded interaction with a slot; they count in the order of event time, then of id."""

    time: int
    id: str
    slot: int
    reward: float
    late: bool = False  # too late for the outcome, in time for a correction of it


class OpenRanking(msgspec.Struct, array_like=True, gc=False):
    """A slate that was shown, and what came of it so far.

    When its attribution window has passed it has an outcome, with a number and these rewards, and
    perhaps a reason why nothing may learn from it.
    """

    id: str
    time: int
    session: str | None
    key: int
    context: bytes  # float32 [D]
    items: list[str]
    features: bytes  # float32 [K, F]
    positions: list[int]
    propensities: list[float] | None
    seen: list[bool]
    policy: str
    version: int
    candidates: str | None
    credits: list[Credit] = []
    number: int = -1
    rewards: list[float] = []
    quarantined: str | None = None
    shadow: dict[str, list[float]] = {}
    again: bool = False

    @property
    def size(self) -> int:
        """About how many bytes it takes, without its credits."""
        return 200 + len(self.context) + len(self.features) + sum(map(len, self.items))


class Waiting(msgspec.Struct, array_like=True, gc=False):
    """An interaction that came before its ranking, with what a dead letter would need of it."""

    id: str
    time: int
    ranking: str
    item: str
    reward: float | None
    window: int
    offset: int
    timestamp: int
    raw: bytes
    raw_size: int


class UserState(msgspec.Struct, array_like=True, gc=False):
    """All that is known of a user.

    Parameters
    ----------
    fields : list of Field
        What the newest user event said.
    described : tuple of int and str
        That event's time and id.
    rankings : int
        How many rankings were taken in: the ordinal of the user's next request.
    issues : int
        How many decisions were issued for the next request: when the model or what is known of the
        user changes, it is decided anew.
    issued : list of Issued
        Recent decisions, the newest last.
    open : dict of str to OpenRanking
        By ranking id.
    waiting : list of Waiting
        Interactions without their ranking.
    remembered : dict of int to int
        The time of every recent event, by the hash of its id: what makes a duplicate known.
    closed : dict of str to OpenRanking
        By ranking id: those whose window has passed and whose outcomes may still be corrected.
    latest : int
        The newest time of what was taken in; -1 if that was not noted.
    life : int
        Tells the user apart from who had the name before and was forgotten: 0 if nobody is.
    """

    fields: list[Field] = []
    described: tuple[int, str] = (-1, "")
    rankings: int = 0
    issues: int = 0
    issued: list[Issued] = []
    open: dict[str, OpenRanking] = {}
    waiting: list[Waiting] = []
    remembered: dict[int, int] = {}
    closed: dict[str, OpenRanking] = {}
    latest: int = -1
    life: int = 0

    @property
    def idle(self) -> bool:
        """Whether nothing of theirs is open or may still be corrected."""
        return not (self.open or self.waiting or self.closed)

    @property
    def current(self) -> Issued | None:
        """The decision for the user's next request, if it was made."""
        newest = self.issued[-1] if self.issued else None
        return newest if newest is not None and newest.ordinal == self.rankings else None


_NOBODY = UserState()

_RECENT = 10_000
"""Of how many users, those of the latest batches, the decoded state is kept beside the bytes."""


class Counts(msgspec.Struct):
    """What happened to every event of a partition since it began.

    An event that was read is in exactly one of `users`, `rankings`, `interactions`, `duplicates`,
    `dead` (by kind), `waiting`, `erasures` or `erased_interactions` (which waited when their user
    was erased). `erased_rankings` were open then, and make no outcomes. `quarantined` are among the
    outcomes. `absent` users were forgotten because they had not come for long. Refused records of
    `items` are counted by partition 0.
    """

    users: int = 0
    rankings: int = 0
    interactions: int = 0
    duplicates: int = 0
    waiting: int = 0
    dead: dict[str, int] = {}
    outcomes: int = 0
    decisions: int = 0
    items: int = 0
    erasures: int = 0
    erased_rankings: int = 0
    erased_interactions: int = 0
    corrections: int = 0
    quarantined: int = 0
    absent: int = 0

    @property
    def open(self) -> int:
        """How many rankings and interactions wait for what is still to come."""
        return self.rankings - self.erased_rankings - self.outcomes + self.waiting

    def bury(self, kind: str) -> None:
        """Count a dead letter."""
        self.dead[kind] = self.dead.get(kind, 0) + 1

    @property
    def numbered(self) -> int:
        """How many records of `outcomes` there are: the number of the next one."""
        return self.outcomes + self.corrections

    @property
    def events(self) -> int:
        """How many events were read."""
        taken = self.users + self.rankings + self.interactions
        gone = self.erasures + self.erased_interactions
        return taken + self.duplicates + self.waiting + sum(self.dead.values()) + gone


class PartitionState(msgspec.Struct):
    """What is known of a partition as a whole.

    Parameters
    ----------
    features : str
        The declaration of features that its contexts were made by.
    newest : list of int
        What its `Watermark` has seen.
    floor : int
        What its `Watermark` is at least.
    counts : Counts
    items : int
        Partition 0 only: up to where refused records of `items` have been buried.
    """

    features: str
    newest: list[int] = []
    floor: int = NEVER
    counts: Counts = msgspec.field(default_factory=Counts)
    items: int = 0


_users: msgspec.msgpack.Decoder[UserState] = msgspec.msgpack.Decoder(UserState)
_partitions: msgspec.msgpack.Decoder[PartitionState] = msgspec.msgpack.Decoder(PartitionState)
_encode = msgspec.msgpack.Encoder().encode


class Shard:
    """The state of one partition, live and as the batch at hand is about to change it.

    Parameters
    ----------
    partition : int
    features : str
        The declaration of features that contexts are made by.
    """

    def __init__(self, partition: int, features: str) -> None:
        self.partition = partition
        self.state = PartitionState(features)
        self._live_state = b""
        self.live: dict[str, bytes] = {}
        self._drafts: dict[str, UserState] = {}
        self._recent: dict[str, UserState] = {}  # what `live` says of some, the latest last
        self._sizes: dict[str, int] = {}  # of those whom the batch changes
        self._due: list[tuple[int, str]] = []
        self._scheduled: dict[str, int] = {}

    def user(self, name: str) -> UserState:
        """Return the batch's copy of a user's state, a new one for a new user."""
        draft = self._drafts.get(name)
        if draft is None:
            draft = self._recent.pop(name, None)
            if draft is None:
                known = self.live.get(name)
                draft = UserState() if known is None else _user(known)
            self._drafts[name] = draft
        return draft

    def keep(self, name: str, growth: int = 0, limit: int | None = None) -> bool:
        """Count a user among those whom the batch changes, and grows by so many bytes.

        Returns
        -------
        bool
            False, and nothing is counted, if the user's state would grow beyond the limit.
        """
        size = self._sizes.get(name)
        if size is None:
            size = len(self.live.get(name, b""))
        size += growth
        if limit is not None and size > limit:
            return False
        self._sizes[name] = size
        return True

    def erase(self, name: str) -> UserState:
        """Begin a user anew, and return what was known; nothing is counted."""
        known = self.user(name)
        self._drafts[name] = UserState()
        self._sizes[name] = 0
        return known

    def renew(self, name: str) -> UserState:
        """Begin a user anew but for what is open, and return what is known now."""
        known = self.user(name)
        fresh = UserState(open=known.open, waiting=known.waiting, closed=known.closed)
        self._drafts[name] = fresh
        self.keep(name)
        return fresh

    def changed(self) -> list[tuple[str, UserState]]:
        """Return the users whom the batch changes."""
        return [(name, self._drafts[name]) for name in self._sizes]

    def unscheduled(self) -> list[tuple[str, UserState]]:
        """Return those of them for whom nothing is scheduled."""
        scheduled = self._scheduled
        return [(name, self._drafts[name]) for name in self._sizes if name not in scheduled]

    def users(self) -> Iterator[tuple[str, UserState]]:
        """Return all users as they live."""
        return ((name, _user(value)) for name, value in self.live.items())

    def schedule(self, time: int, name: str) -> None:
        """Have `due` name a user once the watermark has reached a time."""
        if time < self._scheduled.get(name, time + 1):
            self._scheduled[name] = time
            heappush(self._due, (time, name))

    def due(self, watermark: int) -> Iterator[str]:
        """Return the users who were scheduled for now or earlier, each once."""
        while self._due and self._due[0][0] <= watermark:
            time, name = heappop(self._due)
            if self._scheduled.get(name) == time:
                del self._scheduled[name]
                yield name

    def changes(self) -> dict[bytes, bytes | None]:
        """Return what the batch changed, as records of the changelog: key to value.

        Users of whom nothing is known any more are tombstones, so that the changelog forgets them.
        """
        changed: dict[bytes, bytes | None] = {}
        for name, user in self.changed():
            if user != _NOBODY:
                changed[name.encode()] = _encode(user)
            elif name in self.live:
                changed[name.encode()] = None
        state = _encode(self.state)
        if state != self._live_state:
            changed[PARTITION_KEY] = state
        return changed

    def promote(self, changed: Mapping[bytes, bytes | None]) -> None:
        """Make the batch's changes the live state: called after the commit."""
        for key, value in changed.items():
            if value is None:
                self.live.pop(key.decode(), None)
            elif key == PARTITION_KEY:
                self._live_state = value
            else:
                self.live[key.decode()] = value
        self._recent |= self._drafts
        for name in list(islice(self._recent, max(0, len(self._recent) - _RECENT))):
            del self._recent[name]
        self._drafts.clear()
        self._sizes.clear()

    def restore(self, changelog: dict[bytes, bytes]) -> None:
        """Take over the latest record of every key of the changelog.

        Raises
        ------
        RecordError
            If the partition's is not its state; users' are read when they are needed.
        """
        if PARTITION_KEY in changelog:
            self.state = read(_partitions, changelog[PARTITION_KEY], "the state of a partition")
        self.promote(changelog)


def _user(value: bytes) -> UserState:
    return read(_users, value, "the state of a user")
