"""One compiled call does what the hooks do one by one, and frames are nobody else's."""

from __future__ import annotations

import pickle
from copy import deepcopy
from sys import getrefcount
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from agents.addresses import references
from simulators import BatchedWorld, Frame, Frames, InterestEvolution, Sardine, WorldError
from simulators.buffers import KEPT
from simulators.stores import LARGE
from tests.simulators.support import seeds

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Seen(InterestEvolution):
    """Has a hook in Python, which no kernel can call."""

    def _look(self, context: NDArray[np.float32]) -> None:
        super()._look(context)


class Opened(Sardine):
    """The same, with users who have a history."""

    def open(self, told: NDArray[np.float32], mask: NDArray[np.bool_]) -> None:
        """Tell it."""
        super().open(told, mask)


def slates(world: BatchedWorld, lanes: int, seed: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    order = np.argsort(rng.random((lanes, world.num_candidates)), axis=1)
    return np.ascontiguousarray(order[:, : world.slate_size])


def same(one: Frame, other: Frame, ended: bool) -> bool:
    names = ["told", "reward", "terminated", "truncated", "context", "documents"]
    names += ["ended", "totals", "lengths"] if ended else []
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


@pytest.mark.parametrize("renew", [True, False])
@pytest.mark.parametrize(
    ("whole", "hooked"),
    [
        (InterestEvolution(6, 3, horizon=30), Seen(6, 3, horizon=30)),
        (Sardine(30, 4, horizon=12, threshold=3), Opened(30, 4, horizon=12, threshold=3)),
    ],
)
def test_the_kernel_does_what_hooks_in_python_do(
    whole: BatchedWorld, hooked: BatchedWorld, renew: bool
) -> None:
    for world in (whole, hooked):
        world.reset(seeds(5))
    ends = 0
    for step in range(70):
        shown = slates(whole, 5, step)
        one, gone = whole.visit(shown, Frames(whole), renew)
        other, as_many = hooked.visit(shown, Frames(hooked), renew)
        assert gone == as_many
        assert same(one, other, gone > 0)
        assert gone == (one.terminated | one.truncated).sum()
        ends += gone
        if gone:
            assert (one.ended == (one.terminated | one.truncated)).all()
            assert (one.seconds[one.ended] > 0).all()
            assert np.array_equal(one.lengths > 0, one.ended)
    assert ends > 8 if renew else ends == 5


def test_what_is_no_slate_is_told_by_its_lane_and_changes_nothing() -> None:
    world = InterestEvolution(6, 3)
    world.reset(seeds(3))
    before = world.lanes.copy(), world.users.copy()
    for wrong in ([0, 0, 1], [0, 1, 6], [-1, 0, 1]):
        shown = np.array([[0, 1, 2], wrong, [3, 4, 5]])
        assert world.visit(shown, Frames(world))[1] == -2
        assert (world.lanes == before[0]).all()
        assert (world.users == before[1]).all()


def test_a_frame_is_used_again_when_nobody_holds_any_of_it() -> None:
    world = InterestEvolution(6, 3)
    world.reset(seeds(4))
    frames = Frames(world)
    places = {id(frames.take()) for _ in range(20)}
    assert len(places) == 1
    frame = frames.take()
    arrays: list[NDArray[Any]] = [
        frame.told,
        frame.reward,
        frame.terminated,
        frame.truncated,
        frame.ended,
    ]
    arrays += [frame.totals, frame.lengths, frame.seconds, *frame.observation.values()]
    first = id(frame)
    del frame
    while arrays:
        held = arrays.pop()
        kept = held[:1]
        assert id(frames.take()) != first or arrays
        del held
        others = list(arrays)
        arrays.clear()
        assert id(frames.take()) != first, "a view alone is held"
        del kept
        arrays.extend(others)
        del others
    assert first in {id(frames.take()) for _ in range(KEPT)}


def test_whoever_holds_many_frames_gets_others() -> None:
    world = InterestEvolution(6, 3)
    world.reset(seeds(4))
    frames = Frames(world)
    held: list[dict[str, NDArray[Any]]] = []
    copies: list[dict[str, NDArray[Any]]] = []
    for step in range(3 * KEPT):
        frame, _ = world.visit(slates(world, 4, step), frames, True)
        held.append(frame.observation.copy())
        copies.append({name: array.copy() for name, array in held[-1].items()})
        del frame
    for kept, copy in zip(held, copies, strict=True):
        assert all(np.array_equal(kept[name], copy[name]) for name in copy)


def arrays_of(frame: Frame) -> list[NDArray[Any]]:
    """Return all that an environment hands out."""
    infos = frame.episodes()
    episode: dict[str, NDArray[Any]] = infos["episode"]
    return [
        *frame.observation.values(),
        *(frame.told, frame.reward, frame.terminated, frame.truncated),
        *(infos["_episode"], *episode.values()),
    ]


@pytest.mark.parametrize("single", [False, True])
def test_a_visit_writes_no_array_of_which_a_view_is_held(single: bool) -> None:
    world = InterestEvolution(6, 3, horizon=2)
    lanes = 1 if single else 4
    world.reset(seeds(lanes))
    frames = Frames(world, single=single)
    for place in range(len(arrays_of(frames.take()))):
        frame, _ = world.visit(slates(world, lanes, place), frames, True)
        held = arrays_of(frame)[place][:1]
        before = held.copy()
        del frame
        for step in range(2 * KEPT):
            frame, gone = world.visit(slates(world, lanes, step), frames, True)
            assert gone >= 0
            assert not any(np.shares_memory(held, array) for array in arrays_of(frame))
            del frame
        assert np.array_equal(held, before)
        del held


def test_references_are_counted_as_python_counts_them() -> None:
    one, other = np.empty(3), np.empty(4)
    ids = np.array([id(one), id(other)])
    before = references(ids)
    held = [one, other[1:], other[2:]]
    assert references(ids) == before + 3
    held.pop()
    assert references(ids) == before + 2
    assert references(ids) == getrefcount(one) + getrefcount(other) - 2


def test_a_python_that_counts_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    world = InterestEvolution(6, 3)
    world.reset(seeds(4))
    monkeypatch.setattr("simulators.frames.references", lambda ids: 7)
    with pytest.raises(RuntimeError, match="keeps no count of references"):
        Frames(world).take()


def test_slates_stand_in_any_order() -> None:
    one, other = InterestEvolution(6, 3), InterestEvolution(6, 3)
    for world in (one, other):
        world.reset(seeds(4))
    for step in range(3):
        shown = slates(one, 4, step)
        scattered = np.zeros((3, 8), np.int64)[:, ::2].T
        scattered[:] = shown
        frame, _ = one.visit(shown, Frames(one))
        assert same(frame, other.visit(scattered, Frames(other))[0], False)


def test_feedback_that_is_held_is_not_written_again() -> None:
    world = InterestEvolution(6, 3)
    world.reset(seeds(4))
    kept: list[tuple[NDArray[Any], NDArray[Any]]] = []
    for step in range(4 * KEPT):
        feedback = world.step(slates(world, 4, step))
        held = (feedback.rewards, feedback.seen, feedback.expected[1:], feedback.asked)
        array = held[step % len(held)]
        kept.append((array, array.copy()))
        del feedback, held, array
    assert all(np.array_equal(array, before) for array, before in kept)


def test_documents_are_the_same_where_they_are_written_past_the_cache() -> None:
    lanes = LARGE // (7 * InterestEvolution.item_width) + 3
    many, few = InterestEvolution(7, 2), InterestEvolution(7, 2)
    many.reset(seeds(lanes))
    few.reset(seeds(5))
    shown = slates(many, lanes, 0)
    for _ in range(3):
        one, _ = many.visit(shown, Frames(many))
        other, _ = few.visit(shown[:5], Frames(few))
        assert one.documents.size >= LARGE > other.documents.size
        assert one.documents.ctypes.data % 64 == 0
        assert np.array_equal(one.documents, np.eye(20, dtype=np.float32)[many.topics])
        assert np.array_equal(one.documents[:5], other.documents)
        with_any_offset = np.full(one.documents.size + 3, np.nan, np.float32)[3:]
        many._show(with_any_offset.reshape(one.documents.shape))
        assert np.array_equal(with_any_offset, one.documents.ravel())


def test_frames_can_be_copied() -> None:
    world = InterestEvolution(6, 3)
    world.reset(seeds(4))
    frames = Frames(world)
    frames.take()
    copy, gone = world.visit(slates(world, 4, 0), deepcopy(frames))
    assert gone == 0
    assert not np.shares_memory(copy.told, frames.take().told)


def test_machine_code_stays_behind_when_a_world_is_pickled() -> None:
    world = InterestEvolution(6, 3)
    world.reset(seeds(4))
    world.step(slates(world, 4, 0))
    other = pickle.loads(pickle.dumps(world))
    for step in range(1, 5):
        one, two = (w.step(slates(w, 4, step)) for w in (world, other))
        assert np.array_equal(one.told, two.told)


def test_a_world_that_does_not_say_what_users_do_says_so() -> None:
    class Idle(InterestEvolution):
        def _loops(self) -> None:  # type: ignore[override]
            return None

    with pytest.raises(WorldError, match="neither `_loops` nor this hook"):
        Idle(6, 3).reset(seeds(2))


def test_what_is_not_of_all_users_is_refused_before_anything_is_written() -> None:
    world = Sardine(30, 4, horizon=12, threshold=3)
    world.reset(seeds(4))
    told = np.zeros((len(world.signals), 4, 4), np.float32)
    before = world.lanes.copy()
    for mask in (np.ones(3, bool), np.ones(5, bool), np.ones((4, 2), bool)):
        with pytest.raises(WorldError, match=r"a mask here is bool \[4\]"):
            world.renew(mask)
        with pytest.raises(WorldError, match=r"a mask here is bool \[4\]"):
            world.open(told, mask)
    with pytest.raises(WorldError, match="opens 4 lanes"):
        world.open(told[:, :3], np.ones(4, bool))
    np.testing.assert_array_equal(world.lanes, before)


@pytest.mark.parametrize(
    "world",
    [
        InterestEvolution(6, 3, horizon=30),
        Seen(6, 3, horizon=30),
        Sardine(30, 4, horizon=12, threshold=3),
        Opened(30, 4, horizon=12, threshold=3),
    ],
)
def test_a_world_that_was_reset_without_its_environment_writes_past_no_frame(
    world: BatchedWorld,
) -> None:
    world.reset(seeds(4))
    frames = Frames(world)
    world.visit(slates(world, 4, 1), frames)
    for lanes in (1, 9):
        world.reset(seeds(lanes))
        before = world.lanes.copy()
        with pytest.raises(WorldError, match=f"has {lanes} users, not 4"):
            world.visit(slates(world, 4, 1), frames)
        np.testing.assert_array_equal(world.lanes, before)
        frame, _ = world.visit(slates(world, lanes, 1), frames)
        assert len(frame.reward) == lanes


@pytest.mark.parametrize("make", [InterestEvolution, Seen])
def test_who_holds_what_was_answered_keeps_it_and_it_tells_who_is_gone(
    make: type[InterestEvolution],
) -> None:
    world = make(6, 3, horizon=5)
    world.reset(seeds(7))
    held, copies = [], []
    for step in range(3 * KEPT):
        held.append(world.step(slates(world, 7, step)))
        held[-1].reward = held[-1].reward - 100.0  # is the holder's own to change
        copies.append(deepcopy(held[-1]))
        np.testing.assert_array_equal(held[-1].ended, world.lanes["ended"])
        world.renew(held[-1].ended & (np.arange(7) != 2))  # nobody comes into that lane again
    for kept, copy in zip(held, copies, strict=True):
        assert kept.gone == copy.gone == (kept.asked & kept.ended).sum()
        gone = kept.terminated | kept.truncated | ~kept.asked
        np.testing.assert_array_equal(kept.ended, gone)
        for name in ("asked", "told", "reward", "seen", "expected", "terminated", "ended"):
            np.testing.assert_array_equal(getattr(kept, name), getattr(copy, name))
