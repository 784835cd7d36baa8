"""Open Bandit Pipeline's feedback: a dictionary of arrays, one entry per round."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.api import Catalogue, Decisions, Outcomes, Requests
from agents.streams import derive
from evaluation.chunks.checks import rows_in_words
from evaluation.importers.records import Imported, LogFormatError, field

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Rows


def from_obp(feedback: Mapping[str, Any], *, chunk: int = 10_000) -> Imported:
    """Return obp's bandit feedback as a log of slates of one slot.

    Parameters
    ----------
    feedback : mapping
        `action` int [n], `reward` [n], `pscore` [n] and `n_actions`; where there are any: `context`
        [n, D], `action_context` [A, F] (else items are told apart by number), `position` int [n].
    chunk : int
        How many rounds are turned into outcomes at a time.

    Raises
    ------
    LogFormatError
        If an array is missing, or does not fit; naming rows, counted from 0, whose action does not
        exist. Propensities and rewards are checked when the log is evaluated.
    """
    n_actions = field(feedback, "n_actions", "the feedback")
    if not isinstance(n_actions, int | np.integer) or n_actions < 1:
        raise LogFormatError(f"the feedback: n_actions must be a count, not {n_actions!r}")
    actions = int(n_actions)
    shown = _whole(field(feedback, "action", "the feedback"), "action", None)
    n = len(shown)
    given = feedback.get("position")
    position = np.zeros(n, dtype=np.int64) if given is None else _whole(given, "position", n)
    _refuse("action", f"is not between 0 and {actions - 1}", (shown < 0) | (shown >= actions))
    _refuse("position", "is negative", position < 0)
    columns = {
        name: _column(field(feedback, name, "the feedback"), name, (n,))
        for name in ("reward", "pscore")
    }
    context = feedback.get("context")
    context = np.zeros((n, 0)) if context is None else _column(context, "context", (n, None))
    features = feedback.get("action_context")
    table = (
        np.eye(actions)
        if features is None
        else _column(features, "action_context", (actions, None))
    )
    items = Catalogue.of([str(number) for number in range(actions)], table)
    parts = (context.astype(np.float32), shown, position, columns["reward"], columns["pscore"])
    return Imported(partial(_read, items, parts, chunk))


def _read(items: Catalogue, parts: tuple[NDArray[Any], ...], chunk: int) -> Iterator[Outcomes]:
    for start in range(0, len(parts[0]), chunk):
        context, shown, position, reward, pscore = (part[start : start + chunk] for part in parts)
        b = len(shown)
        ordinals = np.arange(start, start + b, dtype=np.uint64)
        keys = derive(np.zeros(b, dtype=np.uint64), ordinals)
        time = ordinals.astype(np.int64)
        requests = Requests(
            keys=keys,
            users=keys,
            context=context,
            candidates=np.broadcast_to(np.arange(len(items)), (b, len(items))),
            items=items,
            positions=position[:, None],
            time=time,
        )
        decisions = Decisions(
            shown[:, None], pscore[:, None].astype(np.float64), np.zeros(b, np.int64), "obp"
        )
        rewards = reward[:, None].astype(np.float32)
        yield Outcomes(requests, decisions, rewards, np.ones((b, 1), dtype=np.bool_), time)


def _column(given: object, name: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """Return an array of numbers in this shape, None standing for any width."""
    found = np.asarray(given)
    fits = found.ndim == len(shape) and all(
        wanted in (None, size) for wanted, size in zip(shape, found.shape, strict=True)
    )
    if not fits or found.dtype.kind not in "fiub":
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise LogFormatError(
            f"the feedback: {name} must be numbers [{wanted}], not {found.dtype} {found.shape}"
        )
    return found


def _whole(given: object, name: str, rows: int | None) -> Rows:
    found = _column(given, name, (rows,))
    _refuse(name, "is no whole number", found != np.floor(found))
    return found.astype(np.int64)


def _refuse(name: str, words: str, where: NDArray[np.bool_]) -> None:
    rows = np.flatnonzero(where)
    if len(rows):
        raise LogFormatError(f"the feedback: {name} {words} in {rows_in_words(rows, 0)}")
