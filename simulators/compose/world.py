"""ComposedWorld: a world whose equations are those of its parts, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from agents import PAD
from simulators.bounds import Privileged
from simulators.channel import Channel
from simulators.compose.items import places, stock
from simulators.compose.loops import kernels_of
from simulators.compose.oracle import AHEAD, value_of
from simulators.compose.situation import DEVICES, HERE, SITUATIONS
from simulators.records import Signal
from simulators.world import BatchedWorld

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents import Catalogue, Policy
    from agents.api import Floats, Keys, Rows
    from simulators.compose.composition import Composition
    from simulators.compose.items import Items
    from simulators.loops import Loops

HOUR = 3_600_000
"""Milliseconds."""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """All that a composed world is made of.

    Parameters
    ----------
    plan : Composition
    items : Items
    law : tuple of (str, float)
        All numbers of all equations.
    num_candidates, slate_size, horizon
        See `BatchedWorld`.
    """

    plan: Composition
    items: Items
    law: tuple[tuple[str, float], ...]
    num_candidates: int
    slate_size: int
    horizon: int | None

    def build(self) -> ComposedWorld:
        """Return the world."""
        return ComposedWorld(self)


class ComposedWorld(BatchedWorld):
    """A world made by a `Composition`, whose options are its own.

    A request's candidates are rows of one catalogue, the pool, and others at every visit.

    Parameters
    ----------
    blueprint : Blueprint
    """

    item_bounds = (-1.0, 1.0)

    def __init__(self, blueprint: Blueprint) -> None:
        plan, items = blueprint.plan, blueprint.items
        self.blueprint, self.plan, self.items = blueprint, plan, items
        self.name = plan.name
        self.leaves = any(part.leave is not None for part in plan.parts)
        super().__init__(
            num_candidates=blueprint.num_candidates,
            slate_size=blueprint.slate_size,
            horizon=blueprint.horizon,
        )
        self._shop = stock(items)
        self.pool, self.shown = self._shop.pool, self._shop.catalogue
        names, values = zip(*blueprint.law, strict=True)
        self._laws = np.array([values], dtype=[(name, np.float64) for name in names])
        self._equations = kernels_of(plan.choice, plan.payoff, plan.parts)
        self._layout()
        self.signals = (Signal("clicked", 0.0, 1.0),)
        if plan.payoff.dwell is not None:
            self.signals += (Signal("dwell", 0.0, 1.5 * items.length),)
        if plan.payoff.purchase is not None:
            self.signals += (Signal(plan.payoff.event, 0.0, 1.0),)

    def _layout(self) -> None:
        """Lay out the fields of a user, what is observed first, and the columns of the context."""
        parts, items = self.plan.parts, self.items
        sizes, bounds, seen = dict[str, int](), dict[str, tuple[float, float]](), list[str]()
        for part in parts:
            sizes |= dict.fromkeys(part.numbers, 1)
            sizes |= dict.fromkeys(part.topics, items.domains * items.topics)
            bounds |= {**part.numbers, **part.topics}
            seen += part.observed
        order = seen + [name for name in sizes if name not in seen]
        kinds = [(f, np.float64, (sizes[f],) if sizes[f] > 1 else ()) for f in order]
        self._user = np.dtype(kinds or [("nothing", np.float64, ())])
        widths = [sizes[field] for field in order]
        self.fields: Rows = np.array(
            [(sum(widths[:at]), width) for at, width in enumerate(widths)], dtype=np.int64
        ).reshape(-1, 2)
        self._observed = sum(sizes[field] for field in seen)
        lows, highs = zip((-1.0, 1.0), *(bounds[field] for field in seen), strict=True)
        self.context_bounds = (min(lows), max(highs))
        told = {name for part in parts for name in part.situation}
        columns = {
            "calendar": 2,
            "hour": 2,
            "device": DEVICES,
            "region": items.regions,
            "domain": items.domains,
        }
        self._situation: Rows = np.array(
            [columns[name] if name in told else 0 for name in SITUATIONS], dtype=np.int64
        )

    @property
    def context_width(self) -> int:
        """D."""
        return max(1, self._observed + int(self._situation.sum()))

    @property
    def num_products(self) -> int:
        """How many numbers `simulators.compose.value` weighs a user by."""
        return 1 + len(self.fields) * (len(self.fields) + 3) // 2

    @property
    def item_width(self) -> int:
        """F."""
        return int(self.shown.features.shape[1])

    # --- what happens

    def _allocate(self, lanes: int) -> None:
        self.state, self.users = self._room_for(lanes)
        self.heres: NDArray[Any] = np.zeros(lanes, dtype=HERE)
        self.candidates: Rows = np.full((lanes, self.num_candidates), PAD, dtype=np.int64)
        self._spare_state, self._spare = self._room_for(1)
        shop, items = self._shop, self.items
        order = np.arange(shop.longest)  # an offer leaves it as it was
        self._shelves = shop.rows, shop.starts, order, items.domains, items.span

    def _room_for(self, lanes: int) -> tuple[Floats, NDArray[Any]]:
        """Return what is kept of so many users, as numbers and as records, in one memory."""
        state = np.zeros((lanes, self._user.itemsize // 8))
        return state, state.view(self._user)[:, 0]

    def _share(self) -> None:
        super()._share()
        self.users = self.state.view(self._user)[:, 0]
        self._spare = self._spare_state.view(self._user)[:, 0]

    def _loops(self) -> Loops:
        return self._equations.loops

    def _keeps(self) -> tuple[Any, ...]:
        people = self.state, self.users, self.heres, self._laws
        items = self.pool, self.candidates, self.shown.features, self._shelves
        return people, items, (self._observed, self._situation)

    def _times(self) -> NDArray[np.int64]:
        return self.start + np.round(self.heres["now"] * HOUR).astype(np.int64)

    def _on_offer(self, request_keys: Keys) -> tuple[Rows, Catalogue]:
        return self.candidates.copy(), self.shown

    def _places(self, slates: Rows) -> Rows:
        self.prepare()
        found = np.empty(slates.shape, dtype=np.int64)
        places(slates, self.candidates, found)
        found[self.lanes["ended"]] = PAD
        return found

    def appeal(self) -> Floats:
        """Return the expected reward of every candidate, were it shown alone; 0 for padding."""
        self.prepare()
        out = np.empty(self.candidates.shape)
        self._equations.appeal(self.users, self.heres, self.pool, self.candidates, self._laws, out)
        return out

    def channel(self, *, seed: int = 0) -> Channel:
        """Return a channel as feedback has in such a world: what the composition says of it."""
        return Channel(**self.plan.feedback, seed=seed)

    # --- the oracle

    def worth(self, value: Floats | None = None) -> Floats:
        """Return scores whose K highest, best first, are the oracle's slate: float64 [B, M].

        Parameters
        ----------
        value : float64, optional
            The weights of another value of users than the one that was fitted.
        """
        self.prepare()
        if value is None:
            value = value_of(self.blueprint)
        later = np.ones(len(self))
        if self.horizon is not None:
            left = self.horizon - 1.0 - self.lanes["visit"]
            later = np.minimum(1.0, left / AHEAD)
        weights, values = np.empty(self.candidates.shape), np.empty(self.candidates.shape)
        self._equations.worth(
            self.lanes,
            self.users,
            self.state,
            self.heres,
            self.pool,
            self.candidates,
            self._laws,
            self._spare,
            self._spare_state,
            self.fields,
            value,
            later,
            weights,
            values,
        )
        out = np.empty(self.candidates.shape)
        self._equations.rank(self.candidates, weights, values, self._laws, self.slate_size, out)
        return out

    def bounds(self) -> dict[str, Policy]:
        """Return random, myopic and the oracle, which looks ahead by the world's own laws."""
        return super().bounds() | {"oracle": Privileged(self, "oracle", self.worth)}
