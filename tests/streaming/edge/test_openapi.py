"""The OpenAPI document is current, and the service does what it says, whatever it is sent."""

from __future__ import annotations

from typing import Any

import hypothesis
import schemathesis
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from streaming import Guard, edge_app
from streaming.edge.openapi import PATH, document, render
from tests.streaming.edge.support import NOW, Shop
from tests.streaming.support import user

KEY = "a-key-for-schemathesis"
_SHOP = Shop(guard=Guard([KEY], rate=1e9, burst=10**9))
_SHOP.loop.announce()
_SHOP.loop.send(user("anna", "e1", NOW))
_SHOP.catch_up()

schema = schemathesis.openapi.from_asgi("/openapi.json", edge_app(_SHOP.edge, _SHOP.guard))


def test_the_document_is_current() -> None:
    assert PATH.read_text(encoding="utf-8") == render(), "run: python -m streaming.edge.openapi"


def test_every_path_of_the_service_is_told() -> None:
    assert set(document()["paths"]) == {
        "/recommend/{user}",
        "/explain/{user}",
        "/users/{user}",
        "/feedback",
        "/healthz",
        "/metrics",
    }


def test_an_edge_without_keys_asks_for_none() -> None:
    shop = Shop()
    with shop.open() as http:
        assert http.get("/openapi.json").json()["security"] == []


@schema.parametrize()
@hypothesis.settings(max_examples=25, deadline=None, derandomize=True, database=None)
def test_the_service_does_what_its_document_says(case: schemathesis.Case[Any]) -> None:
    # No schema can say all of the event contract (real dates, no item twice), and the good events
    # of a list are taken although others are bad.
    beyond: list[Any] = [negative_data_rejection, positive_data_acceptance]
    told = case.call_and_validate
    told(headers={"X-API-Key": KEY}, excluded_checks=beyond if case.method == "POST" else [])
