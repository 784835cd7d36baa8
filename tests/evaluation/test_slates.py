"""Slate estimators are exactly right under their assumptions: expectations by enumeration.

Every slate of a small world is one row, its reward the expected one, weighed by how likely the
logging policy shows it: the sum of an estimator's terms is its expectation, without any noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest

from agents.api import Catalogue, Outcomes, RecloopError, Requests, ShapeError
from evaluation.accumulate import Accumulator
from evaluation.chunks.checks import FaultyLogError
from evaluation.chunks.slates import Chances, Slates
from evaluation.estimators.names import UnknownEstimatorError
from evaluation.estimators.single import ModelNeededError, ViewNeededError
from evaluation.estimators.slates import SLATE_ESTIMATORS
from evaluation.passes import SlateError
from evaluation.prospects import in_slots, next_slot
from evaluation.slates import evaluate_slates
from tests.evaluation.logs import Shop, Tabled, keys, softmax

ITEMS, SLOTS = 4, 3
RNG = np.random.default_rng(7)
LOGGING, TARGET = softmax(RNG.normal(size=(2, ITEMS)))
EXAMINED = np.array([0.9, 0.5, 0.2])
GUESS = RNG.normal(size=(SLOTS, ITEMS))

Reward = Callable[[tuple[int, ...]], list[float]]


@dataclass(frozen=True)
class World:
    """All slates, how likely each is, and how likely each slot given those before it."""

    slates: list[tuple[int, ...]]
    replacement: bool

    def conditional(self, scores: Any, slate: tuple[int, ...], k: int) -> float:
        taken = 0.0 if self.replacement else sum(scores[i] for i in slate[:k])
        return float(scores[slate[k]] / (1.0 - taken))

    def chance(self, scores: Any, slate: tuple[int, ...]) -> float:
        return float(np.prod([self.conditional(scores, slate, k) for k in range(SLOTS)]))

    def in_slot(self, scores: Any, item: int, k: int) -> float:
        return sum(self.chance(scores, slate) for slate in self.slates if slate[k] == item)

    def truth(self, reward: Reward) -> float:
        return sum(self.chance(TARGET, slate) * sum(reward(slate)) for slate in self.slates)

    def chunk(self, reward: Reward) -> Slates:
        n = len(self.slates)
        table = {
            name: np.array(
                [[self.conditional(s, slate, k) for k in range(SLOTS)] for slate in self.slates]
            )
            for name, s in (("logged", LOGGING), ("target", TARGET))
        }
        slot = Chances(
            *(
                np.array([[self.in_slot(s, x[k], k) for k in range(SLOTS)] for x in self.slates])
                for s in (LOGGING, TARGET)
            )
        )
        exposure = Chances(
            *(
                np.array(
                    [
                        [
                            sum(EXAMINED[j] * self.in_slot(s, x[k], j) for j in range(SLOTS))
                            for k in range(SLOTS)
                        ]
                        for x in self.slates
                    ]
                )
                for s in (LOGGING, TARGET)
            )
        )
        v = np.array([[self.expected(slate, k) for k in range(SLOTS)] for slate in self.slates])
        return Slates(
            reward=np.array([reward(slate) for slate in self.slates]),
            keys=keys(n, 0),
            q=np.array([[GUESS[k, slate[k]] for k in range(SLOTS)] for slate in self.slates]),
            v=v,
            chances={"slot": slot, "exposure": exposure},
            **table,
        )

    def expected(self, slate: tuple[int, ...], k: int) -> float:
        """The guess for slot k, filled by the target after the slots before it."""
        rest = [i for i in range(ITEMS) if self.replacement or i not in slate[:k]]
        return float(sum(self.conditional(TARGET, (*slate[:k], i), k) * GUESS[k, i] for i in rest))

    def expectation(self, name: str, reward: Reward) -> float:
        estimator = SLATE_ESTIMATORS[name](SLOTS)
        (part,) = estimator.parts
        assert part.under is None
        likely = np.array([self.chance(LOGGING, slate) for slate in self.slates])
        return float(likely @ part.over(self.chunk(reward)))


ORDERED = World(list(permutations(range(ITEMS), SLOTS)), replacement=False)
FREE = World(list(product(range(ITEMS), repeat=SLOTS)), replacement=True)


def anything(slate: tuple[int, ...]) -> list[float]:
    return [float(x) for x in np.random.default_rng(list(slate)).normal(size=SLOTS)]


def cascading(slate: tuple[int, ...]) -> list[float]:
    return [float(np.random.default_rng(list(slate[: k + 1])).normal()) for k in range(SLOTS)]


def independent(slate: tuple[int, ...]) -> list[float]:
    return [float(np.sin(3.0 * k + slate[k])) for k in range(SLOTS)]


def examined(slate: tuple[int, ...]) -> list[float]:
    return [float(EXAMINED[k] * np.cos(slate[k])) for k in range(SLOTS)]


def additive(slate: tuple[int, ...]) -> list[float]:
    """The slate's reward is a sum over slots, but comes back as a whole."""
    return [0.0, sum(independent(slate)), 0.0]


