"""What the edge serves: slates from the topics, its own for strangers, and why they are so.

Reading is a look into a dictionary and never waits for Kafka. A thread follows the topics; if it
cannot, slates are served as they were, the fault is told, and it tries again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

import msgspec

from agents import Uniform
from agents.api import RecloopError
from streaming.edge.cold import Cold
from streaming.edge.figures import Figures
from streaming.edge.inbox import Inbox
from streaming.edge.model import Replica
from streaming.edge.view import View
from streaming.edge.why import explained
from streaming.records import encode
from streaming.transport.api import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from agents.api import Policy
    from streaming.config import WorkerConfig
    from streaming.edge.answers import Explained
    from streaming.records import Recommendation
    from streaming.transport.api import Transport

Source = Literal["policy", "exploration"]

_PATIENT_LOOK = 0.2
_BEFORE_ANOTHER_TRY = 1.0
_LOGGED = 100_000


class NothingToShowError(RecloopError):
    """A question that has no answer yet."""


def _now() -> int:
    return time.time_ns() // 1_000_000


class Edge:
    """All that the handlers share. It is ready to serve when it is made.

    Parameters
    ----------
    transport : Transport
    config : WorkerConfig
        Of the worker whose recommendations are served.
    make_policy : callable, optional
        Returns the worker's policy as it is before it learns anything. Without it, what the worker
        decided cannot be explained.
    clock : callable
        Returns the time in milliseconds since the epoch, by which slates expire.
    """

    def __init__(
        self,
        transport: Transport,
        config: WorkerConfig,
        *,
        make_policy: Callable[[], Policy] | None = None,
        clock: Callable[[], int] = _now,
    ) -> None:
        self.config, self._clock = config, clock
        self.model = None if make_policy is None else Replica(transport, config, make_policy)
        self.view = View(transport, config)
        self.cold = Cold(Uniform(seed=config.seed), config.seed, config.ttl)
        self.inbox = Inbox(transport, config.topics, self.cold, self.view)
        self.figures = Figures(self.view)
        self.fault = ""
        self._logged: dict[str, None] = {}

    def follow(self, stop: Event) -> None:
        """Keep up with the topics until told to stop."""
        while not stop.is_set():
            try:
                self.view.look(_PATIENT_LOOK)
                if self.model is not None:
                    self.model.look()
                self.figures.lag.set(self.view.lag())
                self.fault = ""
            except TransportError as error:
                self.fault = str(error)
                stop.wait(_BEFORE_ANOTHER_TRY)

    def recommendation(self, user: str) -> tuple[Recommendation, Source]:
        """Return what a user is to be shown now, and who decided it.

        Raises
        ------
        NothingToShowError
            If there are no items.
        """
        now, slates = self._clock(), self.view.slates
        made = self.view.recommendation(user)
        if made is not None and made.expires > now:
            rows = slates.rows([slot.id for slot in made.items])
            shown = rows.index(None) if None in rows else len(rows)
            if shown:
                return msgspec.structs.replace(made, items=made.items[:shown]), "policy"
        cold = self.cold.decide(user, slates, now)
        if cold is None:
            raise NothingToShowError("there are no items to show: announce some")
        return cold, "exploration"

    def log(self, made: Recommendation) -> None:
        """Log a decision of the edge's own, once."""
        if made.id not in self._logged:
            self.inbox.log(encode(made), made.user)
            self._logged[made.id] = None
            if len(self._logged) > _LOGGED:
                del self._logged[next(iter(self._logged))]

    def explanation(self, user: str) -> Explained:
        """Return why a user's slate is what it is; see `recommendation` for its errors."""
        made, source = self.recommendation(user)
        if source == "exploration":
            return explained(made, source, self.cold.policy, self.view.slates, self.config)
        if self.model is None:
            raise NothingToShowError("this edge was started without the policy to explain by")
        if made.policy != (mine := self.model.policy.name):
            raise NothingToShowError(
                f"{made.policy!r} decided that, and this edge was started to explain {mine!r}"
            )
        with self.model.lock:
            return explained(made, source, self.model.policy, self.view.slates, self.config)

    def close(self) -> None:
        """Let go of the connections."""
        self.view.close()
        self.inbox.close()
        if self.model is not None:
            self.model.close()
