"""Which partition a key belongs to: by Kafka's rule, so that all clients agree where a user lives.

Each transport asks this module instead of its client library, because the libraries' defaults
differ (librdkafka hashes with CRC32) and because the keyed topics of the loop must line up: a
user's state lies in the partition of the same number as the user's feedback.
"""

from __future__ import annotations

from functools import lru_cache
from struct import unpack_from

_SEED, _MULTIPLIER, _WORD = 0x9747B28C, 0x5BD1E995, 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Return the 32-bit MurmurHash2 of some bytes with Kafka's seed.

    Source: Austin Appleby's public-domain MurmurHash2, as Kafka's `Utils.murmur2` applies it.
    """
    words, rest = divmod(len(data), 4)
    h = _SEED ^ len(data)
    for word in unpack_from(f"<{words}I", data):
        k = word * _MULTIPLIER & _WORD
        k = (k ^ k >> 24) * _MULTIPLIER & _WORD
        h = h * _MULTIPLIER & _WORD ^ k
    if rest:
        h = (h ^ int.from_bytes(data[-rest:], "little")) * _MULTIPLIER & _WORD
    h = (h ^ h >> 13) * _MULTIPLIER & _WORD
    return h ^ h >> 15


@lru_cache(maxsize=1 << 16)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition, of so many, in which a key's records lie."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
