"""A log of outcomes told again as the events that would have led to it, in the order of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from agents.api import PAD, Outcomes
from streaming.events import InteractionEvent, RankedItem, RankingEvent, UserEvent
from streaming.names import name_of
from streaming.sending import CONTEXT, Sender, numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from agents.api import Catalogue
    from streaming.config import WorkerConfig
    from streaming.transport.api import Transport

CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Replayed:
    """What was sent.

    Parameters
    ----------
    sent : mapping of str to int
        How many events of each kind.
    end : int
        The event time up to which everything closes, in milliseconds since the epoch. Who goes on
        in the same topics begins later.
    """

    sent: Mapping[str, int]
    end: int


def replay_log(
    transport: Transport,
    log: Outcomes | Iterable[Outcomes],
    config: WorkerConfig,
    *,
    interaction: str = "click",
    progress: Callable[[int, int | None], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Replayed:
    """Send a log as item, user, ranking and interaction events, and let all its windows pass.

    A ranking is named by its request key and carries policy, version, propensities, positions and
    context; users, whom a log knows by their keys alone, are named by them, and introduced by a
    user event when they first appear. A slot's reward becomes one interaction with that value.

    Parameters
    ----------
    transport : Transport
    log : Outcomes or iterable of Outcomes
        Over one catalogue with names. Of several batches none may be earlier than the one before.
    config : WorkerConfig
        Of the worker that will read them: its schemas are `sending.schema_of` CONTEXT and FEATURES.
    interaction : str
        The type of interaction that rewards become.
    progress : callable, optional
        Is called with how many rows are sent, and how many there are, if that is known.
    stop : callable, optional
        Is asked before every row whether that is enough; what was sent closes all the same.

    Raises
    ------
    NamelessError
        If the items have no names.
    """
    sender = Sender(transport, config)
    try:
        batches, total = ([log], len(log)) if isinstance(log, Outcomes) else (log, None)
        teller = Teller(sender, config.rules.window, interaction)
        end = 0
        for done, (batch, row) in enumerate(_in_time(batches), start=1):
            if stop is not None and stop():
                break
            if done == 1:
                sender.announce(batch.requests.items)
            teller.tell(batch, row)
            end = max(end, int(batch.requests.time[row]))
            if progress is not None and (done % CHUNK == 0 or done == total):
                progress(done, total)
        end += config.rules.window
        for partition in range(config.partitions):
            sender.ring(partition, end)
        sender.flush()
    finally:
        sender.close()
    return Replayed(dict(sender.sent), end + config.rules.lateness)


def _in_time(batches: Iterable[Outcomes]) -> Iterator[tuple[Outcomes, int]]:
    """Return the rows of batches, those of each in the order of time."""
    for batch in batches:
        for row in np.argsort(batch.requests.time, kind="stable").tolist():
            yield batch, row


class Teller:
    """Tells rows of a log.

    Parameters
    ----------
    sender : Sender
    window : int
        What is rewarded later than so many milliseconds after its ranking is told as in time.
    interaction : str
        The type of interaction that rewards become.
    """

    def __init__(self, sender: Sender, window: int, interaction: str) -> None:
        self._sender, self._window, self._interaction = sender, window, interaction
        self._met: set[int] = set()

    def tell(self, log: Outcomes, row: int, *, later: int = 0) -> None:
        """Send the events of a row, so many milliseconds later than they were.

        An item without a name is named by its key.
        """
        requests, decisions = log.requests, log.decisions
        time, key = int(requests.time[row]) + later, int(requests.users[row])
        user, ranking = name_of(key), name_of(int(requests.keys[row]))
        context = numbers(CONTEXT, requests.context[row])
        if key not in self._met:
            self._met.add(key)
            hello = UserEvent(id="hello", timestamp=time, user=user, fields=context)
            self._sender.send("users", user, hello)
        filled = np.flatnonzero(decisions.slates[row] != PAD).tolist()
        items = [
            RankedItem(
                _named(requests.items, decisions.slates[row, slot]),
                propensity=_stated(decisions.propensities[row, slot]),
                position=int(requests.positions[row, slot]),
                seen=bool(log.seen[row, slot]),
            )
            for slot in filled
        ]
        event = RankingEvent(
            id=ranking,
            timestamp=time,
            user=user,
            items=items,
            fields=context,
            policy=decisions.policy,
            version=int(decisions.versions[row]),
        )
        self._sender.send("rankings", user, event)
        done = min(max(int(log.time[row]) + later, time), time + self._window - 1)
        for slot, item in zip(filled, items, strict=True):
            if log.rewards[row, slot] != 0.0:
                answer = InteractionEvent(
                    id=f"{ranking} {slot}",
                    timestamp=done,
                    user=user,
                    item=item.id,
                    type=self._interaction,
                    ranking=ranking,
                    value=float(log.rewards[row, slot]),
                )
                self._sender.send("interactions", user, answer)


def _named(items: Catalogue, row: int) -> str:
    return name_of(int(items.keys[row])) if items.names is None else items.names[row]


def _stated(propensity: float) -> float | None:
    return None if np.isnan(propensity) else float(propensity)
