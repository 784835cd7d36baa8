"""What a world of simulated users is, and the part that all worlds share.

A world is written as the paper writes it: scalar equations for one user, compiled, and looped over
the B users of a batch. Every user owns random streams keyed by (seed, episode, visit), so that a
trajectory is the same bits alone, in a batch of any size and in another process, and two policies
that are compared on the same seeds meet the same users (common random numbers).

A batch has B lanes. Lane b is visited by the users of seed b, one after the other: a user makes
requests until they leave (or the horizon is reached), then `renew` brings the next user.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable
from weakref import proxy

import numpy as np

from agents import PAD, Catalogue, Outcomes, Requests, Uniform
from agents.addresses import Pack
from agents.streams import derive
from simulators import lanes
from simulators.bounds import Myopic
from simulators.buffers import SMALLEST, Buffers
from simulators.frames import Frames
from simulators.lanes import wipe
from simulators.loops import HELD, entries_of, hooks_of
from simulators.records import LANE, Feedback, Response, Signal, WorldError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from agents import Decisions, Policy
    from agents.api import Floats, Keys, Rows
    from simulators.frames import Frame
    from simulators.loops import Kernels, Loops
    from simulators.records import Mask


_BOOL, _INT64 = np.dtype(np.bool_), np.dtype(np.int64)
_FIRST, _NEXT = np.uint64(0), np.uint64(1)
"""Which user of a seed comes: the first, or the one after the present one."""


@runtime_checkable
class World(Protocol):
    """Users who ask, are shown slates, and answer. `BatchedWorld` is the way to write one."""

    @property
    def name(self) -> str:
        """What the world is called in tables and logs."""

    @property
    def num_candidates(self) -> int:
        """M, how many items are on offer at a request."""

    @property
    def slate_size(self) -> int:
        """K, how many of them are shown."""

    @property
    def endless(self) -> bool:
        """Whether an episode may go on for ever."""

    def __len__(self) -> int:
        """Return B, the number of lanes."""

    def reset(self, seeds: Keys) -> None:
        """Start B = len(seeds) lanes, each with the first user of its seed."""

    def renew(self, mask: Mask) -> None:
        """Bring the next user of the same seed into every lane of the mask, bool [B]."""

    def requests(self) -> Requests:
        """Return what the present users ask. A lane whose user has left has no candidates."""

    def respond(self, decisions: Decisions) -> Response:
        """Show every user their slate, and move each on to their next visit."""

    def bounds(self) -> dict[str, Policy]:
        """Return the policies that scores are normalised between, worst first.

        "random" (uniform), "myopic" (privileged: the true immediate reward), and where the world
        knows one "oracle", the strongest privileged policy.
        """


class BatchedWorld(ABC):
    """A world whose users are records in arrays.

    A subclass allocates its users and implements the hooks below, as a rule one compiled loop each.
    Items are either a fixed `catalogue` or, where that is None, drawn anew at every visit.

    Parameters
    ----------
    num_candidates : int
        M, how many items are on offer at a request.
    slate_size : int
        K, how many of them are shown.
    horizon : int, optional
        How many requests a user makes at most; without it only the user's leaving ends an episode.

    Raises
    ------
    WorldError
        If there are fewer candidates than slots, or a number is not positive.
    """

    name: str
    signals: tuple[Signal, ...] = ()
    """What a response reveals of every slot beside its reward."""
    leaves = True
    """Whether users leave of their own accord, sooner or later."""
    context_bounds: tuple[float, float] = (-np.inf, np.inf)
    item_bounds: tuple[float, float] = (-np.inf, np.inf)
    start = 0
    """The time of every lane's first request, in milliseconds since the epoch."""
    tick = 1000
    """The time between two requests of a lane, in milliseconds."""

    def __init__(
        self,
        *,
        num_candidates: int,
        slate_size: int,
        horizon: int | None = None,
        catalogue: Catalogue | None = None,
    ) -> None:
        if not 1 <= slate_size <= num_candidates:
            raise WorldError(
                f"{self.name}: a slate of {slate_size} cannot be filled from {num_candidates} "
                f"candidates; ask for 1 <= slate_size <= num_candidates"
            )
        if horizon is not None and horizon < 1:
            raise WorldError(f"{self.name}: the horizon must be at least 1, not {horizon}")
        self.num_candidates = num_candidates
        self.slate_size = slate_size
        self.horizon = horizon
        self.catalogue = catalogue
        self.lanes: NDArray[Any] = np.zeros(0, dtype=LANE)
        self._shape: tuple[int, int] | None = None  # of slates, when there are users
        self._offered = False
        self._asked: Requests | None = None
        self._kernels: Kernels | None = None
        self._buffers = Buffers()
        if catalogue is not None:
            self.open_rows = np.flatnonzero(catalogue.available)
            self._place = np.full(len(catalogue) + 1, PAD, dtype=np.int64)  # the last is PAD's
            self._place[self.open_rows] = np.arange(num_candidates)

    def __len__(self) -> int:
        return len(self.lanes)

    @property
    def endless(self) -> bool:
        """Whether an episode may go on for ever: no user leaves, and there is no horizon."""
        return not self.leaves and self.horizon is None

    # --- what a world defines

    @property
    @abstractmethod
    def context_width(self) -> int:
        """D, the number of context features."""

    @property
    @abstractmethod
    def item_width(self) -> int:
        """F, the number of item features."""

    @abstractmethod
    def _allocate(self, lanes: int) -> None:
        """Make room for this many users."""

    @abstractmethod
    def appeal(self) -> Floats:
        """Return the true expected reward of every candidate, were it alone in the first slot.

        Returns
        -------
        float64 [B, M]
        """

    # --- and either the loops and what they work on, or these hooks in Python

    def _loops(self) -> Loops | None:
        """Return the hooks below as compiled loops, which the world then has from here."""
        return None

    def _keeps(self) -> tuple[Any, ...]:
        """Return what the loops work on: arrays, written in place, and numbers."""
        return ()

    def _begin(self, mask: Mask) -> None:
        """Draw the users who have just come into the lanes of the mask."""
        self._loop().begin(self.lanes, mask, self._kept)

    def _answer(self, choices: Rows, feedback: Feedback) -> None:
        """Write what every user does with their slate, and change the user by it.

        Lanes whose user has left are skipped. `lanes` is left alone: the visit is counted after.

        Parameters
        ----------
        choices : int64 [B, K]
            Places among the candidates; `PAD` in empty slots.
        feedback : Feedback
            Blank; everything but `asked`, `reward`, `truncated` and `ended` is written.
        """
        self._loop().answer(
            self.lanes,
            self._kept,
            choices,
            feedback.told,
            feedback.seen,
            feedback.expected,
            feedback.terminated,
        )

    def _look(self, context: NDArray[np.float32]) -> None:
        """Write what is observed of the present users: float32 [B, D]."""
        self._loop().look(self._kept, context)

    def _offer(self) -> None:
        """Draw what is on offer at the present visits, where the catalogue is not fixed."""
        self._loop().offer(self.lanes, self._kept)

    def _show(self, documents: NDArray[np.float32]) -> None:
        """Write the features of what is on offer, float32 [B, M, F], where it is drawn anew."""
        self._loop().show(self._kept, documents)

    def open(self, told: NDArray[np.float32], mask: Mask) -> None:
        """Write what was revealed before the first visit of the users in the lanes of the mask.

        Parameters
        ----------
        told : float32 [S, B, K]
            The signals. As a rule they are blank; a world whose users have a history writes it.
        mask : bool [B]

        Raises
        ------
        WorldError
            If there is not a lane of them for each user.
        """
        self._fit_mask(mask)
        if told.shape[1:] != (len(self), self.slate_size):
            raise WorldError(f"{self.name} opens {len(self)} lanes, not those of {told.shape}")
        wipe(told, mask, self.blank[1:])
        if (loops := self._loops()) is not None:
            loops.open(self._kept, mask, told)

    def _loop(self) -> Loops:
        loops = self._loops()
        if loops is None:
            raise WorldError(
                f"{self.name} does not say what its users do: it has neither `_loops` nor this hook"
            )
        return loops

    # --- what all worlds do alike

    def reset(self, seeds: Keys) -> None:
        """Start the lanes; see `World.reset`."""
        self.lanes = np.zeros(len(seeds), dtype=LANE)
        self.lanes["seed"] = seeds
        self.signal_names = tuple(signal.name for signal in self.signals)
        self.blank = np.array([0.0, *(signal.blank for signal in self.signals)], np.float32)
        self._shape = (len(seeds), self.slate_size) if len(seeds) else None
        self._gone: Mask = self.lanes["ended"]
        self._small = len(seeds) * self.num_candidates * self.item_width * 4 < SMALLEST
        self._allocate(len(seeds))
        self._kept = self._keeps()
        self.began = np.zeros(len(seeds))
        self._wrap()
        self._enter(np.ones(len(seeds), dtype=np.bool_), _FIRST)

    def renew(self, mask: Mask, seeds: Keys | None = None) -> None:
        """Bring the next users into the lanes of the mask; see `World.renew`.

        Parameters
        ----------
        mask : bool [B]
        seeds : uint64 [B], optional
            Starts the lanes of the mask anew, each with the first user of its new seed.
        """
        if seeds is not None:
            self.lanes["seed"][mask] = seeds[mask]
            self.lanes["episode"][mask] = 0
        self._enter(mask, _FIRST if seeds is not None else _NEXT)

    def _whole(self) -> Loops | None:
        """Return the loops that one kernel can call, which there are unless a hook is in Python."""
        hooks = ("_begin", "_answer", "_look", "_offer", "_show", "open")
        own = any(getattr(type(self), name) is not getattr(BatchedWorld, name) for name in hooks)
        return None if own else self._loops()

    def pack(self, *values: Any) -> Any:
        """Return arrays and numbers as the one argument that the world's kernels take for them."""
        return values if self._whole() is None else Pack(values)

    def _wrap(self) -> None:
        """Pack the users, since when they are there, in seconds, and the rules they are under."""
        horizon = -1 if self.horizon is None else self.horizon
        rules = self.blank, self.num_candidates, horizon
        self._users = self.pack(self.lanes, self._kept, self.began, rules)
        self._frames = Frames(proxy(self), observed=False)

    def _bind(self) -> Kernels:
        """Have all that happens at a visit done by one kernel, unless a hook is in Python."""
        loops = self._whole()
        self._kernels = hooks_of(self) if loops is None else entries_of(self, loops)
        return self._kernels

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the kernels, and what is packed for them: machine code is of this process."""
        return self.__dict__ | {"_kernels": None, "_users": None, "_frames": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Pack the users again."""
        self.__dict__.update(state)
        if len(self):
            self._share()
            self._kept = self._keeps()
            self._wrap()

    def _share(self) -> None:
        """Make what are views of other arrays views again: a copy has arrays in their stead."""
        self._gone = self.lanes["ended"]

    def _enter(self, mask: Mask, later: np.uint64) -> None:
        kernels = self._kernels or self._bind()
        mask = np.ascontiguousarray(mask, _BOOL)
        self._fit_mask(mask)
        came = kernels.come(self._users, mask, later, perf_counter())
        if came:
            self._moved()

    def _times(self) -> NDArray[np.int64]:
        """Return when the present visits are, in milliseconds since the epoch: int64 [B]."""
        times: NDArray[np.int64] = self.start + self.lanes["clock"] * self.tick
        return times

    def _moved(self) -> None:
        """Forget what was on offer: somebody has come, or moved on."""
        self._offered, self._asked = False, None

    def prepare(self) -> None:
        """Have what is on offer at the present visits drawn, if it is not yet."""
        if not self._offered:
            self._offer()
            self._offered = True

    def context(self) -> NDArray[np.float32]:
        """Return what is observed of the present users: float32 [B, D], the receiver's own."""
        context = self._room("context", (len(self.lanes), self.context_width))
        self._look(context)
        return context

    def documents(self) -> NDArray[np.float32]:
        """Return the features of what is on offer: float32 [B, M, F], the receiver's own."""
        self.prepare()
        shape = (len(self.lanes), self.num_candidates, self.item_width)
        documents = self._room("documents", shape)
        self._show(documents)
        return documents

    def _room(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return an array that nobody else holds; what is in it is anything."""
        if self._small:  # spares a single user the search
            return np.empty(shape, np.float32)
        return self._buffers.take(name, shape, np.float32)

    def step(self, choices: Rows) -> Feedback:
        """Show every user the candidates in these places: the lean way, without records.

        Parameters
        ----------
        choices : int64 [B, K]
            Places among the candidates, 0 to M - 1, each at most once; `PAD` leaves a slot empty.

        Raises
        ------
        WorldError
            If that is not so. Nothing has happened then.
        """
        if choices.shape != self._shape:
            self._fit(choices)
        choices = np.asarray(choices, _INT64)
        frame, gone = self.visit(choices, self._frames, observe=False)
        if gone < 0:
            raise WorldError(
                f"{self.name} was shown {choices[-1 - gone].tolist()} in lane {-1 - gone}: "
                f"a slate has distinct places among the candidates, 0 to {self.num_candidates - 1}"
            )
        return Feedback(self.signal_names, *frame.feedback, gone)

    def visit(
        self, choices: Rows, frames: Frames, renew: bool = False, observe: bool = True
    ) -> tuple[Frame, int]:
        """Do all that an environment does in a step, and write it into a frame of its own.

        Parameters
        ----------
        choices : int64 [B, K]
            Places among the candidates.
        frames : Frames
            The environment's.
        renew : bool
            Whether the next users come into the lanes whose user had left before.
        observe : bool
            Whether to write what is observed, too. No slot may be empty then.

        Returns
        -------
        Frame
            Which nobody held.
        int
            How many users left, or reached the horizon. If lane b is shown what is no slate, it is
            -1 - b, and nothing has happened.

        Raises
        ------
        WorldError
            If there are not as many slates as users. Nothing has happened then.
        """
        visit, now = (self._kernels or self._bind()).visit, perf_counter()
        frame = next(frames.turns, None) or frames.take()
        users, offered = self._users, self._offered
        gone: int = visit(users, frame.packed, offered, renew, observe, now, choices)
        if gone == HELD:
            if len(choices) != len(self):
                raise WorldError(
                    f"{self.name} has {len(self)} users, not {len(choices)}: if it was reset "
                    "without its environment, reset that"
                )
            frame = frames.take()
            gone = visit(users, frame.packed, offered, renew, observe, now, choices)
        if gone >= 0:
            self._offered, self._asked = observe, None
        return frame, gone

    def see(self, frame: Frame) -> None:
        """Write what is observed of the present users into a frame."""
        self._look(frame.context)
        if self.catalogue is None:
            self.prepare()
            self._show(frame.documents)

    def requests(self) -> Requests:
        """Return what the present users ask; see `World.requests`."""
        if self._asked is None:
            self.prepare()
            keys = derive(self.lanes["user"], self.lanes["visit"])
            candidates, items = self._on_offer(keys)
            candidates[self.lanes["ended"]] = PAD
            self._asked = Requests(
                keys=keys,
                users=self.lanes["user"].copy(),
                context=self.context(),
                candidates=candidates,
                items=items,
                positions=np.tile(np.arange(self.slate_size), (len(self), 1)),
                time=self._times(),
            )
        return self._asked

    def respond(self, decisions: Decisions) -> Response:
        """Show the slates; see `World.respond`.

        Raises
        ------
        WorldError
            If a slate holds what is no candidate, or something twice. Nothing has happened then.
        """
        self._fit(decisions.slates)
        requests = self.requests()
        feedback = self.step(self._places(decisions.slates))
        outcomes = Outcomes(requests, decisions, feedback.rewards, feedback.seen, requests.time)
        return Response(outcomes, feedback)

    def _fit(self, slates: Rows) -> None:
        if not len(self):
            raise WorldError(f"{self.name} has no users yet: call reset(seeds) first")
        if slates.shape != (len(self), self.slate_size):
            raise WorldError(
                f"{self.name} has {len(self)} users and slates of {self.slate_size}: "
                f"it cannot answer to slates of shape {slates.shape}"
            )

    def _fit_mask(self, mask: Mask) -> None:
        if mask.shape != self.lanes.shape:
            raise WorldError(f"a mask here is bool [{len(self)}], not {list(mask.shape)}")

    def _on_offer(self, request_keys: Keys) -> tuple[Rows, Catalogue]:
        """Return the candidates, int64 [B, M], and the catalogue they are rows of."""
        B, M = len(self), self.num_candidates
        if self.catalogue is not None:
            return np.tile(self.open_rows, (B, 1)), self.catalogue
        keys = np.empty(B * M, dtype=np.uint64)
        lanes.item_keys(request_keys, keys.reshape(B, M))
        features = self.documents().reshape(B * M, self.item_width)
        items = Catalogue(keys, features, np.ones(B * M, dtype=np.bool_))
        return np.arange(B * M).reshape(B, M), items

    def _places(self, slates: Rows) -> Rows:
        """Return slates of rows as places among the candidates; what is no candidate as M."""
        if self.catalogue is not None:
            known = (slates >= PAD) & (slates < len(self.catalogue))
            places = self._place[np.where(known, slates, PAD)]
            stray = (slates != PAD) & (places == PAD)
        else:
            places = slates - self.num_candidates * np.arange(len(slates))[:, None]
            places[slates == PAD] = PAD
            stray = (places < 0) & (slates != PAD)
        places[stray] = self.num_candidates
        places[self.lanes["ended"]] = PAD
        return places

    def known(self, table: Callable[[], Floats], requests: Requests) -> Floats:
        """Return the rows of a table of this world's present users that requests belong to.

        Parameters
        ----------
        table : callable
            Returns float64 [B, M] for the present users, `appeal` for example.
        requests : Requests
            Some of what the present users ask.

        Raises
        ------
        WorldError
            If a request is not one of the world's present ones.
        """
        present = self.requests()
        if requests is present:
            return table()
        order = np.argsort(present.keys)
        lanes = order[np.searchsorted(present.keys, requests.keys, sorter=order) % len(order)]
        if not np.array_equal(present.keys[lanes], requests.keys):
            raise WorldError(
                f"{self.name} knows the true rewards of its present users' requests alone; "
                f"a privileged policy cannot decide for anybody else"
            )
        return table()[lanes]

    def bounds(self) -> dict[str, Policy]:
        """Return the bounds; see `World.bounds`. A world that has an oracle adds it."""
        return {"random": Uniform(), "myopic": Myopic(self)}
