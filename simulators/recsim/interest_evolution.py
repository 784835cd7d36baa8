"""InterestEvolution: users whose interests move with what they watch, on a budget of time.

The user model of RecSim's `interest_evolution` (Ie et al. 2019, "RecSim: a configurable simulation
platform for recommender systems", arXiv 1909.04847; the experiments are those of Ie et al. 2019,
"Reinforcement learning for slate-based recommender systems", arXiv 1905.12767), from its equations:

- 20 topics. At every visit M documents are on offer, each of a topic c ~ U{0..19} and of a quality
  q ~ N(mu_c, 0.1), where mu runs from -3 to 0 over the first 14 topics and from 0 to 3 over the
  last 6. A document is 4 long. Only its topic is shown; the response to a slate reveals the rest.
- A user has interests u ~ U(-1, 1)^20, which are observed, and a time budget of 200, which is not.
- Of a slate, document i is chosen with probability s_i / (sum_j s_j + 2), where s_i = u_c(i) + 1;
  with the rest nothing is chosen.
- A chosen document is watched for w = min(budget, 4), which is the reward. The interest in its
  topic moves by 0.3 (1 - |u_c|) (1 - u_c), up with probability (u_c + 1) / 2, else down, within
  [-1, 1]; the budget falls by w - (0.9 / 3.4) w q. Where nothing is chosen it falls by 0.5.
- The user leaves when the budget is used up.

What is good is then rare, and in neighbouring topics. With `quality="even"` mu runs from -3 to 3
over all topics, and with "uniform" it is U(-3, 3), drawn for every topic by `quality_seed`: what is
tuned to the published order of the topics fails there.

With `choice="cascade"` the user goes down the slate instead, and chooses document i, if none before
it, with probability attention * scaling * s_i (RecSim's proportional cascade).

The oracle of `bounds` knows qualities and budgets. It counts a unit of budget as worth what the
session earns with it on average (`pace`), so that document i is worth w minus what it uses up, and
no choice minus half a unit, and shows the slate whose expected worth is highest, exactly.
"""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.jit import compiled, inlined
from agents.streams import stream, uniform, uniforms
from simulators.bounds import Privileged
from simulators.draws import clip, normal
from simulators.loops import Loops
from simulators.records import ANSWER, BIRTH, OFFER, Signal, WorldError, near
from simulators.recsim.slates import best_cascade, best_proportional
from simulators.rollout import returns
from simulators.stores import LARGE, LINE, begins_a_line, finish, store_lines
from simulators.world import BatchedWorld

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents import Policy
    from agents.api import Floats, Rows
    from simulators.records import Mask

TOPICS = 20
BUDGET = 200.0
LENGTH = 4.0
NO_CLICK_SCORE = 2.0
NO_CLICK_COST = 0.5
QUALITY_SPREAD = 0.1
QUALITY_PULL = 0.9 / 3.4
DRIFT = 0.3
BEST = 3.0
QUALITIES = ("published", "even", "uniform")

REWARD, CLICKED, WATCHED, QUALITY, TOPIC = range(5)
"""Where things stand in `Feedback.told`."""
PACERS, PACINGS = 256, 5
"""How many users, how many times over, the oracle's pace is measured with."""


def mean_quality(law: str, seed: int = 0) -> Floats:
    """Return the topics' mean qualities by one of the laws of `QUALITIES`: float64 [20]."""
    if law == "even":
        return np.linspace(-BEST, BEST, TOPICS)
    if law == "uniform":
        drawn: Floats = BEST * (2.0 * uniforms(seed, np.zeros(1, np.uint64), TOPICS)[0] - 1.0)
        return drawn
    return np.concatenate([np.linspace(-BEST, 0, 14), np.linspace(0, BEST, 6)])


SOME = LINE // 4
"""How many users' documents are whole lines, as each user's are whole quarters of one."""
USER = np.dtype([("interests", np.float64, (TOPICS,)), ("budget", np.float64)], align=True)


