"""The memory bus is a faithful fake: whatever is done to it and to a broker, both show the same.

That includes readers that go on behind aborted transactions, which the embedded broker never
forgets.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from streaming.transport.api import (
    Consumer,
    FencedError,
    Producer,
    TopicPartition,
    TopicSpec,
    Transport,
)
from streaming.transport.memory import MemoryBus
from tests.streaming.transports import KAFKA, read_to_end

STEPS = 50


@dataclass
class Play:
    """A random sequence of calls on a transport, and all that was seen of it."""

    transport: Transport
    name: str
    random: np.random.Generator
    seen: list[object] = field(default_factory=list)

    def run(self) -> list[object]:
        # Without retention, because timestamps of 1970 are expired.
        self.transport.ensure_topics([TopicSpec(self.name, 2, {"retention.ms": "-1"})])
        self.consumer = self.transport.consumer([self.name], group=self.name)
        self.plain = self.transport.producer()
        self.holder = self.transport.producer(transactional_id=self.name)
        self.open = False
        for step in range(STEPS):
            moves = (self.write, self.turn, self.turn, self.look, self.replace)
            moves[self.random.integers(len(moves))](step)
        if self.open:
            self.holder.abort()
        self.look(STEPS)
        return self.seen

    def send(self, producer: Producer, step: int) -> None:
        for number in range(int(self.random.integers(1, 4))):
            key = b"%d" % self.random.integers(5)
            producer.send(self.name, b"%d.%d" % (step, number), key=key, timestamp=step)
        producer.flush()

    def write(self, step: int) -> None:
        self.send(self.plain, step)

    def turn(self, step: int) -> None:
        """Begin a transaction, write in it, or end it."""
        if not self.open:
            self.holder.begin()
            self.open = True
            self.send(self.holder, step)
        elif self.random.random() < 0.3:
            self.send(self.holder, step)
        else:
            if self.random.random() < 0.6:
                self.holder.commit(dict(self.consumer.positions()), self.consumer)
            else:
                self.holder.abort()
            self.open = False

    def replace(self, step: int) -> None:
        """Let another producer take over, with whatever is open; the earlier one must find out."""
        if self.random.random() < 0.7:
            return
        zombie, was_open = self.holder, self.open
        self.holder = self.transport.producer(transactional_id=self.name)
        self.open = False
        with pytest.raises(FencedError):
            self.try_to_commit(zombie, was_open)
        zombie.close()

    def try_to_commit(self, zombie: Producer, was_open: bool) -> None:
        if not was_open:
            zombie.begin()
            zombie.send(self.name, b"never seen")
        zombie.commit({}, self.consumer)

    def look(self, step: int) -> None:
        if self.random.random() < 0.3:
            self.consumer.seek(self.consumer.committed())
        records = read_to_end(self.consumer)
        self.seen.append(sorted((r.partition, r.offset, r.value, r.timestamp) for r in records))
        self.seen.append(self.ends(self.consumer))
        self.seen.append(self.consumer.committed())

    def ends(self, consumer: Consumer) -> dict[TopicPartition, int]:
        ends = consumer.end_offsets()
        assert consumer.positions() == ends
        return ends


@pytest.mark.parametrize("client", KAFKA)
@pytest.mark.parametrize("seed", range(3))
def test_memory_and_broker_show_the_same(broker: str, client: str, seed: int) -> None:
    kafka = KAFKA[client](broker)
    name = f"agreement-{client}-{seed}"
    real = Play(kafka, name, np.random.default_rng(seed)).run()
    fake = Play(MemoryBus(), name, np.random.default_rng(seed)).run()
    kafka.close()
    assert len(real) > 10
    assert fake == real
