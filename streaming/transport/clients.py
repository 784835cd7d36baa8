"""One door to a cluster, by the name of the client that is to speak to it."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

from streaming.transport.api import TransportError

if TYPE_CHECKING:
    from streaming.transport.api import Transport
    from streaming.transport.properties import ClientProperties

CLIENTS = {
    "kafka-python": ("kafka_python", "KafkaPythonTransport"),
    "confluent-kafka": ("confluent", "ConfluentTransport"),
}
"""Names of clients, and where their transports are."""


def connect(
    bootstrap_servers: str,
    properties: ClientProperties | None = None,
    *,
    client: str = "kafka-python",
    timeout: float = 10.0,
) -> Transport:
    """Return a transport to a cluster.

    Parameters
    ----------
    bootstrap_servers : str
        `host:port`, several between commas.
    properties : ClientProperties, optional
        How to authenticate and encrypt.
    client : str
        One of `CLIENTS`.
    timeout : float
        Seconds to wait for the cluster before saying that it is not there.

    Raises
    ------
    TransportError
        If there is no such client, or it is not installed.
    """
    if client not in CLIENTS:
        near = get_close_matches(client, CLIENTS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(CLIENTS)}"
        raise TransportError(f"unknown Kafka client {client!r}; {hint}")
    module, name = CLIENTS[client]
    try:
        made = getattr(import_module(f"streaming.transport.{module}"), name)
    except ModuleNotFoundError as error:
        raise TransportError(
            f"the client {client} is not installed ({error}): pip install 'recloop[fast]'"
        ) from None
    transport: Transport = made(bootstrap_servers, properties, timeout=timeout)
    return transport
