"""How much InterestEvolution gives away to a planner: a table of docs/agents/slateq.md.

    .venv/bin/python -m benchmarks.ceiling [--minutes 5] [--seeds 2]

The planner learns nothing about users: it knows the world's equations, its users' budgets and what
a choice does to both. What it lacks is the value of a state, V(interests, budget). That is fitted
to sessions that it plays itself, with all chances but those of the documents summed exactly:

    TV(u, B) = mean over offers of max_A [sum_i P(i | A) (w_i + E V(u', B')) + P(nothing | A) V]

is known for every state of a session, and where T V - V is added up along it with weights
lambda^t, the value of the planner's own play is left with hardly any noise. `seeing` judges slates
by the true qualities of their documents as well, which no agent sees before they are shown.
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise
from typing import Any

import numpy as np
import torch as th
from joblib import Parallel, delayed
from numpy.typing import NDArray
from torch import nn

from agents.deep.slates import EXACT, best_slates
from agents.jit import compiled
from agents.streams import row_of, stream
from benchmarks.slateq import FRESH, insert
from simulators import InterestEvolution, Privileged, returns, rollout
from simulators.draws import normal
from simulators.records import OFFER
from simulators.recsim import interest_evolution as law

USERS, VISITS = 512, 450
"""Who is learned from between two fits, and how long they are followed."""
OFFERS = 6
"""How many offers a state's value is averaged over."""
LAMBDA = 0.95
EPOCHS, BATCH = 3, 2048
TYPICAL = 250.0
"""About what a whole budget is worth, from which learning starts."""

Floats = NDArray[np.float64]


class Value(nn.Module):
    """V(u, B): float32 [n] of interests [n, 20] and budgets [n]; 0 where the budget is used up."""

    def __init__(self, hidden: int = 64) -> None:
        super().__init__()
        widths = law.TOPICS + 2, hidden, hidden
        layers = [nn.Sequential(nn.Linear(n, m), nn.SiLU()) for n, m in pairwise(widths)]
        self.net = nn.Sequential(*layers, nn.Linear(hidden, 2))

    def forward(self, interests: th.Tensor, budget: th.Tensor) -> th.Tensor:
        """Return the values."""
        share, late = budget / law.BUDGET, th.exp(-budget / 10.0)
        known = th.cat([interests, 2.0 * share[:, None] - 1.0, late[:, None]], dim=1)
        pace, end = self.net(known).unbind(1)
        value = share * (TYPICAL + 50.0 * pace) + 5.0 * end * -th.expm1(-budget / law.LENGTH)
        worth: th.Tensor = value * (budget > 0.0)
        return worth


class Planner:
    """Shows the slate that is best by the equations and V, and remembers where it was."""

    def __init__(self, world: InterestEvolution, value: Value, *, seeing: bool = False) -> None:
        self.world, self.value, self.seeing = world, value, seeing
        self.policy = Privileged(world, "planner", self.scores)
        self.offers = np.random.default_rng(0)
        self.diary: list[tuple[Floats, Floats, Floats]] | None = None

    def scores(self) -> Floats:
        """Return scores whose K highest are the best slate: float64 [B, M]."""
        self.world.prepare()
        u, budget = self.world.users["interests"].copy(), self.world.users["budget"].copy()
        items, nothing, pace = self.outlook(u, budget)
        topics = self.world.topics
        values = np.take_along_axis(items, topics, axis=1)
        if self.seeing:
            gain = law.QUALITY_PULL * np.minimum(budget, law.LENGTH) * pace
            values += gain[:, None] * qualities(self.world.lanes, topics.shape[1])
        slates, _ = self._best(u, topics, values, nothing)
        if self.diary is not None:
            self.diary.append((u, budget, self._ahead(u, items, nothing)))
        out = np.zeros(topics.shape)
        np.put_along_axis(out, slates, np.arange(slates.shape[1], 0, -1.0)[None], axis=1)
        return out

    def outlook(self, u: Floats, budget: Floats) -> tuple[Floats, Floats, Floats]:
        """Return what it is worth that each topic, or nothing, is chosen; and a unit of budget."""
        n, T = u.shape
        watch = np.minimum(budget, law.LENGTH)[:, None]
        step = law.DRIFT * (1.0 - np.abs(u)) * (1.0 - u)
        moved = np.repeat(u[:, None, None, :], 2 * T, axis=1).reshape(n, 2, T, T)
        moved[:, 0, range(T), range(T)] = np.clip(u + step, -1.0, 1.0)
        moved[:, 1, range(T), range(T)] = np.clip(u - step, -1.0, 1.0)
        left = budget[:, None] - watch * (1.0 - law.QUALITY_PULL * self.world.mean_quality)
        after = self.values(moved.reshape(-1, T), np.repeat(left[:, None], 2, axis=1).ravel())
        up, down = after.reshape(n, 2, T).transpose(1, 0, 2)
        nothing = self.values(u, budget - law.NO_CLICK_COST)
        chance = (u + 1.0) / 2.0
        pace = (self.values(u, budget) - nothing) / law.NO_CLICK_COST
        return watch + chance * up + (1.0 - chance) * down, nothing, pace

    @th.no_grad()
    def values(self, u: Floats, budget: Floats) -> Floats:
        """Return V of states."""
        known = th.from_numpy(u).float(), th.from_numpy(budget).float()
        found: Floats = self.value(*known).double().numpy()
        return found

    def _best(self, u: Floats, topics: Any, values: Floats, nothing: Floats) -> Any:
        weights = np.take_along_axis(u, topics, axis=1) + 1.0
        blank = np.full(len(u), law.NO_CLICK_SCORE)
        return best_slates(weights, values, blank, nothing, self.world.slate_size, EXACT)

    def _ahead(self, u: Floats, items: Floats, nothing: Floats) -> Floats:
        """Return TV of states."""
        total = np.zeros(len(u))
        for _ in range(OFFERS):
            topics = self.offers.integers(law.TOPICS, size=self.world.topics.shape)
            values = np.take_along_axis(items, topics, axis=1)
            total += self._best(u, topics, values, nothing)[1]
        return total / OFFERS


