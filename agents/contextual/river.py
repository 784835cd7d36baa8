"""River's online models behind a policy: learning, forgetting, and a state without pickle.

River is imported when a policy is built, not when this module is: it is heavy, and most policies
need none of it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.api import RecloopError, ShapeError
from agents.features import candidate_features, joint
from agents.forgetting import NEVER, STEPS
from agents.lessons import LessonError, lessons_of
from agents.options import OptionError, entry
from agents.slots import SlotPolicy
from agents.streams import derive, uniforms

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from agents.api import Floats, Index, Keys, Outcomes, Requests, Rows, State
    from agents.forgetting import Memory

LIFE = 3
"""The stream purpose that an example's lifetime is drawn from."""


class ModelError(RecloopError, TypeError):
    """Something that is no online regressor or classifier."""


@dataclass(frozen=True, slots=True)
class Examples:
    """T examples in the order in which they were learned.

    Parameters
    ----------
    context : float32 [T, D]
    items : float32 [T, F]
    rewards : float64 [T]
    keys : uint64 [T]
        Each example's own key: the root of all randomness that belongs to it.
    ticks : int64 [T]
        When it was made; see `Memory`.
    """

    context: NDArray[np.float32]
    items: NDArray[np.float32]
    rewards: Floats
    keys: Keys
    ticks: Rows

    def __len__(self) -> int:
        return len(self.rewards)

    @classmethod
    def none(cls) -> Examples:
        """Return no examples."""
        empty = np.zeros((0, 0), dtype=np.float32)
        whole = np.zeros(0, dtype=np.int64)
        return cls(empty, empty, np.zeros(0), whole.astype(np.uint64), whole)

    def take(self, index: Index) -> Examples:
        """Return copies of the examples at these places."""
        return Examples(*(getattr(self, f.name)[index] for f in fields(self)))


