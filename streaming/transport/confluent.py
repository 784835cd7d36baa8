"""The transport over confluent-kafka (librdkafka), an extra: ten times as fast, compiled.

This is the only module that imports that client. It keeps time limits of its own, so no watchdog is
needed; positions past the markers of transactions, which it does not tell, are learned from its
end-of-partition events. Readers that are no members of a group assign partitions to themselves.

librdkafka fetches on threads of its own, whether or not anybody polls. Kafka lets an empty fetch
wait; the embedded broker answers it at once, and half a dozen consumers at the ends of their
partitions would keep two cores busy with nothing. There a consumer that has all there was is paused
until it is polled again.

With the embedded broker there is one limit: that broker never forgets aborted transactions, and
this client cannot be taught to ignore those that ended long ago, so a reader that goes on behind an
abort misses what the same producer commits later. Kafka itself has no such trouble.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from confluent_kafka import Consumer as Client
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import Producer as ProducerClient
from confluent_kafka import TopicPartition as ClientTopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from streaming.transport.api import (
    AbortableError,
    Consumer,
    FencedError,
    Record,
    TopicPartition,
    TopicSpec,
    TransportError,
    check_shape,
    no_topic,
    policy_of,
)
from streaming.transport.base import BaseProducer
from streaming.transport.oauth import token_source
from streaming.transport.properties import (
    ClientProperties,
    assignor_of,
    reach,
    servers_of,
    waits,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

HANGING = 120.0
"""Seconds after which a transaction call is given up: twice the transaction's own timeout."""

JOINING = 60.0
"""Seconds that a group has to let a member in."""

_HEARTBEAT_MS, _SESSION_MS = 500, 10_000

_NOT_EVERYWHERE = ("bootstrap.servers", "compression.type", "partition.assignment.strategy")
_LARGEST = 2**31 - 1
_LATEST = -1  # the time that Kafka answers with the end
_LARGEST_RECORD = 1_000_000_000
_QUEUED, _QUEUE_BACKOFF_MS = 1000, 5  # what is fetched ahead, and how soon more is, in ms
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.0005, 0.004  # between two looks at what has come, in seconds
_LOOK_EVERY, _LOOKING, _UNDER_WAY = 0.05, 1.0, 0.02  # for who does not wait; for the broker
_FULL_QUEUE_PAUSE, _FLUSH_SLICE = 0.05, 0.2
_LINGER_MS, _TRANSACTIONAL_LINGER_MS = 5, 20  # a flush or a commit does not linger
_FENCED = {
    KafkaError.PRODUCER_FENCED,
    KafkaError._FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.TRANSACTION_COORDINATOR_FENCED,
    KafkaError.FENCED_INSTANCE_ID,
}
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
        self._made: list[ConfluentConsumer | ConfluentProducer] = []

    def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        """Create the topics that do not exist; refuse those that exist in another shape."""
        with _translated("creating topics"):
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
                    raise TransportError(
                        f"topic {name!r} does not exist and cannot be created ({_brief(error)}): "
                        "create it yourself, or use an account that may"
                    ) from None

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
            with _translated(f"looking up topic {topic!r}"):
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
        addresses = [
            TopicPartition(topic, partition)
            for topic in topics
            for partition in range(self.partitions(topic))
            if partitions is None or partition in partitions
        ]
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
                "heartbeat.interval.ms": _HEARTBEAT_MS,
                "session.timeout.ms": _SESSION_MS,
            }
        if member:
            options["group.instance.id"] = member
        with _translated("starting a consumer"):
            rests = not waits(self._cluster())
            client = Client(options, logger=_log)
            consumer: ConfluentConsumer
            if member is None:
                consumer = ConfluentConsumer(client, addresses, group, self._timeout, rests)
            else:
                keep = options["partition.assignment.strategy"] == "cooperative-sticky"
                consumer = ConfluentMember(client, topics, group, self._timeout, rests, keep)
        self._made.append(consumer)
        return consumer

    def producer(self, *, transactional_id: str | None = None) -> ConfluentProducer:
        """Return a producer; a transactional one takes its id over from the earlier holder."""
        reach(self._servers, self._timeout)
        options: dict[str, Any] = {
            "enable.idempotence": True,
            "delivery.report.only.error": True,
            "linger.ms": _LINGER_MS,
            "message.max.bytes": _LARGEST_RECORD,
            "allow.auto.create.topics": False,
        }
        if "compression.type" in self._properties:
            options["compression.type"] = self._properties["compression.type"]
        if transactional_id is not None:
            options |= {
                "transactional.id": transactional_id,
                "linger.ms": _TRANSACTIONAL_LINGER_MS,
            }
        with _translated("starting a producer"):
            failed: list[KafkaError] = []
            client = ProducerClient(
                self._options() | options,
                logger=_log,
                error_cb=lambda error: failed.append(error) if error.fatal() else None,
            )
            if transactional_id is not None:
                client.init_transactions(self._timeout)
        producer = ConfluentProducer(client, self.partitions, transactional_id, failed)
        self._made.append(producer)
        return producer

    def close(self) -> None:
        """Close everything this transport made."""
        while self._made:
            self._made.pop().close()
        self._admin = None

    def _assignor(self) -> str:
        with _translated("looking up the cluster"):
            return assignor_of(self._properties, self._cluster())

    def _cluster(self) -> str | None:
        """Return the name of the cluster."""
        if self._admin is None or self._name is None:
            self._describe()
        return self._name

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "bootstrap.servers": ",".join(self._servers),
            "receive.message.max.bytes": _LARGEST,
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


