"""A policy's state as one message: numbers in safetensors, text beside them, no code.

A snapshot belongs to the policy as it was when it had learned nothing of the loop. Another policy,
or the same one trained otherwise beforehand, does not take it over but learns all outcomes anew.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from safetensors.numpy import load as read_arrays
from safetensors.numpy import save as write_arrays

from streaming.records import read

if TYPE_CHECKING:
    from agents.api import Policy, State


class Snapshot(msgspec.Struct):
    """What a policy had learned.

    Parameters
    ----------
    origin : str
        Which policy; see `origin_of`.
    counts : dict of int to int
        By partition, how many outcomes it had learned from.
    numbers : dict of int to int
        By partition, the number of the first outcome that it had not learned from.
    arrays : bytes
        The state's arrays of numbers, as safetensors.
    text : dict of str to tuple
        The state's arrays of text: their shape and their values.
    """

    origin: str
    counts: dict[int, int]
    numbers: dict[int, int]
    arrays: bytes
    text: dict[str, tuple[list[int], list[str]]]


_decoder: msgspec.msgpack.Decoder[Snapshot] = msgspec.msgpack.Decoder(Snapshot)


def take(state: State, origin: str, counts: dict[int, int], numbers: dict[int, int]) -> bytes:
    """Return what a policy has learned as a message."""
    return msgspec.msgpack.encode(Snapshot(origin, counts, numbers, *_sorted_out(state)))


def read_snapshot(message: bytes) -> Snapshot:
    """Return the snapshot that a message holds, or raise `RecordError`."""
    return read(_decoder, message, "a snapshot")


def state_in(snapshot: Snapshot) -> State:
    """Return the state that a snapshot holds."""
    state: State = dict(read_arrays(snapshot.arrays))
    for name, (shape, values) in snapshot.text.items():
        state[name] = np.array(values, dtype=np.str_).reshape(shape)
    return state


def origin_of(policy: Policy) -> str:
    """Return what tells a policy from others: its name, and the digest of its state by now."""
    numbers, text = _sorted_out(policy.state_dict())
    digest = blake2b(numbers, digest_size=8)
    digest.update(msgspec.msgpack.encode(sorted(text.items())))
    return f"{policy.name} {digest.hexdigest()}"


def _sorted_out(state: State) -> tuple[bytes, dict[str, tuple[list[int], list[str]]]]:
    numbers = {}
    text = {}
    for name, array in sorted(state.items()):
        if array.dtype.kind == "U":
            text[name] = (list(array.shape), array.ravel().tolist())
        else:
            numbers[name] = np.ascontiguousarray(array).reshape(array.shape)
    return write_arrays(numbers), text
