"""How people say who is to decide: they write an order, and see what became of it."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from streaming.records import encode
from streaming.restore import read_to_end, read_topic
from streaming.roles import RoleError, decode_roles
from streaming.transport.api import TopicPartition

if TYPE_CHECKING:
    from streaming.roles import Order, Roles
    from streaming.topics import Topics
    from streaming.transport.api import Transport

_LOOK_EVERY = 0.1
_AT_ONCE = 1000


class Told(NamedTuple):
    """What a loop says of its roles.

    Parameters
    ----------
    roles : Roles or None
        The latest; None if no worker has told any.
    waiting : int
        About how many orders have not been obeyed yet.
    """

    roles: Roles | None
    waiting: int


def roles_told(transport: Transport, topics: Topics) -> Told:
    """Return who decides in a loop, as its worker last said.

    Raises
    ------
    TransportError
        If there is no such loop.
    """
    roles = None
    for records in read_topic(transport, topics.roles):
        roles = decode_roles(records[-1].value or b"")
    with closing(transport.consumer([topics.orders])) as orders:
        where = TopicPartition(topics.orders, 0)
        orders.seek({where: min(roles.obeyed if roles else 0, orders.end_offsets()[where])})
        waiting = sum(len(records) for records in read_to_end(orders))
    return Told(roles, waiting)


def send_order(
    transport: Transport, topics: Topics, order: Order, *, patience: float = 10.0
) -> Roles | None:
    """Send an order, and wait until the loop has obeyed it.

    Parameters
    ----------
    transport : Transport
    topics : Topics
    order : Order
    patience : float
        For how many seconds to wait.

    Returns
    -------
    Roles or None
        The roles after it; None if no worker has obeyed it in time. It stands, and is obeyed by
        the next that runs.

    Raises
    ------
    RoleError
        If it cannot be obeyed. What is sure to be refused is not sent.
    TransportError
        If there is no such loop.
    """
    told = roles_told(transport, topics)
    if told.roles is not None and not told.waiting:
        order.obeyed(told.roles, 0)
    mine, where = uuid4().bytes, TopicPartition(topics.orders, 0)
    with (
        closing(transport.consumer([topics.orders])) as orders,
        closing(transport.consumer([topics.roles])) as roles,
        closing(transport.producer()) as producer,
    ):
        orders.seek(orders.end_offsets())
        producer.send(where.topic, encode(order), key=mine, partition=where.partition)
        producer.flush()
        (offset,) = (r.offset for some in read_to_end(orders) for r in some if r.key == mine)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            for record in roles.poll(_AT_ONCE, _LOOK_EVERY):
                now = decode_roles(record.value or b"")
                if now.obeyed > offset:
                    if offset in now.refused:
                        raise RoleError(now.refused[offset])
                    return now
    return None
