"""OAUTHBEARER: tokens come from the identity provider, and both clients send them to the broker."""

from __future__ import annotations

import json
import socket
import struct
from base64 import b64decode
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest

from streaming.transport.api import TransportError
from streaming.transport.clients import CLIENTS, connect
from streaming.transport.oauth import Token, TokenSource
from streaming.transport.properties import ClientProperties

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "hunter2/ü"


class Provider(ThreadingHTTPServer):
    """An identity provider on this machine."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Grant)
        self.url = f"http://127.0.0.1:{self.server_port}/token"
        self.asked: list[dict[str, list[str]]] = []
        self.answer: tuple[int, object] | None = None


class _Grant(BaseHTTPRequestHandler):
    server: Provider

    def do_POST(self) -> None:
        pair = b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode()
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.server.asked.append(form | {"pair": [pair]})
        number = len(self.server.asked)
        granted = {"access_token": f"token-{number}", "expires_in": 100, "token_type": "Bearer"}
        status, answer = self.server.answer or (200, granted)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def provider() -> Iterator[Provider]:
    server = Provider()
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def properties(url: str, **more: str) -> ClientProperties:
    given = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": url,
        "sasl.oauthbearer.client.id": "loop",
        "sasl.oauthbearer.client.secret": SECRET,
        "sasl.oauthbearer.extensions": "traceId=1, cluster=a",
    }
    return ClientProperties(given | more)


def test_a_token_is_kept_until_most_of_its_life_is_over(provider: Provider) -> None:
    now = [1000.0]
    given = properties(provider.url, **{"sasl.oauthbearer.scope": "kafka"})
    source = TokenSource(given, clock=lambda: now[0])
    assert source.token() == Token("token-1", 1100.0)
    now[0] = 1079.9
    assert source.token() == Token("token-1", 1100.0)
    now[0] = 1080.0
    assert source.token() == Token("token-2", 1180.0)
    assert provider.asked[0] == {
        "grant_type": ["client_credentials"],
        "scope": ["kafka"],
        "pair": ["loop:hunter2%2F%C3%BC"],
    }
    assert source.extensions == {"traceId": "1", "cluster": "a"}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, {"error": "invalid_client"}), "HTTP 401"),
        ((200, {"no": "token"}), "holds no access token"),
        ((200, ["token"]), "holds no access token"),
    ],
)
def test_a_provider_that_gives_none_is_named(
    provider: Provider, answer: tuple[int, object], said: str
) -> None:
    provider.answer = answer
    with pytest.raises(TransportError, match=said) as caught:
        TokenSource(properties(provider.url)).token()
    assert provider.url in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_provider_that_is_not_there_is_named() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/token"
    with pytest.raises(TransportError, match="cannot be reached"):
        TokenSource(properties(url)).token()


def test_the_secret_goes_nowhere_unencrypted() -> None:
    for url in ("http://example.org/token", "ftp://localhost/token", "http://10.0.0.1/x"):
        with pytest.raises(TransportError, match="must be an https address"):
            properties(url)
    assert "hunter2" not in repr(properties("https://example.org/token"))


@pytest.mark.parametrize("missing", ["token.endpoint.url", "client.id", "client.secret"])
def test_what_is_missing_is_named(missing: str) -> None:
    name = f"sasl.oauthbearer.{missing}"
    given = dict(properties("https://example.org/token"))
    del given[name]
    with pytest.raises(TransportError, match=f"give {name} as well"):
        ClientProperties(given)


def test_java_writes_the_same(tmp_path: Path) -> None:
    path = tmp_path / "java.properties"
    path.write_text(
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=OAUTHBEARER\n"
        "sasl.oauthbearer.token.endpoint.url=https://example.org/token\n"
        "sasl.login.callback.handler.class="
        "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler\n"
        "sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule "
        f'required clientId="loop" clientSecret="{SECRET}" scope="kafka";\n',
        encoding="utf-8",
    )
    read = ClientProperties.read(path)
    assert read["sasl.oauthbearer.client.id"] == "loop"
    assert read["sasl.oauthbearer.client.secret"] == SECRET
    assert read["sasl.oauthbearer.scope"] == "kafka"
    with pytest.raises(TransportError, match="Java code"):
        ClientProperties({"sasl.login.callback.handler.class": "com.example.Handler"})


class Doorman:
    """A broker that gets no further than the door: it lets clients authenticate, and notes how."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(0.05)
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.shown: list[bytes] = []
        self.met = Event()
        self._stop = Event()
        self._thread = Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._socket.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(2.0)
                try:
                    while self._answer(connection):
                        pass
                except OSError:
                    continue

    def _answer(self, connection: socket.socket) -> bool:
        head = connection.recv(4, socket.MSG_WAITALL)
        if len(head) < 4:
            return False
        body = connection.recv(struct.unpack(">i", head)[0], socket.MSG_WAITALL)
        key, version, correlation = struct.unpack(">hhi", body[:8])
        if key == 18:  # ApiVersions, in its oldest form: only that is read without negotiation
            offered = [(18, 0, 0), (17, 0, 1), (36, 0, 0), (3, 0, 1)]
            told = struct.pack(">hi", 0 if version == 0 else 35, len(offered))
            told += b"".join(struct.pack(">hhh", *one) for one in offered)
        elif key == 17:  # SaslHandshake
            told = struct.pack(">hih", 0, 1, 11) + b"OAUTHBEARER"
        else:  # SaslAuthenticate; what is shown is all that matters here
            self.shown.append(body)
            self.met.set()
            return False
        answer = struct.pack(">i", correlation) + told
        connection.sendall(struct.pack(">i", len(answer)) + answer)
        return True


@contextmanager
def doorman() -> Iterator[Doorman]:
    with closing(Doorman()) as broker:
        yield broker


@pytest.mark.parametrize("client", CLIENTS)
def test_both_clients_show_the_token_at_the_door(provider: Provider, client: str) -> None:
    with doorman() as broker:
        transport = connect(broker.address, properties(provider.url), client=client, timeout=3.0)
        with closing(transport), pytest.raises(TransportError):
            transport.partitions("x")
        assert broker.met.wait(10.0)
    assert b"auth=Bearer token-" in broker.shown[0]
    assert b"traceId=1" in broker.shown[0]
    assert b"hunter2" not in broker.shown[0]
