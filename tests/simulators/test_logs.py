"""Outcomes to Parquet and back, and what is said of files that are no logs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import PAD, Catalogue, Decisions, Outcomes, Requests, Uniform, key_of
from simulators import InterestEvolution, Log, LogError, LogWriter, read_log, rollout, write_log
from tests.simulators.support import Truth, seeds, small_logged

if TYPE_CHECKING:
    from collections.abc import Iterable

WORDS = st.integers(0, 2**64 - 1)


@st.composite
def logs(draw: st.DrawFn) -> Outcomes:
    """Any outcomes that the records allow: pads, empty contexts, extreme keys and times."""
    N, F, D = draw(st.integers(1, 5)), draw(st.integers(0, 3)), draw(st.integers(0, 3))
    B, K = draw(st.integers(1, 7)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    keys = np.array(draw(st.lists(WORDS, min_size=N, max_size=N, unique=True)), dtype=np.uint64)
    names = tuple(f"n{i}" for i in range(N)) if draw(st.booleans()) else None
    features = rng.normal(size=(N, F)).astype(np.float32)
    catalogue = Catalogue(keys, features, rng.random(N) < 0.7, names)
    open_ = np.sort(rng.random((B, N)), axis=1).argsort(axis=1)
    counts = rng.integers(0, N + 1, size=B) if draw(st.booleans()) else np.full(B, N)
    candidates = np.where(np.arange(N) < counts[:, None], open_, PAD)
    candidates = candidates[:, : max(int(counts.max()), 1)]
    slates = np.full((B, K), PAD, dtype=np.int64)
    shown = min(K, candidates.shape[1])
    slates[:, :shown] = candidates[:, :shown]
    long = st.integers(-(2**62) // 1000, 2**62 // 1000)
    requests = Requests(
        keys=np.array(draw(st.lists(WORDS, min_size=B, max_size=B)), dtype=np.uint64),
        users=np.array(draw(st.lists(WORDS, min_size=B, max_size=B)), dtype=np.uint64),
        context=rng.normal(size=(B, D)).astype(np.float32),
        candidates=candidates,
        items=catalogue,
        positions=rng.integers(0, 99, size=(B, K)),
        time=np.array(draw(st.lists(long, min_size=B, max_size=B)), dtype=np.int64),
    )
    chances = np.where(slates == PAD, 1.0, 1.0 - rng.random((B, K)))
    versions = rng.integers(0, 2**62, size=B)
    decisions = Decisions(slates, chances, versions, draw(st.text(min_size=1, max_size=5)))
    rewards = rng.normal(size=(B, K)).astype(np.float32)
    return Outcomes(requests, decisions, rewards, rng.random((B, K)) < 0.5, requests.time + 5)


def same(one: Outcomes, other: Outcomes) -> bool:
    """Whether two records say the same, however their candidates are padded."""
    width = max(one.requests.candidates.shape[1], other.requests.candidates.shape[1])
    if one.decisions.policy != other.decisions.policy:
        return False
    return all(
        np.array_equal(a, b)
        for a, b in zip(_arrays(one, width), _arrays(other, width), strict=True)
    )


def _arrays(o: Outcomes, width: int) -> list[Any]:
    def keys(rows: Any) -> Any:
        found = np.zeros(rows.shape, dtype=np.uint64)
        found[rows != PAD] = o.requests.items.keys[rows[rows != PAD]]
        return found

    short = o.requests.candidates
    candidates = np.full((len(o), width), PAD)
    candidates[:, : short.shape[1]] = short
    return [
        o.requests.keys, o.requests.users, o.requests.context, o.requests.positions,
        o.requests.time, keys(candidates), candidates == PAD, keys(o.decisions.slates),
        o.decisions.slates == PAD, o.decisions.propensities, o.decisions.versions, o.rewards,
        o.seen, o.time,
    ]  # fmt: skip


def joined(chunks: Iterable[Outcomes]) -> list[Outcomes]:
    return [chunk.take([row]) for chunk in chunks for row in range(len(chunk))]


@given(logs(), st.booleans(), st.integers(1, 9))
@settings(max_examples=50, deadline=None)
def test_what_is_written_is_read(log: Outcomes, ephemeral: bool, chunk: int) -> None:
    with TemporaryDirectory() as folder:
        assert write_log(folder, log, ephemeral=ephemeral) == len(log)
        read = Log(folder, chunk=chunk)
        assert read.rows == len(log)
        rows = joined(read)
        assert len(rows) == len(log)
        for row, found in enumerate(rows):
            assert same(found, log.take([row]))
        if ephemeral:
            return
        assert read.catalogue is not None
        assert np.array_equal(read.catalogue.keys, log.requests.items.keys)
        assert np.array_equal(read.catalogue.features, log.requests.items.features)
        assert np.array_equal(read.catalogue.available, log.requests.items.available)
        assert read.catalogue.names == log.requests.items.names


def test_items_that_live_for_one_request_keep_their_features(tmp_path: Path) -> None:
    world = InterestEvolution(6, 2)
    world.reset(seeds(5))
    steps = list(rollout(world, Uniform(), 7))
    with LogWriter(tmp_path, ephemeral=True) as writer:
        for step in steps:
            writer.write(step.outcomes, step.expected)
    log = Log(tmp_path, chunk=5)
    assert log.catalogue is None
    assert log.has_expected
    for (read, expected), step in zip(log.with_expected(), steps, strict=True):
        assert np.array_equal(read.decisions.slates, step.outcomes.decisions.slates)
        assert np.array_equal(expected, step.expected)
        features = step.outcomes.requests.items.features
        assert np.array_equal(read.requests.items.features, features)


def test_a_chunk_has_one_policy_and_one_slate_size(tmp_path: Path) -> None:
    log = Truth.drawn().log(20)
    other = replace(log, decisions=replace(log.decisions, policy="other"))
    short = replace(
        log,
        requests=replace(log.requests, positions=log.requests.positions[:, :2]),
        decisions=replace(
            log.decisions,
            slates=log.decisions.slates[:, :2],
            propensities=log.decisions.propensities[:, :2],
        ),
        rewards=log.rewards[:, :2],
        seen=log.seen[:, :2],
    )
    write_log(tmp_path, [log, other, log.take(np.arange(5)), short])
    found = [(c.decisions.policy, len(c), c.requests.slate_size) for c in read_log(tmp_path)]
    assert found == [("uniform", 20, 3), ("other", 20, 3), ("uniform", 5, 3), ("uniform", 20, 2)]
    chunks = [len(c) for c in read_log(tmp_path, chunk=8)]
    assert max(chunks) <= 8
    assert sum(chunks) == 65


def test_a_catalogue_may_grow_and_may_not_change(tmp_path: Path) -> None:
    log = Truth.drawn(items=4).log(10)
    items = log.requests.items
    grown = items.with_items(["new"], [[9.0, 9.0]])
    later = replace(
        log,
        requests=replace(log.requests, items=grown, candidates=np.tile(np.arange(5), (10, 1))),
    )
    with LogWriter(tmp_path / "grown") as writer:
        writer.write(log)
        writer.write(later)
    first, second = (c for c in Log(tmp_path / "grown", chunk=10))
    assert first.requests.candidates.tolist() == [[0, 1, 2, 3]] * 10
    assert second.requests.candidates.tolist() == [[0, 1, 2, 3, 4]] * 10
    assert second.requests.items.names == (*(items.names or ()), "new")
    stranger = Catalogue.of(["a", "b", "c", "d"], np.zeros((4, 2)))
    with LogWriter(tmp_path / "changed") as writer:
        writer.write(log)
        with pytest.raises(LogError, match="only ever added"):
            writer.write(replace(log, requests=replace(log.requests, items=stranger)))
    assert Log(tmp_path / "changed").rows == 10


def test_a_folder_is_not_written_over_and_nothing_half_written_is_read(tmp_path: Path) -> None:
    log = Truth.drawn().log(5)
    writer = LogWriter(tmp_path)
    writer.write(log)
    with pytest.raises(LogError, match="no log"):
        Log(tmp_path)
    writer.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["items.parquet", "part-00000.parquet"]
    with pytest.raises(LogError, match="holds a log already"):
        LogWriter(tmp_path)


def test_small_batches_become_few_row_groups(tmp_path: Path) -> None:
    log = Truth.drawn().log(40)
    write_log(tmp_path, (log.take([row]) for row in range(40)))
    assert pq.ParquetFile(tmp_path / "part-00000.parquet").num_row_groups == 1


def test_one_file_is_a_log_too(tmp_path: Path) -> None:
    log = Truth.drawn().log(6)
    write_log(tmp_path, log)
    rows = joined(read_log(tmp_path / "part-00000.parquet"))
    assert all(same(row, log.take([i])) for i, row in enumerate(rows))
    (tmp_path / "items.parquet").unlink()
    with pytest.raises(LogError, match=r"items\.parquet"):
        Log(tmp_path)
    again = joined(read_log(tmp_path, catalogue=log.requests.items))
    assert all(same(row, log.take([i])) for i, row in enumerate(again))


# --- logs from elsewhere


def own(folder: Path, items: dict[str, Any] | None = None, **columns: Any) -> Path:
    """Write a log as somebody might, who has never heard of us."""
    table = {
        "slate": [["shoe"], ["hat"], ["shoe"]],
        "propensities": [[0.5], [0.5], [0.25]],
        "rewards": [[1.0], [0.0], [0.0]],
    } | columns
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(table), folder / "mine.parquet")
    shop = {"name": ["hat", "shoe"], "features": [[1.0, 0.0], [0.0, 1.0]]}
    pq.write_table(pa.table(shop if items is None else items), folder / "items.parquet")
    return folder


def test_what_others_write_is_read_with_plain_defaults(tmp_path: Path) -> None:
    (chunk,) = read_log(own(tmp_path))
    assert chunk.decisions.slates.tolist() == [[1], [0], [1]]
    assert chunk.requests.candidates.tolist() == [[0, 1]] * 3
    assert chunk.requests.positions.tolist() == [[0]] * 3
    assert chunk.seen.all()
    assert chunk.decisions.policy == "logged"
    assert len(np.unique(chunk.requests.keys)) == 3
    assert chunk.requests.context.shape == (3, 0)


def test_names_stand_for_keys_and_times_come_in_any_unit(tmp_path: Path) -> None:
    moment = pa.array([1, 2, 3], pa.timestamp("s"))
    folder = own(
        tmp_path,
        user=["ann", "bob", "ann"],
        request=[3, 4, 5],
        candidates=[["hat", "shoe"], ["hat"], ["shoe"]],
        time=moment,
        completed=[1001, 2001, 3001],
        context=[[1], [2], [3]],
        rewards=[[1], [0], [0]],
        policy=pa.array(["a", "a", "a"]).dictionary_encode(),
    )
    (chunk,) = read_log(folder)
    assert chunk.requests.users.tolist() == [key_of("ann"), key_of("bob"), key_of("ann")]
    assert chunk.requests.keys.tolist() == [3, 4, 5]
    assert chunk.requests.time.tolist() == [1000, 2000, 3000]
    assert chunk.time.tolist() == [1001, 2001, 3001]
    assert chunk.requests.candidates.tolist() == [[0, 1], [0, PAD], [1, PAD]]
    assert chunk.requests.context.tolist() == [[1.0], [2.0], [3.0]]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"propensities": [[0.5], [0.0], [0.2]]}, "row 1, column `propensities`: .*probabilities"),
        ({"propensities": [[0.5], [0.5], [1.5]]}, "row 2, column `propensities`"),
        ({"propensities": [[0.5], [float("nan")], [1.0]]}, "row 1.*not finite"),
        ({"propensities": [[0.5], None, [1.0]]}, "row 1"),
        ({"propensities": [[0.5], [0.5, 0.5], [1.0]]}, "row 1.*2 numbers for a slate of 1"),
        ({"rewards": [[1.0], [0.0], [float("inf")]]}, "row 2, column `rewards`: is not finite"),
        ({"rewards": [[1.0], [None], [0.0]]}, "row 1, column `rewards`: holds a null"),
        ({"rewards": [["a"], ["b"], ["c"]]}, "column `rewards` holds list<.*string"),
        ({"rewards": [1.0, 0.0, 0.0]}, "column `rewards` holds double"),
        ({"slate": [["shoe"], ["sock"], ["hat"]]}, "row 1, column `slate`: .*sock.*catalogue"),
        ({"slate": [["shoe"], [], ["hat"]]}, "row 1, column `slate`: an empty slate"),
        ({"slate": [[-4], [0], [1]]}, "row 0, column `slate`: a key is negative"),
        ({"candidates": [["hat", "sock"], ["hat"], ["hat"]]}, "row 0, column `candidates`"),
        ({"context": [[1.0], [1.0, 2.0], [1.0]]}, "row 1, column `context`: is 2 long"),
        ({"user": [None, "b", "c"]}, "row 0, column `user`: is null"),
        ({"seen": [[1.0], [0.0], [1.0]]}, "column `seen` holds list"),
        ({"policy": ["a", None, "a"]}, "row 1, column `policy`: is null"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    tmp_path: Path, columns: dict[str, Any], words: str
) -> None:
    with pytest.raises(LogError, match=words):
        list(read_log(own(tmp_path, **columns)))


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ({"features": [[1.0]]}, "`name` or `key`"),
        ({"name": ["hat", "hat"]}, "row 1: the item occurs twice"),
        ({"name": ["hat", None]}, "row 1: an item has no name"),
        ({"name": ["hat", "shoe"], "features": [[1.0], [1.0, 2.0]]}, "column `features`"),
        ({"name": pa.array([], pa.string())}, "no item"),
    ],
)
def test_what_is_wrong_with_the_catalogue_is_said(
    tmp_path: Path, items: dict[str, Any], words: str
) -> None:
    with pytest.raises(LogError, match=words):
        Log(own(tmp_path, items=items))


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="there is no log at"):
        Log(tmp_path / "nowhere")
    with pytest.raises(LogError, match="holds no log"):
        Log(tmp_path)
    (tmp_path / "bad.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(LogError, match=r"bad\.parquet is not a readable Parquet file"):
        Log(tmp_path)
    (tmp_path / "bad.parquet").unlink()
    pq.write_table(pa.table({"slate": [["a"]], "rewards": [[1.0]]}), tmp_path / "few.parquet")
    with pytest.raises(LogError, match="no column `propensities`"):
        Log(tmp_path)
    schema = pa.schema([("x", pa.int64())]).with_metadata({"recloop": '{"format": 99}'})
    pq.write_table(pa.table({"x": [1]}, schema=schema), tmp_path / "few.parquet")
    with pytest.raises(LogError, match="no column"):
        Log(tmp_path)


def test_a_format_of_the_future_is_refused(tmp_path: Path) -> None:
    write_log(tmp_path, Truth.drawn().log(3))
    part = tmp_path / "part-00000.parquet"
    table = pq.read_table(part).replace_schema_metadata({"recloop": '{"format": 99}'})
    pq.write_table(table, part)
    with pytest.raises(LogError, match="format 99"):
        list(read_log(tmp_path))


def test_expected_rewards_are_only_where_they_were_known(tmp_path: Path) -> None:
    log = Truth.drawn().log(3)
    write_log(tmp_path, log)
    assert not Log(tmp_path).has_expected
    with pytest.raises(LogError, match="only simulated logs"):
        list(Log(tmp_path).with_expected())


def test_a_world_of_a_catalogue_can_be_logged(tmp_path: Path) -> None:
    world = small_logged(horizon=4)
    world.reset(seeds(5))
    steps = [step.facts for step in rollout(world, Uniform(), 6)]
    write_log(tmp_path, steps)
    rows = joined(read_log(tmp_path))
    assert all(same(row, steps[i // 5].take([i % 5])) for i, row in enumerate(rows))
