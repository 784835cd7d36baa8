"""Thousands of messages mangled in every way: each is answered for, and the loop goes on."""

from __future__ import annotations

import numpy as np

from streaming.events import encode
from streaming.transport.memory import MemoryBus
from streaming.worker import Worker
from tests.streaming.support import CONFIG, Loop, OrderPolicy, drain, ranking, story

MESSAGES = 10_000
WORDS = [
    b"1e400",
    b"-1",
    b"null",
    b'""',
    b"[]",
    b"{}",
    b"99999999999999999999999",
    b'"\\ud800"',
    b"true",
    b'"\xc3\x28"',
    b"0.5",
]


def mangled(value: bytes, rng: np.random.Generator) -> bytes:
    """Return a message with bytes changed, cut out, repeated, or a token replaced."""
    data = bytearray(value)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(0, len(data) + 1))
        match rng.integers(0, 5):
            case 0:
                data[at : at + 1] = bytes([int(rng.integers(0, 256))])
            case 1:
                del data[at : at + int(rng.integers(1, 20))]
            case 2:
                data[at:at] = data[at : at + int(rng.integers(1, 40))]
            case 3:
                colon = data.find(b":", at)
                end = min(
                    (p for p in (data.find(b",", colon), data.find(b"}", colon)) if p > 0),
                    default=-1,
                )
                if 0 < colon < end:
                    data[colon + 1 : end] = WORDS[int(rng.integers(0, len(WORDS)))]
            case _:
                data = data[: at + 1]
    return bytes(data)


def test_ten_thousand_mangled_messages_stop_nothing() -> None:
    rng = np.random.default_rng(0)
    loop = Loop(MemoryBus())
    loop.announce()
    events = [encode(event) for event in story(5, 40, 1)]
    for _ in range(MESSAGES):
        value = mangled(events[int(rng.integers(0, len(events)))], rng)
        loop.raw(value, key=f"u{rng.integers(0, 5)}".encode())
    loop.send(ranking("u0", "after all", 30_000_000))
    loop.tick(30_002_000)
    worker = Worker(loop.transport, OrderPolicy, CONFIG)
    drain(worker)
    report = worker.report()
    assert report.events == MESSAGES + 1 + 2 * CONFIG.rules.quorum
    assert sum(report.dead.values()) == len(loop.letters()) > MESSAGES / 2
    assert report.outcomes == report.rankings > 10
    assert loop.outcomes()[-1].ranking == "after all"
    assert report.waiting == 0
    again = Worker(loop.transport, OrderPolicy, CONFIG)
    assert again.report().events == report.events