@pytest.mark.parametrize(
    ("world", "reward", "right", "wrong"),
    [
        (ORDERED, anything, {"SIPS"}, {"RIPS", "IIPS", "Position-based", "Cascade-DR"}),
        (ORDERED, cascading, {"SIPS", "RIPS", "Cascade-DR"}, {"IIPS", "Position-based"}),
        (ORDERED, independent, {"SIPS", "RIPS", "Cascade-DR", "IIPS"}, {"Position-based", "PI"}),
        (
            ORDERED,
            examined,
            {"SIPS", "RIPS", "Cascade-DR", "IIPS", "Position-based"},
            {"PI"},
        ),
        (FREE, additive, {"SIPS", "PI"}, {"RIPS", "IIPS"}),
        (
            FREE,  # every slot is filled alike, so an item's exposure tells no more than its slot
            independent,
            {"SIPS", "RIPS", "Cascade-DR", "IIPS", "PI", "Position-based"},
            set(),
        ),
    ],
    ids=["anything", "cascade", "independent", "examined", "additive", "free and independent"],
)
def test_each_is_unbiased_under_its_assumption_and_biased_without(
    world: World, reward: Reward, right: set[str], wrong: set[str]
) -> None:
    truth = world.truth(reward)
    for name in right:
        assert world.expectation(name, reward) == pytest.approx(truth, abs=1e-12), name
    for name in wrong:
        assert abs(world.expectation(name, reward) - truth) > 1e-3, name


def test_the_mean_weight_is_one_for_all_of_them() -> None:
    for world in (ORDERED, FREE):
        likely = np.array([world.chance(LOGGING, slate) for slate in world.slates])
        for name, make in SLATE_ESTIMATORS.items():
            weight = make(SLOTS).weight.exact
            assert float(likely @ weight(world.chunk(anything))) == pytest.approx(1.0), name


def test_normalised_ones_by_hand() -> None:
    chunk = ORDERED.chunk(anything)
    ratio = (chunk.target / chunk.logged).tolist()
    reward = chunk.reward.tolist()
    slot = (chunk.chances["slot"].target / chunk.chances["slot"].logged).tolist()
    prefix = [[float(np.prod(row[: k + 1])) for k in range(SLOTS)] for row in ratio]

    def by_slot(weights: list[list[float]]) -> float:
        return math.fsum(
            sum(w[k] * r[k] for w, r in zip(weights, reward, strict=True))
            / sum(w[k] for w in weights)
            for k in range(SLOTS)
        )

    whole = [row[-1] for row in prefix]
    wanted = {
        "SNSIPS": sum(w * sum(r) for w, r in zip(whole, reward, strict=True)) / sum(whole),
        "SNRIPS": by_slot(prefix),
        "SNIIPS": by_slot(slot),
    }
    accumulator = Accumulator([SLATE_ESTIMATORS[name](SLOTS) for name in wanted], replicates=4)
    accumulator.add(chunk)
    found = {e.estimator: e.value for e in accumulator.results()}
    assert found == pytest.approx(wanted, rel=1e-9)


