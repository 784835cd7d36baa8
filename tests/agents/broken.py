"""Policies that each break one law, on purpose; `check_policy` must catch every one by its name."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from agents import (
    PAD,
    Decisions,
    EpsilonGreedy,
    Popular,
    Requests,
    ScorePolicy,
    SlotPolicy,
    Uniform,
    candidate_features,
)
from agents.slots import greedy
from agents.streams import uniforms

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from agents import Outcomes, Policy
    from agents.api import Floats, Rows, State


class Nameless(Uniform):
    """It says that it is nobody."""

    name = ""


class Repeating(Uniform):
    """It fills the slate with the first item it drew."""

    def decide(self, requests: Requests) -> Decisions:
        decided = super().decide(requests)
        slates = decided.slates.copy()
        slates[:, 1] = slates[:, 0]
        return replace(decided, slates=slates)


class Lavish(Uniform):
    """It shows items that were not offered, where too few were."""

    def decide(self, requests: Requests) -> Decisions:
        decided = super().decide(requests)
        return replace(decided, slates=np.where(decided.slates == PAD, 0, decided.slates))


class Boastful(EpsilonGreedy):
    """It logs that it was sure."""

    def decide(self, requests: Requests) -> Decisions:
        decided = super().decide(requests)
        return replace(decided, propensities=np.ones_like(decided.propensities))


class Generous(Uniform):
    """It finds anything possible, even what was not offered."""

    def propensities(self, requests: Requests, slates: Rows) -> Floats:
        stated = super().propensities(requests, slates)
        return np.where(stated == 0.0, 0.1, stated)


class Leaking(SlotPolicy[None]):
    """It states only nine tenths of its probability."""

    name = "leaking"

    def prepare(self, requests: Requests) -> None:
        return None

    def slot(self, view: None, open_: NDArray[np.bool_]) -> Floats:
        return 0.9 * greedy(np.zeros(open_.shape), open_)


class Misstating(EpsilonGreedy):
    """It draws by one epsilon and states another, the same in decide and propensities."""

    def decide(self, requests: Requests) -> Decisions:
        stated, self.epsilon = self.epsilon, 0.6
        decided = super().decide(requests)
        self.epsilon = stated
        return replace(decided, propensities=self.propensities(requests, decided.slates))


class UserKeyed(EpsilonGreedy):
    """Its randomness hangs on the user: who is unlucky once is unlucky for ever."""

    def __init__(self) -> None:
        super().__init__(epsilon=0.5)

    def decide(self, requests: Requests) -> Decisions:
        return super().decide(replace(requests, keys=requests.users))


class Sequential(Uniform):
    """It draws from a generator that it carries from decision to decision."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng(0)

    def decide(self, requests: Requests) -> Decisions:
        keys = self.rng.integers(0, 1 << 63, len(requests)).astype(np.uint64)
        return super().decide(replace(requests, keys=keys))


class Restless(Popular):
    """It counts what it showed when it shows it."""

    def decide(self, requests: Requests) -> Decisions:
        decided = super().decide(requests)
        self.sums.values = self.sums.values * 0.99
        return decided


class Relative(ScorePolicy):
    """It compares a request with the rest of its batch."""

    name = "relative"

    def scores(self, requests: Requests) -> Floats:
        context = requests.context.astype(np.float64)
        return np.asarray(
            (context - context.mean(axis=0))[:, :1] * candidate_features(requests)[:, :, 0]
        )


class Positional(Uniform):
    """It draws by position in the batch."""

    def decide(self, requests: Requests) -> Decisions:
        return super().decide(replace(requests, keys=np.arange(len(requests), dtype=np.uint64)))