class ConfluentConsumer:
    """Reads partitions that it assigns to itself; made by `ConfluentTransport.consumer`.

    Parameters
    ----------
    client : confluent_kafka.Consumer
    addresses : list of TopicPartition
    group : str or None
    timeout : float
        How long to wait for answers about offsets, in seconds.
    rests : bool
        Whether to fetch only when polled, because the broker does not let an empty fetch wait.
    """

    def __init__(
        self,
        client: Any,
        addresses: list[TopicPartition],
        group: str | None,
        timeout: float,
        rests: bool,
    ) -> None:
        self.group = group
        self.client = client
        self._timeout = timeout
        self._rests, self._resting, self._next_look = rests, False, 0.0
        self._ends: dict[TopicPartition, int] = {}
        self._closed = False
        self._positions = dict.fromkeys(addresses, 0)
        self._begin()

    def _begin(self) -> None:
        self.seek(self.committed())

    def assigned(self) -> set[TopicPartition]:
        """Return the partitions read."""
        return set(self._positions)

    def poll(self, max_records: int, timeout: float) -> list[Record]:
        """Return up to `max_records` records, waiting at most `timeout` seconds for the first."""
        deadline, pause = time.monotonic() + timeout, _SHORTEST_PAUSE
        records: list[Record] = []
        with _translated("reading"):
            while not records:
                patience = max(0.0, deadline - time.monotonic())
                coming = self._look(patience)
                if coming:
                    patience = max(patience, _UNDER_WAY)
                elif coming is not None:
                    patience, pause = min(pause, patience), min(2.0 * pause, _LONGEST_PAUSE)
                first = self.client.poll(patience)
                if first is not None:
                    rest = self.client.consume(max_records - 1, 0.0) if max_records > 1 else []
                    self._take([first, *rest], records)
                elif time.monotonic() >= deadline:
                    break
            self._rest_at_end()
        return records

    def _look(self, patience: float) -> bool | None:
        """Begin to fetch if there is something; return whether there is, None if it is not known.

        The question wakes the client's thread as well, which would not notice for up to a second
        that it may fetch again. Where all was read and nobody waits for more, it is not asked each
        time; otherwise the answer is waited for, at most `_LOOKING` seconds.
        """
        if not self._rests:
            return None
        if self._resting and patience == 0.0 and time.monotonic() < self._next_look:
            return False
        if self._resting:
            self.client.resume(self._places())
            self._resting = False
        try:
            self._ends = self._stable(_LOOKING)
        except KafkaException:  # the broker is away: the client knows how to wait for it
            self._ends = {}
            return None
        self._next_look = time.monotonic() + _LOOK_EVERY
        return not self._rest_at_end()

    def _rest_at_end(self) -> bool:
        """Stop fetching if all is read that there was when it was last looked, and tell whether."""
        if not self._rests:
            return False
        if not self._resting:
            ends, endless = self._ends, float("inf")
            if all(at >= ends.get(where, endless) for where, at in self._positions.items()):
                self._rest()
        return self._resting

    def _rest(self) -> None:
        self.client.pause(self._places())
        self._resting = True

    def _places(self) -> list[Any]:
        return [ClientTopicPartition(*address) for address in self._positions]

    def _stable(self, timeout: float) -> dict[TopicPartition, int]:
        """Return the offset after the last stable record of every partition."""
        latest = [ClientTopicPartition(*address, _LATEST) for address in self._positions]
        ends = self.client.offsets_for_times(latest, timeout) if latest else []
        for end in ends:
            if end.error is not None:
                raise KafkaException(end.error)
        return {TopicPartition(end.topic, end.partition): end.offset for end in ends}

    def _take(self, messages: list[Any], records: list[Record]) -> None:
        """Keep the records of messages, and where they leave their partitions."""
        ends: dict[tuple[str, int], int] = {}
        for message in messages:
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            error = message.error()
            if error is None:
                key, value, (_, timestamp) = message.key(), message.value(), message.timestamp()
                records.append(Record(topic, partition, offset, key, value, timestamp))
                ends[topic, partition] = offset + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                ends[topic, partition] = offset
            elif not error.retriable():
                raise KafkaException(error)
        self._positions |= {TopicPartition(*address): end for address, end in ends.items()}

    def positions(self) -> dict[TopicPartition, int]:
        """Return the offset of the next record of every partition."""
        return dict(self._positions)

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """Go on from these offsets."""
        for address in positions:
            if address not in self._positions:
                raise TransportError(f"{address} is not read by this consumer")
        self._positions |= positions
        with _translated("seeking"):
            self._assign()

    def _assign(self) -> None:
        self.client.assign(
            [ClientTopicPartition(*address, at) for address, at in self._positions.items()]
        )
        self._begin_at_rest()

    def _begin_at_rest(self) -> None:
        """Fetch nothing before the first poll."""
        if self._rests:
            self._rest()
            self._next_look = 0.0

    def committed(self) -> dict[TopicPartition, int]:
        """Return the group's committed offsets, 0 where there are none."""
        if self.group is None:
            return dict.fromkeys(self._positions, 0)
        with _translated(f"looking up the offsets of group {self.group!r}"):
            known = self.client.committed(self._places(), self._timeout)
        return {TopicPartition(at.topic, at.partition): max(0, at.offset) for at in known}

    def end_offsets(self) -> dict[TopicPartition, int]:
        """Return the offset after the last stable record of every partition."""
        with _translated("looking up the ends of partitions"):
            return self._stable(self._timeout)

    def close(self) -> None:
        """Close the connections."""
        if not self._closed:
            self._closed = True
            self.client.close()


