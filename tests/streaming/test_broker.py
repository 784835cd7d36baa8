"""The embedded broker comes up, keeps what it was given, and never outlives its owner."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streaming.transport.api import TopicPartition, TopicSpec, TransportError
from streaming.transport.broker import EmbeddedBroker
from streaming.transport.clients import CLIENTS, connect
from streaming.transport.kafka_python import KafkaPythonTransport
from tests.streaming.transports import read

OWNER = """
import sys, time
from streaming.transport.broker import EmbeddedBroker
broker = EmbeddedBroker()
broker.start()
print(broker.port, broker.data_dir, flush=True)
time.sleep(600)
"""


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until_silent(port: int) -> None:
    deadline = time.monotonic() + 20.0
    while listens(port):
        assert time.monotonic() < deadline, "the broker lives on"
        time.sleep(0.05)


def test_it_runs_for_a_block_and_leaves_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with EmbeddedBroker() as broker:
        folder, port = broker.data_dir, broker.port
        assert listens(port)
        assert "kafka" in broker.log.read_text()
    assert not listens(port)
    assert not folder.exists()
    assert capfd.readouterr() == ("", "")


def test_data_in_a_given_folder_outlast_a_stop(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "here"
    with EmbeddedBroker(folder) as broker:
        transport = KafkaPythonTransport(broker.bootstrap_servers)
        transport.ensure_topics([TopicSpec("kept")])
        producer = transport.producer()
        producer.send("kept", b"value", key=b"key")
        producer.flush()
        transport.close()
    assert folder.exists()
    with EmbeddedBroker(folder) as broker:
        transport = KafkaPythonTransport(broker.bootstrap_servers)
        assert [(r.key, r.value) for r in read(transport.consumer(["kept"]), 1)] == [
            (b"key", b"value")
        ]
        transport.close()


@pytest.mark.parametrize("client", CLIENTS)
def test_clients_outlast_a_restart_of_the_broker(tmp_path: Path, client: str) -> None:
    broker = EmbeddedBroker(tmp_path)
    broker.start()
    transport = connect(broker.bootstrap_servers, client=client)
    transport.ensure_topics([TopicSpec("in"), TopicSpec("out")])
    writer = transport.producer()
    producer = transport.producer(transactional_id="t")
    consumer = transport.consumer(["in"], group="g")
    for number in range(2):
        writer.send("in", b"%d" % number)
        writer.flush()
        (record,) = read(consumer, 1)
        producer.begin()
        producer.send("out", record.value)
        producer.commit(consumer.positions(), consumer)
        if number == 0:
            broker.stop()
            broker = EmbeddedBroker(tmp_path, port=broker.port)
            broker.start()
    assert consumer.committed() == {TopicPartition("in", 0): 2}
    assert [r.value for r in read(transport.consumer(["out"]), 2)] == [b"0", b"1"]
    transport.close()
    broker.stop()


def test_it_dies_with_an_owner_that_is_killed() -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    port, _, folder = owner.stdout.readline().partition(" ")
    assert listens(int(port))
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    wait_until_silent(int(port))
    deadline = time.monotonic() + 20.0
    while Path(folder.strip()).exists():
        assert time.monotonic() < deadline, "its folder is left behind"
        time.sleep(0.05)


def test_a_port_that_is_taken_is_told_with_the_log(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(TransportError, match=f"port {port}") as caught:
            EmbeddedBroker(tmp_path, port=port, patience=5.0).start()
    assert "noida" in str(caught.value)


def test_stopping_twice_is_fine(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path)
    broker.stop()
    broker.start()
    group = os.getpgid(broker_pid(broker.port))
    broker.stop()
    broker.stop()
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)


def broker_pid(port: int) -> int:
    """Return the process that listens on a port, from the command lines of all processes."""
    command = ["ps", "-ww", "-eo", "pid,args"]
    listing = subprocess.run(command, capture_output=True, text=True, check=True)
    for line in listing.stdout.splitlines():
        if f"--kafka-port {port}" in line:
            return int(line.split()[0])
    raise AssertionError(f"no broker on port {port}")
