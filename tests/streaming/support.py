"""What the tests of the live loop share: short ways to write events and records down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.api import PAD, Catalogue
from agents.features import candidate_features, features_at, joint
from agents.slots import SlotPolicy, greedy
from agents.streams import derive, normals, uniforms
from simulators import BatchedWorld
from streaming.config import WorkerConfig
from streaming.events import (
    Field,
    InteractionEvent,
    ItemEvent,
    RankedItem,
    RankingEvent,
    UserEvent,
    encode,
)
from streaming.features import Schema
from streaming.records import (
    decode_dead_letter,
    decode_outcome,
    decode_recommendation,
    outcomes_of,
)
from streaming.refusals import RefusedError
from streaming.restore import read_topic
from streaming.rules import Rules
from streaming.state import OpenRanking
from streaming.transport.api import Record
from streaming.transport.partitioner import partition_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from agents.api import Floats, Outcomes, Requests, Rows, State
    from simulators import Feedback as Answers
    from streaming.events import Feedback
    from streaming.records import DeadLetter, OutcomeRecord, Recommendation
    from streaming.state import UserState
    from streaming.transport.api import Transport
    from streaming.worker import Worker

PRODUCED = 10**12
"""When every record of the tests was produced: long after its event."""


def user(name: str, id: str, time: int, **fields: float | str | list[str | float]) -> UserEvent:
    named = [Field(key, value) for key, value in fields.items()]
    return UserEvent(id=id, timestamp=time, user=name, fields=named)


def ranking(name: str, id: str, time: int, *items: str) -> RankingEvent:
    return RankingEvent(
        id=id, timestamp=time, user=name, items=[RankedItem(item) for item in items or ("a", "b")]
    )


def interaction(
    name: str,
    id: str,
    time: int,
    shown: str,
    item: str = "a",
    type: str = "click",
    value: float = 1.0,
) -> InteractionEvent:
    return InteractionEvent(
        id=id, timestamp=time, user=name, ranking=shown, item=item, type=type, value=value
    )


def shown(recommendation: Recommendation, time: int) -> RankingEvent:
    """Return the ranking of a client that shows a recommendation."""
    items = [RankedItem(slot.id) for slot in recommendation.items]
    return RankingEvent(id=recommendation.id, timestamp=time, user=recommendation.user, items=items)


def record_of(event: Feedback, offset: int = 0, partition: int = 0) -> Record:
    return Record(
        "feedback", partition, offset, event.user.encode(), encode(event), timestamp=PRODUCED
    )


class PlainOpener:
    """Opens rankings of known items, without features or decisions."""

    def __init__(self, items: Sequence[str] = ("a", "b", "c")) -> None:
        self.items = set(items)

    def opened(self, event: RankingEvent, user: UserState) -> OpenRanking:
        for item in event.items:
            if item.id not in self.items:
                raise RefusedError("unknown-item", f"item {item.id!r} is not in the catalogue")
        return OpenRanking(
            id=event.id,
            time=event.time,
            session=event.session,
            key=0,
            context=b"",
            items=[item.id for item in event.items],
            features=b"",
            positions=list(range(len(event.items))),
            propensities=None,
            seen=[item.seen for item in event.items],
            policy="test",
            version=0,
            candidates=None,
        )

    def context(self, fields: Sequence[Field]) -> bytes:
        return b""


class OrderPolicy(SlotPolicy["Floats"]):
    """Epsilon-greedy on a linear model learned by gradient steps.

    What it has learned hangs on the order of the outcomes to the last bit, so that a fold in
    another order, or one that counts twice, shows.
    """

    name = "order"

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__(seed=seed)
        self.theta: Floats | None = None

    def prepare(self, requests: Requests) -> Floats:
        x = joint(requests.context, candidate_features(requests), interactions=True)
        if self.theta is None:
            return np.zeros(x.shape[:2])
        scores = np.zeros(x.shape[:2])
        for p in range(x.shape[2]):
            scores += x[:, :, p] * self.theta[p]
        return scores

    def slot(self, view: Floats, open_: NDArray[np.bool_]) -> Floats:
        return greedy(view, open_, 0.3)

    def update(self, outcomes: Outcomes) -> None:
        super().update(outcomes)
        slates = outcomes.decisions.slates
        x = joint(outcomes.requests.context, features_at(outcomes.requests, slates), True)
        if self.theta is None:
            self.theta = np.zeros(x.shape[2])
        for b, k in np.argwhere(outcomes.seen & (slates != PAD)):
            error = outcomes.rewards[b, k] - sum(
                float(w) * float(v) for w, v in zip(self.theta, x[b, k], strict=True)
            )
            self.theta += 0.1 * error * x[b, k]

    def state_dict(self) -> State:
        theta = np.zeros(0) if self.theta is None else self.theta
        return super().state_dict() | {"theta": theta}

    def load_state_dict(self, state: State) -> None:
        super().load_state_dict(state)
        self.theta = state["theta"].copy() if len(state["theta"]) else None


def same_state(one: State, other: State) -> bool:
    """Return whether two states are the same bits."""
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype
        and one[name].shape == other[name].shape
        and one[name].tobytes() == other[name].tobytes()
        for name in one
    )


ITEMS = ("a", "b", "c", "d", "e")
CONFIG = WorkerConfig(
    users=Schema.parse("x, y"),
    items=Schema.parse("f:numbers(2)"),
    partitions=2,
    slate_size=2,
    snapshot_every=20,
    rules=Rules(window=1000, lateness=100, horizon=5000, quorum=2),
)
TOPICS = CONFIG.topics


class Loop:
    """A log, and short ways to write into it and to read what came of it."""

    def __init__(self, transport: Transport, config: WorkerConfig = CONFIG) -> None:
        self.transport, self.config, self.topics = transport, config, config.topics
        transport.ensure_topics(self.topics.specs(config.partitions))
        self.producer = transport.producer()

    def announce(self, *items: str) -> None:
        """Announce items, each with features of its own."""
        for place, item in enumerate(items or ITEMS):
            event = ItemEvent(
                id=f"item {item}",
                timestamp=1,
                item=item,
                fields=[Field("f", [0.5 * place, 1.0 - 0.25 * place])],
            )
            self.producer.send(self.topics.items, encode(event), key=item.encode())
        self.producer.flush()

    def send(self, *events: Feedback) -> None:
        """Send feedback."""
        for event in events:
            self.producer.send(self.topics.feedback, encode(event), key=event.user.encode())
        self.producer.flush()

    def raw(
        self, value: bytes | None, key: bytes | None = b"u", partition: int | None = None
    ) -> None:
        """Send any bytes as feedback."""
        self.producer.send(self.topics.feedback, value, key=key, partition=partition)
        self.producer.flush()

    def tick(self, time: int) -> None:
        """Let event time move to here in all partitions."""
        for partition in range(self.config.partitions):
            name = next(
                f"clock{n}"
                for n in range(1000)
                if partition_of(f"clock{n}".encode(), self.config.partitions) == partition
            )
            for n in range(self.config.rules.quorum):
                self.send(user(name, f"tick {time} {n}", time + self.config.rules.lateness))

    def read(self, topic: str) -> list[Record]:
        """Return what is in a topic, as a reader of committed records sees it."""
        return [record for records in read_topic(self.transport, topic) for record in records]

    def outcomes(self) -> list[OutcomeRecord]:
        """Return the outcomes in the order in which they were learned."""
        found = [decode_outcome(r.value or b"") for r in self.read(self.topics.outcomes)]
        return sorted(found, key=lambda outcome: outcome.seq)

    def decisions(self) -> list[Recommendation]:
        """Return all decisions, by user in the order in which they were made."""
        found = [decode_recommendation(r.value or b"") for r in self.read(self.topics.decisions)]
        return sorted(found, key=lambda decision: decision.user)

    def recommended(self) -> dict[str, Recommendation]:
        """Return the latest recommendation of every user."""
        latest = {record.key: record.value for record in self.read(self.topics.recommendations)}
        found = [decode_recommendation(value) for value in latest.values() if value is not None]
        return {decision.user: decision for decision in found}

    def letters(self) -> list[DeadLetter]:
        """Return the dead letters in order."""
        return [decode_dead_letter(r.value or b"") for r in self.read(self.topics.dead_letters)]


def drain(worker: Worker) -> None:
    """Work until nothing is left to read."""
    while worker.step():
        pass


def fold(outcomes: Sequence[OutcomeRecord]) -> State:
    """Return the state of a policy that learns these outcomes one by one."""
    policy = OrderPolicy()
    for outcome in outcomes:
        policy.update(outcomes_of([outcome]))
    return policy.state_dict()


def story(users: int, steps: int, seed: int) -> list[Feedback]:
    """Return what some users are shown and do, in event-time order, with things gone wrong.

    Nobody waits for a recommendation: the rankings are somebody else's, so that the same story can
    be told again whatever is recommended meanwhile.
    """
    rng = np.random.default_rng(seed)
    events: list[Feedback] = [
        user(f"u{n}", f"hello {n}", 1000, x=float(rng.uniform()), y=n / users) for n in range(users)
    ]
    for step in range(steps):
        time = 2000 + 400 * step
        for n in range(users):
            items = [str(item) for item in rng.choice(ITEMS, size=2, replace=False)]
            id_ = f"r{step}-{n}"
            events.append(ranking(f"u{n}", id_, time, *items))
            for k, item in enumerate(items):
                if rng.random() < 0.4:
                    click = interaction(f"u{n}", f"{id_}-{k}", time + 10 + k, id_, item)
                    events += [click, click] if rng.random() < 0.2 else [click]
            if rng.random() < 0.05:
                events.append(interaction(f"u{n}", f"{id_} stray", time, "nowhere"))
    return events


class TasteWorld(BatchedWorld):
    """Users who like some directions of the items' features, tell a part of it, and leave.

    What they tell changes from visit to visit, so that a loop that read it late would show.
    """

    name = "taste"

    def __init__(self, items: int = 8, slate_size: int = 2, leave: float = 0.15) -> None:
        table = np.random.default_rng(0).normal(size=(items, 2))
        names = [f"item{n}" for n in range(items)]
        super().__init__(
            num_candidates=items, slate_size=slate_size, catalogue=Catalogue.of(names, table)
        )
        self.leave = leave
        self.taste = np.zeros((0, 2))

    @property
    def context_width(self) -> int:
        return 3

    @property
    def item_width(self) -> int:
        return 2

    def _allocate(self, lanes: int) -> None:
        self.taste = np.zeros((lanes, 2))

    def _offer(self) -> None:
        pass

    def _begin(self, mask: NDArray[np.bool_]) -> None:
        draws = normals(7, self.lanes["user"], 2)
        self.taste[mask] = draws[mask]

    def _look(self, context: NDArray[np.float32]) -> None:
        visit = self.lanes["visit"].astype(np.float64)[:, None]
        context[:] = np.hstack([self.taste, 0.25 * (visit % 3)])

    def appeal(self) -> Floats:
        assert self.catalogue is not None
        score = (self.taste[:, None, :] * self.catalogue.features[None]).sum(axis=2)
        return np.asarray(1.0 / (1.0 + np.exp(1.0 - score)))

    def _answer(self, choices: Rows, feedback: Answers) -> None:
        chance = np.take_along_axis(self.appeal(), np.maximum(choices, 0), axis=1)
        keys = derive(self.lanes["user"], self.lanes["visit"])
        draws = uniforms(11, keys, choices.shape[1] + 2)
        shown = (choices != PAD) & feedback.asked[:, None]
        feedback.expected[:] = np.where(shown, chance, 0.0)
        feedback.seen[:] = shown
        feedback.seen[:, 1:] &= draws[:, -2, None] < 0.8
        clicked = feedback.seen & (draws[:, : choices.shape[1]] < chance)
        feedback.rewards[:] = np.where(clicked, 0.5 + draws[:, : choices.shape[1]], 0.0)
        feedback.terminated[:] = feedback.asked & (draws[:, -1] < self.leave)
