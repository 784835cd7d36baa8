"""The HTTP service: what is asked on which path, and what is answered when things are not well.

One method a path; what they serve is `streaming.edge.service`.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Route

from agents.api import RecloopError
from streaming.edge.answers import (
    Accepted,
    Health,
    Problem,
    Receipt,
    Refusal,
    Served,
)
from streaming.edge.openapi import MOST_ITEMS, document
from streaming.edge.service import NothingToShowError
from streaming.edge.ward import Ward
from streaming.events import LONGEST_NAME, BadEventError
from streaming.transport.api import TransportError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import Request

    from streaming.edge.guard import Guard
    from streaming.edge.service import Edge

MOST_BYTES = 1 << 20


class _Name(StringConvertor):
    """A name may hold anything, slashes and line ends too; `path` stops at the latter."""

    regex = r"[\s\S]*"


register_url_convertor("name", _Name())


class BadRequestError(RecloopError):
    """A path or a query that asks for nothing we have."""


def edge_app(edge: Edge, guard: Guard) -> Starlette:
    """Return the service as an ASGI application.

    Parameters
    ----------
    edge : Edge
        Is followed while the application runs, and closed with it.
    guard : Guard
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        stop = Event()
        follower = Thread(target=edge.follow, args=(stop,), name="follow", daemon=True)
        follower.start()
        try:
            yield
        finally:
            stop.set()
            await run_in_threadpool(follower.join)
            edge.close()

    handlers = _Handlers(edge, guard.asks)
    return Starlette(
        routes=[
            Route("/recommend/{user:name}", handlers.recommend),
            Route("/explain/{user:name}", handlers.explain),
            Route("/users/{user:name}", handlers.erase, methods=["DELETE"]),
            Route("/feedback", handlers.feedback, methods=["POST"]),
            Route("/healthz", handlers.health),
            Route("/metrics", handlers.metrics),
            Route("/openapi.json", handlers.openapi),
        ],
        middleware=[Middleware(Ward, guard=guard, figures=edge.figures)],
        exception_handlers={
            HTTPException: _http_problem,
            BadRequestError: _problem(422),
            BadEventError: _problem(400),
            NothingToShowError: _problem(503),
            TransportError: _problem(503),
        },
        lifespan=lifespan,
    )


class _Handlers:
    """One method a path."""

    def __init__(self, edge: Edge, secured: bool) -> None:
        self._edge, self._secured = edge, secured

    async def recommend(self, request: Request) -> Response:
        user, most = _user(request), _most(request)
        made, source = self._edge.recommendation(user)
        if source == "exploration":
            await run_in_threadpool(self._edge.log, made)
        self._edge.figures.served.labels(source).inc()
        served = Served(
            user=user,
            id=made.id,
            items=made.items[:most],
            policy=made.policy,
            version=made.version,
            expires=made.expires,
            source=source,
        )
        return _json(served)

    async def explain(self, request: Request) -> Response:
        return _json(await run_in_threadpool(self._edge.explanation, _user(request)))

    async def erase(self, request: Request) -> Response:
        await run_in_threadpool(self._edge.inbox.erase, _user(request))
        return _json(Accepted(), 202)

    async def feedback(self, request: Request) -> Response:
        body = await _body(request)
        accepted, refused = await run_in_threadpool(self._edge.inbox.take, body)
        self._edge.figures.events.labels("accepted").inc(accepted)
        self._edge.figures.events.labels("refused").inc(len(refused))
        receipt = Receipt(accepted, [Refusal(*one) for one in refused.items()])
        return _json(receipt, 202 if accepted else 422)

    async def health(self, _: Request) -> Response:
        edge = self._edge
        size: dict[str, Any] = {"users": len(edge.view), "items": len(edge.view.slates)}
        if edge.fault:
            return _json(Health(status="unwell", reason=edge.fault, **size), 503)
        return _json(Health(status="ok", **size))

    async def metrics(self, _: Request) -> Response:
        return Response(self._edge.figures.text(), media_type="text/plain; version=0.0.4")

    async def openapi(self, _: Request) -> Response:
        return _json(document(self._secured))


def _json(answer: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(answer), status, media_type="application/json")


async def _body(request: Request) -> bytes:
    """Return the body, and read no more of it than is allowed."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise HTTPException(
                413, f"a body may have {MOST_BYTES} bytes: send the events in parts"
            )
    return bytes(body)


def _user(request: Request) -> str:
    user: str = request.path_params["user"]
    if not 1 <= len(user) <= LONGEST_NAME:
        raise BadRequestError(f"a user's name has 1 to {LONGEST_NAME} characters, not {len(user)}")
    return user


def _most(request: Request) -> int | None:
    """Return how many items are wanted: all of them if nobody says."""
    wanted = request.query_params.getlist("k")
    if not wanted:
        return None
    number = wanted[0] if wanted[0].isascii() and wanted[0].isdecimal() else "0"
    if len(wanted) > 1 or len(number) > 4 or not 1 <= int(number) <= MOST_ITEMS:
        raise BadRequestError(f"k must be one number from 1 to {MOST_ITEMS}: how many are wanted")
    return int(number)


def _problem(status: int) -> Callable[[Request, Exception], Response]:
    def answer(_: Request, error: Exception) -> Response:
        response = _json(Problem(str(error)), status)
        if status == 503:
            response.headers["Retry-After"] = "1"
        return response

    return answer


def _http_problem(_: Request, error: Exception) -> Response:
    """Answer what Starlette itself refuses: an unknown path, a method, a body that is too large."""
    assert isinstance(error, HTTPException)
    response = _json(Problem(str(error.detail)), error.status_code)
    response.headers.update(error.headers or {})
    return response
