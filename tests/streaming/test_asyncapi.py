"""The AsyncAPI document is current, whole, and describes what is really sent."""

from __future__ import annotations

from typing import Any

import msgspec

from streaming.asyncapi import PATH, document, render
from streaming.topics import Topics


def references(node: object) -> list[str]:
    """Return every `$ref` below a node."""
    if isinstance(node, dict):
        inner = [ref for value in node.values() for ref in references(value)]
        return [node["$ref"], *inner] if "$ref" in node else inner
    if isinstance(node, list):
        return [ref for value in node for ref in references(value)]
    return []


def test_the_document_is_current() -> None:
    assert PATH.read_text(encoding="utf-8") == render(), "run: python -m streaming.asyncapi"


def test_it_reads_back_as_what_was_meant() -> None:
    assert msgspec.yaml.decode(PATH.read_bytes()) == document()


def test_every_topic_is_there() -> None:
    addresses = {channel["address"] for channel in document()["channels"].values()}
    assert addresses == {spec.name for spec in Topics().specs()}
    assert len(document()["operations"]) == len(addresses)


def test_every_reference_leads_somewhere() -> None:
    whole = document()
    found = references(whole)
    assert len(found) > 30
    for reference in found:
        node: Any = whole
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
