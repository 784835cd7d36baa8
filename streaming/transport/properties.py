"""Client properties: how to reach a cluster, in the words that every Kafka client knows.

One `.properties` file serves any transport. It may be written in librdkafka's names
(`sasl.username`, `ssl.ca.location`) or in those of the Java clients (`sasl.jaas.config`,
`ssl.truststore.location` with PEM files). Secrets need not stand in it: `${env:NAME}` is replaced
by an environment variable and `${file:PATH}` by a file's content. They are never shown.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from streaming.transport import oauth
from streaming.transport.api import TransportError

KNOWN = frozenset(
    {
        "bootstrap.servers",
        "client.id",
        "compression.type",
        "partition.assignment.strategy",
        "sasl.mechanism",
        "sasl.oauthbearer.client.id",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.extensions",
        "sasl.oauthbearer.method",
        "sasl.oauthbearer.scope",
        "sasl.oauthbearer.token.endpoint.url",
        "sasl.password",
        "sasl.username",
        "security.protocol",
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.crl.location",
        "ssl.endpoint.identification.algorithm",
        "ssl.key.location",
        "ssl.key.password",
    }
)
"""What is understood, in librdkafka's names."""

ASSIGNORS = ("cooperative-sticky", "range")
"""How a group may share partitions out: moving only those that must, or all of them anew."""

_EMBEDDED = "MkU3OEVBNTctOEUyRi00"  # the id that noida-db gives its cluster
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_PASSWORD = ("sasl.username", "sasl.password")
_NEEDED = {
    "PLAIN": _PASSWORD,
    "SCRAM-SHA-256": _PASSWORD,
    "SCRAM-SHA-512": _PASSWORD,
    "OAUTHBEARER": (oauth.ENDPOINT, oauth.CLIENT, oauth.SECRET),
}
"""SASL mechanisms, and what else each of them needs."""

_JAVA_NAMES = {
    "ssl.truststore.location": ("ssl.ca.location",),
    "ssl.keystore.location": ("ssl.certificate.location", "ssl.key.location"),
    "sasl.mechanisms": ("sasl.mechanism",),
}
_STORE_TYPES = ("ssl.truststore.type", "ssl.keystore.type")
_SECRET = re.compile("password|secret|token|jaas")
_REFERENCE = re.compile(r"\$\{(env|file):([^}]+)\}")
_JAAS_NAMES = {
    "username": "sasl.username",
    "password": "sasl.password",
    "clientId": oauth.CLIENT,
    "clientSecret": oauth.SECRET,
    "scope": oauth.SCOPE,
}
_JAAS_OPTION = re.compile(rf"({'|'.join(_JAAS_NAMES)})\s*=\s*\"((?:[^\"\\]|\\.)*)\"")
_JAVA_HANDLER = "sasl.login.callback.handler.class"


