"""Many records at once for kafka-python, whose `send` takes one and is slow at it.

The client checks each record, makes a future of it and writes it byte by byte: ten times what the
rest of a worker's batch costs. What a transaction writes is visible only when it commits, so it may
as well be gathered and laid into the client's open batches in one go, in the same format. The first
record of every batch goes through `send`, which does all that belongs to a batch.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BATCH_BYTES = 256 * 1024
"""How large the batches are that records are laid into: below what topics take by default."""


class Entry(NamedTuple):
    """A record to be written: key, value, and its time in milliseconds, if it is not now."""

    key: bytes | None
    value: bytes | None
    timestamp: int | None


def send_all(client: Any, address: Any, entries: Sequence[Entry]) -> Iterator[Any]:
    """Send records to one partition, and return the futures of the batches they went into.

    Parameters
    ----------
    client : kafka.KafkaProducer
    address : kafka.TopicPartition
    entries : sequence of Entry
        A key or a value in each.
    """
    done = 0
    while done < len(entries):
        key, value, timestamp = entries[done]
        yield client.send(
            address.topic,
            value=value,
            key=key,
            partition=address.partition,
            timestamp_ms=timestamp,
        )
        done += 1
        done += _lay(client._accumulator, address, entries, done)


def _lay(accumulator: Any, address: Any, entries: Sequence[Entry], start: int) -> int:
    """Lay what fits into the partition's open batch, if it is open still; return how many."""
    with accumulator._tp_lock(address):
        waiting = accumulator._batches[address]
        batch = waiting[-1] if waiting else None
        if batch is None or batch.records._closed:
            return 0
        records = batch.records
        builder, offset = records._builder, records._next_offset
        room = builder._batch_size - len(builder._buffer)
        base, newest = builder._first_timestamp, builder._max_timestamp
        now, laid = int(time.time() * 1000), 0
        parts: list[bytes] = []
        for key, value, given in entries[start:]:
            timestamp = now if given is None else given
            body = b"".join(
                (
                    b"\0",
                    varint(timestamp - base),
                    varint(offset + laid),
                    _sized(key),
                    _sized(value),
                    b"\0",
                )
            )
            length = varint(len(body))
            room -= len(length) + len(body)
            if room < 0:
                break
            parts += (length, body)
            newest = max(newest, timestamp)
            laid += 1
        if laid:
            builder._buffer += b"".join(parts)
            builder._max_timestamp = newest
            builder._num_records += laid
            builder._last_offset = offset + laid - 1
            records._next_offset = offset + laid
        return laid


def varint(number: int) -> bytes:
    """Return a number as Kafka writes it into a record: zigzag, seven bits to a byte."""
    zigzag = number << 1 if number >= 0 else (-number << 1) - 1
    if zigzag < 0x80:
        return _SHORT[zigzag]
    if zigzag < 0x4000:
        return bytes((zigzag & 0x7F | 0x80, zigzag >> 7))
    out = bytearray()
    while zigzag >= 0x80:
        out.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    out.append(zigzag)
    return bytes(out)


_SHORT = [bytes((n,)) for n in range(0x80)]


def _sized(data: bytes | None) -> bytes:
    """Return bytes behind their length, -1 if there are none."""
    return b"\x01" if data is None else varint(len(data)) + data
