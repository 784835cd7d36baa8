"""What the loop writes for others to read: recommendations, outcomes and dead letters, as JSON.

An outcome record is complete: it holds the context, the features of the items shown, and the
probabilities under which they were shown. A policy that folds these records, in the order of `seq`,
arrives at the state of the worker that wrote them, whatever has become of the catalogue since.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec
import numpy as np

from agents.api import Catalogue, Decisions, Outcomes, RecloopError, Requests
from streaming.names import key_named

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from streaming.transport.api import Record

_R = TypeVar("_R")

SCHEMA = 1
"""The version of these records, written into each of them."""


KEPT_BYTES = 4096
"""How much is kept of a message that is too large to be kept whole."""

_LETTER_BYTES = 512 * 1024  # in base64, what a record of a topic with Kafka's defaults has room for
_REASON_LENGTH = 500


class RecordError(RecloopError):
    """A record of our own topics that cannot be read, or records that do not belong together."""


class Slot(msgspec.Struct, frozen=True, gc=False):
    """One item of a recommendation, and the probability that it was chosen, given those before."""

    id: str
    propensity: float
    position: int


class Recommendation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The slate to show a user next: to show it, send a ranking with this `id`.

    Parameters
    ----------
    user, id : str
    request : str
        The request key, 16 hexadecimal digits. With `policy`, `version` and `seed` it is what the
        decision's randomness is a function of.
    ordinal : int
        How many rankings of the user had been taken in. A user who is shown what was recommended
        makes request `ordinal`, as in a simulated world.
    time, expires : int
        When it was decided and when it must no longer be shown, in milliseconds since the epoch.
    context : list of D floats
        What was known of user and situation: float32 values.
    items : list of Slot
    policy : str
    version : int
        How many outcomes the policy had learned from.
    seed : int
        What the policy's randomness is rooted in, with the request key.
    candidates : str
        `Catalogue.fingerprint` of what could have been chosen, 16 hexadecimal digits.
    shadow : dict of str to list of floats
        By challenger, the probability of each of these slots, given those before it, had it
        decided.
    """

    user: str
    id: str
    request: str
    ordinal: int
    time: int
    expires: int
    context: list[float]
    items: list[Slot]
    policy: str
    version: int
    seed: int
    candidates: str
    shadow: dict[str, list[float]] = {}
    schema: int = SCHEMA


class OutcomeRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What came of one ranking, K slots long, when its attribution window had passed.

    Parameters
    ----------
    partition, number : int
        Its address: the partition of the user, and its number there, without gaps. Corrections are
        numbered with the outcomes.
    seq : int
        How many outcomes its writer had taken in before this one. Without gaps over all
        partitions as long as one worker has them all; with `partition` it is the order to fold in.
    ranking, user : str
    session : str or None
    request : str
        The request key, 16 hexadecimal digits.
    time, closed : int
        When the slate was shown and when its window closed, in milliseconds since the epoch.
    context : list of D floats
        float32 values.
    items : list of K str
    features : list of K lists of F floats
        float32 values, as the items were described when they were shown.
    positions : list of K ints
    propensities : list of K floats, or None
        None where nobody stated them: learned from, but of no use to offline evaluation.
    rewards : list of K floats
    seen : list of K bools
    policy : str
    version : int
    candidates : str or None
        `Catalogue.fingerprint` of what could have been shown; None where it is not known.
    predictions : list of K floats
        What the click model expected of every slot before it learned from this outcome.
    corrects : int or None
        The number, in this partition, of the outcome that this one takes the place of, if it is a
        correction: interactions came late.
    replaced : list of K floats
        The rewards that this correction takes back: those of the outcome, or of the correction
        before this one.
    signs : list of floats
        What feedback was judged by, if it was: see `suspicion.Signs`.
    quarantined : str or None
        Why nothing may learn from this outcome, if it is suspected to be a bot's or a flood.
    shadow : dict of str to list of K floats
        By challenger, the propensities that it would have had, stated when it was decided.
    again : bool
        Whether a ranking of this user was taken in between the decision and this one: the slate was
        not drawn for it, but perhaps shown a second time.
    """

    partition: int
    number: int
    seq: int
    ranking: str
    user: str
    session: str | None
    request: str
    time: int
    closed: int
    context: list[float]
    items: list[str]
    features: list[list[float]]
    positions: list[int]
    propensities: list[float] | None
    rewards: list[float]
    seen: list[bool]
    policy: str
    version: int
    candidates: str | None
    predictions: list[float] = []
    corrects: int | None = None
    replaced: list[float] = []
    signs: list[float] = []
    quarantined: str | None = None
    shadow: dict[str, list[float]] = {}
    again: bool = False
    schema: int = SCHEMA


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A message that could not be used, why, and where it came from.

    Parameters
    ----------
    kind : str
        The reason in a word, to count by.
    reason : str
        The reason in words, to act on.
    topic : str
    partition, offset, timestamp : int
        Where it lies, and when it was produced.
    key, value : bytes or None
        Its first bytes (base64 in JSON): all of them if `size` says so.
    size : int
        How many bytes the value had.
    """

    kind: str
    reason: str
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    size: int
    schema: int = SCHEMA


