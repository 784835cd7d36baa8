"""Access tokens for SASL's OAUTHBEARER: fetched from the identity provider, kept, renewed in time.

Both Kafka clients ask this one source (client credentials grant, RFC 6749 section 4.4), so that a
properties file means the same whichever of them reads it. Neither secret nor token is ever shown.
"""

from __future__ import annotations

import json
import ssl
import time
from base64 import b64encode
from ipaddress import ip_address
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple
from urllib.error import HTTPError
from urllib.parse import quote_plus, urlencode, urlsplit
from urllib.request import Request, urlopen

from streaming.transport.api import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ENDPOINT = "sasl.oauthbearer.token.endpoint.url"
CLIENT, SECRET = "sasl.oauthbearer.client.id", "sasl.oauthbearer.client.secret"
SCOPE, EXTENSIONS = "sasl.oauthbearer.scope", "sasl.oauthbearer.extensions"

_PATIENCE = 10.0
_LARGEST = 1 << 20
_USED_UP = 0.8  # of a token's life, as the Java clients renew it
_DEFAULT_LIFE = 3600.0


class Token(NamedTuple):
    """An access token and the time at which it ends, in seconds since the epoch."""

    value: str
    expires: float


class TokenSource:
    """Hands out a token that is valid; any thread may ask.

    Parameters
    ----------
    properties : mapping of str to str
        `sasl.oauthbearer.token.endpoint.url`, `.client.id` and `.client.secret`; optionally
        `.scope`, `.extensions` (key=value between commas) and `ssl.ca.location`.
    clock : callable
        Returns the time in seconds since the epoch.
    """

    def __init__(
        self, properties: Mapping[str, str], clock: Callable[[], float] = time.time
    ) -> None:
        self._properties, self._clock = properties, clock
        self._lock = Lock()
        self._token = Token("", 0.0)
        self._renewed = 0.0

    @property
    def extensions(self) -> dict[str, str]:
        """What is told to the broker beside the token."""
        text = self._properties.get(EXTENSIONS, "")
        pairs = (part.partition("=") for part in text.split(",") if part)
        return {name.strip(): value.strip() for name, _, value in pairs}

    def token(self) -> Token:
        """Return a token that has life left in it.

        Raises
        ------
        TransportError
            If the identity provider gives none.
        """
        with self._lock:
            if self._clock() >= self._renewed:
                now = self._clock()
                self._token = self._fetched(now)
                self._renewed = now + _USED_UP * (self._token.expires - now)
            return self._token

    def _fetched(self, now: float) -> Token:
        endpoint = self._properties[ENDPOINT]
        form = {"grant_type": "client_credentials"}
        if SCOPE in self._properties:
            form["scope"] = self._properties[SCOPE]
        pair = f"{quote_plus(self._properties[CLIENT])}:{quote_plus(self._properties[SECRET])}"
        request = Request(  # noqa: S310 - `check_endpoint` has refused what is not http
            endpoint,
            urlencode(form).encode(),
            {
                "Authorization": f"Basic {b64encode(pair.encode()).decode()}",
                "Accept": "application/json",
            },
        )
        context = ssl.create_default_context(cafile=self._properties.get("ssl.ca.location"))
        try:
            with urlopen(request, timeout=_PATIENCE, context=context) as answer:  # noqa: S310
                told = json.loads(answer.read(_LARGEST))
            life = float(told.get("expires_in", _DEFAULT_LIFE))
            return Token(str(told["access_token"]), now + life)
        except HTTPError as error:
            raise TransportError(
                f"{endpoint} gives no token (HTTP {error.code}): are {CLIENT}, its secret and "
                "scope right?"
            ) from None
        except OSError as error:
            raise TransportError(f"{endpoint} cannot be reached for a token: {error}") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise TransportError(f"what {endpoint} answers holds no access token") from None


def token_source(properties: Mapping[str, str]) -> TokenSource | None:
    """Return where tokens come from, if these properties ask for any."""
    asked = properties.get("sasl.mechanism") == "OAUTHBEARER"
    return TokenSource(properties) if asked else None


def check_endpoint(url: str) -> None:
    """Refuse an endpoint to which a secret must not be sent.

    Raises
    ------
    TransportError
        If it is neither https nor on this machine.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        here = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        here = False
    if parts.scheme != "https" and not (parts.scheme == "http" and here):
        raise TransportError(f"{ENDPOINT} must be an https address, not {url!r}")
