"""The loop's topics as an AsyncAPI 3.0 document, generated from the code that uses them.

`docs/asyncapi.yaml` is this module's output: after a change of a topic or a record it is written
anew by `python -m streaming.asyncapi`, and a test refuses it when it is not.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from streaming.events import InteractionEvent, ItemEvent, RankingEvent, UserEvent
from streaming.records import DeadLetter, OutcomeRecord, Recommendation
from streaming.roles import Canary, Explore, Promote, Roles, Rollback
from streaming.topics import DEFAULT_PREFIX, Topics

PATH = Path(__file__).parent.parent / "docs" / "asyncapi.yaml"

_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class _Message:
    """What lies on a topic: a record in JSON, a tombstone, or bytes that only the loop reads."""

    name: str
    key: str
    summary: str
    kind: type[msgspec.Struct] | None = None
    content: str = _JSON

    def document(self) -> dict[str, Any]:
        payload: dict[str, Any] = {"type": "null"}
        if self.kind is not None:
            payload = {"$ref": f"#/components/schemas/{self.kind.__name__}"}
        elif self.content != _JSON:
            payload = {"type": "string", "format": "binary"}
        return {
            "name": self.name,
            "summary": self.summary,
            "contentType": self.content,
            "payload": payload,
            "bindings": {
                "kafka": {
                    "key": {"type": "string", "description": self.key},
                    "bindingVersion": "0.5.0",
                }
            },
        }


def _told(kind: type[msgspec.Struct], key: str) -> _Message:
    return _Message(kind.__name__, key, _first_line(kind.__doc__), kind)


def _first_line(text: str | None) -> str:
    return (text or "").strip().splitlines()[0]


_USER, _ITEM = "The user's identifier.", "The item's identifier."
_GONE = _Message("ItemGone", _ITEM, "A tombstone, without a value: the item may not be shown now.")
_ERASED = _Message("UserErased", _USER, "A tombstone, without a value: the user is forgotten.")
_STATE = _Message(
    "UserState",
    _USER,
    "What the worker knows of a user: its own business, and no contract.",
    content="application/msgpack",
)
_MODEL = _Message(
    "ModelSnapshot",
    "An asterisk: all partitions together.",
    "What the policy had learned: its own business, and no contract.",
    content="application/msgpack",
)
_EVENTS = [_told(kind, _USER) for kind in (UserEvent, RankingEvent, InteractionEvent)]
_ORDERS = [_told(kind, "None is needed.") for kind in (Promote, Canary, Rollback, Explore)]
_RECOMMENDATION = _told(Recommendation, _USER)
_CHANNELS: dict[str, tuple[str, list[_Message]]] = {
    "items": ("receive", [_told(ItemEvent, _ITEM), _GONE]),
    "feedback": ("receive", [*_EVENTS, _ERASED]),
    "recommendations": ("send", [_RECOMMENDATION, _ERASED]),
    "decisions": ("send", [_RECOMMENDATION]),
    "outcomes": ("send", [_told(OutcomeRecord, _USER)]),
    "state": ("send", [_STATE, _ERASED]),
    "model": ("send", [_MODEL]),
    "orders": ("receive", _ORDERS),
    "roles": ("send", [_told(Roles, "The word `roles`.")]),
    "dead_letters": ("send", [_told(DeadLetter, "The key of the message it is about.")]),
}


def document() -> dict[str, Any]:
    """Return the AsyncAPI document of all topics under the default prefix."""
    messages = {m.name: m for _, told in _CHANNELS.values() for m in told}
    kinds = [message.kind for message in messages.values() if message.kind is not None]
    _, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "recloop: the live loop's topics",
            "version": version("recloop"),
            "description": (
                "Send items and feedback, read recommendations. Actions are the worker's. The "
                f"topics stand under a prefix, here {DEFAULT_PREFIX!r}, and the numbers of "
                "partitions are the defaults."
            ),
        },
        "defaultContentType": _JSON,
        "channels": {name: _channel(name, told) for name, (_, told) in _CHANNELS.items()},
        "operations": {
            f"{action}_{name}": {
                "action": action,
                "channel": {"$ref": f"#/channels/{name}"},
                "messages": [{"$ref": f"#/channels/{name}/messages/{m.name}"} for m in told],
            }
            for name, (action, told) in _CHANNELS.items()
        },
        "components": {
            "messages": {name: message.document() for name, message in messages.items()},
            "schemas": dict(sorted(schemas.items())),
        },
    }


_BOUND = ("cleanup.policy", "retention.ms", "max.message.bytes")
"""The settings of a topic that AsyncAPI's Kafka binding has words for."""


def _channel(name: str, told: list[_Message]) -> dict[str, Any]:
    topics = Topics()
    address = getattr(topics, name)
    (spec,) = (spec for spec in topics.specs() if spec.name == address)
    configuration: dict[str, Any] = {
        key: [value] if key == "cleanup.policy" else int(value)
        for key, value in spec.config.items()
        if key in _BOUND
    }
    return {
        "address": address,
        "description": _first_line(getattr(Topics, name).__doc__),
        "messages": {m.name: {"$ref": f"#/components/messages/{m.name}"} for m in told},
        "bindings": {
            "kafka": {
                "topic": address,
                "partitions": spec.partitions,
                "topicConfiguration": configuration,
                "bindingVersion": "0.5.0",
            }
        },
    }


def render() -> str:
    """Return the document as YAML."""
    header = "# Generated by `python -m streaming.asyncapi`: change the code, not this file.\n"
    return header + msgspec.yaml.encode(document()).decode()


if __name__ == "__main__":
    PATH.write_text(render(), encoding="utf-8")
    print(f"wrote {PATH}", file=sys.stderr)
