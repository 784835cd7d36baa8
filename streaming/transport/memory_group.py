"""A consumer group of the in-memory bus: who its members are, and which partitions are whose.

Partitions move at once when a member comes or goes, without waiting until their holder has let go
of them: so every move is as it is with Kafka when a member was taken for dead and is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from streaming.transport.api import FencedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streaming.transport.api import TopicPartition

_strangers = count()


@dataclass(frozen=True, slots=True, eq=False)
class Seat:
    """A consumer's place in its group: of the same name, only the latest one counts."""

    name: str
    static: bool


class Group:
    """Shares partitions out among members as evenly as it goes, and moves as few as it can.

    Parameters
    ----------
    partitions : sequence of TopicPartition
    """

    def __init__(self, partitions: Sequence[TopicPartition]) -> None:
        self._seats: dict[str, Seat] = {}
        self._owners: dict[TopicPartition, str] = {}
        self._tenures = dict.fromkeys(partitions, 0)

    def join(self, name: str) -> Seat:
        """Let a consumer in under a name, or as somebody new if it is empty."""
        seat = Seat(name or f"stranger {next(_strangers)}", static=bool(name))
        for address, owner in self._owners.items():
            if owner == seat.name:  # its predecessor's become its own
                self._tenures[address] += 1
        self._seats[seat.name] = seat
        self._share_out()
        return seat

    def leave(self, name: str) -> None:
        """Let a member go, and share its partitions out."""
        self._seats.pop(name, None)
        self._share_out()

    def given(self, seat: Seat) -> dict[TopicPartition, int]:
        """Return what a seat has now; nothing if the group gave it up.

        Beside each partition stands a number that is another one when it went away and came back.
        """
        holder = self._seats.get(seat.name)
        if holder is not seat:
            if holder is not None:
                raise FencedError(f"another worker has taken over the name {seat.name!r}")
            return {}
        return {
            address: self._tenures[address]
            for address, owner in self._owners.items()
            if owner == seat.name
        }

    def _share_out(self) -> None:
        names = list(self._seats)
        if not names:
            self._owners.clear()
            return
        share, more = divmod(len(self._tenures), len(names))
        held: dict[str, list[TopicPartition]] = {name: [] for name in names}
        free = []
        for address in self._tenures:
            owner = self._owners.get(address)
            if owner in held and len(held[owner]) < share + (1 if more else 0):
                held[owner].append(address)
            else:
                free.append(address)
        for address in free:
            name = min(names, key=lambda one: len(held[one]))
            held[name].append(address)
            self._owners[address] = name
            self._tenures[address] += 1
        self._even_out(held, share)

    def _even_out(self, held: dict[str, list[TopicPartition]], share: int) -> None:
        """Give those who have less than their share one from those who have more."""
        for name, addresses in held.items():
            while len(addresses) < share:
                rich = max(held, key=lambda one: len(held[one]))
                address = held[rich].pop()
                addresses.append(address)
                self._owners[address] = name
                self._tenures[address] += 1
