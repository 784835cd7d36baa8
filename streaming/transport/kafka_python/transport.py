"""What makes kafka-python's consumers and producers, and its topics."""

from __future__ import annotations

import logging
from threading import Lock
from typing import TYPE_CHECKING, Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.net.sasl.oauth import AbstractTokenProvider

from streaming.transport.api import check_shape, no_topic, policy_of
from streaming.transport.kafka_python.bulk import BATCH_BYTES
from streaming.transport.kafka_python.consumer import KafkaPythonConsumer
from streaming.transport.kafka_python.errors import translated
from streaming.transport.kafka_python.member import Given, KafkaPythonMember
from streaming.transport.kafka_python.producer import KafkaPythonProducer
from streaming.transport.oauth import token_source
from streaming.transport.opened import Opened
from streaming.transport.properties import ClientProperties, assignor_of, reach, servers_of
from streaming.transport.terms import (
    HANGING,
    HEARTBEAT_MS,
    LARGEST,
    LINGER_MS,
    SESSION_MS,
    TRANSACTIONAL_LINGER_MS,
    addresses_of,
    not_created,
)
from streaming.transport.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from streaming.transport.api import TopicSpec
    from streaming.transport.oauth import TokenSource

_ASSIGNORS = {"cooperative-sticky": CooperativeStickyAssignor, "range": RangePartitionAssignor}
_OPTIONS = {
    "client.id": "client_id",
    "sasl.mechanism": "sasl_mechanism",
    "sasl.password": "sasl_plain_password",
    "sasl.username": "sasl_plain_username",
    "security.protocol": "security_protocol",
    "ssl.ca.location": "ssl_cafile",
    "ssl.certificate.location": "ssl_certfile",
    "ssl.crl.location": "ssl_crlfile",
    "ssl.key.location": "ssl_keyfile",
    "ssl.key.password": "ssl_password",
}

logging.getLogger("kafka").addHandler(logging.NullHandler())


