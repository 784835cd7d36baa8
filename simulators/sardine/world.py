"""SARDINE: users who click several items of a slate, get bored of topics, and are swayed by clicks.

The simulator of Deffayet et al. 2024, "SARDINE: a simulator for automated recommendation in dynamic
and interactive environments" (ACM TORS), from its equations:

- An item's embedding is U(0, 1) on 2 or 3 of 10 topics, of length 1. Its main topic is the largest.
- A user's embedding u is U(0, 1), each topic kept with probability 0.4, the kept ones redrawn until
  there are 3 to 5, of length 1.
- An item's relevance is sigma(slope (e . u - offset)). The item in slot k is clicked with
  probability relevance * eps^k, independently of the others; a click is worth 1.
- Boredom: of the last 10 clicked items, those no older than 5 steps are remembered. A topic that is
  the main one of `threshold` of them is bored from the next step on, for 5 steps. As long as any
  topic is ("return"), u is taken as 0; or ("loss"), u is taken as 0 on the bored topics.
- Influence: after clicks u becomes omega u + (1 - omega) times the mean embedding of the clicked
  items, of length 1 again. The published code takes the mean over the items and the topics, which
  is one number for all topics: that is `influence="scalar"`.
- At first every user is shown one random slate, which counts for boredom and influence but not for
  the reward; then H more.
- Observed: the last slate, its clicks, and for every topic how close it is to being boring,
  min(1, remembered clicks / threshold).

The oracle of `bounds` is a heuristic: it shows the most relevant items of topics that the next
clicks cannot make boring. It is far above the myopic bound, and it is not the best there is.
"""

from __future__ import annotations

from math import exp, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.jit import compiled
from agents.streams import stream, uniform
from simulators.bounds import Privileged
from simulators.records import ANSWER, BIRTH, Feedback, Signal, WorldError
from simulators.sardine.embeddings import catalogue_of, draw_embeddings
from simulators.world import BatchedWorld, copy_lanes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents import Policy
    from agents.api import Floats, Rows
    from simulators.records import Mask

TOPICS = 10
REMEMBERED = 10
"""How many clicked items a user remembers at most."""
WINDOW = 5
"""For how many steps a click is remembered, and a topic stays bored."""
KEPT_ABOVE = 0.6
LEAST, MOST = 3, 5

USER = np.dtype(
    [
        ("embedding", np.float64, (TOPICS,)),
        ("present", np.float64, (TOPICS,)),  # the embedding, as boredom leaves it
        ("bored", np.int64, (TOPICS,)),  # steps that the topic stays bored
        ("topics", np.int64, (REMEMBERED,)),  # the remembered clicks, oldest first
        ("steps", np.int64, (REMEMBERED,)),
        ("clicks", np.int64),  # how many of them there are
        ("step", np.int64),
    ],
    align=True,
)

PRESETS: dict[str, dict[str, Any]] = {
    "SingleItem-Static": {"slate_size": 1},
    "SingleItem-BoredInf": {"slate_size": 1, "omega": 0.95, "threshold": 5},
    "SingleItem-Uncertain": {"slate_size": 1, "slope": 10.0},
    "SlateTopK-Bored": {"threshold": 5},
    "SlateTopK-BoredInf": {"omega": 0.95, "threshold": 5},
    "SlateTopK-Uncertain": {"slope": 10.0, "omega": 0.95, "threshold": 5},
    "SlateRerank-Static": {
        "num_candidates": 10,
        "horizon": 10,
        "offset": 0.3,
        "slope": 5.0,
        "eps": 0.7,
    },
    "SlateRerank-Bored": {
        "num_candidates": 10,
        "horizon": 10,
        "offset": 0.3,
        "slope": 5.0,
        "eps": 0.7,
        "threshold": 4,
    },
}
"""The published environments, by what sets them apart."""


