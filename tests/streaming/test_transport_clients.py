"""What surrounds a Kafka client: errors for people, the watchdog, properties without leaks."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kafka import KafkaProducer

from streaming import transport as public
from streaming.transport.api import TopicPartition, TopicSpec, Transport, TransportError
from streaming.transport.clients import CLIENTS, connect
from streaming.transport.confluent import ConfluentTransport
from streaming.transport.kafka_python import KafkaPythonTransport
from streaming.transport.kafka_python.finished_aborts import careful
from streaming.transport.memory import MemoryBus
from streaming.transport.properties import ClientProperties, servers_of, waits
from streaming.transport.watchdog import EXIT_CODE, Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("client", CLIENTS)
def test_an_unreachable_broker_is_named_in_one_line_and_soon(client: str) -> None:
    server = f"127.0.0.1:{closed_port()}"
    starts: list[Callable[[Transport], object]] = [
        lambda transport: transport.ensure_topics([TopicSpec("x")]),
        lambda transport: transport.partitions("x"),
        lambda transport: transport.producer(),
    ]
    for start in starts:
        transport = connect(server, client=client, timeout=0.5)
        began = time.monotonic()
        with pytest.raises(TransportError, match=f"no Kafka broker answers at {server}") as caught:
            start(transport)
        assert time.monotonic() - began < 5.0
        assert "\n" not in str(caught.value)
        assert "--bootstrap-servers" in str(caught.value)
        transport.close()


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("servers", ["", "kafka", "kafka:", "a:1,,b:2", "kafka:port", "a b:1 2"])
def test_servers_are_host_and_port(servers: str, client: str) -> None:
    with pytest.raises(TransportError, match="host:port"):
        connect(servers, client=client)
    assert servers_of(" a:1, [::1]:9092 ") == ["a:1", "[::1]:9092"]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_topic_that_cannot_be_made_is_named(broker: str, client: str) -> None:
    transport = connect(broker, client=client)
    with pytest.raises(TransportError, match="not legal"):
        transport.ensure_topics([TopicSpec("not legal")])
    transport.close()


def test_where_empty_fetches_wait_a_consumer_is_never_paused(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert waits("MkU3OEVBNTcwNTJENDM2Qk")
    assert waits(None)
    monkeypatch.setattr("streaming.transport.confluent.transport.waits", lambda _cluster: True)
    transport = ConfluentTransport(broker)
    transport.ensure_topics([TopicSpec("kafka-like", 1, {"retention.ms": "-1"})])
    producer, consumer = transport.producer(), transport.consumer(["kafka-like"])
    monkeypatch.setattr(consumer, "_rest", lambda: pytest.fail("paused"))
    where, values = TopicPartition("kafka-like", 0), []
    for number in range(3):
        producer.send("kafka-like", b"%d" % number, partition=0)
        producer.flush()
        values += [record.value for record in consumer.poll(10, 20.0)]
        assert consumer.positions() == consumer.end_offsets() == {where: number + 1}
    assert values == [b"0", b"1", b"2"]
    consumer.seek({where: 1})
    assert [record.value for record in consumer.poll(10, 20.0)] == [b"1", b"2"]
    transport.close()


def test_the_watchdog_bites_what_hangs_and_nothing_else() -> None:
    bitten: list[str] = []
    biting = threading.Event()

    def bite(message: str) -> None:
        bitten.append(message)
        biting.set()

    with Watchdog(60.0, bite).over("a quick call"):
        pass
    with Watchdog(0.01, bite).over("a commit"):
        assert biting.wait(10.0)
    assert len(bitten) == 1
    assert "a commit has not come back within 0.01 s" in bitten[0]


def test_the_watchdog_ends_the_process() -> None:
    code = (
        "import time\nfrom streaming.transport.watchdog import Watchdog\n"
        "with Watchdog(0.1).over('a commit'):\n    time.sleep(600)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == EXIT_CODE
    assert ended.stderr.startswith("recloop: a commit has not come back within 0.1 s")


def test_properties_are_read_in_either_dialect(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    librdkafka = tmp_path / "librdkafka.properties"
    librdkafka.write_text(
        "# how to get in\nsecurity.protocol=SASL_SSL\nsasl.mechanisms = SCRAM-SHA-512\n"
        "sasl.username: me\nsasl.password=pa=ss:word\n\n"
        f"ssl.ca.location={tmp_path}/ca.pem\n"
    )
    java = tmp_path / "java.properties"
    java.write_text(
        "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\n"
        "sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \\\n"
        '    username="me" password="pa=ss:word";\n'
        "ssl.truststore.type=PEM\n"
        f"ssl.truststore.location={tmp_path}/ca.pem\n"
    )
    assert dict(ClientProperties.read(librdkafka)) == dict(ClientProperties.read(java))
    assert ClientProperties.read(java)["sasl.password"] == "pa=ss:word"


def test_secrets_come_from_elsewhere_and_are_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", "hunter2")
    (tmp_path / "key").write_text("hunter3\n")
    properties = ClientProperties(
        {
            "sasl.username": "me",
            "sasl.password": "${env:KAFKA_PASSWORD}",
            "ssl.key.password": f"${{file:{tmp_path / 'key'}}}",
        }
    )
    assert properties["sasl.password"] == "hunter2"
    assert properties["ssl.key.password"] == "hunter3"
    assert "hunter" not in repr(properties)
    assert "hunter" not in str(properties)
    assert "me" in repr(properties)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"sasl.usrname": "x"}, r"did you mean 'sasl\.username'"),
        ({"rubbish": "x"}, "known are"),
        ({"security.protocol": "TLS"}, "PLAINTEXT, SSL"),
        ({"sasl.mechanism": "GSSAPI"}, "must be one of"),
        ({"security.protocol": "SASL_SSL"}, r"give sasl\.mechanism as well"),
        ({"ssl.ca.location": "/not/there.pem"}, r"no file /not/there\.pem"),
        ({"ssl.truststore.type": "JKS"}, "PEM"),
        ({"sasl.password": "${env:RECLOOP_NOT_SET}"}, "RECLOOP_NOT_SET"),
        ({"sasl.password": "${file:/not/there}"}, "refer to a file"),
    ],
)
def test_properties_that_make_no_sense_are_refused(given: dict[str, str], reason: str) -> None:
    with pytest.raises(TransportError, match=reason):
        ClientProperties(given)


def test_files_that_hold_no_properties_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TransportError, match="cannot read"):
        ClientProperties.read(tmp_path / "missing.properties")
    (tmp_path / "bad.properties").write_text("client.id=x\nrubbish\n")
    with pytest.raises(TransportError, match="line 2"):
        ClientProperties.read(tmp_path / "bad.properties")


def test_properties_reach_the_client(
    broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ca.pem").write_text("")
    given: dict[str, object] = {}
    monkeypatch.setattr(
        "streaming.transport.kafka_python.transport.KafkaProducer",
        lambda **options: given.update(options) or KafkaProducer(bootstrap_servers=broker),
    )
    properties = ClientProperties(
        {
            "client.id": "me",
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "user",
            "sasl.password": "hunter2",
            "ssl.ca.location": str(tmp_path / "ca.pem"),
            "ssl.endpoint.identification.algorithm": "",
            "compression.type": "gzip",
        }
    )
    transport = KafkaPythonTransport(broker, properties)
    transport.producer()
    transport.close()
    expected = {
        "bootstrap_servers": [broker],
        "client_id": "me",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "user",
        "sasl_plain_password": "hunter2",
        "ssl_cafile": str(tmp_path / "ca.pem"),
        "ssl_check_hostname": False,
        "compression_type": "gzip",
    }
    assert expected.items() <= given.items()


def test_the_client_is_loaded_only_when_used() -> None:
    code = (
        "import sys\nimport streaming.transport as t\n"
        "from streaming.transport import MemoryBus\n"
        "assert 'kafka' not in sys.modules\n"
        "from streaming.transport import KafkaPythonTransport\n"
        "assert 'kafka' in sys.modules\n"
        "assert all(getattr(t, name).__name__ == name for name in t.__all__)\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)
    assert public.MemoryBus is MemoryBus
    with pytest.raises(AttributeError):
        _ = public.Nothing


def test_clients_are_chosen_by_name(broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(connect(broker), KafkaPythonTransport)
    assert isinstance(connect(broker, client="confluent-kafka"), ConfluentTransport)
    with pytest.raises(TransportError, match="did you mean 'kafka-python'"):
        connect(broker, client="kafka_python")
    monkeypatch.setitem(sys.modules, "streaming.transport.confluent", None)
    with pytest.raises(TransportError, match=r"recloop\[fast\]"):
        connect(broker, client="confluent-kafka")


class Batch:
    """A record batch, as kafka-python shows one; a marker if it ends a transaction."""

    magic = 2

    def __init__(self, producer_id: int, commit: bool | None = None) -> None:
        self.producer_id = producer_id
        self.is_control_batch = commit is not None
        self.commit = commit

    def __next__(self) -> Batch:
        return self


class Abort:
    def __init__(self, producer_id: int, first_offset: int) -> None:
        self.producer_id, self.first_offset = producer_id, first_offset


class Kept:
    """Stands in for the client's class: remembers what it is given."""

    def __init__(self, fetch_offset: int, tp: Any, records: Any, **options: Any) -> None:
        self.records = list(records)
        self.aborts = [(a.producer_id, a.first_offset) for a in options["aborted_transactions"]]


@pytest.mark.parametrize(
    ("batches", "left"),
    [
        ([Batch(1), Batch(1, commit=True)], []),  # what began at 2 ended before 6
        ([Batch(1), Batch(1, commit=False)], [(1, 2)]),  # it reaches over 6
        ([Batch(2), Batch(2, commit=True)], [(1, 2)]),  # another producer's marker says nothing
        ([Batch(1)], [(1, 2)]),  # the marker may be in the next answer
        ([Batch(1), Batch(1, commit=False), Batch(1, commit=True)], [(1, 2)]),
    ],
)
def test_only_aborts_that_ended_before_the_fetch_are_struck_off(
    batches: list[Batch], left: list[tuple[int, int]]
) -> None:
    made = careful(Kept)(6, None, iter(batches), aborted_transactions=[Abort(1, 2)])
    assert made.aborts == left
    ahead = careful(Kept)(6, None, iter(batches), aborted_transactions=[Abort(1, 7)])
    assert ahead.aborts == [(1, 7)]
    assert ahead.records == batches
