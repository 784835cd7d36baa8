"""Who takes a transactional id over by a number of its own: one holder, whoever comes between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Consumer, KafkaException, Producer

from streaming.transport.confluent.succession import Succession

if TYPE_CHECKING:
    from collections.abc import Callable


class Takeover:
    """One who takes an id over, and lets something happen before it begins an id."""

    def __init__(self, broker: str, name: str) -> None:
        self._servers, self._name = {"bootstrap.servers": broker}, name
        self.begun: list[str] = []
        self.before: dict[str, Callable[[], object]] = {}

    def begin(self, name: str) -> Any:
        self.before.get(name, lambda: None)()
        self.begun.append(name)
        client = Producer(self._servers | {"transactional.id": name})
        client.init_transactions(10.0)
        return client

    def __call__(self) -> Succession:
        counter = Consumer(self._servers | {"group.id": f"{self._name}~"})
        return Succession(self._name, self.begin, counter, 10.0)


def write(client: Any) -> None:
    client.begin_transaction()
    client.commit_transaction(10.0)


def test_every_holder_has_an_id_of_its_own_and_fences_the_one_before(broker: str) -> None:
    first, second = Takeover(broker, "follow"), Takeover(broker, "follow")
    one = first()
    clients = [one.next(), one.next()]
    write(clients[1])
    two = second()
    clients.append(two.next())
    assert first.begun == ["follow", "follow~1", "follow~2"]
    assert second.begun == ["follow", "follow~2", "follow~3"]
    clients[1].begin_transaction()
    clients[1].produce("follow", b"of the zombie")
    with pytest.raises(KafkaException, match="fenced"):
        clients[1].commit_transaction(10.0)
    with pytest.raises(KafkaException, match="fenced"):
        one.next()
    write(clients[2])
    one.close()
    two.close()


@pytest.mark.parametrize("number", [1, 2])
def test_who_is_overtaken_between_its_number_and_its_id_gives_up(broker: str, number: int) -> None:
    name = f"overtaken-{number}"
    slow, fast = Takeover(broker, name), Takeover(broker, name)
    late = slow()
    if number == 2:
        write(late.next())
    held: list[Any] = []

    def overtake() -> None:
        if not held:
            held.append(fast())
            held.append(held[0].next())

    slow.before[f"{name}~{number}"] = overtake
    with pytest.raises(KafkaException, match="fenced"):
        late.next()
    assert (slow.begun[-1], fast.begun[-1]) == (f"{name}~{number}", f"{name}~{number + 1}")
    write(held[1])
    late.close()
    held[0].close()
