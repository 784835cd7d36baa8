"""The edge as a person runs it: a worker and an edge over a broker, asked by HTTP."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.commands.support import Running, Said

KEY = "the-key-of-these-tests"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_what_is_told_by_http_is_learned_and_served(
    broker: str, start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECLOOP_API_KEYS", KEY)
    where = ("--bootstrap-servers", broker, "--prefix", "edge.", "--partitions", 1)
    features = ("--user-features", "age", "--item-features", "price", "--slate-size", 2)
    served = start("serve", "--policy", "uniform", *where, *features, "--json")
    served.hear("serving uniform")
    port = free_port()
    edge = start("edge", "--port", port, *where, *features)
    edge.hear("Ctrl-C stops it")

    def ask(path: str, body: object = None, key: str = KEY) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-API-Key": key}
        with urlopen(Request(f"http://127.0.0.1:{port}{path}", data, headers)) as answer:
            return json.load(answer)

    edge.until(lambda: answers(port))
    items = [
        {
            "event": "item",
            "id": f"e-{name}",
            "timestamp": "1000",
            "item": name,
            "fields": [{"name": "price", "value": 3.5}],
        }
        for name in "abc"
    ]
    assert ask("/feedback", items) == {"accepted": 3, "refused": []}
    edge.until(lambda: ask("/healthz")["items"] == 3)
    stranger = ask("/recommend/anna")
    assert stranger["source"] == "exploration"
    shown = {
        "event": "ranking",
        "id": stranger["id"],
        "timestamp": "2026-01-01T00:00:00Z",
        "user": "anna",
        "items": [{"id": slot["id"]} for slot in stranger["items"]],
    }
    assert ask("/feedback", shown)["accepted"] == 1
    edge.until(lambda: ask("/healthz")["users"] == 1)
    with pytest.raises(HTTPError, match="401"):
        ask("/recommend/anna", key="not-the-key-of-these")
    ended = edge.interrupt()
    assert ended.code == 0, ended.err
    assert KEY not in ended.out + ended.err
    assert served.interrupt().json["rankings"] == 1


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True


def test_other_machines_need_a_key(command: Callable[..., Said]) -> None:
    refused = command("edge", "--host", "0.0.0.0")
    assert refused.code == 1
    assert "give --api-keys" in refused.err
