"""How many user-steps a second the worlds make, on one core, observations included.

    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.worlds [runs per figure, 27]

Prints the tables, writes them into docs/worlds/speed.md and draws speed.png. Every figure is a
median of runs of some hundredths of a second, in CPU time of this process, so that other work on
the machine weighs less. Runs of what is compared take turns, in an order drawn anew each time, so
that a slow second strikes all of it.

The floor is a straightforward batched NumPy step of InterestEvolution: the same equations, the same
observations, users who leave replaced, NumPy's own generator.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import gymnasium
import matplotlib as mpl
import numpy as np

import envs
from simulators import make_world, world_names, world_options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

mpl.use("Agg")
import matplotlib.pyplot as plt

PAGE = Path(__file__).parent.parent / "docs" / "worlds" / "speed.md"
PICTURE = PAGE.with_suffix(".png")
SECONDS = 0.05
"""How long a run is, about: a slow spell of a shared machine lasts longer, and so strikes all."""
TOPICS = 20
MEANS = np.concatenate([np.linspace(-3, 0, 14), np.linspace(0, 3, 6)])


class Floor:
    """InterestEvolution in NumPy, as one would write it down."""

    def __init__(self, users: int, documents: int, slots: int) -> None:
        self.rng = np.random.default_rng(0)
        self.B, self.M, self.K = users, documents, slots
        self.rows = np.arange(users)
        self.eye = np.eye(TOPICS, dtype=np.float32)
        self.interests = self.rng.uniform(-1, 1, (users, TOPICS))
        self.budget = np.full(users, 200.0)
        self._draw()

    def _draw(self) -> None:
        self.topics = self.rng.integers(TOPICS, size=(self.B, self.M))
        self.quality = self.rng.normal(MEANS[self.topics], 0.1)

    def step(self, slates: np.ndarray[Any, np.dtype[np.int64]]) -> tuple[Any, ...]:
        """Show the slates, and return what the vector environment does."""
        topics = np.take_along_axis(self.topics, slates, axis=1)
        quality = np.take_along_axis(self.quality, slates, axis=1)
        scores = self.interests[self.rows[:, None], topics] + 1.0
        bounds = np.cumsum(scores, axis=1)
        draws = self.rng.random(self.B) * (bounds[:, -1] + 2.0)
        chosen = (draws[:, None] >= bounds).sum(axis=1)
        clicked = chosen < self.K
        place = np.minimum(chosen, self.K - 1)
        watch = np.where(clicked, np.minimum(self.budget, 4.0), 0.0)
        topic = topics[self.rows, place]
        u = self.interests[self.rows, topic]
        delta = 0.3 * (1 - np.abs(u)) * (1 - u)
        up = self.rng.random(self.B) < (u + 1) / 2
        moved = np.clip(np.where(up, u + delta, u - delta), -1, 1)
        self.interests[self.rows, topic] = np.where(clicked, moved, u)
        used = watch - 0.9 / 3.4 * watch * quality[self.rows, place]
        self.budget -= np.where(clicked, used, 0.5)
        ended = self.budget <= 0
        if ended.any():
            self.interests[ended] = self.rng.uniform(-1, 1, (int(ended.sum()), TOPICS))
            self.budget[ended] = 200.0
        self._draw()
        here = (np.arange(self.K) == chosen[:, None]).astype(np.float32)
        observation = {
            "user": self.interests.astype(np.float32),
            "documents": self.eye[self.topics],
            "clicked": here,
            "watch_time": here * watch[:, None].astype(np.float32),
            "quality": quality.astype(np.float32),
            "topic": topics.astype(np.float32),
        }
        return observation, watch, ended, np.zeros(self.B, dtype=np.bool_), {}


def slates(users: int, documents: int, slots: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return random slates."""
    space = envs.SlateSpace(documents, slots, users, seed=0)
    return space.sample()


def vector(name: str, users: int, **options: Any) -> Callable[[], object]:
    """Return a step of a vector environment."""
    env = gymnasium.make_vec(
        f"recloop/{name}-v0", users, vectorization_mode="vector_entry_point", **options
    )
    assert isinstance(env, envs.WorldVectorEnv)
    env.reset(seed=0)
    world = env.world
    actions = slates(users, world.num_candidates, world.slate_size)
    return lambda: env.step(actions)


def single(name: str) -> Callable[[], object]:
    """Return a step of an environment as `gymnasium.make` makes it, resets included."""
    env = gymnasium.make(f"recloop/{name}-v0")
    env.reset(seed=0)
    assert isinstance(env.unwrapped, envs.WorldEnv)
    world = env.unwrapped.world
    action = slates(1, world.num_candidates, world.slate_size)[0]

    def step() -> None:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()

    return step


def unseen(name: str, users: int) -> Callable[[], object]:
    """Return a step of a world that nobody observes."""
    world = make_world(name)
    world.reset(np.arange(users, dtype=np.uint64))
    actions = slates(users, world.num_candidates, world.slate_size)

    def step() -> None:
        world.renew(world.step(actions).ended)

    return step