def letter_of(kind: str, reason: str, record: Record) -> DeadLetter:
    """Return a record as a dead letter; of what is too large to be one, its beginning."""
    value, key = record.value, record.key
    size = 0 if value is None else len(value)
    return DeadLetter(
        kind=kind,
        reason=reason[:_REASON_LENGTH],
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp=record.timestamp,
        key=None if key is None else key[:KEPT_BYTES],
        value=value if value is None or size <= _LETTER_BYTES else value[:KEPT_BYTES],
        size=size,
    )


encode = msgspec.json.Encoder().encode
_outcome: msgspec.json.Decoder[OutcomeRecord] = msgspec.json.Decoder(OutcomeRecord)
_recommendation: msgspec.json.Decoder[Recommendation] = msgspec.json.Decoder(Recommendation)
_dead_letter: msgspec.json.Decoder[DeadLetter] = msgspec.json.Decoder(DeadLetter)


def decode_outcome(value: bytes) -> OutcomeRecord:
    """Return the outcome that a message holds, or raise `RecordError`."""
    return read(_outcome, value, "an outcome")


def decode_recommendation(value: bytes) -> Recommendation:
    """Return the recommendation that a message holds, or raise `RecordError`."""
    return read(_recommendation, value, "a recommendation")


def decode_dead_letter(value: bytes) -> DeadLetter:
    """Return the dead letter that a message holds, or raise `RecordError`."""
    return read(_dead_letter, value, "a dead letter")


def read(
    decoder: msgspec.json.Decoder[_R] | msgspec.msgpack.Decoder[_R], value: bytes, what: str
) -> _R:
    """Return what a message of our own topics holds, or raise `RecordError` that it is not that."""
    try:
        return decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordError(
            f"{value[:60]!r} is not {what} of schema {SCHEMA} ({error}): "
            "was the topic written by something else? Take another prefix"
        ) from None


def runs(records: Sequence[OutcomeRecord]) -> Iterator[Sequence[OutcomeRecord]]:
    """Cut records into the longest stretches that one `Outcomes` can hold, in their order.

    A stretch is of one policy, one slate size and one description of every item.
    """
    start = 0
    described: dict[str, list[float]] = {}
    for i, record in enumerate(records):
        first = records[start]
        fits = record.policy == first.policy and len(record.items) == len(first.items)
        for item, features in zip(record.items, record.features, strict=True):
            fits = fits and described.setdefault(item, features) == features
        if not fits:
            yield records[start:i]
            start, described = i, dict(zip(record.items, record.features, strict=True))
    if len(records):
        yield records[start:]


def outcomes_of(records: Sequence[OutcomeRecord]) -> Outcomes:
    """Return a stretch of records as the facts that policies learn from.

    The items are a table of those shown, and the candidates of each request are its slate: what
    else could have been shown is not in the record, and nobody learns from it. `export` puts the
    candidates back.

    Parameters
    ----------
    records : sequence of OutcomeRecord
        One of `runs`, at least one record.

    Returns
    -------
    Outcomes
        Propensities that nobody stated are NaN.
    """
    shape = len(records), len(records[0].items)
    described = {
        item: features
        for record in records
        for item, features in zip(record.items, record.features, strict=True)
    }
    items = Catalogue.of(list(described), list(described.values()))
    row = {item: i for i, item in enumerate(described)}
    slates = np.array([row[item] for record in records for item in record.items]).reshape(shape)
    return outcomes_on(records, items, slates, candidates=slates)


def outcomes_on(
    records: Sequence[OutcomeRecord],
    items: Catalogue,
    slates: NDArray[np.int64],
    candidates: NDArray[np.int64],
) -> Outcomes:
    """Return records as facts about these rows of a catalogue.

    Parameters
    ----------
    records : sequence of B OutcomeRecord
        Of one policy and slate size.
    items : Catalogue
    slates : int64 [B, K]
    candidates : int64 [B, M]
    """
    unstated = [float("nan")] * slates.shape[1]
    requests = Requests(
        keys=np.array([int(r.request, 16) for r in records], dtype=np.uint64),
        users=np.array([key_named(r.user) for r in records], dtype=np.uint64),
        context=np.array([r.context for r in records], dtype=np.float32),
        candidates=candidates,
        items=items,
        positions=np.array([r.positions for r in records], dtype=np.int64),
        time=np.array([r.time for r in records], dtype=np.int64),
    )
    decisions = Decisions(
        slates=slates,
        propensities=np.array([r.propensities or unstated for r in records], dtype=np.float64),
        versions=np.array([r.version for r in records], dtype=np.int64),
        policy=records[0].policy,
    )
    return Outcomes(
        requests=requests,
        decisions=decisions,
        rewards=np.array([r.rewards for r in records], dtype=np.float32),
        seen=np.array([r.seen for r in records], dtype=np.bool_),
        time=np.array([r.closed for r in records], dtype=np.int64),
    )
