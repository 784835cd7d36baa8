"""Names and keys: what the outside world calls a thing, and the 64 bits that policies know it by.

Logs and simulated worlds know their users by keys alone. Such a user is named by the key written
out in 16 hexadecimal digits, and that name means that key, so that a decision made in the live loop
has the request key, hence the randomness, that it has in the world or the log.
"""

from __future__ import annotations

import re
from functools import lru_cache

from agents.api import key_of

_WRITTEN_OUT = re.compile(r"[0-9a-f]{16}")


def name_of(key: int) -> str:
    """Return a key written out, the name of what has no other."""
    return f"{int(key):016x}"


@lru_cache(maxsize=1 << 16)
def key_named(name: str) -> int:
    """Return the key of a name: the number itself if the name is a key written out."""
    return int(name, 16) if _WRITTEN_OUT.fullmatch(name) else key_of(name)
