"""The recorder for Kafka: a rollout as the events that a site would have sent.

The policy of a rollout has decided already, so no worker is in the loop: rankings say what was
shown, by which policy and how likely it was, and a worker that reads them, now or later, joins them
into the outcomes that the rollout had. `streaming.traffic` is the other way round: there the worker
decides, and the world's users answer it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.api import PAD, Catalogue
from simulators import Recorder
from streaming.names import name_of
from streaming.replay import Teller
from streaming.sending import CONTEXT, FEATURES, Sender, schema_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agents.api import Outcomes
    from simulators import BatchedWorld, Response
    from streaming.config import WorkerConfig
    from streaming.features import Schema
    from streaming.transport.api import Transport


class TrafficRecorder(Recorder):
    """Sends a rollout as item, user, ranking and interaction events.

    Items of a catalogue are announced once. Documents that are drawn for one request are announced
    when they are shown, named by their keys, and taken away when the next ones are.

    Parameters
    ----------
    transport : Transport
    world : BatchedWorld
        Its first request is at `world.start`.
    config : WorkerConfig
        Of the worker that will read the events: its schemas are those of `schemas_of(world)`.
    start : int, optional
        The event time of the first request, in milliseconds since the epoch: later than everything
        that was sent before. The world's own if not given.
    interaction : str
        The type of interaction that rewards become.

    Raises
    ------
    NamelessError
        If the items of the world's catalogue have no names.
    """

    def __init__(
        self,
        transport: Transport,
        world: BatchedWorld,
        config: WorkerConfig,
        *,
        start: int | None = None,
        interaction: str = "click",
    ) -> None:
        super().__init__(world)
        self._config, self._sender = config, Sender(transport, config)
        self._later = 0 if start is None else start - world.start
        self._teller = Teller(self._sender, config.rules.window, interaction)
        self._end = 0
        self._shown: list[str] = []
        if world.catalogue is not None:
            self._sender.announce(world.catalogue)

    @property
    def sent(self) -> Mapping[str, int]:
        """How many events of each kind were sent."""
        return self._sender.sent

    def after(self, response: Response) -> None:
        """Send what everybody who asked was shown, and what they did."""
        facts = response.facts
        if not len(facts):
            return
        if self.world.catalogue is None:
            self._announce(facts)
        for row in range(len(facts)):
            self._teller.tell(facts, row, later=self._later)
        self._end = max(self._end, int(facts.requests.time.max()) + self._later)
        self._sender.flush()

    def close(self) -> None:
        """Let all windows pass, and let go of the connection."""
        try:
            for partition in range(self._config.partitions if self._end else 0):
                self._sender.ring(partition, self._end + self._config.rules.window)
            self._sender.flush()
        finally:
            self._sender.close()

    def _announce(self, facts: Outcomes) -> None:
        """Announce the documents that were shown, and take the last ones away."""
        items, slates = facts.requests.items, facts.decisions.slates
        rows = np.unique(slates[slates != PAD])
        self._sender.withdraw(self._shown)
        self._shown = [name_of(key) for key in items.keys[rows].tolist()]
        self._sender.announce(Catalogue.of(self._shown, items.features[rows]))


def schemas_of(world: BatchedWorld) -> tuple[Schema, Schema]:
    """Return how a worker declares what a world's users and items are described by."""
    return schema_of(CONTEXT, world.context_width), schema_of(FEATURES, world.item_width)