class Sardine(BatchedWorld):
    """The world above, of any size.

    Parameters
    ----------
    num_candidates : int
        How many items there are; all of them are candidates, always.
    slate_size : int
        K.
    horizon : int, optional
        H.
    offset, slope : float
        Of the relevance.
    eps : float
        The share of attention that is left from one slot to the next.
    omega : float
        How much of u is left when something was clicked.
    threshold : int
        How many remembered clicks make a topic boring; more than 10 means never.
    boredom : {"return", "loss"}
        Churn-and-return (the published environments), or loss of interest in the topic.
    influence : {"vector", "scalar"}
        The mean over the clicked items, or the published one.
    embedding_seed : int
        What the items are drawn with.

    Raises
    ------
    WorldError
        If an option is none of that.
    """

    name = "Sardine"
    leaves = False
    context_bounds = (0.0, 1.0)
    context_width = TOPICS
    item_width = TOPICS

    def __init__(
        self,
        num_candidates: int = 1000,
        slate_size: int = 10,
        *,
        horizon: int | None = 100,
        offset: float = 0.65,
        slope: float = 100.0,
        eps: float = 0.85,
        omega: float = 1.0,
        threshold: int = 11,
        boredom: str = "return",
        influence: str = "vector",
        embedding_seed: int = 0,
    ) -> None:
        for option, given, possible in (
            ("boredom", boredom, ("return", "loss")),
            ("influence", influence, ("vector", "scalar")),
        ):
            if given not in possible:
                raise WorldError(f"{option} is {' or '.join(possible)}, not {given!r}")
        if not (0.0 <= eps <= 1.0 and 0.0 <= omega <= 1.0 and threshold >= 1):
            raise WorldError(
                f"eps and omega are shares and the threshold a count of 1 or more, "
                f"not {eps}, {omega} and {threshold}"
            )
        self.embeddings = draw_embeddings(num_candidates, TOPICS, embedding_seed)
        self.main_topics: Rows = self.embeddings.argmax(axis=1)
        self.signals = (
            Signal("clicked", 0.0, 1.0),
            Signal("shown", -1.0, num_candidates - 1.0, blank=-1.0),
        )
        super().__init__(
            num_candidates=num_candidates,
            slate_size=slate_size,
            horizon=horizon,
            catalogue=catalogue_of(self.embeddings),
        )
        self.offset, self.slope, self.omega = offset, slope, omega
        self.threshold, self.boredom, self.influence = threshold, boredom, influence
        self.attention: Floats = eps ** np.arange(slate_size, dtype=np.float64)

    def _allocate(self, lanes: int) -> None:
        self.users: NDArray[Any] = np.zeros(lanes, dtype=USER)
        self.opened: NDArray[np.float32] = np.zeros((2, lanes, self.slate_size), np.float32)

    def _begin(self, mask: Mask) -> None:
        _begin(
            self.lanes,
            mask,
            self.users,
            self.opened,
            self.embeddings,
            self.main_topics,
            self.attention,
            *self._law,
        )

    def open(self, told: NDArray[np.float32], mask: Mask) -> None:
        """Write the slate that users were shown at first, and what they clicked of it."""
        copy_lanes(self.opened, mask, told)

    def _offer(self) -> None:
        """Offer all items, always."""

    def _answer(self, choices: Rows, feedback: Feedback) -> None:
        _answer(
            self.lanes,
            self.users,
            self.embeddings,
            self.main_topics,
            self.attention,
            *self._law,
            choices,
            feedback.told,
            feedback.seen,
            feedback.expected,
        )

    @property
    def _law(self) -> tuple[float, float, float, int, bool, bool]:
        return (
            self.offset,
            self.slope,
            self.omega,
            self.threshold,
            self.boredom == "return",
            self.influence == "scalar",
        )

    def _look(self, context: NDArray[np.float32]) -> None:
        _look(self.users, self.threshold, context)

    def appeal(self) -> Floats:
        """Return how relevant every item is: float64 [B, M]."""
        out = np.empty((len(self), self.num_candidates))
        _appeal(self.users, self.embeddings, self.offset, self.slope, out)
        return out

    def worth(self) -> Floats:
        """Return scores whose K highest, best first, are the oracle's slate: float64 [B, M]."""
        out = self.appeal()
        _balance(self.users, self.main_topics, self.attention, self.threshold, out)
        return out

    def bounds(self) -> dict[str, Policy]:
        """Return random, myopic and the oracle, which keeps topics from getting boring."""
        return super().bounds() | {"oracle": Privileged(self, "oracle", self.worth)}


