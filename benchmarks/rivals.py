"""What other libraries need to decide and learn an event: run by `benchmarks.policies`.

    python benchmarks/rivals.py SECONDS NAME...

Imports nothing of recloop, so that any environment that has the library can run it. Each line it
prints is JSON: the name, the batch, and microseconds of CPU time an event: to decide and to learn
(medians), and both on the fastest twentieth of the turns.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np

ARMS, D = 100, 20


class NumpyLinUCB:
    """Disjoint LinUCB as one would write it in NumPy: inverses kept by rank-1 updates."""

    def __init__(self) -> None:
        self.inverse = np.tile(np.eye(D + 1), (ARMS, 1, 1))
        self.moment, self.theta = np.zeros((ARMS, D + 1)), np.zeros((ARMS, D + 1))

    def decide(self, context: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return the arm with the highest bound for every context [B, D]."""
        x = np.concatenate([np.ones((len(context), 1)), context], axis=1)
        spread = np.sqrt(((x @ self.inverse) * x).sum(axis=2)).T
        arms: np.ndarray[Any, Any] = np.argmax(x @ self.theta.T + spread, axis=1)
        return arms

    def learn(self, context: np.ndarray[Any, Any], arms: Any, rewards: Any) -> None:
        """Learn one event after the other."""
        for c, arm, reward in zip(context, arms, rewards, strict=True):
            x = np.concatenate([[1.0], c])
            y = self.inverse[arm] @ x
            self.inverse[arm] -= np.outer(y, y) / (1.0 + x @ y)
            self.moment[arm] += reward * x
            self.theta[arm] = self.inverse[arm] @ self.moment[arm]


class Obp:
    """LinUCB of the Open Bandit Pipeline."""

    def __init__(self) -> None:
        from obp.policy import LinUCB

        self.policy = LinUCB(dim=D, n_actions=ARMS, epsilon=1.0)

    def decide(self, context: np.ndarray[Any, Any]) -> Any:
        """Choose for one context."""
        return self.policy.select_action(context)

    def learn(self, context: np.ndarray[Any, Any], arms: Any, rewards: Any) -> None:
        """Learn one event."""
        self.policy.update_params(int(arms[0]), float(rewards[0]), context)


class River:
    """LinUCB of River's bandit module."""

    def __init__(self) -> None:
        from river.bandit import LinUCBDisjoint

        self.policy: Any = LinUCBDisjoint(alpha=1.0, seed=0)
        self.arms = list(range(ARMS))

    def decide(self, context: np.ndarray[Any, Any]) -> Any:
        """Choose for one context."""
        return [self.policy.pull(self.arms, dict(enumerate(context[0].tolist())))]

    def learn(self, context: np.ndarray[Any, Any], arms: Any, rewards: Any) -> None:
        """Learn one event."""
        self.policy.update(arms[0], dict(enumerate(context[0].tolist())), float(rewards[0]))


class Mabwiser:
    """LinUCB of MABWiser."""

    def __init__(self) -> None:
        from mabwiser.mab import MAB, LearningPolicy

        self.policy = MAB(list(range(ARMS)), LearningPolicy.LinUCB(alpha=1.0))
        self.policy.fit([0], [0], np.zeros((1, D)))

    def decide(self, context: np.ndarray[Any, Any]) -> Any:
        """Choose for every context."""
        return np.atleast_1d(self.policy.predict(context))

    def learn(self, context: np.ndarray[Any, Any], arms: Any, rewards: Any) -> None:
        """Learn a batch."""
        self.policy.partial_fit(arms, rewards, context)


class Vw:
    """Vowpal Wabbit's contextual bandit, a linear model an arm by gradient steps."""

    def __init__(self) -> None:
        from vowpalwabbit import Workspace

        self.policy = Workspace(f"--cb_explore {ARMS} --epsilon 0.05 --quiet")
        self.chances: Any = None

    def decide(self, context: np.ndarray[Any, Any]) -> Any:
        """Choose for one context."""
        self.text = "| " + " ".join(f"{i}:{v:.6f}" for i, v in enumerate(context[0].tolist()))
        self.chances = np.array(self.policy.predict(self.text))
        return [int(self.chances.argmax())]

    def learn(self, context: np.ndarray[Any, Any], arms: Any, rewards: Any) -> None:
        """Learn one event."""
        arm = int(arms[0])
        self.policy.learn(f"{arm + 1}:{-rewards[0]}:{self.chances[arm]:.6f} {self.text}")


PEERS: dict[str, tuple[type[Any], tuple[int, ...]]] = {
    "numpy": (NumpyLinUCB, (1, 256)),
    "vowpalwabbit": (Vw, (1,)),
    "sb-obp": (Obp, (1,)),
    "river": (River, (1,)),
    "mabwiser": (Mabwiser, (1, 256)),
}
"""What is measured, and in what batches it can work."""


def measure(make: type[Any], batch: int, seconds: float) -> tuple[float, float, float]:
    """Return what an event cost in microseconds: decide, learn (medians), both (quiet turns)."""
    policy, rng = make(), np.random.default_rng(0)
    spent: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while len(spent) < 5 or time.perf_counter() < end:
        context, rewards = rng.normal(size=(batch, D)), (rng.random(batch) < 0.3).astype(float)
        start = time.process_time()
        arms = policy.decide(context)
        between = time.process_time()
        policy.learn(context, arms, rewards)
        spent.append((between - start, time.process_time() - between))
    parts = np.array(spent[2:]) / batch * 1e6
    decide, learn = np.median(parts, axis=0)
    return float(decide), float(learn), float(np.quantile(parts, 0.05, axis=0).sum())


def main() -> None:
    """Measure the peers named, and print a line of each."""
    seconds, *names = sys.argv[1:]
    for name in names:
        make, batches = PEERS[name]
        for batch in batches:
            print(json.dumps([name, batch, *measure(make, batch, float(seconds))]), flush=True)


if __name__ == "__main__":
    main()
