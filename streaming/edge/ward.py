"""The middleware at the door: asks the guard about every request, and counts the answers."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response

from streaming.edge.answers import Problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from streaming.edge.figures import Figures
    from streaming.edge.guard import Guard

OPEN = ("/healthz", "/openapi.json")
"""What anybody may ask without a key, as often as they like."""


class Ward:
    """Lets requests pass that the guard lets pass.

    Parameters
    ----------
    app : ASGIApp
    guard : Guard
    figures : Figures
    """

    def __init__(self, app: ASGIApp, guard: Guard, figures: Figures) -> None:
        self._app, self._guard, self._figures = app, guard, figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        refusal = None if scope["path"] in OPEN else self._refusal(scope)
        try:
            await (refusal or self._app)(scope, receive, watched)
        finally:
            route = _route(scope)
            self._figures.requests.labels(route, str(status)).inc()
            self._figures.seconds.labels(route).observe(time.perf_counter() - begun)

    def _refusal(self, scope: Scope) -> Response | None:
        client = self._guard.client(scope)
        if client is None:
            return _refused(
                401, "an API key is needed: send it as X-API-Key", "WWW-Authenticate", "ApiKey"
            )
        wait = self._guard.wait(client)
        if wait:
            seconds = str(math.ceil(wait))
            return _refused(429, f"too many requests: wait {seconds} s", "Retry-After", seconds)
        return None


def _refused(status: int, why: str, header: str, value: str) -> Response:
    return Response(
        msgspec.json.encode(Problem(why)), status, {header: value}, media_type="application/json"
    )


def _route(scope: Scope) -> str:
    """Return a path without what is particular in it, so that labels stay few."""
    endpoint = scope.get("endpoint")
    return endpoint.__name__ if endpoint is not None else "none"
