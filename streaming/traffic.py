"""Simulated users, who look at what is recommended to them and answer it, all through the log.

They go in lock-step, so that figures are the same in every run, however a worker's batches fall:

1. Every user is shown their recommendation and answers it: rankings and interactions are sent.
2. Every user's next recommendation is awaited. It was decided by the model as it was before this
   step's outcomes, because nothing closes in between.
3. A bell is rung in every partition: it claims that the step's windows have passed. The step's
   outcomes are awaited; then the model has learned from them.

So decision t + 1 is made by a model that has learned from steps 0 to t - 1. The worker may run in
another process, or be stepped by this one while it waits.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from agents.api import PAD, Decisions, RecloopError
from streaming.events import InteractionEvent, RankedItem, RankingEvent, UserEvent, encode
from streaming.names import name_of
from streaming.records import decode_recommendation
from streaming.sending import CONTEXT, Sender, numbers
from streaming.transport.api import TransportError
from streaming.transport.partitioner import partition_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from agents.api import Catalogue, Floats, Requests
    from simulators import Response, World
    from streaming.config import WorkerConfig
    from streaming.events import Event
    from streaming.records import Recommendation
    from streaming.transport.api import Record, Transport

_ABSURD = b'{"event":"interaction","id":'
_PAUSE = 0.05
_AT_ONCE = 1000


class TrafficError(RecloopError, ValueError):
    """A world or options that traffic cannot be made of."""


class _Closed(msgspec.Struct):
    """As much of an outcome as is needed to know which ranking has closed."""

    ranking: str


_closed: msgspec.json.Decoder[_Closed] = msgspec.json.Decoder(_Closed)


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong between users and log; each is drawn for every event, and counted.

    Parameters
    ----------
    duplicate : float
        How likely an event is sent twice.
    lost : float
        How likely an interaction is not sent at all. The world has seen it, the loop has not.
    poison : float
        How likely bytes that are no event are sent before one.
    shuffle : bool
        Whether the events of a step are sent in any order.
    seed : int
    """

    duplicate: float = 0.0
    lost: float = 0.0
    poison: float = 0.0
    shuffle: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("duplicate", "lost", "poison"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise TrafficError(f"{name} must lie between 0 and 1, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Step:
    """What came of one step.

    Parameters
    ----------
    response : Response
        What the world answered to what was recommended.
    recommendations : list of Recommendation
        What every lane's user was shown.
    latencies : float64 [users]
        Seconds from sending a user's feedback to receiving the recommendation made after it.
    """

    response: Response
    recommendations: list[Recommendation]
    latencies: Floats


class Traffic:
    """Makes the users of a world use the loop.

    Parameters
    ----------
    transport : Transport
    world : World
        Reset already, over a fixed catalogue with names. Its users are named by their keys.
    config : WorkerConfig
        Of the worker; its schemas are `sending.schema_of` CONTEXT and FEATURES.
    start : int
        The event time of the first step: later than everything that was sent before.
    faults : Faults
    interaction : str
        The type of interaction that rewards become.
    idle : callable, optional
        Is called while waiting: `worker.step`, if the worker lives in this thread.
    patience : float
        Seconds to wait for the worker before giving up.

    Raises
    ------
    TrafficError
        If the attribution window is shorter than what a step needs.
    NamelessError
        If the world's items have no names.
    """

    def __init__(
        self,
        transport: Transport,
        world: World,
        config: WorkerConfig,
        *,
        start: int,
        faults: Faults | None = None,
        interaction: str = "click",
        idle: Callable[[], object] | None = None,
        patience: float = 60.0,
    ) -> None:
        if config.rules.window < world.slate_size + 3:
            raise TrafficError(
                f"a step of {world.slate_size} slots needs an attribution window of "
                f"{world.slate_size + 3} ms at least, not {config.rules.window}"
            )
        self._world, self._config, self._now = world, config, start
        self._interaction, self._idle, self._patience = interaction, idle, patience
        self._faults = faults or Faults()
        self._random = np.random.default_rng([self._faults.seed, start])
        self._sender = Sender(transport, config)
        topics = config.topics
        self._reader = transport.consumer([topics.recommendations, topics.outcomes])
        self._reader.seek(self._reader.end_offsets())
        self._rows = {name: row for row, name in enumerate(self._catalogue().names or ())}
        self._latest: dict[str, Recommendation] = {}
        self._heard: dict[str, float] = {}
        self._open: dict[str, str] = {}
        self._sender.announce(self._catalogue())

    @property
    def sent(self) -> Mapping[str, int]:
        """How many events of each kind were sent, and what went wrong on purpose."""
        return self._sender.sent

    @property
    def now(self) -> int:
        """The event time of the next step, in milliseconds since the epoch."""
        return self._now

    def steps(self, count: int) -> Iterator[Step]:
        """Let every lane make so many requests.

        Raises
        ------
        TransportError
            If the worker does not answer in time.
        TrafficError
            If it recommends what the world does not have.
        """
        self._greet()
        for _ in range(count):
            yield self._step()

    def close(self) -> None:
        """Let go of the log."""
        self._sender.close()
        self._reader.close()

    # --- one step

    def _greet(self) -> None:
        """Introduce the present users, and await their first recommendations."""
        hello = _Mail(self._now)
        requests = self._world.requests()
        for lane in range(len(requests)):
            hello.introduce(requests, lane, self._now)
        self._send(hello)
        self._now += 1

    def _step(self) -> Step:
        world, requests = self._world, self._world.requests()
        shown = [self._shown(name_of(user)) for user in requests.users.tolist()]
        response = world.respond(self._decisions(shown))
        mail = _Mail(self._now)
        for lane in np.flatnonzero(response.feedback.asked).tolist():
            mail.answer(shown[lane], response, lane, self._interaction)
        world.renew(response.ended)
        following = world.requests()
        for lane in range(len(following)):
            if _changed(requests, following, lane):
                mail.introduce(following, lane, self._now + world.slate_size + 1)
        self._open = {ranking: user for user, ranking in mail.rankings}
        latencies = self._send(mail)
        self._ring()
        return Step(response, shown, latencies)

    def _shown(self, user: str) -> Recommendation:
        """Return what is recommended to a user, as many slots of it as the world shows.

        Raises
        ------
        TrafficError
            If the world has no such item.
        """
        latest = self._latest[user]
        items = latest.items[: self._world.slate_size]
        for slot in items:
            if slot.id not in self._rows:
                raise TrafficError(
                    f"the loop recommends item {slot.id!r}, which {self._world.name} does not "
                    f"have: the topics {self._config.prefix}* are of another catalogue, so take "
                    "another prefix"
                )
        return msgspec.structs.replace(latest, items=items)

    def _decisions(self, shown: list[Recommendation]) -> Decisions:
        """Return recommendations as decisions over the world's catalogue."""
        shape = len(shown), self._world.slate_size
        slates, propensities = np.full(shape, PAD, dtype=np.int64), np.ones(shape)
        for lane, recommendation in enumerate(shown):
            for k, slot in enumerate(recommendation.items):
                slates[lane, k], propensities[lane, k] = self._rows[slot.id], slot.propensity
        versions = np.array([recommendation.version for recommendation in shown], dtype=np.int64)
        return Decisions(slates, propensities, versions, shown[0].policy)

    def _send(self, mail: _Mail) -> Floats:
        """Send a step's events, await what is recommended after them, and return the latencies."""
        awaited = dict(mail.awaited)
        posted: dict[str, float] = {}
        for kind, user, value in self._spoiled(mail.events):
            posted[user] = time.perf_counter()
            self._sender.raw(kind, user, value)
        self._sender.flush()
        self._await(lambda: all(self._answered(user, *what) for user, what in awaited.items()))
        return np.array([self._heard[user] - posted[user] for user in awaited])

    def _answered(self, user: str, ordinal: int, time: int) -> bool:
        latest = self._latest.get(user)
        return latest is not None and latest.ordinal >= ordinal and latest.time >= time

    def _spoiled(self, events: list[_Posted]) -> list[_Posted]:
        """Return events as they are sent when things go wrong."""
        faults, random = self._faults, self._random
        spoiled: list[_Posted] = []
        for event in events:
            chances = random.random(3)
            if chances[0] < faults.poison:
                spoiled.append(_Posted("poison", event.user, _ABSURD))
            if event.kind == "interactions" and chances[1] < faults.lost:
                self._sender.sent["lost"] += 1
                continue
            spoiled.append(event)
            if chances[2] < faults.duplicate:
                spoiled.append(event._replace(kind="duplicates"))
        if faults.shuffle:
            spoiled = [spoiled[place] for place in random.permutation(len(spoiled)).tolist()]
        return spoiled

    def _ring(self) -> None:
        """Let the step's windows pass, and await the outcomes."""
        rules = self._config.rules
        for partition in {
            partition_of(user.encode(), self._config.partitions) for user in self._open.values()
        }:
            self._sender.ring(partition, self._now + rules.window)
        self._sender.flush()
        self._await(lambda: not self._open)
        self._now += rules.window + rules.lateness + 1

    # --- reading

    def _await(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self._patience
        while not done():
            if self._idle is not None:
                self._idle()
            records = self._reader.poll(_AT_ONCE, _PAUSE if self._idle is None else 0.0)
            heard = time.perf_counter()
            for record in records:
                self._read(record, heard)
            if time.monotonic() > deadline:
                raise TransportError(
                    f"no answer from a worker within {self._patience:g} s: is one running on the "
                    f"topics {self._config.prefix}*, with this window and lateness? If so, "
                    "dead-letters says what it refused"
                )

    def _read(self, record: Record, heard: float) -> None:
        if record.value is None:  # a user was erased
            return
        if record.topic == self._config.topics.outcomes:
            self._open.pop(_closed.decode(record.value).ranking, None)
            return
        recommendation = decode_recommendation(record.value)
        self._latest[recommendation.user] = recommendation
        self._heard[recommendation.user] = heard

    def _catalogue(self) -> Catalogue:
        return self._world.requests().items


class _Posted(NamedTuple):
    """An event on its way."""

    kind: str
    user: str
    value: bytes


class _Mail:
    """The events of one step, and what is awaited in answer to them.

    Parameters
    ----------
    now : int
        The step's event time.
    """

    def __init__(self, now: int) -> None:
        self._now = now
        self.events: list[_Posted] = []
        self.rankings: list[tuple[str, str]] = []
        self.awaited: dict[str, tuple[int, int]] = {}

    def introduce(self, requests: Requests, lane: int, time: int) -> None:
        """Say what is known of a user."""
        user = name_of(int(requests.users[lane]))
        fields = numbers(CONTEXT, requests.context[lane])
        self._post(
            "users", user, UserEvent(id=f"user {time}", timestamp=time, user=user, fields=fields)
        )
        ordinal, _ = self.awaited.get(user, (0, 0))
        self.awaited[user] = (ordinal, time)

    def answer(
        self, shown: Recommendation, response: Response, lane: int, interaction: str
    ) -> None:
        """Show a user a recommendation, and say what they did with it."""
        feedback, user = response.feedback, shown.user
        items = [
            RankedItem(slot.id, seen=bool(feedback.seen[lane, k]))
            for k, slot in enumerate(shown.items)
        ]
        self._post(
            "rankings",
            user,
            RankingEvent(id=shown.id, timestamp=self._now, user=user, items=items),
        )
        for k, slot in enumerate(shown.items):
            if feedback.rewards[lane, k] != 0.0:
                event = InteractionEvent(
                    id=f"{shown.id} {k}",
                    timestamp=self._now + 1 + k,
                    user=user,
                    item=slot.id,
                    type=interaction,
                    ranking=shown.id,
                    value=float(feedback.rewards[lane, k]),
                )
                self._post("interactions", user, event)
        self.rankings.append((user, shown.id))
        self.awaited[user] = (shown.ordinal + 1, self._now)

    def _post(self, kind: str, user: str, event: Event) -> None:
        self.events.append(_Posted(kind, user, encode(event)))


def _changed(before: Requests, after: Requests, lane: int) -> bool:
    """Return whether another user has come into a lane, or its user's context is another."""
    return bool(
        before.users[lane] != after.users[lane]
        or (before.context[lane] != after.context[lane]).any()
    )
