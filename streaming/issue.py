"""From what was decided and what has closed to the records that say so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streaming.names import name_of
from streaming.records import OutcomeRecord, Recommendation, Slot
from streaming.state import Issued

if TYPE_CHECKING:
    from agents.api import Requests
    from streaming.closing import Closed, Touch
    from streaming.config import WorkerConfig
    from streaming.pool import Made
    from streaming.slates import Slates
    from streaming.state import UserState


def issue(
    row: int,
    requests: Requests,
    made: Made,
    slates: Slates,
    user: UserState,
    touch: Touch,
    config: WorkerConfig,
) -> Issued | None:
    """Issue a decision to its user, unless it is what the user has anyway, challengers included.

    A user's request keeps its key until a ranking is taken in, so the decision for it is made with
    the same random numbers however often it is made, and changes only if the models, the items or
    the user did. What challengers say of it is part of it: kept from an earlier making for some
    slates and not for others, it would be no policy's chances.

    Parameters
    ----------
    row : int
        Which of the requests.
    requests : Requests
    made : Made
        The decision.
    slates : Slates
    user : UserState
        Is changed.
    touch : Touch
    config : WorkerConfig

    Returns
    -------
    Issued or None
    """
    key, time = int(requests.keys[row]), int(requests.time[row])
    issued = Issued(
        id=f"{name_of(key)}-{user.issues}" if user.issues else name_of(key),
        ordinal=user.rankings,
        key=key,
        time=time,
        expires=time + config.ttl,
        context=requests.context[row].tobytes(),
        items=slates.names(made.slate),
        propensities=made.propensities,
        policy=made.policy,
        version=made.version,
        candidates=slates.fingerprint,
        shadow=made.shadow,
    )
    current = user.current
    if (
        current is not None
        and not touch.described
        and current.expires > time
        and (current.items, current.propensities, current.policy, current.shadow)
        == (issued.items, issued.propensities, issued.policy, issued.shadow)
    ):
        return None
    user.issues += 1
    user.issued = [*user.issued, issued][-config.limits.issued :]
    return issued


def recommendation_of(name: str, issued: Issued, seed: int) -> Recommendation:
    """Return what a user is told of a decision."""
    slots = zip(issued.items, issued.propensities, strict=True)
    return Recommendation(
        user=name,
        id=issued.id,
        request=name_of(issued.key),
        ordinal=issued.ordinal,
        time=issued.time,
        expires=issued.expires,
        context=_numbers(issued.context),
        items=[Slot(item, chance, position) for position, (item, chance) in enumerate(slots)],
        policy=issued.policy,
        version=issued.version,
        seed=seed,
        candidates=issued.candidates,
        shadow=issued.shadow,
    )


def outcome_of(closed: Closed, partition: int, seq: int, window: int) -> OutcomeRecord:
    """Return what came of a ranking, without the click model's predictions."""
    ranking = closed.ranking
    return OutcomeRecord(
        partition=partition,
        number=closed.number,
        seq=seq,
        ranking=ranking.id,
        user=closed.user,
        session=ranking.session,
        request=name_of(ranking.key),
        time=ranking.time,
        closed=ranking.time + window,
        context=_numbers(ranking.context),
        items=ranking.items,
        features=_rows(ranking.features, len(ranking.items)),
        positions=ranking.positions,
        propensities=ranking.propensities,
        rewards=closed.rewards,
        seen=ranking.seen,
        policy=ranking.policy,
        version=ranking.version,
        candidates=ranking.candidates,
        corrects=closed.corrects,
        replaced=closed.replaced,
        signs=closed.signs,
        quarantined=ranking.quarantined,
        shadow=ranking.shadow,
        again=ranking.again,
    )


def _numbers(packed: bytes) -> list[float]:
    """Return the float32 values that bytes hold."""
    return list(memoryview(packed).cast("f"))


def _rows(packed: bytes, count: int) -> list[list[float]]:
    """Return them in so many rows."""
    values, width = _numbers(packed), len(packed) // 4 // count
    return [values[row * width : (row + 1) * width] for row in range(count)]
