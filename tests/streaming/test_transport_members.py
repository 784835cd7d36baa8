"""What every transport must do: groups whose members share partitions out."""

from __future__ import annotations

import time
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from streaming.transport.api import TopicPartition, TopicSpec
from tests.streaming.transports import PATIENCE, read, write

if TYPE_CHECKING:
    from streaming.transport.api import Consumer, Transport


def members(transport: Transport, prefix: str, *names: str) -> list[Consumer]:
    """Return members of a group that share four partitions, each once it has been let in."""
    transport.ensure_topics([TopicSpec(f"{prefix}shared", 4)])
    made: list[Consumer] = []
    for name in names:
        joining = Thread(target=lambda: made.append(joined(transport, prefix, name)))  # noqa: B023
        joining.start()
        while joining.is_alive():  # those already there must take part in the rebalance
            for member in made:
                member.poll(1, 0.01)
            joining.join(0.01)
    return made


def joined(transport: Transport, prefix: str, name: str) -> Consumer:
    return transport.consumer([f"{prefix}shared"], group=f"{prefix}group", member=name)


def shares(group: list[Consumer]) -> list[set[int]]:
    """Return who has what, once all four partitions are somebody's."""
    deadline = time.monotonic() + PATIENCE
    while True:
        for member in group:
            member.poll(1, 0.02)
        found = [{where.partition for where in member.assigned()} for member in group]
        if sum(map(len, found)) == len(set().union(*found)) == 4 and all(found):
            return found
        assert time.monotonic() < deadline, f"the group did not share out: {found}"


@pytest.mark.parametrize("names", [("a",), ("",)])
def test_a_member_alone_has_all_partitions(
    transport: Transport, prefix: str, names: tuple[str]
) -> None:
    group = members(transport, prefix, *names)
    assert shares(group) == [{0, 1, 2, 3}]
    where = [TopicPartition(f"{prefix}shared", n) for n in range(4)]
    write(transport, f"{prefix}shared", b"0", b"1", b"2")
    (alone,) = group
    assert [record.value for record in read(alone, 3)] == [b"0", b"1", b"2"]
    assert alone.positions()[where[0]] == 3
    alone.seek({where[0]: 1})
    assert [record.value for record in read(alone, 2)] == [b"1", b"2"]
    assert alone.end_offsets() == {where[0]: 3, where[1]: 0, where[2]: 0, where[3]: 0}
    alone.close()


def test_members_share_partitions_out_and_take_over_from_those_who_leave(
    transport: Transport, prefix: str
) -> None:
    group = members(transport, prefix, "", "")
    before = shares(group)
    assert [len(share) for share in before] == [2, 2]
    group.pop().close()
    assert shares(group) == [{0, 1, 2, 3}]
    group[0].close()


def test_a_named_member_that_comes_again_has_what_it_had(transport: Transport, prefix: str) -> None:
    first = members(transport, prefix, "a")[0]
    assert shares([first]) == [{0, 1, 2, 3}]
    write(transport, f"{prefix}shared", b"0", b"1")
    read(first, 2)
    producer = transport.producer(transactional_id=f"{prefix}t")
    producer.begin()
    producer.commit({TopicPartition(f"{prefix}shared", 0): 1}, first)
    again = joined(transport, prefix, "a")
    assert shares([again]) == [{0, 1, 2, 3}]
    again.seek(again.committed())
    assert [record.value for record in read(again, 1)] == [b"1"]
    again.close()