class InterestEvolution(BatchedWorld):
    """The world above, of any size.

    Parameters
    ----------
    num_candidates : int
        M, how many documents are on offer at a visit.
    slate_size : int
        K, how many of them are shown.
    horizon : int, optional
        How many slates a user is shown at most.
    choice : {"proportional", "cascade"}
    attention, scaling : float
        Of the cascade: how likely a document is looked at when none before it was chosen, and what
        makes a score, at most 2, a probability.
    quality : {"published", "even", "uniform"}
        The law of the topics' mean qualities.
    quality_seed : int
        What they are drawn by where they are uniform.

    Raises
    ------
    WorldError
        If there is no such choice or quality, or the cascade's numbers do not make probabilities.
    """

    name = "InterestEvolution"
    signals = (
        Signal("clicked", 0.0, 1.0),
        Signal("watch_time", 0.0, LENGTH),
        Signal("quality", -4.4, 4.4),  # 3, and 14 standard deviations: more are never drawn
        Signal("topic", -1.0, TOPICS - 1, blank=-1.0),
    )
    context_bounds = (-1.0, 1.0)
    item_bounds = (0.0, 1.0)
    context_width = TOPICS
    item_width = TOPICS

    def __init__(
        self,
        num_candidates: int = 10,
        slate_size: int = 3,
        *,
        horizon: int | None = None,
        choice: str = "proportional",
        attention: float = 0.65,
        scaling: float = 0.4,
        quality: str = "published",
        quality_seed: int = 0,
    ) -> None:
        super().__init__(num_candidates=num_candidates, slate_size=slate_size, horizon=horizon)
        if choice not in ("proportional", "cascade"):
            raise WorldError(f"{self.name}: choice is proportional or cascade, not {choice!r}")
        if not (0.0 < attention <= 1.0 and 0.0 < scaling <= 0.5):
            raise WorldError(
                f"{self.name}: a cascade needs an attention in (0, 1] and a scaling in (0, 0.5], "
                f"not {attention} and {scaling}"
            )
        if quality not in QUALITIES:
            raise WorldError(
                f"{self.name}: there is no quality {quality!r}: {near(quality, QUALITIES)}"
                f"there are {', '.join(QUALITIES)}"
            )
        self.choice = choice
        self.mean_quality = mean_quality(quality, quality_seed)
        self._chance = attention * scaling if choice == "cascade" else 0.0

    def _allocate(self, lanes: int) -> None:
        self.users: NDArray[Any] = np.zeros(lanes, dtype=USER)
        self.topics: NDArray[np.uint8] = np.zeros((lanes, self.num_candidates), dtype=np.uint8)

    def _loops(self) -> Loops:
        return Loops(_begin, _answer, _look, _offer, _show)

    def _keeps(self) -> tuple[Any, ...]:
        return self.users, self.topics, self.mean_quality, self._chance

    def appeal(self) -> Floats:
        """Return how long each document would be watched on average, were it shown alone."""
        self.prepare()
        out = np.empty(self.topics.shape)
        _appeal(self.users, self.topics, self._chance, out)
        return out

    # --- the oracle

    def worth(self) -> Floats:
        """Return scores whose K highest, best first, are the oracle's slate: float64 [B, M]."""
        return self._worth(self.pace)

    def _worth(self, pace: float) -> Floats:
        self.prepare()
        out = np.empty(self.topics.shape)
        _worth(
            self.lanes,
            self.users,
            self.topics,
            self.mean_quality,
            pace,
            self._chance,
            self.slate_size,
            out,
        )
        return out

    @cached_property
    def pace(self) -> float:
        """Reward per unit of budget that the oracle counts on: a fixed point, by simulation."""
        pace = 1.0
        for _ in range(PACINGS):
            world = InterestEvolution(self.num_candidates, self.slate_size)
            world.choice, world._chance = self.choice, self._chance
            world.mean_quality = self.mean_quality
            oracle = Privileged(world, "oracle", partial(world._worth, pace))
            pace = float(returns(world, oracle, np.arange(PACERS, dtype=np.uint64)).mean()) / BUDGET
        return pace

    def bounds(self) -> dict[str, Policy]:
        """Return random, myopic and the oracle, which counts qualities against the budget."""
        return super().bounds() | {"oracle": Privileged(self, "oracle", self.worth)}


@compiled
def _begin(lanes: NDArray[Any], mask: Mask, state: Any) -> None:
    users = state[0]
    for b in range(lanes.shape[0]):
        if not mask[b]:
            continue
        start = stream(lanes[b].user, np.uint64(0), BIRTH)
        users[b].budget = BUDGET
        for c in range(TOPICS):
            users[b].interests[c] = 2.0 * uniform(start, c) - 1.0


@compiled
def _offer(lanes: NDArray[Any], state: Any) -> None:
    topics = state[1]
    for b in range(lanes.shape[0]):
        start = stream(lanes[b].user, lanes[b].visit, OFFER)
        for j in range(topics.shape[1]):
            topics[b, j] = int(TOPICS * uniform(start, 2 * topics.shape[1] + j))


@compiled
def _look(state: Any, context: NDArray[np.float32]) -> None:
    users = state[0]
    for b in range(context.shape[0]):
        for c in range(TOPICS):
            context[b, c] = users[b].interests[c]


