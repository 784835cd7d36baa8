"""The transport over kafka-python, the default: pure Python, nothing to compile.

This is the only module that imports the client. What it adds to it: partitions chosen by
`partitioner`, every error turned into one of three kinds with a line for people, every future of a
send looked at before its transaction commits, a cap on what is in flight (the client has none), and
a watchdog over the calls that wait without end.

The client rebalances on a thread of its own, where nothing may be loaded or dropped: what a group
gives a member and takes is only noted there, and told by `assigned`. Readers that are no members
assign partitions to themselves.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict, deque
from contextlib import contextmanager, nullcontext, suppress
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

from kafka import ConsumerRebalanceListener, KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.net.sasl.oauth import AbstractTokenProvider
from kafka.structs import OffsetAndMetadata
from kafka.structs import TopicPartition as KafkaTopicPartition

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
from streaming.transport.bulk import BATCH_BYTES, Entry, send_all
from streaming.transport.finished_aborts import careful
from streaming.transport.oauth import token_source
from streaming.transport.pipeline import Pipeline
from streaming.transport.properties import ClientProperties, assignor_of, reach, servers_of
from streaming.transport.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from streaming.transport.oauth import TokenSource

MAX_IN_FLIGHT = 10_000
"""Sends that may wait for their acknowledgement."""

MAX_IN_FLIGHT_BYTES = 64 * 1024 * 1024
"""Bytes of records that may wait; one record may be larger."""

HANGING = 120.0
"""Seconds after which a transaction call counts as hung: twice the transaction's own timeout."""

JOINING = 60.0
"""Seconds that a group has to let a member in."""

_ASSIGNORS = {"cooperative-sticky": CooperativeStickyAssignor, "range": RangePartitionAssignor}
_HEARTBEAT_MS, _SESSION_MS = 500, 10_000
_REJOINING_MS, _LEAVING_MS = 5000, 5000
_LARGEST_REQUEST = 2**31 - 1
_LINGER_MS, _TRANSACTIONAL_LINGER_MS = 5, 20  # a flush or a commit does not linger
_SHORTEST_PAUSE, _LONGEST_PAUSE, _LONGEST_WAIT = 0.0005, 0.004, 0.05
_UPKEEP_EVERY, _ASK_EVERY = 0.05, 0.05  # seconds
_BEHIND = 1000  # records at once, from which on a reader asks for more before it hands them out
_FENCED = (
    kafka_errors.ProducerFencedError,
    kafka_errors.InvalidProducerEpochError,
    kafka_errors.TransactionCoordinatorFencedError,
    kafka_errors.FencedInstanceIdError,
)
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
        self._made: list[KafkaPythonConsumer | KafkaPythonProducer] = []

    def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        """Create the topics that do not exist; refuse those that exist in another shape."""
        with self._lock, _translated("creating topics"):
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
                raise TransportError(
                    f"topic {topic['name']!r} does not exist and cannot be created "
                    f"({error.__name__}: {topic.get('error_message') or 'no reason given'}): "
                    "create it yourself, or use an account that may"
                )
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
            with self._lock, _translated(f"looking up topic {topic!r}"):
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
        addresses = [
            TopicPartition(topic, partition)
            for topic in topics
            for partition in range(self.partitions(topic))
            if partitions is None or partition in partitions
        ]
        options = self._options()
        if member is not None:
            options |= {
                "group_instance_id": member or None,
                "partition_assignment_strategy": [_ASSIGNORS[self._assignor()]],
                "heartbeat_interval_ms": _HEARTBEAT_MS,
                "session_timeout_ms": _SESSION_MS,
            }
        with _translated("starting a consumer"):
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
                given = _Given(keep=self._assignor() == "cooperative-sticky")
                consumer = KafkaPythonMember(client, topics, group, self._timeout_ms, given)
        self._made.append(consumer)
        return consumer

    def producer(self, *, transactional_id: str | None = None) -> KafkaPythonProducer:
        """Return a producer; a transactional one takes its id over from the earlier holder."""
        self._reach()
        with _translated("starting a producer"):
            options = self._options()
            if "compression.type" in self._properties:
                options["compression_type"] = self._properties["compression.type"]
            client = KafkaProducer(
                transactional_id=transactional_id,
                linger_ms=_LINGER_MS if transactional_id is None else _TRANSACTIONAL_LINGER_MS,
                max_request_size=_LARGEST_REQUEST,
                batch_size=BATCH_BYTES,
                max_block_ms=self._timeout_ms,
                allow_auto_create_topics=False,
                metrics_enabled=False,
                **options,
            )
            if transactional_id is not None:
                client.init_transactions()
        producer = KafkaPythonProducer(client, self, transactional_id, self._watchdog)
        self._made.append(producer)
        return producer

    def close(self) -> None:
        """Close everything this transport made."""
        while self._made:
            self._made.pop().close()
        if self._admin is not None:
            self._admin.close()
            self._admin = None

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "bootstrap_servers": self._servers,
            "bootstrap_timeout_ms": self._timeout_ms,
            "receive_message_max_bytes": _LARGEST_REQUEST,
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
        with self._lock, _translated("looking up the cluster"):
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


