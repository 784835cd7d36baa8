"""A log told as events comes back as the same log, and teaches a policy the same."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from agents.api import Catalogue, Decisions, Outcomes, Requests, key_of
from agents.streams import word
from simulators import LogError, read_log
from streaming.events import Field, RankedItem, RankingEvent
from streaming.export import Exported, export_log
from streaming.features import Schema
from streaming.names import name_of
from streaming.records import RecordError
from streaming.replay import replay_log
from streaming.sending import NamelessError
from streaming.transport.memory import MemoryBus
from streaming.worker import Worker
from tests.streaming.support import Loop, OrderPolicy, TasteWorld, drain, interaction, same_state
from tests.streaming.test_parity import CONFIG

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def logged(steps: int = 10, users: int = 6) -> Outcomes:
    """Return what a random policy logged, one row at a time, a second apart, in disorder."""
    world = TasteWorld(leave=0.0)
    world.reset(np.array([word(n) for n in range(users)]))
    policy = OrderPolicy(seed=1)
    parts = [world.respond(policy.decide(world.requests())).facts for _ in range(steps)]
    time = np.arange(steps * users, dtype=np.int64) * 1000 + 10**9

    def joined(record: str, name: str) -> NDArray[Any]:
        return np.concatenate([getattr(getattr(part, record), name) for part in parts])

    whole = Outcomes(
        Requests(
            keys=joined("requests", "keys"),
            users=joined("requests", "users"),
            context=joined("requests", "context"),
            candidates=joined("requests", "candidates"),
            items=parts[0].requests.items,
            positions=joined("requests", "positions"),
            time=time,
        ),
        Decisions(
            slates=joined("decisions", "slates"),
            propensities=joined("decisions", "propensities"),
            versions=joined("decisions", "versions"),
            policy="order",
        ),
        np.concatenate([part.rewards for part in parts]),
        np.concatenate([part.seen for part in parts]),
        time + 100,
    )
    return whole.take(np.random.default_rng(0).permutation(len(whole)))


def in_time(log: Outcomes) -> Outcomes:
    return log.take(np.argsort(log.requests.time))


def assert_same_log(found: Outcomes, expected: Outcomes) -> None:
    for name in ("keys", "users", "context", "candidates", "positions", "time"):
        np.testing.assert_array_equal(
            getattr(found.requests, name), getattr(expected.requests, name)
        )
    for name in ("slates", "propensities", "versions"):
        np.testing.assert_array_equal(
            getattr(found.decisions, name), getattr(expected.decisions, name)
        )
    np.testing.assert_array_equal(found.rewards, expected.rewards)
    np.testing.assert_array_equal(found.seen, expected.seen)
    np.testing.assert_array_equal(found.requests.items.features, expected.requests.items.features)
    assert found.requests.items.names == expected.requests.items.names
    assert found.decisions.policy == expected.decisions.policy


def test_a_replayed_log_is_learned_from_in_time_and_comes_back_whole(tmp_path: Path) -> None:
    log, bus = logged(), MemoryBus()
    told: list[tuple[int, int | None]] = []
    replayed = replay_log(bus, log, CONFIG, progress=lambda done, of: told.append((done, of)))
    worker = Worker(bus, OrderPolicy, CONFIG)
    drain(worker)

    clicks = int(np.count_nonzero(log.rewards))
    sent = {"items": 8, "users": 6, "rankings": 60, "interactions": clicks, "bells": 3}
    assert replayed.sent == sent
    assert told == [(60, 60)]
    assert replayed.end == int(log.requests.time.max()) + CONFIG.rules.window + 200
    report = worker.report()
    assert (report.rankings, report.interactions, report.outcomes) == (60, clicks, 60)
    assert report.dead == {}

    policy = OrderPolicy()
    policy.update(in_time(log))
    assert same_state(worker.learner.policy.state_dict(), policy.state_dict())

    assert export_log(bus, CONFIG, tmp_path / "log") == Exported(60, {})
    (found,) = read_log(tmp_path / "log")
    assert_same_log(found, in_time(log))
    with pytest.raises(LogError, match="holds a log already"):
        export_log(bus, CONFIG, tmp_path / "log")


def test_a_log_may_come_in_batches() -> None:
    log, bus = in_time(logged()), MemoryBus()
    told: list[tuple[int, int | None]] = []
    batches = (log.take(rows) for rows in np.array_split(np.arange(len(log)), 3))
    replayed = replay_log(bus, batches, CONFIG, progress=lambda done, of: told.append((done, of)))
    assert (replayed.sent["items"], replayed.sent["users"], replayed.sent["bells"]) == (8, 6, 3)
    assert told == []
    worker = Worker(bus, OrderPolicy, CONFIG)
    drain(worker)
    policy = OrderPolicy()
    policy.update(log)
    assert same_state(worker.learner.policy.state_dict(), policy.state_dict())
    assert worker.report().duplicates == 0


def test_what_offline_evaluation_could_not_use_is_left_out_and_counted(tmp_path: Path) -> None:
    loop = Loop(MemoryBus(), CONFIG)
    replay_log(loop.transport, logged(steps=2), CONFIG)
    drain(Worker(loop.transport, OrderPolicy, CONFIG))
    time = 2 * 10**9
    stated = [RankedItem("item0", propensity=0.5), RankedItem("item1", propensity=0.5)]
    context = [Field("context", [0.0, 0.0, 0.0])]
    loop.send(
        RankingEvent(
            id="silent", timestamp=time, user="u", items=[RankedItem("item0")], fields=context
        ),
        RankingEvent(id="before", timestamp=time, user="u", items=stated, fields=context),
    )
    drain(Worker(loop.transport, OrderPolicy, CONFIG))
    loop.producer.send(loop.topics.items, None, key=b"item7")
    loop.send(
        RankingEvent(id="after", timestamp=time, user="u", items=stated, fields=context),
        interaction("u", "i", time, "after", "item0"),
    )
    loop.tick(time + 2000)
    drain(Worker(loop.transport, OrderPolicy, CONFIG))
    exported = export_log(loop.transport, CONFIG, tmp_path / "log")
    assert exported == Exported(
        1,
        {
            "it was chosen from another set of items": 13,
            "nobody stated how likely it was": 1,
        },
    )
    (row,) = pq.read_table(tmp_path / "log" / "part-00000.parquet")["candidates"].to_pylist()
    assert row == [key_of(f"item{n}") for n in range(7)]


def test_features_that_the_worker_did_not_have_are_refused_by_the_export(tmp_path: Path) -> None:
    bus = MemoryBus()
    replay_log(bus, logged(steps=2), CONFIG)
    drain(Worker(bus, OrderPolicy, CONFIG))
    with pytest.raises(RecordError, match="3 numbers of the user and 2 of each item"):
        export_log(bus, replace(CONFIG, users=Schema(), items=Schema()), tmp_path / "log")


def test_telling_a_log_may_be_stopped_and_what_was_told_closes() -> None:
    bus, told = MemoryBus(), logged()
    asked = iter([False] * 7 + [True])
    done = replay_log(bus, told, CONFIG, stop=lambda: next(asked))
    drain(Worker(bus, OrderPolicy, CONFIG))
    loop = Loop(bus, CONFIG)
    earliest = np.argsort(told.requests.time, kind="stable")[:7]
    assert done.sent["rankings"] == 7
    assert [outcome.time for outcome in loop.outcomes()] == told.requests.time[earliest].tolist()
    assert done.end > loop.outcomes()[-1].closed


def test_a_log_over_items_without_names_cannot_be_told() -> None:
    log = logged(steps=1)
    items = log.requests.items
    nameless = replace(
        log,
        requests=replace(
            log.requests, items=Catalogue(items.keys, items.features, items.available)
        ),
    )
    with pytest.raises(NamelessError, match="have no names"):
        replay_log(MemoryBus(), nameless, CONFIG)


def test_users_of_a_log_are_named_by_their_keys() -> None:
    loop, log = Loop(MemoryBus(), CONFIG), logged(steps=1)
    replay_log(loop.transport, log, CONFIG)
    names = {(r.key or b"").decode() for r in loop.read(loop.topics.feedback)}
    assert names >= {name_of(int(key)) for key in log.requests.users}