class ClientProperties(Mapping[str, str]):
    """Properties under librdkafka's names; their representation shows no secret.

    Parameters
    ----------
    given : mapping of str to str
        Properties by librdkafka's or Java's names.

    Raises
    ------
    TransportError
        If one is unknown, refers to a variable or file that is not there, or has a value that is
        not possible.
    """

    def __init__(self, given: Mapping[str, str] | None = None) -> None:
        self._values: dict[str, str] = {}
        for name, value in (given or {}).items():
            self._take(name, _REFERENCE.sub(_referent, value))
        self._check_choice("security.protocol", _PROTOCOLS)
        self._check_choice("sasl.mechanism", tuple(_NEEDED))
        self._check_choice("sasl.oauthbearer.method", ("oidc",))
        self._check_choice("partition.assignment.strategy", ASSIGNORS)
        self._check_complete()

    @classmethod
    def read(cls, path: Path) -> ClientProperties:
        """Return the properties of a file: `name=value` or `name: value` lines, # comments."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TransportError(f"cannot read the client properties {path}: {error}") from None
        given = {}
        for number, line in enumerate(re.sub(r"\\\n\s*", "", text).splitlines(), 1):
            if not line.strip() or line.lstrip()[0] in "#!":
                continue
            match = re.fullmatch(r"\s*([^\s=:]+)\s*[=:]\s*(.*?)\s*", line)
            if match is None:
                raise TransportError(f"{path}, line {number}: not written as name=value")
            given[match[1]] = match[2]
        return cls(given)

    def _take(self, name: str, value: str) -> None:
        if name == "sasl.jaas.config":
            for option, quoted in _JAAS_OPTION.findall(value):
                self._values[_JAAS_NAMES[option]] = re.sub(r"\\(.)", r"\1", quoted)
        elif name == _JAVA_HANDLER:
            if not value.endswith(".OAuthBearerLoginCallbackHandler"):
                raise TransportError(f"{name} {value} is Java code, which cannot be run here")
        elif name in _STORE_TYPES:
            if value.upper() != "PEM":
                raise TransportError(f"{name} must be PEM, not {value}: convert the store to PEM")
        else:
            for known in _JAVA_NAMES.get(name, (name,)):
                if known not in KNOWN:
                    raise TransportError(f"unknown client property {name!r}{_hint(name)}")
                self._values[known] = value

    def _check_choice(self, name: str, choices: tuple[str, ...]) -> None:
        value = self._values.get(name)
        if value is not None and value not in choices:
            raise TransportError(f"{name} must be one of {', '.join(choices)}, not {value!r}")

    def _check_complete(self) -> None:
        """Refuse what a client would only stumble over once it is connected."""
        if self._values.get("security.protocol", "").startswith("SASL"):
            needed = _NEEDED.get(self._values.get("sasl.mechanism", ""), ())
            for name in ("sasl.mechanism", *needed):
                if name not in self._values:
                    raise TransportError(f"security.protocol asks for SASL: give {name} as well")
        if oauth.ENDPOINT in self._values:
            oauth.check_endpoint(self._values[oauth.ENDPOINT])
        for name, value in self._values.items():
            if name.startswith("ssl.") and name.endswith(".location") and not Path(value).is_file():
                raise TransportError(f"{name}: there is no file {value}")

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        shown = {name: "***" if _SECRET.search(name) else value for name, value in self.items()}
        return f"ClientProperties({shown})"


def servers_of(text: str) -> list[str]:
    """Return the `host:port` addresses that a text gives between commas.

    Raises
    ------
    TransportError
        If one is not of that form.
    """
    servers = [server.strip() for server in text.split(",")]
    for server in servers:
        if not re.fullmatch(r"\S+:\d{1,5}", server):
            raise TransportError(f"bootstrap servers are host:port[,host:port], not {text!r}")
    return servers


def assignor_of(properties: Mapping[str, str], cluster: str | None) -> str:
    """Return how the groups of a cluster share partitions out, one of `ASSIGNORS`.

    The embedded broker loses members in the second round of a cooperative rebalance, so there all
    partitions are given anew.
    """
    usual = "range" if cluster == _EMBEDDED else "cooperative-sticky"
    return properties.get("partition.assignment.strategy", usual)


def waits(cluster: str | None) -> bool:
    """Return whether a cluster keeps an empty fetch waiting, as Kafka does.

    The embedded broker answers it at once, so a client that asks again as soon as it is answered
    does so thousands of times a second.
    """
    return cluster != _EMBEDDED


def forgets(cluster: str | None) -> bool:
    """Return whether a cluster tells readers only of aborted transactions that they come by.

    The embedded broker tells of all that there were before as well.
    """
    return cluster != _EMBEDDED


def reach(servers: list[str], timeout: float) -> None:
    """Wait until one of some servers takes a connection.

    Raises
    ------
    TransportError
        If none does within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    reasons: dict[str, str] = {}
    while time.monotonic() < deadline:
        for server in servers:
            host, _, port = server.rpartition(":")
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout).close()
            except (OSError, OverflowError) as error:
                reasons[server] = str(error)
            else:
                return
        time.sleep(min(0.1, timeout))
    raise TransportError(
        f"no Kafka broker answers at {','.join(servers)} within {timeout:g} s: start one, or point "
        f"--bootstrap-servers at yours ({'; '.join(sorted(set(reasons.values())))})"
    )


def _referent(match: re.Match[str]) -> str:
    kind, name = match.groups()
    if kind == "file":
        try:
            return Path(name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise TransportError(f"client properties refer to a file: {error}") from None
    if name not in os.environ:
        raise TransportError(f"client properties refer to ${name}, which is not set")
    return os.environ[name]


def _hint(name: str) -> str:
    names = [*KNOWN, *_JAVA_NAMES, *_STORE_TYPES, "sasl.jaas.config", _JAVA_HANDLER]
    near = get_close_matches(name, names, n=1, cutoff=0.75)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(sorted(KNOWN))}"
