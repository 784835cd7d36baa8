"""LoggedWorld: simulated users who click as a log says, to try policies on before real users.

The users are the log's contexts, drawn with the frequencies that they have there. Each keeps its
context, asks for slates, and clicks every slot independently, with the chance that a click model
fitted to the log gives to item, context and position (`simulators.clicks`). Where the log has
sessions, users leave as they did there (`simulators.leaving`); else they stay for ever. How far
all that is to be believed is measured on held-out rows, and travels with the world
(`simulators.fidelity`).
"""

from __future__ import annotations

from itertools import permutations
from math import exp, perm
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agents import PAD, Outcomes, first_slot
from agents.jit import compiled, inlined
from agents.streams import stream, uniform
from simulators.clicks import Blocks, ClickModel, choose, fit
from simulators.fidelity import PARTS, Fidelity, assess
from simulators.impressions import FitError, Impressions
from simulators.leaving import Sessions, hazards
from simulators.loops import Loops
from simulators.records import ANSWER, BIRTH, Signal, WorldError
from simulators.store import catalogue_arrays, catalogue_from, read, write
from simulators.world import BatchedWorld

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from agents import Catalogue, Policy, Requests
    from agents.api import Floats, Rows
    from simulators.records import Mask

MOST_SLATES = 5000
"""Up to so many possible slates per request a policy's true value is summed over all of them."""