class KafkaPythonConsumer:
    """Reads partitions that it assigns to itself; made by `KafkaPythonTransport.consumer`.

    Parameters
    ----------
    client : KafkaConsumer
    addresses : list of TopicPartition
    group : str or None
    timeout_ms : int
        How long to wait for answers about offsets.
    """

    def __init__(
        self, client: Any, addresses: list[TopicPartition], group: str | None, timeout_ms: int
    ) -> None:
        self.group = group
        self.client = client
        self._timeout_ms = timeout_ms
        self._upkept = self._asked = 0.0
        self._own = [KafkaTopicPartition(*address) for address in addresses]
        client._fetcher.PartitionRecords = careful(client._fetcher.PartitionRecords)
        self._begin()

    def _begin(self) -> None:
        self.client.assign(self._own)
        self.seek(self.committed())

    @property
    def _addresses(self) -> list[Any]:
        """The partitions that are read now."""
        return self._own

    def assigned(self) -> set[TopicPartition]:
        """Return the partitions read."""
        return {TopicPartition(*address) for address in self._own}

    def poll(self, max_records: int, timeout: float) -> list[Record]:
        """Return up to `max_records` records, waiting at most `timeout` seconds for the first.

        The waiting is done here and not in the client, which asks again as soon as it is answered:
        a broker that answers an empty fetch at once, as the embedded one does, would keep both of
        them busy with hundreds of empty fetches a second.
        """
        deadline, pause = time.monotonic() + timeout, _SHORTEST_PAUSE
        with _translated("reading"):
            while not (batches := self._at_hand(max_records)):
                remaining = deadline - time.monotonic()
                if remaining <= 0.0 and not self._is_due:
                    break
                answered = self.ask()
                if remaining <= 0.0:
                    break
                if not answered.wait(min(remaining, _LONGEST_WAIT)):
                    continue
                if batches := self._at_hand(max_records):
                    break
                time.sleep(min(pause, remaining))
                pause = min(2.0 * pause, _LONGEST_PAUSE)
        return [
            Record(r.topic, r.partition, r.offset, r.key, r.value, r.timestamp)
            for batch in batches.values()
            for r in batch
        ]

    def _at_hand(self, max_records: int) -> Any:
        """Return what has come already.

        The client's own poll asks for more before it hands out what it has, so that what it hands
        out next is as old as this call. Only who is behind wants that.
        """
        if time.monotonic() - self._upkept > _UPKEEP_EVERY:
            self._upkeep()
        batches, _ = self.client._fetcher.fetched_records(max_records)
        if sum(map(len, batches.values())) >= _BEHIND:
            self.ask()
        return batches

    def _upkeep(self) -> None:
        """Do what the client's poll does besides fetching: see to its group and its positions."""
        fetcher, self._upkept = self.client._fetcher, time.monotonic()
        if self.client._coordinator.poll(timeout_ms=0):
            self.client._refresh_committed_offsets(timeout_ms=0)
            fetcher.reset_offsets_if_needed()
            fetcher.maybe_validate_positions()
            fetcher.validate_offsets_if_needed()

    @property
    def _is_due(self) -> bool:
        """Whether to ask although nobody waits: who has no group is content with now and then."""
        return self.group is not None or time.monotonic() - self._asked > _ASK_EVERY

    def ask(self) -> Event:
        """Ask for what has come since, and return what is set when any answer is there.

        It is set at once if there is nothing to ask: what was asked for is at hand, or no position
        is known yet.
        """
        answered, self._asked = Event(), time.monotonic()
        self.client._manager.call_soon(self._ask, answered)
        return answered

    async def _ask(self, answered: Event) -> None:
        """Ask on the client's own thread."""
        fetcher = self.client._fetcher
        await fetcher._send_fetches_async()
        for answer in fetcher._fetch_futures:
            answer.add_both(lambda _: answered.set())
        if not fetcher._fetch_futures:
            answered.set()

    def positions(self) -> dict[TopicPartition, int]:
        """Return the offset of the next record of every partition."""
        with _translated("looking up positions"):
            return {
                TopicPartition(*address): self.client.position(address, self._timeout_ms)
                for address in self._addresses
            }

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """Go on from these offsets."""
        for address, offset in positions.items():
            if address not in self._addresses:
                raise TransportError(f"{address} is not read by this consumer")
            self.client.seek(KafkaTopicPartition(*address), offset)

    def committed(self) -> dict[TopicPartition, int]:
        """Return the group's committed offsets, 0 where there are none."""
        if self.group is None:
            return {TopicPartition(*address): 0 for address in self._addresses}
        with _translated(f"looking up the offsets of group {self.group!r}"):
            return {
                TopicPartition(*address): self.client.committed(
                    address, timeout_ms=self._timeout_ms
                )
                or 0
                for address in self._addresses
            }

    def end_offsets(self) -> dict[TopicPartition, int]:
        """Return the offset after the last stable record of every partition."""
        with _translated("looking up the ends of partitions"):
            ends = self.client.end_offsets(self._addresses, timeout_ms=self._timeout_ms)
        return {TopicPartition(*address): offset for address, offset in ends.items()}

    def close(self) -> None:
        """Close the connections."""
        self.client.close(autocommit=False, timeout_ms=_LEAVING_MS)


