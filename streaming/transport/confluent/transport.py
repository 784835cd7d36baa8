"""What makes confluent-kafka's consumers and producers, and its topics."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from confluent_kafka import Consumer as Client
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import Producer as ProducerClient
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from streaming.transport.api import check_shape, no_topic, policy_of
from streaming.transport.confluent.consumer import ConfluentConsumer
from streaming.transport.confluent.errors import brief, translated
from streaming.transport.confluent.member import ConfluentMember
from streaming.transport.confluent.producer import ConfluentProducer
from streaming.transport.confluent.succession import Succession
from streaming.transport.oauth import token_source
from streaming.transport.opened import Opened
from streaming.transport.properties import (
    ClientProperties,
    assignor_of,
    forgets,
    reach,
    servers_of,
    waits,
)
from streaming.transport.terms import (
    HEARTBEAT_MS,
    LARGEST,
    LINGER_MS,
    SESSION_MS,
    addresses_of,
    not_created,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from streaming.transport.api import TopicSpec

_NOT_EVERYWHERE = ("bootstrap.servers", "compression.type", "partition.assignment.strategy")
_LARGEST_RECORD = 1_000_000_000
_QUEUED, _QUEUE_BACKOFF_MS = 1000, 5  # what is fetched ahead, and how soon more is, in ms
_log = logging.getLogger("confluent_kafka")
_log.addHandler(logging.NullHandler())


class ConfluentTransport:
    """Makes confluent-kafka consumers and producers for one cluster.

    Parameters
    ----------
    bootstrap_servers : str
        `host:port`, several between commas.
    properties : ClientProperties, optional
        How to authenticate and encrypt.
    timeout : float
        Seconds to wait for the cluster before saying that it is not there.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        properties: ClientProperties | None = None,
        *,
        timeout: float = 10.0,
    ) -> None:
        self._servers = servers_of(bootstrap_servers)
        self._properties = properties or ClientProperties()
        self._tokens = token_source(self._properties)
        self._timeout = timeout
        self._admin: Any = None
        self._name: str | None = None
        self._partitions: dict[str, int] = {}
        self._opened = Opened()

    def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        """Create the topics that do not exist; refuse those that exist in another shape."""
        with translated("creating topics"):
            there = self._describe()
            missing = [spec for spec in specs if spec.name not in there]
            if missing:
                self._create(missing)
            policies = self._policies([spec.name for spec in specs if spec.name in there])
        for spec in specs:
            if spec.name in there:
                policy = policies.get(spec.name, policy_of(spec))
                check_shape(spec, there[spec.name], policy)
            self._partitions[spec.name] = spec.partitions

    def _describe(self) -> dict[str, int]:
        """Return how many partitions every topic has."""
        if self._admin is None:
            reach(self._servers, self._timeout)
            self._admin = AdminClient(self._options(), logger=_log)
        there = self._admin.list_topics(timeout=self._timeout)
        self._name = there.cluster_id
        topics = there.topics.items()
        return {name: len(topic.partitions) for name, topic in topics if not topic.error}

    def _create(self, specs: list[TopicSpec]) -> None:
        wanted = [NewTopic(spec.name, spec.partitions, config=dict(spec.config)) for spec in specs]
        answers = self._admin.create_topics(wanted, operation_timeout=self._timeout)
        for name, answer in answers.items():
            try:
                answer.result(self._timeout)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise not_created(name, brief(error)) from None

    def _policies(self, names: list[str]) -> dict[str, str]:
        """Return the cleanup policies of topics, as far as this account may see them."""
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        if not resources:
            return {}
        policies = {}
        for resource, answer in self._admin.describe_configs(resources).items():
            try:
                config = answer.result(self._timeout)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_AUTHORIZATION_FAILED:
                    raise
                continue
            if "cleanup.policy" in config:
                policies[resource.name] = config["cleanup.policy"].value
        return policies

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has."""
        if topic not in self._partitions:
            with translated(f"looking up topic {topic!r}"):
                self._partitions.update(self._describe())
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
    ) -> ConfluentConsumer:
        """Return a consumer of these topics; see `Transport.consumer`."""
        addresses = addresses_of(topics, self.partitions, partitions)
        options = self._options() | {
            "group.id": group or f"recloop-reader-{uuid4()}",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "queued.min.messages": _QUEUED,
            "fetch.queue.backoff.ms": _QUEUE_BACKOFF_MS,
            "allow.auto.create.topics": False,
        }
        if member is not None:
            options |= {
                "partition.assignment.strategy": self._assignor(),
                "heartbeat.interval.ms": HEARTBEAT_MS,
                "session.timeout.ms": SESSION_MS,
            }
        if member:
            options["group.instance.id"] = member
        with translated("starting a consumer"):
            rests = not waits(self._cluster())
            client = Client(options, logger=_log)
            consumer: ConfluentConsumer
            if member is None:
                consumer = ConfluentConsumer(client, addresses, group, self._timeout, rests)
            else:
                keep = options["partition.assignment.strategy"] == "cooperative-sticky"
                consumer = ConfluentMember(client, topics, group, self._timeout, rests, keep)
        return self._opened.keep(consumer)

    def producer(self, *, transactional_id: str | None = None) -> ConfluentProducer:
        """Return a producer; a transactional one takes its id over from the earlier holder."""
        reach(self._servers, self._timeout)
        options: dict[str, Any] = {
            "enable.idempotence": True,
            "delivery.report.only.error": True,
            "linger.ms": LINGER_MS,
            "message.max.bytes": _LARGEST_RECORD,
            "allow.auto.create.topics": False,
        }
        if "compression.type" in self._properties:
            options["compression.type"] = self._properties["compression.type"]
        failed: list[KafkaError] = []

        def begin(name: str | None) -> Any:
            own = {"transactional.id": name} if name else {}
            client = ProducerClient(
                self._options() | options | own,
                logger=_log,
                error_cb=lambda error: failed.append(error) if error.fatal() else None,
                on_delivery=lambda error, _: failed.append(error) if error else None,
            )
            if name is not None:
                client.init_transactions(self._timeout)
            return client

        succession = None
        with translated("starting a producer"):
            if transactional_id is None or forgets(self._cluster()):
                client = begin(transactional_id)
            else:
                counter = Client(
                    self._options() | {"group.id": f"{transactional_id}~"}, logger=_log
                )
                succession = Succession(transactional_id, begin, counter, self._timeout)
                client = succession.next()
        return self._opened.keep(
            ConfluentProducer(client, self.partitions, transactional_id, failed, succession)
        )

    def close(self) -> None:
        """Close everything this transport made."""
        self._opened.close()
        self._admin = None

    def _assignor(self) -> str:
        with translated("looking up the cluster"):
            return assignor_of(self._properties, self._cluster())

    def _cluster(self) -> str | None:
        """Return the name of the cluster."""
        if self._admin is None or self._name is None:
            self._describe()
        return self._name

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "bootstrap.servers": ",".join(self._servers),
            "receive.message.max.bytes": LARGEST,
            # Its way of starting afresh loses a transaction's coordinator when all brokers were
            # away for a moment, and then waits for it in vain.
            "metadata.recovery.strategy": "none",
        }
        options |= {
            name: value
            for name, value in self._properties.items()
            if name not in _NOT_EVERYWHERE and not name.startswith("sasl.oauthbearer.")
        }
        tokens = self._tokens
        if tokens is not None:
            options["oauth_cb"] = lambda _: (*tokens.token(), "", tokens.extensions)
        if options.get("ssl.endpoint.identification.algorithm") == "":
            options["ssl.endpoint.identification.algorithm"] = "none"
        return options