class LoggedWorld(BatchedWorld):
    """A world of users who click as a click model says. `fit` makes one from a log.

    Parameters
    ----------
    model : ClickModel
    catalogue : Catalogue
        The items of the model, in its order. Those that are not available are never candidates.
    contexts : float32 [U, D]
        Who there is.
    counts : int64 [U]
        How often each was met.
    leaving : float64 [2, L], optional
        How likely a user leaves after a slate, first without a click and then with one, by how many
        slates they were shown before; see `leaving.hazards`. Without it nobody leaves.
    slate_size : int, optional
        K; all positions of the model if not given.
    horizon : int, optional
        How many slates a user is shown; without it users stay for ever.
    start : int
        The time of the first requests, in milliseconds since the epoch.
    fidelity : Fidelity, optional
        How far to believe it.

    Raises
    ------
    WorldError
        If a slate would have more slots than the model knows positions, or than there are items.
    """

    name = "Logged"

    def __init__(
        self,
        model: ClickModel,
        catalogue: Catalogue,
        contexts: NDArray[np.float32],
        counts: NDArray[np.int64],
        *,
        leaving: Floats | None = None,
        slate_size: int | None = None,
        horizon: int | None = None,
        start: int = 0,
        fidelity: Fidelity | None = None,
    ) -> None:
        positions = len(model.positions)
        available = int(catalogue.available.sum())
        size = min(positions, available) if slate_size is None else slate_size
        if size > positions:
            raise WorldError(
                f"{self.name}: the log has {positions} positions, so that nothing is known of a "
                f"slate of {size}; ask for slate_size <= {positions}"
            )
        super().__init__(
            num_candidates=available, slate_size=size, horizon=horizon, catalogue=catalogue
        )
        self.model, self.contexts, self.counts = model, contexts, counts
        self.leaving, self.fidelity = leaving, fidelity
        self.leaves = leaving is not None
        self._hazards = np.zeros((2, 1)) if leaving is None else leaving
        self.start = start
        self.context_bounds = (float(contexts.min(initial=0)), float(contexts.max(initial=0)))
        self.signals = (
            Signal("clicked", 0.0, 1.0),
            Signal("shown", -1.0, float(len(catalogue) - 1), blank=-1.0),
        )
        self._cumulative = np.cumsum(counts) / counts.sum()

    @classmethod
    def fit(
        cls,
        outcomes: Outcomes | Iterable[Outcomes],
        *,
        seed: int = 0,
        prior: tuple[Floats, Floats] | None = None,
        session_gap: int | None = None,
        slate_size: int | None = None,
        horizon: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> LoggedWorld:
        """Return the world that a log tells of, with a report of how far to believe it.

        Parameters
        ----------
        outcomes : Outcomes, or chunks of them
            Their rewards are clicks, and their items of one catalogue.
        seed : int
            Cuts the log into parts for cross-validation.
        prior : (float64 [N], float64 [N]), optional
            Clicks and misses of every item in an earlier period, in the catalogue's order. How far
            they are believed is chosen like everything else.
        session_gap : int, optional
            The silence that ends a user's session, in milliseconds: `leaving.GAP` say. Without it
            the log's users are not known one from another, and the world's never leave.
        slate_size, horizon : int, optional
            See the class.
        progress : callable, optional
            Is called with how many of the fits are done, and how many there are.

        Raises
        ------
        FitError
            If that cannot be fitted; see `Impressions.of` and `Sessions.of`.
        """
        report = progress or (lambda done, total: None)
        chunks = [outcomes] if isinstance(outcomes, Outcomes) else list(outcomes)
        seen = Impressions.of(chunks)
        sessions = None if session_gap is None else Sessions.of(chunks, session_gap)
        odds = None
        if prior is not None:
            clicks, misses = (np.asarray(counts, dtype=np.float64) for counts in prior)
            each = (len(seen.catalogue),)
            if clicks.shape != each or misses.shape != each or not (clicks * misses > 0).all():
                raise FitError(
                    f"the prior needs a positive number of clicks and of misses for each of the "
                    f"{len(seen.catalogue)} items"
                )
            odds = np.log(clicks) - np.log(misses)
        generator = np.random.default_rng(seed)
        recipe = choose(seen, odds, generator, int(seen.positions.max()) + 1)
        report(1, PARTS + 1)
        fidelity = assess(
            seen,
            odds,
            recipe,
            generator,
            lambda done, total: report(done + 1, total + 1),
            sessions,
        )
        return cls(
            fit(Blocks(seen, odds), recipe),
            seen.catalogue,
            seen.contexts,
            seen.counts,
            leaving=None if sessions is None else hazards(sessions),
            slate_size=slate_size,
            horizon=horizon,
            start=seen.end,
            fidelity=fidelity,
        )

    def resized(self, *, slate_size: int | None = None, horizon: int | None = None) -> LoggedWorld:
        """Return the world anew, with slates and episodes of another size."""
        assert self.catalogue is not None
        return LoggedWorld(
            self.model,
            self.catalogue,
            self.contexts,
            self.counts,
            leaving=self.leaving,
            slate_size=slate_size,
            horizon=horizon,
            start=self.start,
            fidelity=self.fidelity,
        )

    # --- what a world defines

    @property
    def context_width(self) -> int:
        """D."""
        return int(self.contexts.shape[1])

    @property
    def item_width(self) -> int:
        """F."""
        assert self.catalogue is not None
        return int(self.catalogue.features.shape[1])

    def _allocate(self, lanes: int) -> None:
        self._who: Rows = np.zeros(lanes, dtype=np.int64)

    def _loops(self) -> Loops:
        return Loops(_begin, _answer, _look)

    def _keeps(self) -> tuple[Any, ...]:
        model = self.model.weights, self.model.positions
        return self._who, self._cumulative, self.contexts, self.open_rows, self._hazards, *model

    def appeal(self) -> Floats:
        """Return how likely each item would be clicked in the first position: float64 [B, M]."""
        rows = np.tile(self.open_rows, (len(self), 1))
        return self._chances(self.contexts[self._who], rows, np.zeros(rows.shape, dtype=np.int64))

    # --- what only a fitted world can say

    def expected(self, requests: Requests, slates: Rows) -> Floats:
        """Return the true expected reward of every slot: float64 [B, K], 0 where it is empty.

        Parameters
        ----------
        requests : Requests
            Anybody's: this world's users', or those of the log.
        slates : int64 [B, K]
            Rows of `requests.items`. For requests of one slot there may be any number of columns:
            each is then a slate of its own.

        Raises
        ------
        WorldError
            If an item or a position is not one of the model's.
        """
        rows = self._rows(requests, slates)
        positions = np.broadcast_to(requests.positions, rows.shape)
        if positions.max(initial=0) >= len(self.model.positions):
            raise WorldError(
                f"{self.name} knows {len(self.model.positions)} positions, not a position "
                f"{positions.max()} (the first is 0)"
            )
        return self._chances(requests.context, rows, positions)

    def true_value(self, policy: Policy, requests: Requests) -> Floats:
        """Return the expected reward per request under a policy, exactly: float64 [B].

        For one slot it is summed over the candidates; for more, over all slates, unless the
        policy's decisions are certain.

        Raises
        ------
        WorldError
            If there are too many slates. Then the mean of `expected` over the policy's decisions is
            an unbiased estimate.
        """
        if requests.slate_size == 1:
            columns = [
                requests.candidates[:, j : j + 1] for j in range(requests.candidates.shape[1])
            ]
            chances = np.hstack([self.expected(requests, column) for column in columns])
            value: Floats = np.einsum("bm,bm->b", first_slot(policy, requests), chances)
            return value
        decisions = policy.decide(requests)
        if (decisions.propensities == 1.0).all():
            return np.asarray(self.expected(requests, decisions.slates).sum(axis=1))
        M, K = requests.candidates.shape[1], requests.slate_size
        if perm(M, K) > MOST_SLATES or (requests.candidates == PAD).any():
            raise WorldError(
                f"{self.name}: {perm(M, K):,} slates of {K} out of {M} are too many to sum over; "
                f"average world.expected(requests, decisions.slates) over decisions instead"
            )
        value = np.zeros(len(requests))
        for places in permutations(range(M), K):
            slates = requests.candidates[:, places]
            likely = policy.propensities(requests, slates).prod(axis=1)
            value += likely * self.expected(requests, slates).sum(axis=1)
        return value

    def _rows(self, requests: Requests, slates: Rows) -> Rows:
        """Return slates of a request's items as slates of this world's."""
        assert self.catalogue is not None
        if requests.items is self.catalogue:
            return slates
        known = self.catalogue.rows_of(requests.items.keys)
        rows = np.where(slates == PAD, PAD, known[slates])
        if ((rows == PAD) & (slates != PAD)).any():
            raise WorldError(f"{self.name} was fitted to a log that does not have all these items")
        return rows

    def _chances(self, context: NDArray[np.float32], rows: Rows, positions: Rows) -> Floats:
        out = np.zeros(rows.shape)
        _chances(self.model.weights, self.model.positions, context, rows, positions, out)
        return out

    def save(self, folder: Path | str) -> None:
        """Write the world into a folder; see `simulators.store`."""
        assert self.catalogue is not None
        arrays: dict[str, NDArray[Any]] = {
            "weights": self.model.weights,
            "positions": self.model.positions,
            "contexts": self.contexts,
            "counts": self.counts,
            **catalogue_arrays(self.catalogue),
            **({} if self.leaving is None else {"leaving": self.leaving}),
        }
        said = {
            "slate_size": self.slate_size,
            "horizon": self.horizon,
            "start": self.start,
            "names": self.catalogue.names,
            "fidelity": None if self.fidelity is None else self.fidelity.to_dict(),
        }
        write(Path(folder), self.name, said, arrays)

    @classmethod
    def load(cls, folder: Path | str) -> LoggedWorld:
        """Return the world that `save` wrote.

        Raises
        ------
        WorldError
            If there is none, or it is of another kind or format.
        """
        said, arrays = read(Path(folder), cls.name)
        return cls(
            ClickModel(arrays["weights"], arrays["positions"]),
            catalogue_from(arrays, said["names"]),
            arrays["contexts"],
            arrays["counts"],
            leaving=arrays.get("leaving"),
            slate_size=said["slate_size"],
            horizon=said["horizon"],
            start=said["start"],
            fidelity=None if said["fidelity"] is None else Fidelity.from_dict(said["fidelity"]),
        )


@inlined
def _chance(
    weights: Floats, positions: Floats, context: NDArray[np.float32], item: int, position: int
) -> float:
    """Return how likely a user of this context clicks an item at a position."""
    odds = weights[item, 0] + positions[position]
    for d in range(context.shape[0]):
        odds += weights[item, 1 + d] * context[d]
    return 1.0 / (1.0 + exp(-odds))


@compiled
def _begin(lanes: NDArray[Any], mask: Mask, state: Any) -> None:
    who, cumulative = state[0], state[1]
    for b in range(lanes.shape[0]):
        if mask[b]:
            draw = uniform(stream(lanes[b].user, np.uint64(0), BIRTH), 0)
            found = np.searchsorted(cumulative, draw, side="right")
            who[b] = min(found, len(cumulative) - 1)


@compiled
def _look(state: Any, context: NDArray[np.float32]) -> None:
    who, contexts = state[0], state[2]
    for b in range(context.shape[0]):
        for d in range(context.shape[1]):
            context[b, d] = contexts[who[b], d]


@compiled
def _chances(
    weights: Floats,
    positions: Floats,
    context: NDArray[np.float32],
    rows: Rows,
    at: Rows,
    out: Floats,
) -> None:
    for b in range(rows.shape[0]):
        for k in range(rows.shape[1]):
            if rows[b, k] >= 0:
                out[b, k] = _chance(weights, positions, context[b], rows[b, k], at[b, k])


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
    who, _, contexts, open_rows, hazards, weights, positions = state
    for b in range(lanes.shape[0]):
        lane = lanes[b]
        if lane.ended:
            continue
        answer, clicked = stream(lane.user, lane.visit, ANSWER), 0
        for k in range(choices.shape[1]):
            if choices[b, k] < 0:
                continue
            item = open_rows[choices[b, k]]
            chance = _chance(weights, positions, contexts[who[b]], item, k)
            seen[b, k], expected[b, k], told[2, b, k] = True, chance, item
            if uniform(answer, k) < chance:
                told[0, b, k] = told[1, b, k] = 1.0
                clicked = 1
        visit = min(np.int64(lane.visit), hazards.shape[1] - 1)
        terminated[b] = uniform(answer, choices.shape[1]) < hazards[clicked, visit]