@compiled
def _show(state: Any, documents: NDArray[np.float32]) -> None:
    topics, first = state[1], 0
    if documents.size >= LARGE and begins_a_line(documents):
        first = _show_most(topics, documents.reshape(-1))
    rows = documents.reshape(topics.shape[0], -1)
    for b in range(first, topics.shape[0]):
        rows[b] = 0.0  # at once, which is faster than document by document
        for j in range(topics.shape[1]):
            documents[b, j, topics[b, j]] = 1.0


@compiled
def _show_most(topics: NDArray[np.uint8], documents: NDArray[np.float32]) -> int:
    """Show documents past the cache, and return to how many users: as many as fill lines."""
    B, M = topics.shape
    width, most = M * TOPICS, B - B % SOME
    some = np.zeros(SOME * width, np.float32)
    for start in range(0, most, SOME):
        for b in range(SOME):
            for j in range(M):
                some[b * width + j * TOPICS + topics[start + b, j]] = 1.0
        store_lines(some, documents, start * width)
        for b in range(SOME):
            for j in range(M):
                some[b * width + j * TOPICS + topics[start + b, j]] = 0.0
    finish()
    return int(most)


@compiled
def _appeal(users: NDArray[Any], topics: NDArray[np.uint8], chance: float, out: Floats) -> None:
    for b in range(topics.shape[0]):
        watch = min(users[b].budget, LENGTH)
        for j in range(topics.shape[1]):
            score = users[b].interests[topics[b, j]] + 1.0
            likely = chance * score if chance > 0.0 else score / (score + NO_CLICK_SCORE)
            out[b, j] = watch * likely


@inlined
def _quality(mean: float, offer: np.uint64, place: int) -> float:
    """Return the quality of the document in a place; its counter is the place."""
    return mean + QUALITY_SPREAD * normal(offer, place)


@compiled
def _worth(
    lanes: NDArray[Any],
    users: NDArray[Any],
    topics: NDArray[np.uint8],
    means: Floats,
    pace: float,
    chance: float,
    slots: int,
    out: Floats,
) -> None:
    M = topics.shape[1]
    scores, values = np.empty(M), np.empty(M)
    for b in range(topics.shape[0]):
        offer = stream(lanes[b].user, lanes[b].visit, OFFER)
        budget = users[b].budget
        watch = min(budget, LENGTH)
        for j in range(M):
            c = topics[b, j]
            cost = watch - QUALITY_PULL * watch * _quality(means[c], offer, j)
            scores[j] = users[b].interests[c] + 1.0
            values[j] = watch - pace * min(budget, cost)
        nothing = -pace * min(budget, NO_CLICK_COST)
        if chance > 0.0:
            best_cascade(chance * scores, values, nothing, slots, out[b])
        else:
            best_proportional(scores, values, NO_CLICK_SCORE, nothing, slots, out[b])


@compiled
def _answer(
    lanes: NDArray[Any],
    state: Any,
    choices: Rows,
    told: NDArray[np.float32],
    seen: Mask,
    expected: Floats,
    terminated: Mask,
) -> None:
    users, topics, means, chance = state
    K = choices.shape[1]
    for b in range(lanes.shape[0]):
        lane, user = lanes[b], users[b]
        if lane.ended:
            continue
        offer = stream(lane.user, lane.visit, OFFER)
        answer = stream(lane.user, lane.visit, ANSWER)
        watch = min(user.budget, LENGTH)

        total = 1.0
        if chance == 0.0:
            total = NO_CLICK_SCORE
            for k in range(K):
                if choices[b, k] >= 0:
                    total += user.interests[topics[b, choices[b, k]]] + 1.0
        left, reached = total * uniform(answer, 0), 1.0
        chosen, chosen_quality = -1, 0.0
        for k in range(K):
            j = choices[b, k]
            if j < 0:
                continue
            c = topics[b, j]
            q = _quality(means[c], offer, j)  # drawn only where it is shown
            weight = user.interests[c] + 1.0
            if chance > 0.0:
                weight *= chance * reached
                reached -= weight
            seen[b, k], told[QUALITY, b, k], told[TOPIC, b, k] = True, q, c
            expected[b, k] = watch * weight / total
            if chosen < 0:
                left -= weight
                if left < 0.0:
                    chosen, chosen_quality = k, q

        if chosen < 0:
            user.budget -= NO_CLICK_COST
        else:
            told[REWARD, b, chosen] = watch
            told[CLICKED, b, chosen] = 1.0
            told[WATCHED, b, chosen] = watch
            c = topics[b, choices[b, chosen]]
            interest = user.interests[c]
            step = DRIFT * (1.0 - abs(interest)) * (1.0 - interest)
            up = uniform(answer, 1) < (interest + 1.0) / 2.0
            user.interests[c] = clip(interest + step if up else interest - step, -1.0, 1.0)
            user.budget += QUALITY_PULL * watch * chosen_quality - watch
        terminated[b] = user.budget <= 0.0
