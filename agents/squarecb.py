"""SquareCB: any online regressor or classifier of River's, made into a policy.

River is imported when a policy is built, not when this module is: it is heavy, and most policies
need none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from agents.api import RecloopError, ShapeError
from agents.features import candidate_features, joint
from agents.jit import compiled
from agents.lessons import LessonError, lessons_of
from agents.options import OptionError, above, at_least, entry
from agents.registry import register
from agents.slots import SlotPolicy, checked

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from agents.api import Floats, Outcomes, Requests, State


class ModelError(RecloopError, TypeError):
    """Something that is no online regressor or classifier."""


@register("squarecb")
class SquareCB(SlotPolicy["Floats"]):
    """Prefers items the more a River model predicts of them (Foster & Rakhlin 2020).

    Inverse gap weighting: with n open candidates, predictions y and the best one b, a candidate
    a other than b has probability 1 / (n + g (y[b] - y[a])), and b the rest. After t examples
    learned, g = gamma max(t, 1)^exponent; slot by slot over the candidates that are open.

    A River model cannot be written down without pickle. The state therefore holds the examples it
    has learned, in their order, and loading replays them into a fresh model: its size grows with
    every example, and loading takes as long as learning did.

    Parameters
    ----------
    model : str or river estimator
        `logistic` (clicks: rewards 0 and 1), `linear`, `tree`, or any River classifier or
        regressor; it is cloned, and never learns itself. Give it a seed if it takes one.
    gamma : float
        How fast probability falls with predicted regret.
    exponent : float
        How gamma grows with the number of examples; 0 keeps it constant, 0.5 is the paper's rate.
    interactions : bool
        Whether the model also sees all products of context and item features.
    seed : int
        The root of the choices' randomness.
    """

    name = "squarecb"

    def __init__(
        self,
        *,
        model: Any = "logistic",
        gamma: float = 10.0,
        exponent: float = 0.5,
        interactions: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(seed=seed)
        self.gamma = above("gamma", gamma, 0.0)
        self.exponent = at_least("exponent", exponent, 0.0)
        self.interactions = interactions
        self._blank = river_model(model) if isinstance(model, str) else model
        self._classifies = is_classifier(self._blank)
        self._forget()

    def _forget(self) -> None:
        self._model = self._blank.clone()
        self._examples: list[tuple[NDArray[np.float32], NDArray[np.float32], Floats]] = []
        self._learned = 0

    def prepare(self, requests: Requests) -> Floats:
        """Return what the model predicts for every candidate: float64 [B, M]."""
        self._expect(requests)
        x = joint(requests.context, candidate_features(requests), self.interactions)
        out = np.zeros(requests.candidates.shape)
        for b, m in zip(*np.nonzero(requests.candidates >= 0), strict=True):
            out[b, m] = self._predict(_named(x[b, m]))
        return out

    def _predict(self, x: dict[int, float]) -> float:
        if not self._classifies:
            return float(self._model.predict_one(x) or 0.0)
        chances = self._model.predict_proba_one(x)
        # A classifier that has seen nothing may answer nothing, and one class only its own.
        return float(chances.get(True, 0.0)) if chances else 0.5

    def slot(self, view: Floats, open_: NDArray[np.bool_]) -> Floats:
        """Return inverse gap weighting over the open candidates."""
        gamma = self.gamma * max(self._learned, 1) ** self.exponent
        return inverse_gap(view, open_, gamma)

    def update(self, outcomes: Outcomes) -> None:
        """Show the model all seen slots, one by one and in their order.

        Raises
        ------
        LessonError
            If a classifier is shown a reward that is neither 0 nor 1.
        ShapeError
            If context or item features have changed their width.
        """
        taught, requests = lessons_of(outcomes), outcomes.requests
        context, items = requests.context[taught.request], requests.items.features[taught.item]
        self._expect(requests)
        self._learnable(taught.reward)
        self._learn(context, items, taught.reward)
        super().update(outcomes)

    def _expect(self, requests: Requests) -> None:
        """Raise `ShapeError` if examples of other widths were learned: they could not be mixed."""
        if self._examples:
            before = [part.shape[1] for part in self._examples[0][:2]]
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
                "a classifier learns rewards of 0 and 1 only: "
                "give SquareCB a regressor (model=linear, say) for others"
            )

    def _learn(
        self, context: NDArray[np.float32], items: NDArray[np.float32], rewards: Floats
    ) -> None:
        x = joint(context, items[:, None, :], self.interactions)[:, 0]
        for features, reward in zip(x, rewards.tolist(), strict=True):
            self._model.learn_one(_named(features), bool(reward) if self._classifies else reward)
        if len(rewards):
            self._examples.append((context, items, rewards))
            self._learned += len(rewards)

    def state_dict(self) -> State:
        """Return the examples learned: context [T, D], items [T, F] and rewards [T], in order."""
        empty = np.zeros((0, 0), dtype=np.float32)
        examples = self._examples or [(empty, empty, np.zeros(0))]
        context, items, rewards = (np.concatenate(part) for part in zip(*examples, strict=True))
        self._examples = [(context, items, rewards)] if self._learned else []
        return super().state_dict() | {
            "context": context.copy(),
            "items": items.copy(),
            "rewards": rewards.copy(),
        }

    def load_state_dict(self, state: State) -> None:
        """Learn the examples of a state from the beginning."""
        rewards = entry(state, "rewards", np.float64, (None,))
        context = entry(state, "context", np.float32, (len(rewards), None))
        items = entry(state, "items", np.float32, (len(rewards), None))
        self._learnable(rewards)
        super().load_state_dict(state)
        self._forget()
        self._learn(context, items, rewards)


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
    raise ModelError(f"SquareCB needs a River classifier or regressor, not {model!r}")


def inverse_gap(predictions: Floats, open_: NDArray[np.bool_], gamma: float) -> Floats:
    """Return inverse gap weighting of the open candidates; see `SquareCB`.

    Parameters
    ----------
    predictions : float64 [B, M]
    open_ : bool [B, M]
    gamma : float
        Not negative; 0 is the uniform distribution.

    Returns
    -------
    float64 [B, M]
    """
    out = np.zeros(open_.shape)
    _inverse_gap(checked(predictions, open_), open_, gamma, out)
    return out


@compiled
def _inverse_gap(predictions: Floats, open_: NDArray[np.bool_], gamma: float, out: Floats) -> None:
    for b in range(out.shape[0]):
        best, count = -1, 0
        for m in range(out.shape[1]):
            if open_[b, m]:
                count += 1
                if best < 0 or predictions[b, m] > predictions[b, best]:
                    best = m
        rest = 1.0
        for m in range(out.shape[1]):
            if open_[b, m] and m != best:
                # A model that diverged may predict inf: inf - inf and 0 * inf are no numbers.
                tied = gamma == 0.0 or predictions[b, m] == predictions[b, best]
                gap = 0.0 if tied else predictions[b, best] - predictions[b, m]
                out[b, m] = 1.0 / (count + gamma * gap)
                rest -= out[b, m]
        if best >= 0:
            out[b, best] = rest