def test_slates_of_one_slot_are_rounds() -> None:
    log = Shop().rounds(200, seed=1)
    logged, target = log.logged[:, None], log.target[:, None]
    chances = {"slot": Chances(logged, target)}
    slates = Slates(log.reward[:, None], logged, target, log.keys, chances=chances)
    accumulator = Accumulator(
        [SLATE_ESTIMATORS[name](1) for name in ("SIPS", "RIPS", "IIPS", "PI")], replicates=4
    )
    accumulator.add(slates)
    ips = float((log.target / log.logged * log.reward).mean())
    for estimate in accumulator.results():
        assert estimate.value == pytest.approx(ips, rel=1e-12)


def test_faulty_slates_are_refused_by_row() -> None:
    chunk = ORDERED.chunk(anything)
    chunk.logged[[2, 5], 1] = 0.0
    chunk.chances["slot"].target[7, 0] = np.nan
    with pytest.raises(FaultyLogError, match="zero in rows 2, 5") as caught:
        Accumulator([SLATE_ESTIMATORS["SIPS"](SLOTS)]).add(chunk)
    assert "slot: target chance is negative or NaN in row 7" in str(caught.value)
    with pytest.raises(ShapeError, match="logged"):
        replace(chunk, logged=chunk.logged[:, :2])


def test_what_is_missing_is_told() -> None:
    bare = replace(ORDERED.chunk(anything), q=None, v=None, chances={})
    with pytest.raises(ModelNeededError, match="Cascade-DR uses a reward model"):
        Accumulator([SLATE_ESTIMATORS["Cascade-DR"](SLOTS)]).add(bare)
    for name, words in (("IIPS", "holds its item"), ("Position-based", "looked at")):
        with pytest.raises(ViewNeededError, match=words):
            Accumulator([SLATE_ESTIMATORS[name](SLOTS)]).add(bare)


def played(n: int, seed: int) -> Outcomes:
    """A log of slates: clicks hang on the item alone, and fade from slot to slot."""
    items = Catalogue.of([f"item {i}" for i in range(ITEMS)], np.eye(ITEMS))
    requests = Requests(
        keys=keys(n, seed),
        users=keys(n, seed),
        context=np.ones((n, 1), dtype=np.float32),
        candidates=np.tile(np.arange(ITEMS), (n, 1)),
        items=items,
        positions=np.tile(np.arange(SLOTS), (n, 1)),
        time=np.arange(n),
    )
    decisions = Tabled(LOGGING[None]).decide(requests)
    chance = 0.2 * (1 + decisions.slates) * EXAMINED
    clicks = np.random.default_rng(seed).random(chance.shape) < chance
    seen = np.ones(chance.shape, dtype=np.bool_)
    return Outcomes(requests, decisions, clicks.astype(np.float32), seen, np.arange(n))


def clicks(slate: tuple[int, ...]) -> list[float]:
    return [0.2 * (1 + slate[k]) * float(EXAMINED[k]) for k in range(SLOTS)]


def test_a_log_of_slates_is_evaluated_by_all_of_them() -> None:
    log, truth = played(4000, 1), ORDERED.truth(clicks)
    report = evaluate_slates(
        Tabled(TARGET[None]),
        [log.take(np.arange(2000)), log.take(np.arange(2000, 4000))],
        estimators=["SIPS", "rips", "Cascade-DR", "IIPS", "Position-based", "SNRIPS"],
        logging=Tabled(LOGGING[None]),
        examination=EXAMINED,
        replicates=200,
        seed=1,
    )
    for estimate in report.estimates:
        assert estimate.low < truth < estimate.high, estimate.estimator
        assert estimate.diagnostics.tamed == 0.0
        assumes = estimate.estimator != "SIPS"
        assert any("right only if" in words for words in estimate.verdict.reasons) == assumes
    widths = {e.estimator: e.high - e.low for e in report.estimates}
    assert widths["Cascade-DR"] < widths["SIPS"]
    assert widths["Position-based"] < widths["SIPS"]