@compiled
def qualities(lanes: NDArray[Any], candidates: int) -> Floats:
    """Return by how much the documents on offer are better than their topic: float64 [B, M]."""
    out = np.empty((len(lanes), candidates))
    for b in range(len(lanes)):
        offer = stream(lanes[b].user, lanes[b].visit, OFFER)
        for j in range(candidates):
            out[b, j] = law.QUALITY_SPREAD * normal(offer, j)
    return out


def fit(planner: Planner, optimizer: th.optim.Optimizer, users: NDArray[np.uint64]) -> float:
    """Play sessions, move V towards what they were worth, and return the mean of |TV - V|."""
    diary = planner.diary = list[tuple[Floats, Floats, Floats]]()
    planner.world.reset(users)
    for _ in rollout(planner.world, planner.policy, VISITS):
        pass
    u, budget, ahead = (np.stack(part) for part in zip(*diary, strict=True))
    planner.diary = None
    there = budget > 0.0
    V: Floats = planner.values(u.reshape(-1, u.shape[2]), budget.ravel()).reshape(budget.shape)
    wanted, more = np.empty_like(V), np.zeros(V.shape[1])
    for t in range(len(V) - 1, -1, -1):
        more = np.where(there[t], ahead[t] - V[t] + LAMBDA * more, 0.0)
        wanted[t] = V[t] + more
    known = [th.from_numpy(part[there]).float() for part in (u, budget, wanted)]
    order = np.random.default_rng(int(users[0]))
    for _ in range(EPOCHS):
        for rows in th.split(th.from_numpy(order.permutation(len(known[0]))), BATCH):
            loss = ((planner.value(known[0][rows], known[1][rows]) - known[2][rows]) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return float(np.abs(ahead - V)[there].mean())


def plan(
    seed: int, minutes: float, fresh: NDArray[np.uint64]
) -> tuple[list[float], list[float], float]:
    """Return what fresh users earn without and with seeing qualities, and the last |TV - V|."""
    th.set_num_threads(1)
    with th.random.fork_rng():
        th.manual_seed(seed)
        value = Value()
    optimizer = th.optim.Adam(value.parameters(), 1e-3)
    planner = Planner(InterestEvolution(), value)
    start, gap, chapter, past = time.process_time(), np.nan, 0, 0.0
    while past < 1.0:
        optimizer.param_groups[0]["lr"] = 1e-3 * max(1.0 - past, 0.03)
        gap = fit(planner, optimizer, row_of(seed, USERS, chapter * USERS))
        chapter += 1
        past = (time.process_time() - start) / (60.0 * minutes)
        print(f"seed {seed}, {chapter * USERS} users, {past:.0%}: |TV - V| = {gap:.3f}", flush=True)
    blind = returns(planner.world, planner.policy, fresh)
    seeing = Planner(planner.world, value, seeing=True)
    return blind.tolist(), returns(seeing.world, seeing.policy, fresh).tolist(), gap


def main() -> None:
    """Plan, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=5.0, help="of CPU time, for each seed")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--users", type=int, default=len(FRESH), help="fresh ones, at most 5000")
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    fresh = FRESH[: asked.users]
    jobs = [delayed(plan)(seed, asked.minutes, fresh) for seed in range(asked.seeds)]
    found = Parallel(n_jobs=asked.jobs)(jobs)
    world = InterestEvolution()
    oracle = returns(world, world.bounds()["oracle"], fresh)
    rows = ["| planner | return | mean of \\|TV − V\\| |", "|---|---|---|"]
    for seed, (blind, seeing, gap) in enumerate(found):
        for name, got in (("planner", blind), ("planner that sees qualities", seeing)):
            error = np.std(got) / len(got) ** 0.5
            rows.append(f"| {name}, seed {seed} | {np.mean(got):.1f} ± {error:.1f} | {gap:.2f} |")
    error = oracle.std() / len(oracle) ** 0.5
    rows.append(f"| the world's oracle | {oracle.mean():.1f} ± {error:.1f} | |")
    insert("ceiling", rows)
    print("\n".join(rows))


if __name__ == "__main__":
    main()
