"""Who may ask, how often and how much: API keys, a rate limit and a body limit, before any handler.

Keys are compared by their digests in constant time and are never logged. Without keys the edge
serves its own machine only; `commands.edge` refuses to listen anywhere else.
"""

from __future__ import annotations

import hmac
import time
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from agents.api import RecloopError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.types import Scope

SHORTEST_KEY = 16
_CLIENTS = 10_000


class GuardError(RecloopError, ValueError):
    """API keys or limits that protect nothing."""


@dataclass(slots=True)
class _Bucket:
    """What a client may still ask, and as of when."""

    tokens: float
    at: float


class Guard:
    """Decides whether a request may pass.

    Parameters
    ----------
    keys : sequence of str
        API keys, each of at least 16 characters; without any, nobody is asked for one.
    rate : float
        How many requests a second a client may make for long; a client is a key, or without keys
        an address.
    burst : int
        How many it may make at once.
    clock : callable
        Seconds, monotonic.

    Raises
    ------
    GuardError
        If a key is too short to be secret, or a limit is not positive.
    """

    def __init__(
        self,
        keys: Sequence[str] = (),
        *,
        rate: float = 1000.0,
        burst: int = 2000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if any(len(key) < SHORTEST_KEY for key in keys):
            raise GuardError(f"an API key must have at least {SHORTEST_KEY} characters")
        if not rate > 0.0 or burst < 1:
            raise GuardError(f"rate must be above 0 and burst at least 1, not {rate} and {burst}")
        self._digests = [sha256(key.encode()).digest() for key in keys]
        self._rate, self._burst, self._clock = rate, burst, clock
        self._buckets: OrderedDict[bytes, _Bucket] = OrderedDict()

    @property
    def asks(self) -> bool:
        """Whether anybody is asked for a key."""
        return bool(self._digests)

    def client(self, scope: Scope) -> bytes | None:
        """Return who asks; None if they show no key that is known."""
        if not self.asks:
            return str((scope.get("client") or ("unknown", 0))[0]).encode()
        headers = Headers(scope=scope)
        shown = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        digest = sha256(shown.encode()).digest()
        known = [hmac.compare_digest(digest, other) for other in self._digests]
        return digest if any(known) else None

    def wait(self, client: bytes) -> float:
        """Take note of a request, and return after how many seconds it may be made: 0 if now."""
        now = self._clock()
        bucket = self._buckets.pop(client, None) or _Bucket(float(self._burst), now)
        self._buckets[client] = bucket  # the one heard of last comes last
        if len(self._buckets) > _CLIENTS:
            self._buckets.popitem(last=False)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.at) * self._rate)
        bucket.at = now
        if bucket.tokens < 1.0:
            return (1.0 - bucket.tokens) / self._rate
        bucket.tokens -= 1.0
        return 0.0