@compiled
def _begin(
    lanes: NDArray[Any],
    mask: Mask,
    users: NDArray[Any],
    opened: NDArray[np.float32],
    embeddings: Floats,
    main_topics: Rows,
    attention: Floats,
    offset: float,
    slope: float,
    omega: float,
    threshold: int,
    return_: bool,
    scalar: bool,
) -> None:
    N, K = len(embeddings), len(attention)
    slate, clicked = np.empty(K, dtype=np.int64), np.empty(K, dtype=np.bool_)
    for b in range(lanes.shape[0]):
        if not mask[b]:
            continue
        user, start = users[b], stream(lanes[b].user, np.uint64(0), BIRTH)
        draw, kept = TOPICS + 2 * K, 0
        while kept < LEAST or kept > MOST:
            kept = 0
            for t in range(TOPICS):
                keep = uniform(start, draw) > KEPT_ABOVE
                draw += 1
                kept += keep
                user.embedding[t] = uniform(start, t) if keep else 0.0
        length = 0.0
        for t in range(TOPICS):
            length += user.embedding[t] ** 2
        for t in range(TOPICS):
            user.embedding[t] /= sqrt(length)
            user.present[t] = user.embedding[t]
            user.bored[t] = 0
        user.clicks = 0
        user.step = 0
        for k in range(K):
            slate[k] = int(N * uniform(start, TOPICS + k))
            chance = attention[k] * _relevance(users, b, embeddings[slate[k]], offset, slope)
            clicked[k] = uniform(start, TOPICS + K + k) < chance
            opened[0, b, k], opened[1, b, k] = clicked[k], slate[k]
        _change(
            users, b, slate, clicked, embeddings, main_topics, omega, threshold, return_, scalar
        )


@compiled
def _relevance(
    users: NDArray[Any], b: int, embedding: Floats, offset: float, slope: float
) -> float:
    match = 0.0
    for t in range(TOPICS):
        match += embedding[t] * users[b].present[t]
    return 1.0 / (1.0 + exp(-slope * (match - offset)))


@compiled
def _change(
    users: NDArray[Any],
    b: int,
    slate: Rows,
    clicked: Mask,
    embeddings: Floats,
    main_topics: Rows,
    omega: float,
    threshold: int,
    return_: bool,
    scalar: bool,
) -> None:
    """Let a step's clicks bore and sway the user."""
    user = users[b]
    count = 0
    for k in range(len(slate)):
        if not clicked[k]:
            continue
        count += 1
        if user.clicks == REMEMBERED:
            _forget(users, b, 1)
        user.topics[user.clicks] = main_topics[slate[k]]
        user.steps[user.clicks] = user.step
        user.clicks += 1
    user.step += 1
    old = 0
    while old < user.clicks and user.steps[old] < user.step - WINDOW:
        old += 1
    _forget(users, b, old)

    bored = False
    for t in range(TOPICS):
        user.bored[t] = max(0, user.bored[t] - 1)
        remembered = 0
        for i in range(user.clicks):
            remembered += user.topics[i] == t
        if remembered >= threshold and user.bored[t] == 0:
            user.bored[t] = WINDOW
        bored = bored or user.bored[t] > 0

    if count > 0 and omega < 1.0:
        _sway(users, b, slate, clicked, embeddings, omega, count, scalar)
    for t in range(TOPICS):
        dull = bored if return_ else user.bored[t] > 0
        user.present[t] = 0.0 if dull else user.embedding[t]


@compiled
def _forget(users: NDArray[Any], b: int, count: int) -> None:
    """Drop the oldest clicks."""
    user = users[b]
    if count > 0:
        for i in range(user.clicks - count):
            user.topics[i] = user.topics[i + count]
            user.steps[i] = user.steps[i + count]
        user.clicks -= count