def floor(users: int, documents: int, slots: int) -> Callable[[], object]:
    """Return a step of the floor."""
    world, actions = Floor(users, documents, slots), slates(users, documents, slots)
    return lambda: world.step(actions)


def measure(runs: int, steps: dict[str, tuple[int, Callable[[], object]]]) -> dict[str, float]:
    """Return user-steps a second of every (users, step): medians of runs that take turns."""
    counts = {name: counted(step) for name, (_, step) in steps.items()}
    found: dict[str, list[float]] = {name: [] for name in steps}
    order, rng = list(steps), np.random.default_rng(0)
    for _ in range(runs):
        rng.shuffle(order)
        for name in order:
            (users, step), count = steps[name], counts[name]
            seconds(step, 1 + count // 5)  # brings back what the others drove out of the cache
            found[name].append(users * count / seconds(step, count))
    return {name: median(values) for name, values in found.items()}


def counted(step: Callable[[], object]) -> int:
    """Return how many steps a run takes, judged by steps that are warm."""
    count = 1
    seconds(step, 5)  # compiles, and meets its memory
    while (took := seconds(step, count)) < SECONDS / 5:
        count *= 2
    return max(3, round(count * SECONDS / took))


def seconds(step: Callable[[], object], count: int) -> float:
    """Return the CPU time of some steps."""
    start = time.thread_time()
    for _ in range(count):
        step()
    return time.thread_time() - start


def tell(name: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table, and write it into its place in the page."""
    lines = [" | ".join(row) for row in (head, ("---",) * len(head), *rows)]
    table = "".join(f"| {line} |\n" for line in lines)
    print(table, flush=True)
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, rest = PAGE.read_text().split(start)
    PAGE.write_text(before + start + table + end + rest.split(end)[1])


def against_the_floor(runs: int) -> None:
    """Tell how InterestEvolution compares with the floor."""
    rows = []
    for documents, slots in ((10, 3), (100, 10)):
        rates = measure(
            runs,
            {
                "floor": (1024, floor(1024, documents, slots)),
                "ours": (
                    1024,
                    vector("InterestEvolution", 1024, num_candidates=documents, slate_size=slots),
                ),
            },
        )
        times = f"{rates['ours'] / rates['floor']:.1f}"
        both = millions(rates["floor"]), millions(rates["ours"])
        rows.append((f"m = {documents}, k = {slots}", *both, times))
    head = "InterestEvolution, 1,024 users", "NumPy floor", "vector environment", "times the floor"
    tell("floor", head, rows)


def millions(rate: float) -> str:
    """Return a rate as a table says it."""
    return f"{rate / 1e6:.2f} M"


def every_world(runs: int) -> None:
    """Tell how fast each world is, with many users and with one."""
    rows = []
    for name in world_names():
        options = world_options(name)
        rates = measure(runs, {"many": (1024, vector(name, 1024)), "one": (1, single(name))})
        size = str(options["num_candidates"]), str(options["slate_size"])
        rows.append((name, *size, millions(rates["many"]), f"{rates['one'] / 1e3:.0f} k"))
    tell("worlds", ("world", "m", "k", "1,024 users", "one user (`gymnasium.make`)"), rows)


def curves(runs: int) -> None:
    """Tell and draw the cost of a user-step over the number of users, documents and slots."""
    users = [2**n for n in range(6, 17)]
    documents, slots = [10, 20, 40, 60, 80, 100], [1, 2, 4, 6, 8, 10]
    name = "InterestEvolution"
    lines = {
        "users": {n: (n, vector(name, n)) for n in users},
        "users, unobserved": {n: (n, unseen(name, n)) for n in users},
        "candidates (k = 3)": {m: (1024, vector(name, 1024, num_candidates=m)) for m in documents},
        "slots (m = 10)": {
            k: (1024, vector(name, 1024, num_candidates=10, slate_size=k)) for k in slots
        },
    }
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
    panels = [axes[0], axes[0], axes[1], axes[2]]
    for axis, (what, steps) in zip(panels, lines.items(), strict=True):
        rates = measure(runs, {str(size): step for size, step in steps.items()})
        costs = [1e9 / rates[str(size)] for size in steps]
        head = what.split(" (")[0], *(f"{size:,}" for size in steps), "dearest / cheapest"
        row = "ns a user-step", *(f"{cost:.0f}" for cost in costs)
        tell(what, head, [(*row, f"{max(costs) / min(costs):.2f}")])
        axis.plot(list(steps), costs, "o-", label=what.partition(", ")[2] or "observed")
        axis.set_xlabel(what.partition(", ")[0])
        axis.grid(alpha=0.3)
    for axis in axes:
        axis.set_ylim(bottom=0)  # when all lines are there: it stands still after
    axes[0].set_xscale("log", base=2)
    axes[0].legend()
    axes[0].set_ylabel("ns per user-step")
    figure.suptitle("InterestEvolution on one core")
    figure.savefig(PICTURE, dpi=110)


def main() -> None:
    """Write the page's tables and draw the picture."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 27
    against_the_floor(runs)
    every_world(runs)
    curves(runs)


if __name__ == "__main__":
    main()
