"""The edge as an OpenAPI 3.1 document, generated from the types that it answers with.

`docs/openapi.yaml` is this module's output (`python -m streaming.edge.openapi`), and a test refuses
it when it is not; the service tells the same document at `/openapi.json`.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from streaming.edge.answers import Accepted, Explained, Health, Problem, Receipt, Served
from streaming.edge.inbox import MOST_EVENTS
from streaming.events import Event

PATH = Path(__file__).parent.parent.parent / "docs" / "openapi.yaml"

MOST_ITEMS = 1000
"""How many items one request may ask for."""

_JSON = "application/json"
_KINDS: tuple[Any, ...] = (Accepted, Explained, Health, Problem, Receipt, Served, Event)
_PROBLEMS = {
    "401": "No API key, or one that is not known.",
    "422": "What was asked makes no sense, and why.",
    "429": "Too many requests; `Retry-After` says when to come again.",
    "503": "Nothing to show yet, or Kafka is out of reach: try again.",
}
_USER = {
    "name": "user",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": 256},
}
_K = {
    "name": "k",
    "in": "query",
    "description": "How many items are wanted at most, from the best.",
    "schema": {"type": "integer", "minimum": 1, "maximum": MOST_ITEMS},
}


@cache
def document(secured: bool = True) -> dict[str, Any]:
    """Return the document of an edge that asks for API keys, or of one that does not."""
    (*_, event), schemas = msgspec.json.schema_components(
        _KINDS, ref_template="#/components/schemas/{name}"
    )
    body = {
        "description": f"One event, or a list of up to {MOST_EVENTS}.",
        "oneOf": [event, {"type": "array", "items": event, "minItems": 1, "maxItems": MOST_EVENTS}],
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "recloop: the serving edge",
            "version": version("recloop"),
            "description": "Slates to show, and feedback on them.",
        },
        "security": [{"key": []}, {"bearer": []}] if secured else [],
        "paths": {
            "/recommend/{user}": {
                "get": _operation(
                    "recommend", "The slate to show a user now.", {"200": Served}, [_USER, _K]
                )
            },
            "/explain/{user}": {
                "get": _operation(
                    "explain", "Why a user's slate is what it is.", {"200": Explained}, [_USER]
                )
            },
            "/users/{user}": {
                "delete": _operation(
                    "erase", "Let the loop forget a user.", {"202": Accepted}, [_USER]
                )
            },
            "/feedback": {
                "post": _operation(
                    "feedback",
                    "Take events in. What is wrong with some does not cost the others.",
                    {"202": Receipt, "400": Problem, "413": Problem, "422": Receipt},
                )
                | {"requestBody": {"required": True, "content": {_JSON: {"schema": body}}}}
            },
            "/healthz": {"get": _open("health", "Whether the edge is fit to serve.", Health)},
            "/metrics": {
                "get": _operation("metrics", "Figures for Prometheus.", {})
                | {
                    "responses": {
                        "200": {
                            "description": "Figures.",
                            "content": {"text/plain": {"schema": {"type": "string"}}},
                        },
                        **_problems("401", "429"),
                    }
                }
            },
        },
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _operation(
    name: str,
    summary: str,
    answers: dict[str, type[msgspec.Struct]],
    parameters: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    told = {
        status: {"description": (kind.__doc__ or "").splitlines()[0], "content": _content(kind)}
        for status, kind in answers.items()
    }
    operation = {
        "operationId": name,
        "summary": summary,
        "responses": dict(sorted((_problems(*_PROBLEMS) | told).items())),
    }
    return operation | ({"parameters": parameters} if parameters else {})


def _open(name: str, summary: str, kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return an operation that needs no key."""
    answers = {
        status: {"description": said, "content": _content(kind)}
        for status, said in (("200", "It is."), ("503", "It is not, and why."))
    }
    return {"operationId": name, "summary": summary, "security": [], "responses": answers}


def _problems(*statuses: str) -> dict[str, Any]:
    return {
        status: {"description": _PROBLEMS[status], "content": _content(Problem)}
        for status in statuses
    }


def _content(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {_JSON: {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}}}


def render() -> str:
    """Return the document as YAML."""
    header = "# Generated by `python -m streaming.edge.openapi`: change the code, not this file.\n"
    return header + msgspec.yaml.encode(document()).decode()


if __name__ == "__main__":
    PATH.write_text(render(), encoding="utf-8")
    print(f"wrote {PATH}", file=sys.stderr)
