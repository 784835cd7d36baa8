"""How workers agree on who decides: orders come in, the worker of partition 0 obeys them, all hear.

Anyone may write into the topic `orders`. One worker at a time obeys: the one that works partition
0, which the log itself makes sure is one alone (see `claims`). What the roles are after it, and how
far it has read the orders, is one record of the topic `roles`, written in the transaction of a
batch: so an order is obeyed once, whatever crashes. The other workers read that record between two
batches.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from streaming.records import RecordError, encode
from streaming.restore import read_to_end
from streaming.roles import RoleError, Roles, decode_order, decode_roles
from streaming.transport.api import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TypeAlias

    from streaming.roles import Order
    from streaming.topics import Topics
    from streaming.transport.api import Record, Transport

    Send: TypeAlias = Callable[..., None]

KEY = b"roles"
"""The one key of the topic `roles`."""

_AT_ONCE = 1000


class Control:
    """Hears orders and roles, and tells the roles if it is this worker who obeys.

    Parameters
    ----------
    transport : Transport
    topics : Topics
    policies : sequence of str
        The names of the worker's policies, the first being the champion to begin with.

    Raises
    ------
    RoleError
        If the champion is none of them.

    Attributes
    ----------
    roles : Roles
        Who decides now.
    """

    def __init__(self, transport: Transport, topics: Topics, policies: Sequence[str]) -> None:
        self._topics, self._policies = topics, policies
        self._log, self._orders = (transport.consumer([t]) for t in (topics.roles, topics.orders))
        self._told: Roles | None = None
        self._leads = False
        self._waiting: list[Record] = []
        self._asked: list[Order] = []
        self.roles = Roles(champion=policies[0])
        self._catch_up()

    def listen(self, *, leads: bool) -> None:
        """Take note of what was ordered or decided since: between batches only.

        Parameters
        ----------
        leads : bool
            Whether this worker works partition 0, and so obeys.

        Raises
        ------
        RoleError
            If others have a champion that is none of this worker's policies.
        """
        if leads and not self._leads:
            self._catch_up()
            self._orders.seek({TopicPartition(self._topics.orders, 0): self.roles.obeyed})
            self._waiting = [record for some in read_to_end(self._orders) for record in some]
        self._leads = leads
        if leads:
            while records := self._orders.poll(_AT_ONCE, 0.0):
                self._waiting += records
            return
        while records := self._log.poll(_AT_ONCE, 0.0):
            self._hear(records)
        self.roles = self.roles.serving(self._policies)

    @property
    def due(self) -> bool:
        """Whether there is something to obey or to tell."""
        return bool(self._waiting or self._asked or (self._leads and self.roles != self._told))

    def ask(self, orders: Iterable[Order]) -> None:
        """Order something from within; who does not obey passes it on."""
        self._asked += orders

    def obey(self, learned: int) -> None:
        """Do what was ordered, now that there have been so many outcomes."""
        if not self._leads:
            return
        refused: dict[int, str] = {}
        for record in self._waiting:
            try:
                self.roles = decode_order(record.value or b"").obeyed(self.roles, learned)
            except (RecordError, RoleError) as error:
                refused[record.offset] = str(error)
            self.roles = msgspec.structs.replace(
                self.roles, obeyed=record.offset + 1, refused=refused
            )
        for order in self._asked:
            with suppress(RoleError):  # it came too late: somebody has changed the roles meanwhile
                self.roles = order.obeyed(self.roles, learned)
        self._waiting, self._asked = [], []

    def tell(self, send: Send) -> None:
        """Tell what is new, within the transaction of a batch."""
        if self._leads and self.roles != self._told:
            send(self._topics.roles, encode(self.roles), key=KEY)
            self._told = self.roles
        for order in self._asked:
            send(self._topics.orders, encode(order))
        self._asked = []

    def close(self) -> None:
        """Let go of the connections."""
        self._log.close()
        self._orders.close()

    def _catch_up(self) -> None:
        """Take over what the topic holds by now."""
        for records in read_to_end(self._log):
            self._hear(records)
        self.roles = self.roles.serving(self._policies)

    def _hear(self, records: Sequence[Record]) -> None:
        for record in records:
            self.roles = self._told = decode_roles(record.value or b"")