class ConfluentMember(ConfluentConsumer):
    """Reads the partitions that its group gives it.

    Parameters
    ----------
    client : confluent_kafka.Consumer
    topics : sequence of str
    group : str
    timeout : float
        How long to wait for answers about offsets, in seconds.
    rests : bool
        As of `ConfluentConsumer`.
    keep : bool
        Whether what is given comes on top of what is there (a cooperative rebalance). Otherwise all
        is taken before it is given anew, and counts as taken only if it is not given again.

    Raises
    ------
    TransportError
        If the group does not let it in within `JOINING` seconds.
    """

    def __init__(
        self,
        client: Any,
        topics: Sequence[str],
        group: str | None,
        timeout: float,
        rests: bool,
        keep: bool,
    ) -> None:
        self._topics, self._keep, self._joined = topics, keep, False
        super().__init__(client, [], group, timeout, rests)

    def _begin(self) -> None:
        self.client.subscribe(
            list(self._topics), on_assign=self._gave, on_revoke=self._took, on_lost=self._lost
        )
        deadline = time.monotonic() + JOINING
        while not self._joined:
            if time.monotonic() > deadline:
                self.client.close()
                raise TransportError(
                    f"group {self.group!r} has not let this member in within {JOINING:g} s: "
                    "is another member hung? Stop it, or wait until the group gives it up"
                )
            self._take([m for m in [self.client.poll(_FULL_QUEUE_PAUSE)] if m is not None], [])
        self.seek(self.committed())

    def _gave(self, _client: Any, given: list[Any]) -> None:
        self._joined = True
        places = [TopicPartition(at.topic, at.partition) for at in given]
        kept = self._positions if self._keep else {}
        self._positions = kept | {where: self._positions.get(where, 0) for where in places}

    def _took(self, client: Any, taken: list[Any]) -> None:
        if self._keep:
            self._lost(client, taken)

    def _lost(self, _client: Any, lost: list[Any]) -> None:
        for at in lost:
            self._positions.pop(TopicPartition(at.topic, at.partition), None)

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """Go on from these offsets, in those partitions that are still given."""
        mine = {where: at for where, at in positions.items() if where in self._positions}
        self._positions |= mine
        with _translated("seeking"):
            if not self._keep:
                self._assign()
            elif mine:
                places = [ClientTopicPartition(*where, at) for where, at in mine.items()]
                self.client.incremental_unassign(places)
                self.client.incremental_assign(places)
                self._begin_at_rest()