class RiverPolicy(SlotPolicy["Floats"]):
    """A policy over copies of a River model, which all learn whatever was seen.

    A River model cannot be written down without pickle. The state therefore holds the examples that
    it has learned, in their order, and loading replays them into fresh models: without forgetting
    its size grows with every example, and loading takes as long as learning did.

    Nor can a River model make an example count less. Under a window an example dies when it is
    older; under a half-life it lives for a time of its own, exponential, drawn from the example's
    own stream, so that of all examples of one age the share lives that a half-life would weigh them
    by. When examples have died, the models learn the living afresh, in their order.

    Parameters
    ----------
    model : str or river estimator
        See `river_model`; it is cloned, and never learns itself.
    interactions : bool
        Whether the model also sees all products of context and item features.
    memory : Memory
        How long observations count.
    seed : int
        The root of the policy's randomness.
    copies : int
        How many models there are.
    """

    def __init__(
        self, model: Any, interactions: bool, memory: Memory, seed: int, copies: int = 1
    ) -> None:
        super().__init__(seed=seed)
        self.interactions, self.memory, self.copies = interactions, memory, copies
        self._blank = river_model(model) if isinstance(model, str) else model
        self._classifies = is_classifier(self._blank)
        self._parts: list[Examples] = []
        self._clock = NEVER
        self._forget()

    def _forget(self) -> None:
        """Have fresh models, that have yet to learn the examples."""
        self._models = [self._blank.clone() for _ in range(self.copies)]
        self._behind = True

    @property
    def learned(self) -> int:
        """How many examples count now."""
        return sum(len(part) for part in self._parts)

    def times(self, keys: Keys) -> Rows:
        """Return how often each copy learns each example: int64 [T, copies]."""
        return np.ones((len(keys), self.copies), dtype=np.int64)

    def predictions(self, requests: Requests) -> Floats:
        """Return what every copy predicts for every candidate: float64 [copies, B, M]."""
        self._expect(requests)
        self._catch_up()
        x = joint(requests.context, candidate_features(requests), self.interactions)
        out = np.zeros((self.copies, *requests.candidates.shape))
        answers: dict[bytes, list[float]] = {}  # River is slow, and features are often the same
        for b, m in zip(*np.nonzero(requests.candidates >= 0), strict=True):
            asked = x[b, m].tobytes()
            if asked not in answers:
                features = _named(x[b, m])
                answers[asked] = [self._predict(model, features) for model in self._models]
            out[:, b, m] = answers[asked]
        return out

    def _predict(self, model: Any, x: dict[int, float]) -> float:
        if not self._classifies:
            return float(model.predict_one(x) or 0.0)
        chances = model.predict_proba_one(x)
        # A classifier that has seen nothing may answer nothing, and one class only its own.
        return float(chances.get(True, 0.0)) if chances else 0.5

    def update(self, outcomes: Outcomes) -> None:
        """Show the models all seen slots, one by one and in their order.

        Raises
        ------
        LessonError
            If a classifier is shown a reward that is neither 0 nor 1.
        ShapeError
            If context or item features have changed their width.
        """
        taught, requests = lessons_of(outcomes), outcomes.requests
        self._expect(requests)
        self._learnable(taught.reward)
        if len(taught):
            self._take_in(
                Examples(
                    requests.context[taught.request],
                    requests.items.features[taught.item],
                    taught.reward,
                    derive(requests.keys[taught.request], taught.key),
                    self.memory.ticks(requests.time[taught.request]),
                )
            )
        super().update(outcomes)

    def _expect(self, requests: Requests) -> None:
        """Raise `ShapeError` if examples of other widths were learned: they could not be mixed."""
        if self._parts:
            before = [self._parts[0].context.shape[1], self._parts[0].items.shape[1]]
            now = [requests.context.shape[1], requests.items.features.shape[1]]
            if before != now:
                raise ShapeError(
                    f"the policy learned from {before[0]} context and {before[1]} item features "
                    f"and cannot read {now[0]} and {now[1]}: they have changed their width"
                )

    def _learnable(self, rewards: Floats) -> None:
        """Raise `LessonError` if a classifier is to learn other rewards than 0 and 1."""
        if self._classifies and not np.isin(rewards, (0.0, 1.0)).all():
            raise LessonError(
                f"a classifier learns rewards of 0 and 1 only: give {self.name} a regressor "
                "(model=linear, say) for others"
            )

    def _take_in(self, more: Examples) -> None:
        """Learn more examples, unless older ones have died: then all that live, when asked."""
        if self.memory:
            clock = max(self._clock, int(more.ticks.max()))
            more = more.take(self._ends(more) > clock)
            if clock > self._clock:
                self._clock = clock
                known = self._whole()
                living = self._ends(known) > clock
                if not living.all():
                    self._parts = [known.take(living)]
                    self._forget()
        if len(more):
            if not self._behind or not self._parts:
                self._learn(more)
            self._parts.append(more)

    def _ends(self, examples: Examples) -> Rows:
        """Return the tick at which each example dies: int64 [T]."""
        if self.memory.cells > 1:
            return examples.ticks + STEPS
        # The smallest uniform above 0 is 2^-53: nothing that could die lives for 53 half-lives.
        chance = np.maximum(uniforms(self.seed, examples.keys, 1, purpose=LIFE)[:, 0], 2.0**-53)
        ends: Rows = examples.ticks + np.ceil(-STEPS * np.log2(chance)).astype(np.int64)
        return ends

    def _catch_up(self) -> None:
        if self._behind:
            self._learn(self._whole())

    def _learn(self, examples: Examples) -> None:
        self._behind = False
        if not len(examples):
            return
        x = joint(examples.context, examples.items[:, None, :], self.interactions)[:, 0]
        times = self.times(examples.keys).tolist()
        for features, reward, counts in zip(x, examples.rewards.tolist(), times, strict=True):
            named, target = _named(features), bool(reward) if self._classifies else reward
            for model, count in zip(self._models, counts, strict=True):
                for _ in range(count):
                    model.learn_one(named, target)

    def _whole(self) -> Examples:
        """Return all examples as one part."""
        whole = Examples.none()
        if self._parts:
            columns = ([getattr(part, f.name) for part in self._parts] for f in fields(Examples))
            whole = Examples(*(np.concatenate(column) for column in columns))
            self._parts = [whole]
        return whole

    def state_dict(self) -> State:
        """Return the examples that count, in their order; see `Examples`."""
        whole = self._whole()
        return super().state_dict() | {
            f.name: getattr(whole, f.name).copy() for f in fields(Examples)
        }

    def load_state_dict(self, state: State) -> None:
        """Learn the examples of a state from the beginning."""
        rewards = entry(state, "rewards", np.float64, (None,))
        T = len(rewards)
        known = Examples(
            entry(state, "context", np.float32, (T, None)),
            entry(state, "items", np.float32, (T, None)),
            rewards,
            entry(state, "keys", np.uint64, (T,)),
            entry(state, "ticks", np.int64, (T,)),
        )
        self._learnable(rewards)
        super().load_state_dict(state)
        self._parts = [known] if T else []
        self._clock = int(known.ticks.max(initial=NEVER))
        self._forget()
        self._catch_up()


def _named(features: Floats) -> dict[int, float]:
    """Return a feature vector as River reads it; a feature's name is its place."""
    return dict(enumerate(features.tolist()))


def river_model(name: str) -> Any:
    """Return a fresh River model by its short name.

    Raises
    ------
    OptionError
        If there is none of this name.
    """
    from river.linear_model import LinearRegression, LogisticRegression
    from river.preprocessing import StandardScaler
    from river.tree import HoeffdingTreeRegressor

    models: dict[str, Callable[[], Any]] = {
        "logistic": lambda: StandardScaler() | LogisticRegression(),
        "linear": lambda: StandardScaler() | LinearRegression(),
        "tree": HoeffdingTreeRegressor,
    }
    if name not in models:
        raise OptionError(f"model must be one of {', '.join(models)}, not {name!r}")
    return models[name]()


def is_classifier(model: Any) -> bool:
    """Return whether a River model is a binary classifier, or else a regressor.

    Raises
    ------
    ModelError
        If it is neither.
    """
    from river.base import Classifier, Regressor
    from river.compose import Pipeline

    last = list(model.steps.values())[-1] if isinstance(model, Pipeline) else model
    if isinstance(last, Classifier):
        return True
    if isinstance(last, Regressor):
        return False
    raise ModelError(f"a policy needs a River classifier or regressor, not {model!r}")
