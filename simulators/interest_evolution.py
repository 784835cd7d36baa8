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
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from agents.jit import compiled
from agents.streams import stream, uniform
from simulators.draws import clip, normal
from simulators.records import ANSWER, BIRTH, OFFER, Feedback, Signal
from simulators.world import BatchedWorld

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
MEAN_QUALITY: Floats = np.concatenate([np.linspace(-3, 0, 14), np.linspace(0, 3, 6)])

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
        self, num_candidates: int = 10, slate_size: int = 3, *, horizon: int | None = None
    ) -> None:
        super().__init__(num_candidates=num_candidates, slate_size=slate_size, horizon=horizon)

    def _allocate(self, lanes: int) -> None:
        self.users: NDArray[Any] = np.zeros(lanes, dtype=USER)
        self.topics: Rows = np.zeros((lanes, self.num_candidates), dtype=np.int64)

    def _begin(self, mask: Mask) -> None:
        _begin(self.lanes, mask, self.users)

    def _offer(self) -> None:
        _offer(self.lanes, self.topics)

    def _answer(self, choices: Rows, feedback: Feedback) -> None:
        _answer(
            self.lanes,
            self.users,
            self.topics,
            choices,
            feedback.rewards,
            feedback.seen,
            feedback.expected,
            feedback.terminated,
            feedback.signals["clicked"],
            feedback.signals["watch_time"],
            feedback.signals["quality"],
            feedback.signals["topic"],
        )

    def context(self) -> NDArray[np.float32]:
        """Return the users' interests: float32 [B, 20]."""
        interests: NDArray[np.float32] = self.users["interests"].astype(np.float32)
        return interests

    def documents(self) -> NDArray[np.float32]:
        """Return the documents' topics as one-hot vectors: float32 [B, M, 20]."""
        self.prepare()
        out = np.empty((*self.topics.shape, TOPICS), dtype=np.float32)
        _documents(self.topics, out)
        return out

    def appeal(self) -> Floats:
        """Return how long each document would be watched on average, were it shown alone."""
        self.prepare()
        out = np.empty(self.topics.shape)
        _appeal(self.users, self.topics, out)
        return out


@compiled
def _begin(lanes: NDArray[Any], mask: Mask, users: NDArray[Any]) -> None:
    for b in range(lanes.shape[0]):
        if not mask[b]:
            continue
        start = stream(lanes[b].user, np.uint64(0), BIRTH)
        users[b].budget = BUDGET
        for c in range(TOPICS):
            users[b].interests[c] = 2.0 * uniform(start, c) - 1.0


@compiled
def _offer(lanes: NDArray[Any], topics: Rows) -> None:
    for b in range(lanes.shape[0]):
        start = stream(lanes[b].user, lanes[b].visit, OFFER)
        for j in range(topics.shape[1]):
            topics[b, j] = int(TOPICS * uniform(start, 2 * topics.shape[1] + j))


@compiled
def _documents(topics: Rows, out: NDArray[np.float32]) -> None:
    for b in range(topics.shape[0]):
        for j in range(topics.shape[1]):
            for c in range(TOPICS):
                out[b, j, c] = 0.0
            out[b, j, topics[b, j]] = 1.0


@compiled
def _appeal(users: NDArray[Any], topics: Rows, out: Floats) -> None:
    for b in range(topics.shape[0]):
        watch = min(users[b].budget, LENGTH)
        for j in range(topics.shape[1]):
            score = users[b].interests[topics[b, j]] + 1.0
            out[b, j] = watch * score / (score + NO_CLICK_SCORE)


@compiled
def _answer(
    lanes: NDArray[Any],
    users: NDArray[Any],
    topics: Rows,
    choices: Rows,
    rewards: NDArray[np.float32],
    seen: Mask,
    expected: Floats,
    terminated: Mask,
    clicked: NDArray[np.float32],
    watch_time: NDArray[np.float32],
    quality: NDArray[np.float32],
    topic: NDArray[np.float32],
) -> None:
    K = choices.shape[1]
    for b in range(lanes.shape[0]):
        lane, user = lanes[b], users[b]
        if lane.ended:
            continue
        offer = stream(lane.user, lane.visit, OFFER)
        answer = stream(lane.user, lane.visit, ANSWER)
        watch = min(user.budget, LENGTH)

        total = NO_CLICK_SCORE
        for k in range(K):
            if choices[b, k] >= 0:
                total += user.interests[topics[b, choices[b, k]]] + 1.0
        left = total * uniform(answer, 0)
        chosen, chosen_quality = -1, 0.0
        for k in range(K):
            j = choices[b, k]
            if j < 0:
                continue
            c = topics[b, j]
            # Drawn only where it is shown; the counter is the document's place, so it is the same.
            q = MEAN_QUALITY[c] + QUALITY_SPREAD * normal(offer, j)
            score = user.interests[c] + 1.0
            seen[b, k], topic[b, k], quality[b, k] = True, c, q
            expected[b, k] = watch * score / total
            if chosen < 0:
                left -= score
                if left < 0.0:
                    chosen, chosen_quality = k, q

        if chosen < 0:
            user.budget -= NO_CLICK_COST
        else:
            rewards[b, chosen] = watch
            clicked[b, chosen] = 1.0
            watch_time[b, chosen] = watch
            c = topics[b, choices[b, chosen]]
            interest = user.interests[c]
            step = DRIFT * (1.0 - abs(interest)) * (1.0 - interest)
            up = uniform(answer, 1) < (interest + 1.0) / 2.0
            user.interests[c] = clip(interest + step if up else interest - step, -1.0, 1.0)
            user.budget += QUALITY_PULL * watch * chosen_quality - watch
        terminated[b] = user.budget <= 0.0
