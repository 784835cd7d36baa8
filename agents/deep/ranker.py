"""Networks that rank: what the user's situation makes of every feature of an item.

The network reads the context and answers with a weight for every feature, and one more number. An
item's score is the weighted sum of its features, so that thousands of candidates cost one pass of a
small network and a table of products. `NeuralRanker` learns what items are worth, `Reinforce`
(agents.deep.reinforce) how likely they should be shown; both learn from outcomes alone, while they
serve, by replay: after every `every` outcomes one step of Adam on a sample of what is remembered.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from agents.api import ShapeError
from agents.deep.layers import adam, backprop, run, trace, width
from agents.deep.memory import Memory
from agents.deep.mlp import Mlp, widths_of
from agents.explore import softmax
from agents.jit import compiled
from agents.options import OptionError, above, at_least, entry, share
from agents.registry import register
from agents.slots import SlotPolicy
from agents.streams import stream, uniform, word

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Outcomes, Requests, Rows, State
    from agents.deep.mlp import Singles

REPLAY = np.uint64(22)
"""The stream purpose that the outcomes of a step are drawn from."""


class ContextRanker(SlotPolicy["Floats"]):
    """Slates from the Plackett-Luce model of a network's scores; a subclass says how it learns.

    Parameters
    ----------
    hidden : str
        Widths of the hidden layers, as 64 or 64x32.
    rate : float
        Adam's step size.
    temperature : float
        In the units of the scores; the lower, the greedier.
    discount : float
        What a unit of reward at a user's next visit is worth now.
    memory : int
        How many outcomes are remembered.
    sample : int
        How many candidates that were not shown are remembered of each.
    batch : int
        How many outcomes a step learns from.
    every : int
        How many outcomes come between two steps.
    seed : int
    """

    def __init__(
        self,
        *,
        hidden: int | str,
        rate: float,
        temperature: float,
        discount: float,
        memory: int,
        sample: int,
        batch: int,
        every: int,
        seed: int,
    ) -> None:
        super().__init__(seed=seed)
        self.hidden = widths_of("hidden", hidden)
        self.rate = above("rate", rate, 0.0)
        self.temperature = above("temperature", temperature, 0.0)
        self.discount = share("discount", discount)
        if discount == 1.0:
            raise OptionError("discount must be below 1: nobody comes back for ever")
        self.batch, self.every = int(at_least("batch", batch, 1)), int(at_least("every", every, 1))
        self.memory = Memory(
            int(at_least("memory", memory, 1)), int(at_least("sample", sample, 0)), seed
        )
        self.net: Mlp | None = None
        self.steps = 0
        self.square, self.lessons = 0.0, 0

    def adopt(self, net: Mlp) -> None:
        """Take over a network trained elsewhere.

        Parameters
        ----------
        net : Mlp
            Reads D context features and answers 1 + F numbers: a level, and item weights.
        """
        self.net = net
        self.moments = np.zeros((2, len(net.params)), dtype=np.float32)
        self.steps = 0

    def scores(self, requests: Requests) -> Floats:
        """Return the network's scores: float64 [B, M]; all 0 before it has learned."""
        out = np.zeros(requests.candidates.shape)
        if self.net is None:
            return out
        D, F = requests.context.shape[1], requests.items.features.shape[1]
        if (self.net.n_in, self.net.n_out) != (D, F + 1):
            raise ShapeError(
                f"the network reads {self.net.n_in} context and {self.net.n_out - 1} item "
                f"features, not {D} and {F}"
            )
        items = requests.items.features
        if requests.candidates.max(initial=-1) >= len(items):
            raise ShapeError("a candidate's row lies beyond the catalogue")
        net = self.net
        _score(net.program, net.params, requests.context, items, requests.candidates, out)
        return out

    def prepare(self, requests: Requests) -> Floats:
        """Score the batch."""
        return self.scores(requests)

    def slot(self, view: Floats, open_: NDArray[np.bool_]) -> Floats:
        """Return the softmax of the scores over the open candidates."""
        return softmax(view, open_, self.temperature)

    def update(self, outcomes: Outcomes) -> None:
        """Remember the outcomes that taught something, and take the steps that are due.

        Raises
        ------
        LessonError
            If rewards, context or features are not finite.
        ShapeError
            If context, slots or features have changed their number.
        """
        for row in self.memory.fit(outcomes).tolist():
            self.memory.add(outcomes, row)
            newest = (self.memory.count - 1) % self.memory.size
            self._weigh(newest)
            if self.memory.count % self.every == 0:
                self._step()
        super().update(outcomes)

    def _weigh(self, newest: int) -> None:
        """Keep the scale of rewards, which all that is learned is divided by."""
        rewards = self.memory.rewards[newest][self.memory.taught[newest]]
        for reward in rewards.tolist():
            self.square += reward * reward
            self.lessons += 1

    @property
    def scale(self) -> float:
        """The root of the mean square of all rewards so far, or 1."""
        return (self.square / self.lessons) ** 0.5 if self.square > 0.0 else 1.0

    def _step(self) -> None:
        if self.net is None:
            D, _, F = self.memory.widths
            self.adopt(Mlp.stack([D, *self.hidden, 1 + F], self.seed, blank=True))
        assert self.net is not None
        chosen = np.empty(self.batch, dtype=np.int64)
        _choose(word(self.seed), self.memory.count, len(self.memory), chosen)
        self.steps += 1
        grads = self._gradient(self.net, chosen)
        mean, square = self.moments
        adam(self.net.params, grads, mean, square, self.steps, self.rate)

    @abstractmethod
    def _gradient(self, net: Mlp, chosen: Rows) -> Singles:
        """Return the gradient of the loss over some rows of the memory: float32 [P]."""

    def state_dict(self) -> State:
        """Return network, optimiser and memory."""
        state = super().state_dict() | self.memory.state()
        state["learning"] = np.array([self.square, self.lessons, self.steps], dtype=np.float64)
        if self.net is not None:
            state |= self.net.state("net") | {"moments": self.moments.copy()}
        return state

    def load_state_dict(self, state: State) -> None:
        """Take over network, optimiser and memory."""
        old = self.memory
        memory = Memory.load(state, old.size, old.sample, self.seed)
        learning = entry(state, "learning", np.float64, (3,))
        net = Mlp.load(state, "net") if "net.params" in state else None
        if net is not None:
            moments = entry(state, "moments", np.float32, (2, len(net.params)))
        super().load_state_dict(state)
        self.memory, self.net = memory, net
        self.square, self.lessons, self.steps = learning[0], int(learning[1]), int(learning[2])
        if net is not None:
            self.moments = moments