class KafkaPythonMember(KafkaPythonConsumer):
    """Reads the partitions that its group gives it.

    Parameters
    ----------
    client : KafkaConsumer
    topics : sequence of str
    group : str
    timeout_ms : int
        How long to wait for answers about offsets.
    given : _Given
        The note of what the group gives.

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
        timeout_ms: int,
        given: _Given,
    ) -> None:
        self._topics, self._given, self._left = topics, given, False
        client._coordinator.poll = _patient(client._coordinator.poll)
        super().__init__(client, [], group, timeout_ms)

    def _begin(self) -> None:
        self.client.subscribe(list(self._topics), listener=self._given)
        deadline = time.monotonic() + JOINING
        while self.client.group_metadata().generation_id < 0:
            if time.monotonic() > deadline:
                self.client.close(autocommit=False)
                raise TransportError(
                    f"group {self.group!r} has not let this member in within {JOINING:g} s: "
                    "is another member hung? Stop it, or wait until the group gives it up"
                )
            self.client._coordinator.poll()
        self.seek(self.committed())

    def close(self) -> None:
        """Leave the group, if this member has no name, and close the connections.

        A rebalance that is under way is gone through first: the broker would not hear of a leave
        while it has a join of the same member to answer.
        """
        if self._left:
            return
        self._left = True
        with suppress(kafka_errors.KafkaError):
            if self.client._coordinator.need_rejoin():
                self.client._coordinator.poll()
        super().close()

    @property
    def _addresses(self) -> list[Any]:
        return [KafkaTopicPartition(*address) for address in self.assigned()]

    def assigned(self) -> set[TopicPartition]:
        """Return the partitions that the group has given."""
        return self._given.now()

    def positions(self) -> dict[TopicPartition, int]:
        """Return the offset of the next record of every partition that is still given."""
        found = {}
        for address in self._addresses:
            with suppress(kafka_errors.IllegalStateError), _translated("looking up positions"):
                found[TopicPartition(*address)] = self.client.position(address, self._timeout_ms)
        return found

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """Go on from these offsets, in those partitions that are still given."""
        for address, offset in positions.items():
            with suppress(ValueError):  # taken away this very moment
                self.client.seek(KafkaTopicPartition(*address), offset)


def _patient(poll: Callable[..., bool]) -> Callable[..., bool]:
    """Return a coordinator's `poll` that waits for the answer to a join, however short a poll is.

    The client begins a join again that is answered while nobody waits for it, and the whole group
    rebalances once more. A poll without a rebalance returns at once, as before.
    """
    return lambda timeout_ms=None: poll(timeout_ms=_REJOINING_MS)


class _Given(ConsumerRebalanceListener):  # type: ignore[misc] # untyped client
    """Notes what the group gives and takes; it is told on the client's own thread.

    Parameters
    ----------
    keep : bool
        Whether what is given comes on top of what is there (a cooperative rebalance). Otherwise all
        is taken before it is given anew, and counts as taken only if it is not given again.
    """

    def __init__(self, keep: bool) -> None:
        self._keep, self._lock = keep, Lock()
        self._partitions: set[TopicPartition] = set()

    def now(self) -> set[TopicPartition]:
        """Return the partitions that are given."""
        with self._lock:
            return set(self._partitions)

    def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        """Note what is given."""
        with self._lock:
            given = {TopicPartition(*address) for address in assigned}
            self._partitions = self._partitions | given if self._keep else given

    def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        """Note what is taken."""
        if self._keep:
            self.on_partitions_lost(revoked)

    def on_partitions_lost(self, lost: Collection[Any]) -> None:
        """Note what the group has given to others already."""
        with self._lock:
            self._partitions -= {TopicPartition(*address) for address in lost}


class KafkaPythonProducer(BaseProducer):
    """Writes records; made by `KafkaPythonTransport.producer`.

    Parameters
    ----------
    client : KafkaProducer
        With its transactions initialised, if it has any.
    transport : KafkaPythonTransport
        Knows how many partitions a topic has.
    transactional_id : str or None
    watchdog : Watchdog
        Watches over the calls that wait without end.
    """

    def __init__(
        self,
        client: Any,
        transport: KafkaPythonTransport,
        transactional_id: str | None,
        watchdog: Watchdog,
    ) -> None:
        super().__init__(transport.partitions, transactional_id)
        self._client = client
        self._held = nullcontext if transactional_id is None else Pipeline(client).held
        self._watchdog = watchdog
        self._futures: deque[tuple[Any, int, int]] = deque()
        self._in_flight, self._records = 0, 0
        self._gathered: dict[Any, list[Entry]] = defaultdict(list)
        self._sizes: dict[Any, int] = defaultdict(int)

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
        """Gather what belongs to a transaction, which nobody sees before it commits; else send."""
        address, size = KafkaTopicPartition(topic, partition), len(key or b"") + len(value or b"")
        self._gathered[address].append(Entry(key, value, timestamp))
        self._sizes[address] += size
        if self.transactional_id is None or self._sizes[address] >= BATCH_BYTES:
            self._hand_over(address)
            if self._records > MAX_IN_FLIGHT or self._in_flight > MAX_IN_FLIGHT_BYTES:
                self._settle()

    def _hand_over(self, address: Any) -> None:
        """Give the client what was gathered for a partition."""
        entries, size = self._gathered.pop(address), self._sizes.pop(address)
        try:
            futures = list(send_all(self._client, address, entries))
        except kafka_errors.KafkaError as error:
            raise _ours(error, f"writing to {address.topic!r}", self._kind) from None
        self._futures += [(future, 0, 0) for future in futures[:-1]]
        self._futures.append((futures[-1], size, len(entries)))
        self._in_flight += size
        self._records += len(entries)

    def _settle(self) -> None:
        """Wait for the older half of what is in flight, and raise what any of it failed with."""
        with _translated("writing", self._kind), self._watchdog.over("a send"):
            while self._records > MAX_IN_FLIGHT // 2 or self._in_flight > MAX_IN_FLIGHT_BYTES // 2:
                future, size, records = self._futures.popleft()
                self._in_flight -= size
                self._records -= records
                future.get()

    def _commit(self, offsets: Mapping[TopicPartition, int], consumer: Consumer) -> None:
        with _translated("committing", self._kind), self._watchdog.over("a commit"):
            reader, told = _reader(consumer), None
            with self._held():
                self._hand_all_over()
                if offsets:
                    told = self._client._transaction_manager.send_offsets_to_transaction(
                        {
                            KafkaTopicPartition(*address): OffsetAndMetadata(offset, "", -1)
                            for address, offset in offsets.items()
                        },
                        reader.client.group_metadata(),
                    )
            self._await_sends(told)
            reader.ask()
            self._client.commit_transaction()

    def _abort(self) -> None:
        self._forget()
        with _translated("aborting"), self._watchdog.over("an abort"):
            self._client.abort_transaction()

    def flush(self) -> None:
        """Wait until everything sent is written, and raise if anything was not."""
        with _translated("writing", self._kind), self._watchdog.over("a flush"):
            self._await_sends()

    def _hand_all_over(self) -> None:
        """Give the client what is gathered still; without a wait, for the sender may be held."""
        for address in list(self._gathered):
            self._hand_over(address)

    def _await_sends(self, told: Any = None) -> None:
        """Wait until all is written, and the offsets of a group are told, if they are."""
        self._hand_all_over()
        self._client.flush()
        futures = [future for future, _, _ in self._futures]
        self._forget()
        for future in futures:  # first: where one failed, nobody may answer for the offsets
            future.get()
        if told is not None:
            told.wait()

    def _forget(self) -> None:
        self._futures.clear()
        self._gathered.clear()
        self._sizes.clear()
        self._in_flight, self._records = 0, 0

    def close(self) -> None:
        """Close the connections; an open transaction is aborted, or left to the next holder.

        What a transaction that was aborted, or never committed, has left behind is not waited for:
        the client would try to write it for as long as it may.
        """
        if self.transactional_id is None:
            self._client.close(timeout=HANGING)
            return
        try:
            if self.open:
                self.abort()
        except TransportError:
            self.open = False
        self._client._accumulator.abort_incomplete_batches()
        self._client.close(timeout=1.0)

    @property
    def _kind(self) -> type[TransportError]:
        """What an error is that may be of any kind: inside a transaction it can be worked again."""
        return TransportError if self.transactional_id is None else AbortableError


def _reader(consumer: Consumer) -> KafkaPythonConsumer:
    if not isinstance(consumer, KafkaPythonConsumer) or consumer.group is None:
        raise TransportError("offsets can only be committed for a consumer that has a group")
    return consumer


@contextmanager
def _translated(doing: str, kind: type[TransportError] = TransportError) -> Iterator[None]:
    """Turn the client's errors into ours."""
    try:
        yield
    except kafka_errors.KafkaError as error:
        raise _ours(error, doing, kind) from None


def _ours(error: Exception, doing: str, kind: type[TransportError]) -> TransportError:
    """Return an error of the client as one of ours.

    Once a producer has failed, the client wraps the cause into the text of a plain `KafkaError`, so
    being fenced has to be looked for there too.
    """
    text = str(error)
    if isinstance(error, _FENCED) or any(fenced.__name__ in text for fenced in _FENCED):
        return FencedError(
            f"another worker has taken over this one's identity ({doing}: {_brief(error)})"
        )
    return kind(f"{doing}: {_brief(error)}")


def _brief(error: Exception) -> str:
    """Return an error of the client in one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
