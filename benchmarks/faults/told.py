"""A loop that is told a story, and what its topics must say whatever went wrong meanwhile."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from agents import additive_parts, from_spec
from streaming import Rules, Schema, WorkerConfig
from streaming.events import Field, InteractionEvent, ItemEvent, RankedItem, RankingEvent, UserEvent
from streaming.events import encode as event_bytes
from streaming.knowledge import knowledge_of
from streaming.records import decode_dead_letter, decode_outcome, decode_recommendation, outcomes_of
from streaming.restore import outcomes_in_order, read_topic
from streaming.sending import Sender
from streaming.state import PARTITION_KEY, Counts, PartitionState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agents.api import State
    from streaming import Transport
    from streaming.events import Feedback

SPEC = "linucb:interactions=false+epsilon=0.1"
ITEMS = tuple("abcdefgh")
NOW = 1_700_000_000_000
CONFIG = WorkerConfig(
    users=Schema.parse("x, y"),
    items=Schema.parse("f:numbers(2)"),
    partitions=4,
    slate_size=2,
    batch_size=40,
    snapshot_every=50,
    patience=5.0,
    rules=Rules(window=1000, lateness=500, horizon=5000, quorum=3),
)
PATIENCE = 240.0
"""Seconds that workers have to work off what they were told."""


class FaultError(AssertionError):
    """Something was lost, doubled or learned wrongly."""


@dataclass
class Found:
    """What was counted after a fault."""

    done: str
    events: int = 0
    outcomes: int = 0
    decisions: int = 0
    letters: int = 0
    model: float = 0.0
    extra: dict[str, int] = field(default_factory=dict)


def story(users: int, steps: int, seed: int) -> Iterator[Feedback]:
    """Return what some users are shown and do; everything belongs to a ranking that comes first."""
    rng = np.random.default_rng(seed)
    for n in range(users):
        fields = [Field("x", float(rng.uniform())), Field("y", n / users)]
        yield UserEvent(id=f"hello {n}", timestamp=NOW, user=f"u{n}", fields=fields)
    for step in range(steps):
        time_ = NOW + 1000 + 400 * step
        for n in range(users):
            items = [str(item) for item in rng.choice(ITEMS, size=2, replace=False)]
            id_, who = f"r{step}-{n}", f"u{n}"
            ranked = [RankedItem(item) for item in items]
            yield RankingEvent(id=id_, timestamp=time_, user=who, items=ranked)
            for k in np.flatnonzero(rng.random(2) < 0.4).tolist():
                yield InteractionEvent(
                    id=f"{id_}-{k}",
                    timestamp=time_ + 10 + k,
                    user=who,
                    ranking=id_,
                    item=items[k],
                    type="click",
                )


class Told:
    """A loop that is told a story, and asked what came of it."""

    def __init__(self, transport: Transport, config: WorkerConfig) -> None:
        self.transport, self.config, self.topics = transport, config, config.topics
        self._sender = Sender(transport, config)
        producer = transport.producer()
        for place, item in enumerate(ITEMS):
            fields = [Field("f", [0.5 * place, 1.0 - 0.25 * place])]
            event = ItemEvent(id=f"item {item}", timestamp=0, item=item, fields=fields)
            producer.send(self.topics.items, event_bytes(event), key=item.encode())
        producer.flush()
        producer.close()

    def send(self, *events: Feedback) -> None:
        """Send events, and wait until they are written."""
        for event in events:
            self._sender.send("events", event.user, event)
        self._sender.flush()

    def raw(self, value: bytes, user: str) -> None:
        """Send any bytes."""
        self._sender.raw("poison", user, value)

    def ring(self, time_: int = NOW + 10**6) -> None:
        """Let everything close."""
        for partition in range(self.config.partitions):
            self._sender.ring(partition, time_)
        self._sender.flush()

    def lag(self) -> int:
        """Return how many records of feedback are not worked yet."""
        group = f"{self.config.prefix}{self.config.group}"
        with closing(self.transport.consumer([self.topics.feedback], group=group)) as reader:
            committed, ends = reader.committed(), reader.end_offsets()
        return sum(ends.values()) - sum(committed.values())

    def wait(self, tend: Callable[[], None] = lambda: None) -> None:
        """Wait until nothing is left to read; now and then look after who is to read it."""
        deadline = time.monotonic() + PATIENCE
        while self.lag():
            tend()
            if time.monotonic() > deadline:
                raise FaultError(f"{self.lag()} events are not worked after {PATIENCE:g} s")
            time.sleep(0.2)

    def settle(self, tend: Callable[[], None] = lambda: None) -> None:
        """Let everything close, and wait until it is worked."""
        self.ring()
        self.wait(tend)
        self.rest()
        self.wait(tend)

    def rest(self, looks: int = 15) -> None:
        """Wait until no worker has written for a while: what it learned last it tells later."""
        topics = [self.topics.state, self.topics.model]
        deadline, quiet, before = time.monotonic() + PATIENCE, 0, None
        with closing(self.transport.consumer(topics)) as reader:
            while quiet < looks:  # and not for so long: all may have been held up together
                ends = reader.end_offsets()
                quiet, before = quiet + 1 if ends == before else 0, ends
                if time.monotonic() > deadline:
                    raise FaultError(f"workers still write after {PATIENCE:g} s")
                time.sleep(0.1)

    def read(self, topic: str) -> list[Any]:
        """Return all records of a topic."""
        return [record for records in read_topic(self.transport, topic) for record in records]

    def check(self, done: str) -> Found:
        """Return what was counted, or raise that something is wrong."""
        if self.lag():
            raise FaultError(f"{self.lag()} events were not worked")
        counts, sent = self._counts(), self.read(self.topics.feedback)
        outcomes = [decode_outcome(r.value) for r in self.read(self.topics.outcomes)]
        decisions = [decode_recommendation(r.value).id for r in self.read(self.topics.decisions)]
        letters = [decode_dead_letter(r.value) for r in self.read(self.topics.dead_letters)]
        found = Found(done, len(sent), len(outcomes), len(decisions), len(letters))
        rankings = sum(count.rankings for count in counts)
        self._same("events counted", sum(count.events for count in counts), len(sent))
        if not rankings:
            raise FaultError("nothing was shown to anybody: there was nothing to lose")
        self._same("outcomes of rankings", len({(o.user, o.ranking) for o in outcomes}), rankings)
        self._same("outcomes", len(outcomes), rankings)
        self._same("waiting", sum(count.waiting for count in counts), 0)
        self._same("decisions", sum(count.decisions for count in counts), len(decisions))
        self._same("distinct decisions", len(set(decisions)), len(decisions))
        self._same("dead letters", sum(sum(c.dead.values()) for c in counts), len(letters))
        found.model = self._off()
        if not found.model <= 1e-9:
            raise FaultError(f"the model is {found.model:g} off the fold of outcomes")
        found.extra = dict(Counter(letter.kind for letter in letters))
        return found

    def _same(self, what: str, one: int, other: int) -> None:
        if one != other:
            raise FaultError(f"{what}: {one}, not {other}")

    def _counts(self) -> list[Counts]:
        latest = {r.partition: r.value for r in self.read(self.topics.state) if _is_state(r.key)}
        return [msgspec.msgpack.decode(v, type=PartitionState).counts for v in latest.values()]

    def _off(self) -> float:
        """Return how far what workers published of the model is off the fold of `outcomes`."""
        policy, shared = from_spec(SPEC), knowledge_of(lambda: from_spec(SPEC))
        for record in self.read(self.topics.model):
            if not record.key.startswith(b"time"):
                shared.hear(record.value)
        for outcomes in outcomes_in_order(self.transport, self.topics):
            shared.learn(outcomes)
            for outcome in outcomes:
                policy.update(outcomes_of([outcome]))
        shared.settle()
        return apart(policy.state_dict(), shared.policy.state_dict())


def _is_state(key: bytes) -> bool:
    return key == PARTITION_KEY


def apart(one: State, other: State) -> float:
    """Return the largest relative difference of what adds up in two states."""
    if one["version"] != other["version"]:
        return float("inf")
    parts = additive_parts(from_spec(SPEC)) or ()
    return max(
        float(np.max(np.abs(one[name] - other[name]) / (1.0 + np.abs(one[name])), initial=0.0))
        for name in parts
    )