def test_prospects_agree_with_enumeration() -> None:
    requests = played(3, 1).requests
    policy = Tabled(LOGGING[None])
    slates = np.array([[0, 1, 2], [3, 2, 1], [1, 3, -1]])
    chances = next_slot(policy, requests, slates, 1)
    for b, first in enumerate((0, 3, 1)):
        for item in range(ITEMS):
            wanted = 0.0 if item == first else ORDERED.conditional(LOGGING, (first, item), 1)
            assert chances[b, item] == pytest.approx(wanted)
    found = in_slots(policy, requests, slates, draws=2000, seed=3)
    for b, i, j in product(range(3), range(SLOTS), range(SLOTS)):
        item = slates[b, i]
        wanted = float(i == j) if item == -1 else ORDERED.in_slot(LOGGING, int(item), j)
        assert found[b, i, j] == pytest.approx(wanted, abs=1e-9 if item == -1 or j == 0 else 0.02)


def test_names_lengths_and_empty_logs_are_checked() -> None:
    log, policy = played(20, 1), Tabled(TARGET[None])
    with pytest.raises(UnknownEstimatorError, match="did you mean RIPS"):
        evaluate_slates(policy, [log], estimators=["ripps"])
    with pytest.raises(RecloopError, match="empty"):
        evaluate_slates(policy, [], estimators=["SIPS"])
    requests = replace(log.requests, positions=log.requests.positions[:, :2])
    decisions = policy.decide(requests)
    shorter = Outcomes(requests, decisions, log.rewards[:, :2], log.seen[:, :2], log.time)
    with pytest.raises(SlateError, match="3 slots, but this log has some of 2"):
        evaluate_slates(policy, [log, shorter], estimators=["SIPS"])


def test_signed_weights_have_the_effective_size_of_their_sum() -> None:
    """PI's weights may be negative: what cancels in the mean is no evidence."""
    slates = WORLD_ROWS
    weights = 1.0 - SLOTS + (slates.chances["slot"].target / slates.chances["slot"].logged).sum(1)
    assert (weights < 0.0).any()
    accumulator = Accumulator([SLATE_ESTIMATORS["PI"](SLOTS)], replicates=5)
    accumulator.add(slates)
    (found,) = accumulator.results()
    expected = weights.sum() ** 2 / (weights**2).sum()
    assert found.diagnostics.effective_size == pytest.approx(expected, rel=1e-12)


def test_bounds_are_of_a_whole_slates_reward() -> None:
    low, high = 0.0, float(SLOTS)
    free = Accumulator([SLATE_ESTIMATORS["SIPS"](SLOTS)])
    cut_ = Accumulator([SLATE_ESTIMATORS["SIPS"](SLOTS)], bounds=(low, high))
    for accumulator in (free, cut_):
        accumulator.add(replace(WORLD_ROWS, reward=np.ones_like(WORLD_ROWS.reward)))
    (loose,), (tight,) = free.results(), cut_.results()
    assert loose.high > high
    assert (tight.low, tight.high) == (min(max(loose.low, low), high), high)
    with pytest.raises(RecloopError, match="bounds"):
        free.merge(cut_)


WORLD_ROWS = Slates(
    reward=np.ones((4, SLOTS)),
    logged=np.full((4, SLOTS), 0.5),
    target=np.array([[0.9, 0.9, 0.9], [0.1, 0.1, 0.1], [0.5, 0.6, 0.4], [0.6, 0.5, 0.5]]),
    keys=keys(4, 0),
    chances={
        "slot": Chances(
            np.full((4, SLOTS), 0.5),
            np.array([[0.9, 0.9, 0.9], [0.1, 0.1, 0.1], [0.5, 0.6, 0.4], [0.6, 0.5, 0.5]]),
        )
    },
)