class ConfluentProducer(BaseProducer):
    """Writes records; made by `ConfluentTransport.producer`.

    Parameters
    ----------
    client : confluent_kafka.Producer
        With its transactions initialised, if it has any.
    partitions : callable
        Returns how many partitions a topic has.
    transactional_id : str or None
    failed : list of KafkaError
        Where the client puts the errors that end it.
    """

    def __init__(
        self,
        client: Any,
        partitions: Callable[[str], int],
        transactional_id: str | None,
        failed: list[KafkaError],
    ) -> None:
        super().__init__(partitions, transactional_id)
        self._client = client
        self._failed = failed

    def _begin(self) -> None:
        with _translated("beginning a transaction"):
            self._client.begin_transaction()

    def _write(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        timestamp: int | None,
    ) -> None:
        options = {} if timestamp is None else {"timestamp": timestamp}
        deadline = 0.0
        while True:
            try:
                self._client.produce(
                    topic, value, key, partition, on_delivery=self._delivered, **options
                )
            except BufferError:  # the client's own cap on what is in flight
                deadline = deadline or time.monotonic() + HANGING
                if time.monotonic() > deadline:
                    raise self._kind(f"nothing sent to {topic!r} is acknowledged") from None
                self._client.poll(_FULL_QUEUE_PAUSE)
            except KafkaException as error:
                raise _ours(error, f"writing to {topic!r}", self._kind) from None
            else:
                return

    def _delivered(self, error: KafkaError | None, _message: Any) -> None:
        if error is not None:
            self._failed.append(error)

    def _raise_failed(self) -> None:
        """Raise the first error; what is no transaction's and not fatal is then done with."""
        if self._failed:
            error = self._failed[0]
            if self.transactional_id is None and not error.fatal():
                self._failed.clear()
            raise KafkaException(error)

    def _commit(self, offsets: Mapping[TopicPartition, int], consumer: Consumer) -> None:
        with _translated("committing", self._kind):
            if offsets:
                at = [ClientTopicPartition(*address, n) for address, n in offsets.items()]
                metadata = _client_of(consumer).consumer_group_metadata()
                _insist(lambda left: self._client.send_offsets_to_transaction(at, metadata, left))
            self._await_sends()
            _insist(self._client.commit_transaction)

    def _abort(self) -> None:
        with _translated("aborting"):
            _insist(self._client.abort_transaction)
        self._failed.clear()

    def flush(self) -> None:
        """Wait until everything sent is written, and raise if anything was not."""
        with _translated("writing", self._kind):
            self._await_sends()

    def _await_sends(self) -> None:
        """Wait for acknowledgements, but not for those that a fatal error has made impossible."""
        deadline = time.monotonic() + HANGING
        while self._client.flush(_FLUSH_SLICE):
            self._raise_failed()
            if time.monotonic() > deadline:
                raise TransportError(f"not everything was written within {HANGING:g} s")
        self._raise_failed()

    def close(self) -> None:
        """Close the connections; an open transaction is aborted, or left to the next holder."""
        try:
            if self.open:
                self.abort()
            else:
                self.flush()
        except TransportError:
            self.open = False
            self._client.purge()

    @property
    def _kind(self) -> type[TransportError]:
        """What an error is that may be of any kind: inside a transaction it can be worked again."""
        return TransportError if self.transactional_id is None else AbortableError


def _insist(call: Callable[[float], object]) -> None:
    """Make a transaction call again as long as the client says that this may help."""
    deadline = time.monotonic() + HANGING
    while True:
        try:
            call(max(0.1, deadline - time.monotonic()))
        except KafkaException as error:
            if not error.args[0].retriable() or time.monotonic() > deadline:
                raise
        else:
            return


def _client_of(consumer: Consumer) -> Any:
    if not isinstance(consumer, ConfluentConsumer) or consumer.group is None:
        raise TransportError("offsets can only be committed for a consumer that has a group")
    return consumer.client


@contextmanager
def _translated(doing: str, kind: type[TransportError] = TransportError) -> Iterator[None]:
    """Turn the client's errors into ours."""
    try:
        yield
    except KafkaException as error:
        raise _ours(error, doing, kind) from None


def _ours(error: KafkaException, doing: str, kind: type[TransportError]) -> TransportError:
    """Return an error of the client as one of ours."""
    if error.args[0].code() in _FENCED:
        return FencedError(
            f"another worker has taken over this one's identity ({doing}: {_brief(error)})"
        )
    return kind(f"{doing}: {_brief(error)}")


def _brief(error: KafkaException) -> str:
    """Return an error of the client in one line."""
    cause: KafkaError = error.args[0]
    return f"{cause.name()}: {' '.join(cause.str().split())[:300]}"
