"""The worker's policy as the edge knows it: a fold of the same outcomes, to explain slates by."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from streaming.exchange import TIME
from streaming.knowledge import knowledge_of
from streaming.restore import outcomes_read, read_topic

if TYPE_CHECKING:
    from collections.abc import Callable

    from agents.api import Policy
    from streaming.config import WorkerConfig
    from streaming.transport.api import Transport


class Replica:
    """A policy that learns what the worker's has learned: its snapshots, and what came after.

    Parameters
    ----------
    transport : Transport
    config : WorkerConfig
        Of the worker.
    make_policy : callable
        Returns the policy as the worker has it before it learns anything.

    Attributes
    ----------
    lock : Lock
        Whoever asks the policy holds it meanwhile.
    policy : Policy
    """

    def __init__(
        self, transport: Transport, config: WorkerConfig, make_policy: Callable[[], Policy]
    ) -> None:
        self.lock = Lock()
        self._knowledge = knowledge_of(make_policy)
        self._knowledge.hold(range(config.partitions))
        for records in read_topic(transport, config.topics.model):
            for record in records:
                if record.value is not None and not (record.key or b"").startswith(TIME):
                    self._knowledge.hear(record.value)
        self._outcomes = transport.consumer([config.topics.outcomes])
        self.look()

    @property
    def policy(self) -> Policy:
        """The policy, with what it has learned by the latest look."""
        return self._knowledge.policy

    def look(self) -> None:
        """Learn from the outcomes that have come."""
        with self.lock:
            for outcomes in outcomes_read(self._outcomes):
                self._knowledge.learn(outcomes)
            self._knowledge.settle()

    def close(self) -> None:
        """Let go of the connection."""
        self._outcomes.close()