class Absorbed(Popular):
    """It learns of the last batch it decided about, not of the outcomes' own requests."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Requests | None = None

    def decide(self, requests: Requests) -> Decisions:
        self.last = requests
        return super().decide(requests)

    def update(self, outcomes: Outcomes) -> None:
        weight = 1.0 if self.last is None else float(len(self.last))
        super().update(replace(outcomes, rewards=(outcomes.rewards * weight).astype(np.float32)))


class Averaging(Popular):
    """It learns rewards relative to their batch."""

    def update(self, outcomes: Outcomes) -> None:
        level = outcomes.rewards.mean() if len(outcomes) else 0.0
        super().update(replace(outcomes, rewards=(outcomes.rewards - level).astype(np.float32)))


class Credulous(Popular):
    """It takes what nobody saw for refused."""

    def update(self, outcomes: Outcomes) -> None:
        super().update(replace(outcomes, seen=outcomes.decisions.slates != PAD))


class Pickled(Popular):
    """Its state holds objects."""

    def state_dict(self) -> State:
        return super().state_dict() | {"memory": np.array([self.sums], dtype=object)}


class Forgetful(Popular):
    """Its state leaves out how often an item was shown."""

    def load_state_dict(self, state: State) -> None:
        super().load_state_dict(state)
        self.sums.values[:, :, 1] = 1.0


class Aliasing(Popular):
    """It hands out its own arrays."""

    def state_dict(self) -> State:
        return super().state_dict() | {"sums": self.sums.values[: len(self.sums.arms), 0, :1]}


class RowBound(ScorePolicy):
    """It learns of rows, and a row is another item in another catalogue."""

    name = "row-bound"

    def __init__(self) -> None:
        super().__init__()
        self.won = np.zeros(100)

    def scores(self, requests: Requests) -> Floats:
        return self.won[requests.candidates]

    def update(self, outcomes: Outcomes) -> None:
        super().update(outcomes)
        slates, seen = outcomes.decisions.slates, outcomes.seen
        np.add.at(self.won, slates[seen], outcomes.rewards[seen])

    def state_dict(self) -> State:
        return super().state_dict() | {"won": self.won.copy()}

    def load_state_dict(self, state: State) -> None:
        super().load_state_dict(state)
        self.won = state["won"].copy()


class Hashing(ScorePolicy):
    """It scores by Python's string hash, which is another in every process."""

    name = "hashing"

    def scores(self, requests: Requests) -> Floats:
        names = requests.items.keys[requests.candidates]
        return np.array([[hash(str(key)) % 1000 for key in row] for row in names], dtype=np.float64)


class Seeding(Uniform):
    """It seeds the process's generators, as if they were its own."""

    def __init__(self) -> None:
        super().__init__()
        np.random.seed(0)  # noqa: NPY002 - it is what the law forbids
        random.seed(0)


class Padded(Uniform):
    """Its draws depend on how wide the candidates are padded."""

    def decide(self, requests: Requests) -> Decisions:
        width = np.uint64(requests.candidates.shape[1])
        return super().decide(replace(requests, keys=requests.keys + width))


class Contradicting(Uniform):
    """Its distribution is not that of its first slot."""

    def distribution(self, requests: Requests) -> Floats:
        return greedy(
            uniforms(0, requests.keys, requests.candidates.shape[1]), requests.candidates != PAD
        )


class Counting(Uniform):
    """It counts on items that are in its catalogue but not offered."""

    def decide(self, requests: Requests) -> Decisions:
        return super().decide(
            replace(requests, keys=requests.keys + np.uint64(len(requests.items)))
        )


BROKEN: list[tuple[str, Callable[[], Policy]]] = [
    ("protocol", Nameless),
    ("slates", Repeating),
    ("slates", Lavish),
    ("restated", Boastful),
    ("impossible", Generous),
    ("sums", Leaking),
    ("sums", Contradicting),
    ("frequencies", Misstating),
    ("frequencies", UserKeyed),
    ("pure", Sequential),
    ("pure", Restless),
    ("replay", Relative),
    ("replay", Positional),
    ("replay", Padded),
    ("late", Absorbed),
    ("batches", Averaging),
    ("unseen", Credulous),
    ("state", Pickled),
    ("round-trip", Forgetful),
    ("round-trip", Aliasing),
    ("catalogue", RowBound),
    ("catalogue", Counting),
    ("generators", Seeding),
    ("process", Hashing),
]
"""The law each of them breaks."""