class KafkaPythonTransport:
    """Makes kafka-python consumers and producers for one cluster.

    Parameters
    ----------
    bootstrap_servers : str
        `host:port`, several between commas.
    properties : ClientProperties, optional
        How to authenticate and encrypt.
    timeout : float
        Seconds to wait for the cluster before saying that it is not there.
    watchdog : Watchdog, optional
        What watches over transaction calls.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        properties: ClientProperties | None = None,
        *,
        timeout: float = 10.0,
        watchdog: Watchdog | None = None,
    ) -> None:
        self._servers = servers_of(bootstrap_servers)
        self._timeout_ms = int(timeout * 1000)
        self._properties = properties or ClientProperties()
        self._tokens = token_source(self._properties)
        self._watchdog = watchdog or Watchdog(HANGING)
        self._lock = Lock()
        self._reached = False
        self._admin: Any = None
        self._partitions: dict[str, int] = {}
        self._opened = Opened()

    def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        """Create the topics that do not exist; refuse those that exist in another shape."""
        with self._lock, translated("creating topics"):
            there = self._describe([spec.name for spec in specs])
            missing = [spec for spec in specs if spec.name not in there]
            if missing:
                self._create(missing)
            policies = self._policies(list(there))
            for spec in specs:
                if spec.name in there:
                    policy = policies.get(spec.name, policy_of(spec))
                    check_shape(spec, there[spec.name], policy)
                self._partitions[spec.name] = spec.partitions

    def _describe(self, names: list[str]) -> dict[str, int]:
        """Return the numbers of partitions of those topics that exist."""
        if self._admin is None:
            self._reach()
            self._admin = KafkaAdminClient(**self._options())
        found = {}
        for topic in self._admin.describe_topics(names):
            error = kafka_errors.for_code(topic["error_code"])
            if error is kafka_errors.NoError:
                found[topic["name"]] = len(topic["partitions"])
            elif error is not kafka_errors.UnknownTopicOrPartitionError:
                raise error(f"topic {topic['name']!r}")
        return found

    def _create(self, specs: list[TopicSpec]) -> None:
        wanted = {
            spec.name: {"num_partitions": spec.partitions, "configs": dict(spec.config)}
            for spec in specs
        }
        answer = self._admin.create_topics(wanted, raise_errors=False)
        for topic in answer["topics"]:
            error = kafka_errors.for_code(topic["error_code"])
            if error not in (kafka_errors.NoError, kafka_errors.TopicAlreadyExistsError):
                reason = topic.get("error_message") or "no reason given"
                raise not_created(topic["name"], f"{error.__name__}: {reason}")
        self._admin.wait_for_topics(list(wanted), timeout_ms=self._timeout_ms)

    def _policies(self, names: list[str]) -> dict[str, str]:
        """Return the cleanup policies of topics, as far as this account may see them."""
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        try:
            described = self._admin.describe_configs(resources)["topic"] if resources else {}
        except kafka_errors.AuthorizationError:
            return {}
        return {
            name: config["cleanup.policy"]["value"]
            for name, config in described.items()
            if "cleanup.policy" in config
        }

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has."""
        if topic not in self._partitions:
            with self._lock, translated(f"looking up topic {topic!r}"):
                self._partitions.update(self._describe([topic]))
        if topic not in self._partitions:
            raise no_topic(topic)
        return self._partitions[topic]

    def consumer(
        self,
        topics: Sequence[str],
        *,
        group: str | None = None,
        member: str | None = None,
        partitions: Collection[int] | None = None,
    ) -> KafkaPythonConsumer:
        """Return a consumer of these topics; see `Transport.consumer`."""
        addresses = addresses_of(topics, self.partitions, partitions)
        options = self._options()
        if member is not None:
            options |= {
                "group_instance_id": member or None,
                "partition_assignment_strategy": [_ASSIGNORS[self._assignor()]],
                "heartbeat_interval_ms": HEARTBEAT_MS,
                "session_timeout_ms": SESSION_MS,
            }
        with translated("starting a consumer"):
            client = KafkaConsumer(
                group_id=group,
                isolation_level="read_committed",
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                allow_auto_create_topics=False,
                metrics_enabled=False,
                **options,
            )
            consumer: KafkaPythonConsumer
            if member is None:
                consumer = KafkaPythonConsumer(client, addresses, group, self._timeout_ms)
            else:
                given = Given(keep=self._assignor() == "cooperative-sticky")
                consumer = KafkaPythonMember(client, topics, group, self._timeout_ms, given)
        return self._opened.keep(consumer)

    def producer(self, *, transactional_id: str | None = None) -> KafkaPythonProducer:
        """Return a producer; a transactional one takes its id over from the earlier holder."""
        self._reach()
        with translated("starting a producer"):
            options = self._options()
            if "compression.type" in self._properties:
                options["compression_type"] = self._properties["compression.type"]
            client = KafkaProducer(
                transactional_id=transactional_id,
                linger_ms=LINGER_MS if transactional_id is None else TRANSACTIONAL_LINGER_MS,
                max_request_size=LARGEST,
                batch_size=BATCH_BYTES,
                max_block_ms=self._timeout_ms,
                allow_auto_create_topics=False,
                metrics_enabled=False,
                **options,
            )
            if transactional_id is not None:
                client.init_transactions()
        return self._opened.keep(
            KafkaPythonProducer(client, self.partitions, transactional_id, self._watchdog)
        )

    def close(self) -> None:
        """Close everything this transport made."""
        self._opened.close()
        if self._admin is not None:
            self._admin.close()
            self._admin = None

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "bootstrap_servers": self._servers,
            "bootstrap_timeout_ms": self._timeout_ms,
            "receive_message_max_bytes": LARGEST,
        }
        for name, option in _OPTIONS.items():
            if name in self._properties:
                options[option] = self._properties[name]
        if self._properties.get("ssl.endpoint.identification.algorithm") in ("", "none"):
            options["ssl_check_hostname"] = False
        if self._tokens is not None:
            options["sasl_oauth_token_provider"] = _TokenProvider(self._tokens)
        return options

    def _assignor(self) -> str:
        with self._lock, translated("looking up the cluster"):
            if self._admin is None:
                self._describe([])
            return assignor_of(self._properties, self._admin._manager.cluster.cluster_id)

    def _reach(self) -> None:
        """Look for the cluster before the first client does, which would leave sockets behind."""
        if not self._reached:
            reach(self._servers, self._timeout_ms / 1000)
            self._reached = True


class _TokenProvider(AbstractTokenProvider):  # type: ignore[misc]
    """Hands kafka-python the tokens of a source."""

    def __init__(self, source: TokenSource) -> None:
        super().__init__()
        self._source = source

    def token(self) -> str:
        """Return a valid token."""
        return self._source.token().value

    def extensions(self) -> dict[str, str]:
        """Return what is told beside it."""
        return self._source.extensions
