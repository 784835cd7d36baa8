"""The live loop: events in, outcomes joined, policies updated, recommendations out.

The public names below are loaded when they are first used, so that importing the package imports
neither a Kafka client nor River.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streaming.config import ConfigError, WorkerConfig
    from streaming.edge.app import edge_app
    from streaming.edge.guard import Guard, GuardError
    from streaming.edge.service import Edge
    from streaming.events import (
        BadEventError,
        Field,
        InteractionEvent,
        ItemEvent,
        RankedItem,
        RankingEvent,
        UserEvent,
    )
    from streaming.export import Exported, Logged, export_log
    from streaming.exposition import Exposition
    from streaming.features import Schema, SchemaError
    from streaming.knowledge import GapError
    from streaming.learner import Learner
    from streaming.metrics import Report
    from streaming.orders import Told, roles_told, send_order
    from streaming.recording import TrafficRecorder, schemas_of
    from streaming.records import DeadLetter, OutcomeRecord, Recommendation, RecordError
    from streaming.replay import Replayed, replay_log
    from streaming.restore import RestoreError
    from streaming.resume import start_after
    from streaming.roles import Canary, Order, Promote, RoleError, Roles, Rollback
    from streaming.rules import DriftRules, GateRules, Limits, Quarantine, RuleError, Rules
    from streaming.sending import CONTEXT, FEATURES, NamelessError, schema_of
    from streaming.topics import Topics
    from streaming.traffic import Faults, Step, Traffic, TrafficError
    from streaming.transport.api import FencedError, Transport, TransportError
    from streaming.transport.broker import EmbeddedBroker
    from streaming.transport.kafka_python import KafkaPythonTransport
    from streaming.transport.memory import MemoryBus
    from streaming.transport.properties import ClientProperties
    from streaming.worker import Worker

_HOMES = {
    "config": ("ConfigError", "WorkerConfig"),
    "edge.app": ("edge_app",),
    "edge.guard": ("Guard", "GuardError"),
    "edge.service": ("Edge",),
    "events": (
        "BadEventError",
        "Field",
        "InteractionEvent",
        "ItemEvent",
        "RankedItem",
        "RankingEvent",
        "UserEvent",
    ),
    "export": ("Exported", "Logged", "export_log"),
    "exposition": ("Exposition",),
    "features": ("Schema", "SchemaError"),
    "knowledge": ("GapError",),
    "learner": ("Learner",),
    "metrics": ("Report",),
    "orders": ("Told", "roles_told", "send_order"),
    "recording": ("TrafficRecorder", "schemas_of"),
    "records": ("DeadLetter", "OutcomeRecord", "Recommendation", "RecordError"),
    "replay": ("Replayed", "replay_log"),
    "restore": ("RestoreError",),
    "resume": ("start_after",),
    "roles": ("Canary", "Order", "Promote", "RoleError", "Roles", "Rollback"),
    "rules": ("DriftRules", "GateRules", "Limits", "Quarantine", "RuleError", "Rules"),
    "sending": ("CONTEXT", "FEATURES", "NamelessError", "schema_of"),
    "topics": ("Topics",),
    "traffic": ("Faults", "Step", "Traffic", "TrafficError"),
    "transport.api": ("FencedError", "Transport", "TransportError"),
    "transport.broker": ("EmbeddedBroker",),
    "transport.kafka_python": ("KafkaPythonTransport",),
    "transport.memory": ("MemoryBus",),
    "transport.properties": ("ClientProperties",),
    "worker": ("Worker",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "CONTEXT",
    "FEATURES",
    "BadEventError",
    "Canary",
    "ClientProperties",
    "ConfigError",
    "DeadLetter",
    "DriftRules",
    "Edge",
    "EmbeddedBroker",
    "Exported",
    "Exposition",
    "Faults",
    "FencedError",
    "Field",
    "GapError",
    "GateRules",
    "Guard",
    "GuardError",
    "InteractionEvent",
    "ItemEvent",
    "KafkaPythonTransport",
    "Learner",
    "Limits",
    "Logged",
    "MemoryBus",
    "NamelessError",
    "Order",
    "OutcomeRecord",
    "Promote",
    "Quarantine",
    "RankedItem",
    "RankingEvent",
    "Recommendation",
    "RecordError",
    "Replayed",
    "Report",
    "RestoreError",
    "RoleError",
    "Roles",
    "Rollback",
    "RuleError",
    "Rules",
    "Schema",
    "SchemaError",
    "Step",
    "Told",
    "Topics",
    "Traffic",
    "TrafficError",
    "TrafficRecorder",
    "Transport",
    "TransportError",
    "UserEvent",
    "Worker",
    "WorkerConfig",
    "edge_app",
    "export_log",
    "replay_log",
    "roles_told",
    "schema_of",
    "schemas_of",
    "send_order",
    "start_after",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'streaming' has no attribute {name!r}")
    return getattr(import_module(f"streaming.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