@register("neural-ranker")
class NeuralRanker(ContextRanker):
    """A network learns by replay what items are worth to a user, visits to come included.

    Every seen slot teaches (score - y)^2 with y = (reward + discount V) / scale, where V is 0 if
    the user did not come back, and otherwise the mean value of the best items, as many as slots,
    of the user's next visit: chosen by the network, valued by a copy that is renewed every
    `refresh` steps (van Hasselt et al. 2016). The value of a slate is the sum over its slots. With
    `conservative` each lesson also pays for scoring unshown items high: the term
    log sum exp scores - score of Kumar et al. 2020 (CQL), for learning from logs.

    Parameters
    ----------
    refresh : int
        How many steps the copy is kept.
    conservative : float
        The weight of that term.
    **others
        See `ContextRanker`.
    """

    name = "neural-ranker"

    def __init__(
        self,
        *,
        hidden: int | str = 64,
        rate: float = 0.003,
        temperature: float = 0.1,
        discount: float = 0.0,
        refresh: int = 200,
        conservative: float = 0.0,
        memory: int = 4096,
        sample: int = 16,
        batch: int = 32,
        every: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(
            hidden=hidden,
            rate=rate,
            temperature=temperature,
            discount=discount,
            memory=memory,
            sample=sample,
            batch=batch,
            every=every,
            seed=seed,
        )
        self.refresh = int(at_least("refresh", refresh, 1))
        self.conservative = at_least("conservative", conservative, 0.0)

    def adopt(self, net: Mlp) -> None:
        """Take over a network, which is its own target at first."""
        super().adopt(net)
        self.target = net.params.copy()

    def _gradient(self, net: Mlp, chosen: Rows) -> Singles:
        if self.steps % self.refresh == 1 % self.refresh:
            self.target = net.params.copy()
        grads, memory = np.zeros_like(net.params), self.memory
        _value_gradient(
            net.program,
            net.params,
            self.target,
            memory.context,
            memory.offered,
            memory.weights,
            memory.rewards,
            memory.taught,
            memory.after,
            chosen,
            self.discount,
            self.conservative,
            self.scale,
            grads,
        )
        return grads

    def state_dict(self) -> State:
        """Return the target network too."""
        state = super().state_dict()
        return state | {"target": self.target.copy()} if self.net is not None else state

    def load_state_dict(self, state: State) -> None:
        """Take over the target network too."""
        if "net.params" in state:
            target = entry(state, "target", np.float32, state["net.params"].shape)
        super().load_state_dict(state)
        if self.net is not None:
            self.target = target


@register("cql")
def cql(
    *,
    hidden: int | str = 64,
    rate: float = 0.003,
    temperature: float = 0.1,
    discount: float = 0.0,
    refresh: int = 200,
    conservative: float = 0.5,
    memory: int = 65536,
    sample: int = 16,
    batch: int = 32,
    every: int = 1,
    seed: int = 0,
) -> NeuralRanker:
    """Return a neural ranker that is made for logs: it mistrusts what was never shown (CQL)."""
    policy = NeuralRanker(
        hidden=hidden,
        rate=rate,
        temperature=temperature,
        discount=discount,
        refresh=refresh,
        conservative=conservative,
        memory=memory,
        sample=sample,
        batch=batch,
        every=every,
        seed=seed,
    )
    policy.name = "cql"
    return policy


@compiled
def _choose(seed: np.uint64, count: int, remembered: int, chosen: Rows) -> None:
    """Draw rows of the memory, with replacement, from the stream that belongs to this step."""
    start = stream(seed, np.uint64(count), REPLAY)
    for i in range(len(chosen)):
        chosen[i] = min(int(uniform(start, i) * remembered), remembered - 1)


@compiled
def _score(
    program: Rows, params: Singles, context: Singles, items: Singles, candidates: Rows, out: Floats
) -> None:
    room = np.empty((2, width(program)), dtype=np.float32)
    for b in range(candidates.shape[0]):
        half = run(program, params, context[b], room)
        for m in range(candidates.shape[1]):
            if candidates[b, m] >= 0:
                out[b, m] = value(room[half], items[candidates[b, m]])


@compiled
def value(weights: Singles, item: Singles) -> float:
    """Return the score of an item: the level, and its features' weighted sum."""
    total = np.float64(weights[0])
    for f in range(len(item)):
        total += np.float64(weights[1 + f]) * item[f]
    return total


@compiled
def lean(slope: Singles, by: float, item: Singles) -> None:
    """Add to the slope of the network's output that of `by` times an item's score."""
    slope[0] += np.float32(by)
    for f in range(len(item)):
        slope[1 + f] += np.float32(by) * item[f]


@compiled
def _value_gradient(
    program: Rows,
    params: Singles,
    target: Singles,
    context: Singles,
    offered: Singles,
    weights: Singles,
    rewards: Singles,
    taught: NDArray[np.bool_],
    after: Rows,
    chosen: Rows,
    discount: float,
    conservative: float,
    scale: float,
    grads: Singles,
) -> None:
    """Add the gradient of the mean loss of the chosen rows; see `NeuralRanker`."""
    C, S, F = offered.shape
    W = width(program)
    kept, room = np.empty((len(program) + 1, W), np.float32), np.empty((2, W), np.float32)
    slope, scores = np.empty(1 + F, np.float32), np.empty(S)
    for i in range(len(chosen)):
        b = chosen[i]
        future = 0.0
        if discount > 0.0 and after[b] >= 0:
            j = after[b] % C
            slots = rewards.shape[1]
            future = discount * _best(
                program, params, target, context[j], offered[j], weights[j], slots, room, scores
            )
        trace(program, params, context[b], kept)
        slope[:] = 0.0
        answer = kept[len(program)]
        for s in range(S):
            scores[s] = value(answer, offered[b, s])
        for k in range(rewards.shape[1]):
            if taught[b, k]:
                wanted = rewards[b, k] / scale + future
                lean(slope, 2.0 * (scores[k] - wanted) / len(chosen), offered[b, k])
                if conservative > 0.0:
                    _mistrust(scores, weights[b], offered[b], k, conservative / len(chosen), slope)
        backprop(program, params, kept, slope, room, grads)


@compiled
def _best(
    program: Rows,
    params: Singles,
    target: Singles,
    context: Singles,
    offered: Singles,
    weights: Singles,
    slots: int,
    room: Singles,
    scores: Floats,
) -> float:
    """Return what the target network says of the best items by the network, on average."""
    half = run(program, params, context, room)
    for s in range(len(weights)):
        scores[s] = value(room[half], offered[s]) if weights[s] > 0.0 else -np.inf
    half = run(program, target, context, room)
    total, count = 0.0, 0
    for _ in range(slots):
        s = int(np.argmax(scores))
        if scores[s] > -np.inf:
            total += value(room[half], offered[s])
            count += 1
            scores[s] = -np.inf
    return total / max(count, 1)


@compiled
def _mistrust(
    scores: Floats, weights: Singles, offered: Singles, k: int, by: float, slope: Singles
) -> None:
    """Add the slope of log sum exp of all scores, less the score of slot k."""
    top, total = -np.inf, 0.0
    for s in range(len(weights)):
        if weights[s] > 0.0:
            top = max(top, scores[s])
    for s in range(len(weights)):
        if weights[s] > 0.0:
            total += weights[s] * np.exp(scores[s] - top)
    for s in range(len(weights)):
        if weights[s] > 0.0:
            lean(slope, by * weights[s] * np.exp(scores[s] - top) / total, offered[s])
    lean(slope, -by, offered[k])
