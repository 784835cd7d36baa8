"""Neural-linear Thompson sampling: a network finds the features, a linear model knows its doubt.

What a network does not know it cannot say; a Bayesian linear regression can, in closed form. So the
network's last hidden layer is all that is taken from it. Network and regression are compiled loops
of ours (`agents.deep.mlp`, `agents.ridge`): to learn and to serve, no framework is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.api import Catalogue, Requests, ShapeError
from agents.deep.layers import adam, backprop, run, trace, width
from agents.deep.mlp import Mlp, widths_of
from agents.forgetting import Memory, weight_of
from agents.jit import compiled
from agents.lessons import lessons_of
from agents.linear import RewardModel, Sampled, expect_finite
from agents.options import OptionError, StateError, above, at_least, entry
from agents.registry import register
from agents.ridge import Ridge
from agents.streams import uniforms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Outcomes, Rows, State
    from agents.deep.mlp import Singles

REPLAY = 24
"""The stream purpose that the examples of a step are drawn from."""


@register("neural-linear")
class NeuralLinear(Sampled):
    """Shows what is best in a posterior draw on a network's features (Riquelme et al. 2018).

    A network learns to predict rewards from context and item features: after every `every`
    examples a step of Adam on a batch of the last `memory` examples. A ridge regression on what its
    last hidden layer returns gives the posterior; see `LinTS` and `Sampled`. That layer is held for
    `refresh` examples; then the newest network's takes its place, and the regression learns afresh
    what is remembered. Where the past fades, it does so for both.

    Parameters
    ----------
    hidden : str
        Widths of the hidden layers, as 32 or 64x32; the last one's features are regressed on.
    rate : float
        Adam's step size.
    memory : int
        How many examples are remembered.
    batch : int
        How many of them a step learns from.
    every, refresh : int
        How many examples come between two steps, and between two changes of features.
    scale : float
        The standard deviation of the reward's noise; more explores more.
    samples : int
        How many draws a request's distribution is made of.
    floor : float
        The share of a slot that is spread evenly over all open candidates.
    l2 : float
        The weight of the ridge prior.
    half_life, window : float
        Seconds of event time after which an observation counts half, or not at all; see `Memory`.
    seed : int
        The root of its randomness, first weights included.
    """

    name = "neural-linear"
    additive = None

    def __init__(
        self,
        *,
        hidden: int | str = "64x32",
        rate: float = 0.01,
        memory: int = 4096,
        batch: int = 32,
        every: int = 1,
        refresh: int = 128,
        scale: float = 0.5,
        samples: int = 64,
        floor: float = 0.05,
        l2: float = 1.0,
        half_life: float = 0.0,
        window: float = 0.0,
        seed: int = 0,
    ) -> None:
        model = RewardModel(True, False, l2, Memory(half_life, window))
        super().__init__(model, scale, samples, floor, seed)
        self.hidden = widths_of("hidden", hidden)
        if not self.hidden:
            raise OptionError("hidden must name at least one layer: its features are regressed on")
        self.rate = above("rate", rate, 0.0)
        self.size, self.batch = int(at_least("memory", memory, 1)), int(at_least("batch", batch, 1))
        self.every, self.refresh = (
            int(at_least("every", every, 1)),
            int(at_least("refresh", refresh, 1)),
        )
        self._widths = (0, 0)
        self._begin(self._new(0))

    def _new(self, inputs: int) -> Mlp:
        return Mlp.stack([inputs, *self.hidden, 1], self.seed)

    def _begin(self, net: Mlp) -> None:
        """Have learned nothing, with this network."""
        self.net, self.held = net, Mlp(net.program, net.params.copy())
        self.moments = np.zeros((2, len(net.params)), dtype=np.float32)
        self.count = 0
        self._x = np.zeros((self.size, net.n_in), dtype=np.float32)
        self._rewards, self._times = np.zeros(self.size), np.zeros(self.size, dtype=np.int64)

    def _expect(self, requests: Requests) -> tuple[int, int]:
        """Return D and F, or raise `ShapeError` if others were learned from."""
        widths = requests.context.shape[1], requests.items.features.shape[1]
        if self.count and widths != self._widths:
            raise ShapeError(
                f"the policy learned from {self._widths[0]} context and {self._widths[1]} item "
                f"features and cannot read {widths[0]} and {widths[1]}: they have changed"
            )
        return widths

    def seen(self, requests: Requests) -> Requests:
        """Return the requests as the regression sees them: the network's features for items'.

        Raises
        ------
        ScoreError
            If a request's context or a candidate's features are not finite numbers.
        """
        D, F = self._expect(requests)
        held = self.held if self.count else self._new(D + F)
        B, M = requests.candidates.shape
        features = np.zeros((B * M, self.hidden[-1]), dtype=np.float32)
        strange = _features(
            held.program,
            held.params,
            requests.context,
            requests.items.features,
            requests.candidates,
            features,
        )
        expect_finite(strange)
        rows = np.arange(B * M)
        items = Catalogue(rows.astype(np.uint64), features, np.ones(B * M, dtype=np.bool_))
        return Requests(
            requests.keys,
            requests.users,
            np.zeros((B, 0), dtype=np.float32),
            np.where(requests.candidates >= 0, rows.reshape(B, M), -1),
            items,
            requests.positions,
            requests.time,
        )

    def prepare(self, requests: Requests) -> Rows:
        """Draw the samples; see `Sampled.prepare`."""
        return super().prepare(self.seen(requests))

    def estimate(self, requests: Requests) -> tuple[Floats, Floats]:
        """Return what is expected of every candidate, and how surely; see `RewardModel`."""
        return self.model.posterior(self.seen(requests))

    def learn(self, outcomes: Outcomes) -> None:
        """Learn all seen slots, one by one and in their order.

        Raises
        ------
        ShapeError
            If context or item features have changed their width.
        """
        taught, requests = lessons_of(outcomes), outcomes.requests
        D, F = self._expect(requests)
        if len(taught) and not self.count:
            self._begin(self._new(D + F))
            self._widths = D, F
        times = requests.time[taught.request]
        for t in range(len(taught)):
            place = self.count % self.size
            self._x[place, :D] = requests.context[taught.request[t]]
            self._x[place, D:] = requests.items.features[taught.item[t]]
            self._rewards[place], self._times[place] = taught.reward[t], times[t]
            self.count += 1
            self._regress(self.model.ridge, np.array([place]))
            if self.count % self.every == 0:
                self._step()
            if self.count % self.refresh == 0:
                self._hold()

    def _remembered(self) -> Rows:
        """Return the places of what is remembered, oldest first."""
        return np.arange(max(0, self.count - self.size), self.count) % self.size

    def _regress(self, ridge: Ridge, places: Rows) -> None:
        x = np.ones((len(places), 1 + self.hidden[-1]))
        x[:, 1:] = _hidden(self.held.program, self.held.params, self._x[places])
        key = np.zeros(len(places), dtype=np.uint64)
        ridge.learn(key, x, self._rewards[places], self._times[places])

    def _hold(self) -> None:
        """Take over the newest features, and regress on them."""
        self.held = Mlp(self.net.program, self.net.params.copy())
        old = self.model.ridge
        self.model.ridge = Ridge(old.l2, old.memory)
        self._regress(self.model.ridge, self._remembered())

    def _step(self) -> None:
        places = self._remembered()
        draws = uniforms(self.seed, np.array([self.count], np.uint64), self.batch, purpose=REPLAY)
        chosen = places[(draws[0] * len(places)).astype(np.int64)]
        memory = self.model.ridge.memory
        ticks = memory.ticks(self._times)
        grads = np.zeros_like(self.net.params)
        _gradient(
            self.net.program,
            self.net.params,
            self._x[chosen],
            self._rewards[chosen],
            ticks[places].max() - ticks[chosen],
            memory.cells,
            grads,
        )
        mean, square = self.moments
        adam(self.net.params, grads, mean, square, self.count // self.every, self.rate)

    def state_dict(self) -> State:
        """Return both networks, the optimiser, the regression and what is remembered."""
        places = np.arange(min(self.count, self.size))
        return (
            super().state_dict()
            | self.net.state("net")
            | self.held.state("held")
            | {
                "moments": self.moments.copy(),
                "widths": np.array(self._widths, dtype=np.int64),
                "count": np.array(self.count, dtype=np.int64),
                "examples": self._x[places],
                "rewards": self._rewards[places],
                "times": self._times[places],
            }
        )

    def load_state_dict(self, state: State) -> None:
        """Take over a state that a policy of the same options returned."""
        count = int(entry(state, "count", np.int64, ()))
        n = min(count, self.size)
        net, held = Mlp.load(state, "net"), Mlp.load(state, "held")
        moments = entry(state, "moments", np.float32, (2, len(net.params)))
        x = entry(state, "examples", np.float32, (n, net.n_in))
        rewards = entry(state, "rewards", np.float64, (n,))
        times = entry(state, "times", np.int64, (n,))
        D, F = entry(state, "widths", np.int64, (2,)).tolist()
        own = self._new(net.n_in)  # kernels do not look whether a network is another one
        if net.n_in != D + F or any(
            not np.array_equal(loaded.program, own.program) for loaded in (net, held)
        ):
            raise StateError("the networks are of other features, or have other layers")
        super().load_state_dict(state)
        self._begin(net)
        self.held, self.moments, self.count, self._widths = held, moments, count, (D, F)
        self._x[:n], self._rewards[:n], self._times[:n] = x, rewards, times


@compiled
def _hidden(program: Rows, params: Singles, x: Singles) -> Singles:
    """Return what the last hidden layer makes of every row: float32 [T, H]."""
    out = np.empty((len(x), program[-1, 1]), dtype=np.float32)
    room = np.empty((2, width(program)), dtype=np.float32)
    for t in range(len(x)):
        half = run(program[:-1], params, x[t], room)
        out[t] = room[half, : out.shape[1]]
    return out


@compiled
def _features(
    program: Rows,
    params: Singles,
    context: Singles,
    items: Singles,
    candidates: Rows,
    out: Singles,
) -> int:
    """Fill out with the features of every candidate; return the first odd row, or -1."""
    D, F, M = context.shape[1], items.shape[1], candidates.shape[1]
    x = np.empty(D + F, dtype=np.float32)
    room = np.empty((2, width(program)), dtype=np.float32)
    for b in range(candidates.shape[0]):
        x[:D] = context[b]
        for m in range(M):
            row = candidates[b, m]
            if row >= len(items):
                raise IndexError("a candidate's row lies beyond the catalogue")
            if row >= 0:
                x[D:] = items[row]
                for i in range(D + F):
                    if not np.isfinite(x[i]):
                        return b
                half = run(program[:-1], params, x, room)
                out[b * M + m] = room[half, : out.shape[1]]
    return -1


@compiled
def _gradient(
    program: Rows,
    params: Singles,
    x: Singles,
    rewards: Floats,
    behind: NDArray[np.int64],
    cells: int,
    grads: Singles,
) -> None:
    """Add the gradient of half the mean squared error, of examples as they weigh by age."""
    kept = np.empty((len(program) + 1, width(program)), dtype=np.float32)
    room, slope = np.empty((2, width(program)), dtype=np.float32), np.empty(1, dtype=np.float32)
    for t in range(len(x)):
        trace(program, params, x[t], kept)
        error = kept[len(program), 0] - rewards[t]
        slope[0] = weight_of(behind[t], cells) * error / len(x)
        backprop(program, params, kept, slope, room, grads)
