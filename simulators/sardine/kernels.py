"""The equations of `simulators.sardine.world`, for one user after the other."""

from __future__ import annotations

from math import exp, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.jit import compiled
from agents.streams import stream, uniform
from simulators.lanes import copy_lanes
from simulators.records import ANSWER, BIRTH

if TYPE_CHECKING:
    from numpy.typing import NDArray

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


@compiled
def begin(lanes: NDArray[Any], mask: Mask, state: Any) -> None:
    """Draw users, show each a first slate, and let it change them."""
    users, opened, embeddings, main_topics, attention, law = state
    offset, slope, omega, threshold, return_, scalar = law
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
def answer(
    lanes: NDArray[Any],
    state: Any,
    choices: Rows,
    told: NDArray[np.float32],
    seen: Mask,
    expected: Floats,
    terminated: Mask,
) -> None:
    """Let every user answer to their slate, and change by it."""
    users, _, embeddings, main_topics, attention, law = state
    offset, slope, omega, threshold, return_, scalar = law
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
def look(state: Any, context: NDArray[np.float32]) -> None:
    """Write how close each topic is to being boring."""
    users, threshold = state[0], state[5][3]
    for b in range(context.shape[0]):
        for t in range(TOPICS):
            remembered = 0
            for i in range(users[b].clicks):
                remembered += users[b].topics[i] == t
            context[b, t] = min(1.0, remembered / threshold)


@compiled
def open_with(state: Any, mask: Mask, told: NDArray[np.float32]) -> None:
    """Tell the slate that users were shown at first, and what they clicked of it."""
    copy_lanes(state[1], mask, told)


@compiled
def appeal(
    users: NDArray[Any], embeddings: Floats, offset: float, slope: float, out: Floats
) -> None:
    """Write how relevant every item is to every user."""
    for b in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[b, j] = _relevance(users, b, embeddings[j], offset, slope)


@compiled
def balance(
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