@compiled
def _sway(
    users: NDArray[Any],
    b: int,
    slate: Rows,
    clicked: Mask,
    embeddings: Floats,
    omega: float,
    count: int,
    scalar: bool,
) -> None:
    user = users[b]
    mean = np.zeros(TOPICS)
    for k in range(len(slate)):
        if clicked[k]:
            for t in range(TOPICS):
                mean[t] += embeddings[slate[k], t] / count
    if scalar:
        level = 0.0
        for t in range(TOPICS):
            level += mean[t] / TOPICS
        for t in range(TOPICS):
            mean[t] = level
    length = 0.0
    for t in range(TOPICS):
        user.embedding[t] = omega * user.embedding[t] + (1.0 - omega) * mean[t]
        length += user.embedding[t] ** 2
    for t in range(TOPICS):
        user.embedding[t] /= sqrt(length)


@compiled
def _answer(
    lanes: NDArray[Any],
    users: NDArray[Any],
    embeddings: Floats,
    main_topics: Rows,
    attention: Floats,
    offset: float,
    slope: float,
    omega: float,
    threshold: int,
    return_: bool,
    scalar: bool,
    choices: Rows,
    told: NDArray[np.float32],
    seen: Mask,
    expected: Floats,
) -> None:
    K = choices.shape[1]
    clicked = np.empty(K, dtype=np.bool_)
    for b in range(lanes.shape[0]):
        lane = lanes[b]
        if lane.ended:
            continue
        answer = stream(lane.user, lane.visit, ANSWER)
        for k in range(K):
            item, clicked[k] = choices[b, k], False
            if item < 0:
                continue
            chance = attention[k] * _relevance(users, b, embeddings[item], offset, slope)
            clicked[k] = uniform(answer, k) < chance
            seen[b, k], expected[b, k] = True, chance
            told[0, b, k], told[1, b, k], told[2, b, k] = clicked[k], clicked[k], item
        _change(
            users,
            b,
            choices[b],
            clicked,
            embeddings,
            main_topics,
            omega,
            threshold,
            return_,
            scalar,
        )


@compiled
def _look(users: NDArray[Any], threshold: int, context: NDArray[np.float32]) -> None:
    for b in range(context.shape[0]):
        for t in range(TOPICS):
            remembered = 0
            for i in range(users[b].clicks):
                remembered += users[b].topics[i] == t
            context[b, t] = min(1.0, remembered / threshold)


@compiled
def _appeal(
    users: NDArray[Any], embeddings: Floats, offset: float, slope: float, out: Floats
) -> None:
    for b in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[b, j] = _relevance(users, b, embeddings[j], offset, slope)


@compiled
def _balance(
    users: NDArray[Any], main_topics: Rows, attention: Floats, threshold: int, out: Floats
) -> None:
    """Turn relevances into scores of a slate that is as relevant as boredom allows.

    A topic has room for as many items as it can be clicked without getting bored, were all of the
    slate clicked that is expected to be. Slots that nothing relevant has room for are filled with
    what is least likely to be clicked.
    """
    M, K = out.shape[1], len(attention)
    relevances, room = np.empty(M), np.empty(TOPICS, dtype=np.int64)
    for b in range(out.shape[0]):
        user = users[b]
        for t in range(TOPICS):
            room[t] = threshold - 1
        for i in range(user.clicks):
            if user.steps[i] > user.step - WINDOW:  # will still be remembered
                room[user.topics[i]] -= 1
        for j in range(M):
            relevances[j], out[b, j] = out[b, j], 0.0
        for k in range(K):
            best, worst = -1, -1
            for j in range(M):
                if out[b, j] > 0.0:
                    continue
                if room[main_topics[j]] > 0 and (best < 0 or relevances[j] > relevances[best]):
                    best = j
                if worst < 0 or relevances[j] < relevances[worst]:
                    worst = j
            place = best if best >= 0 else worst
            out[b, place] = K - k
            room[main_topics[place]] -= 1
