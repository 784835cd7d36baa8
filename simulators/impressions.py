"""A log as a click model sees it: one row for every slot that was filled and seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from agents import PAD, Outcomes, RecloopError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Catalogue, Floats, Rows


class FitError(RecloopError, ValueError):
    """A log that no click model can be fitted to."""


@dataclass(frozen=True, slots=True, eq=False)
class Impressions:
    """What was shown and seen, one row for every slot.

    Parameters
    ----------
    catalogue : Catalogue
    contexts : float32 [U, D]
        The distinct contexts.
    counts : int64 [U]
        How many requests had each of them.
    end : int
        The time of the last request, in milliseconds since the epoch.
    request : int64 [n]
        Which request of the log it belongs to, in the log's order.
    context : int64 [n]
        Rows of `contexts`.
    items : int64 [n]
        Rows of the catalogue.
    positions : int64 [n]
    clicks : float64 [n]
        0 or 1.
    """

    catalogue: Catalogue
    contexts: NDArray[np.float32]
    counts: NDArray[np.int64]
    end: int
    request: Rows
    context: Rows
    items: Rows
    positions: Rows
    clicks: Floats

    def __len__(self) -> int:
        return len(self.clicks)

    @classmethod
    def of(cls, outcomes: Outcomes | Iterable[Outcomes]) -> Impressions:
        """Return the impressions of a log.

        Raises
        ------
        FitError
            If the log is empty, its items are not of one catalogue, its rewards are not clicks, or
            nothing (or everything) was clicked.
        """
        chunks = [outcomes] if isinstance(outcomes, Outcomes) else list(outcomes)
        if not any(len(chunk) for chunk in chunks):
            raise FitError("a world cannot be fitted to an empty log")
        catalogue = chunks[-1].requests.items
        parts = [_seen(chunk, catalogue) for chunk in chunks]
        contexts, which = np.unique(
            np.concatenate([chunk.requests.context for chunk in chunks]),
            axis=0,
            return_inverse=True,
        )
        starts = np.cumsum([0, *(len(chunk) for chunk in chunks)])[:-1]
        request, items, positions, clicks = (
            np.concatenate(column)
            for column in zip(
                *((r + start, i, p, c) for (r, i, p, c), start in zip(parts, starts, strict=True)),
                strict=True,
            )
        )
        if not np.isin(clicks, (0.0, 1.0)).all():
            stray = clicks[~np.isin(clicks, (0.0, 1.0))][0]
            raise FitError(f"a click model needs rewards of 0 and 1; the log has {stray:g}")
        if clicks.min() == clicks.max():
            raise FitError(
                f"{int(clicks.sum())} of {len(clicks)} impressions were clicked: "
                f"there is nothing to tell apart"
            )
        return cls(
            catalogue=catalogue,
            contexts=contexts,
            counts=np.bincount(which, minlength=len(contexts)),
            end=max(int(chunk.requests.time.max()) for chunk in chunks if len(chunk)),
            request=request,
            context=which[request],
            items=items,
            positions=positions,
            clicks=clicks,
        )

    def take(self, index: Rows) -> Impressions:
        """Return these impressions."""
        return replace(
            self,
            request=self.request[index],
            context=self.context[index],
            items=self.items[index],
            positions=self.positions[index],
            clicks=self.clicks[index],
        )


def _seen(chunk: Outcomes, catalogue: Catalogue) -> tuple[Rows, Rows, Rows, Floats]:
    """Return request, item, position and reward of every slot that was filled and seen."""
    items = chunk.requests.items
    rows = np.arange(len(items)) if items is catalogue else catalogue.rows_of(items.keys)
    request, slot = np.nonzero((chunk.decisions.slates != PAD) & chunk.seen)
    item = rows[chunk.decisions.slates[request, slot]]
    if (item == PAD).any():
        raise FitError(
            "the log's items are not of one catalogue: a world needs items that stay to be fitted"
        )
    reward = chunk.rewards[request, slot].astype(np.float64)
    return request, item, chunk.requests.positions[request, slot], reward
