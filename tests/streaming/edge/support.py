"""A loop with its edge, over the memory bus, asked by HTTP."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from starlette.testclient import TestClient

from streaming import Edge, Guard, edge_app
from streaming.transport.memory import MemoryBus
from streaming.worker import Worker
from tests.streaming.support import CONFIG, Loop, OrderPolicy, drain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agents.api import Policy

NOW = 1_000_000


class Shop:
    """A page's view of the loop: time stands still unless it is told."""

    def __init__(
        self,
        make_policy: Callable[[], Policy] = OrderPolicy,
        guard: Guard | None = None,
        *,
        explains: bool = False,
    ) -> None:
        self.bus = MemoryBus()
        self.loop = Loop(self.bus)
        self.worker = Worker(self.bus, make_policy, CONFIG)
        self.now = NOW
        self.edge = Edge(
            self.bus,
            CONFIG,
            make_policy=make_policy if explains else None,
            clock=lambda: self.now,
        )
        self.guard = guard or Guard()

    @contextmanager
    def open(self) -> Iterator[TestClient]:
        """Serve; what the thread would follow is looked at by `catch_up` alone."""
        app = edge_app(self.edge, self.guard)
        yield TestClient(app, raise_server_exceptions=False)

    def catch_up(self) -> None:
        """Let the worker work and the edge look, until nothing is left."""
        drain(self.worker)
        while self.edge.view.look(0.0):
            pass
        if self.edge.model is not None:
            self.edge.model.look()
