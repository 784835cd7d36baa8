"""How a worker works: one frozen record, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass, field

from agents.api import RecloopError
from streaming.features import Schema
from streaming.rules import DAY, DriftRules, GateRules, Limits, Quarantine, Rules
from streaming.topics import DEFAULT_PARTITIONS, DEFAULT_PREFIX, Topics

_BYTES_PER_NUMBER = 24
_BYTES_PER_NAME = 1540  # 256 characters, escaped
_OTHER_NAMES = 7
_LARGEST_OUTCOME = 1_048_000


class ConfigError(RecloopError, ValueError):
    """Options that a worker cannot work with."""


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """How a worker works.

    Parameters
    ----------
    users, items : Schema
        The features of users and situations, and of items.
    prefix : str
        What the topics' names begin with.
    partitions : int
        How many partitions the topics of users have.
    group : str
        The consumer group of the workers that share the loop's partitions.
    worker : str
        This worker's name in its group, and what its transactional id is made of: whoever starts
        under the same name takes over. An empty name is somebody new each time.
    patience : float
        How many seconds another worker has to let go of a partition before it is fenced.
    slate_size : int
        How many items are recommended.
    ttl : int
        How long a recommendation may be shown, in milliseconds of event time.
    batch_size : int
        How many records are read at once at most.
    snapshot_every : int
        After how many outcomes the policy's state is published.
    seed : int
        What the policy's randomness is rooted in; logged with every decision.
    rules : Rules
    limits : Limits
    quarantine : Quarantine, optional
        From where on feedback is suspected and not learned from. Without it nothing is.
    gate : GateRules, optional
        When challengers are promoted, and canaries ended, without anybody's order.
    drift : DriftRules
        What follows from drift.

    Raises
    ------
    ConfigError
        If a number is not positive, slates would be longer than rankings may be, users forgotten
        before their slates expire, or outcomes larger than messages.
    RecloopError
        If nothing can be judged by the rules of the gate.
    """

    users: Schema = field(default_factory=Schema)
    items: Schema = field(default_factory=Schema)
    prefix: str = DEFAULT_PREFIX
    partitions: int = DEFAULT_PARTITIONS
    group: str = "recloop"
    worker: str = "1"
    patience: float = 10.0
    slate_size: int = 3
    ttl: int = DAY
    batch_size: int = 1000
    snapshot_every: int = 5000
    seed: int = 0
    rules: Rules = field(default_factory=Rules)
    limits: Limits = field(default_factory=Limits)
    quarantine: Quarantine | None = None
    gate: GateRules | None = None
    drift: DriftRules = field(default_factory=DriftRules)

    def __post_init__(self) -> None:
        for name in ("partitions", "slate_size", "ttl", "batch_size", "snapshot_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.slate_size > self.limits.slots:
            raise ConfigError(
                f"slates of {self.slate_size} are longer than the {self.limits.slots} items that "
                "a ranking may show"
            )
        if 0 < self.rules.absence < self.ttl:
            raise ConfigError(
                f"what was recommended may be shown for {self.ttl} ms, but its user is forgotten "
                f"after {self.rules.absence} ms: raise rules.absence, or lower ttl"
            )
        if self.gate is not None:
            from streaming.referee import evidence  # what judges is loaded only if something is

            evidence(self.gate, self.slate_size, self.gate.level)
        numbers = self.limits.slots * (self.items.width + 5) + self.users.width
        names = self.limits.slots + _OTHER_NAMES
        if numbers * _BYTES_PER_NUMBER + names * _BYTES_PER_NAME > _LARGEST_OUTCOME:
            raise ConfigError(
                f"an outcome of {self.limits.slots} slots with {self.items.width} item features "
                f"and {self.users.width} of the user would be too large for a message: declare "
                "fewer features, or lower limits.slots"
            )

    @property
    def topics(self) -> Topics:
        """The names of the topics."""
        return Topics(self.prefix)

    @property
    def features(self) -> str:
        """The declarations that all contexts and item features of a loop are made by."""
        return f"users {self.users}, items {self.items}"
