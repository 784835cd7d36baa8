"""Whether what is shown becomes more alike as time goes on: the filter bubble, as one number.

The diversity of early lists and of late ones, and late minus early, are ratios of means like all
estimators here: one pass, mergeable, each with an interval in which a user's lists hang together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from agents.api import ShapeError
from evaluation.chunks.checks import number_faults
from evaluation.estimators.algebra import Estimator, Ratio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from agents.api import Floats, Keys
    from evaluation.estimators.algebra import Term


@dataclass(frozen=True, slots=True, eq=False)
class Dated:
    """A number of each of B lists, its diversity say, and whether the list is a late one.

    Parameters
    ----------
    values : float64 [B]
    late : bool [B]
        Late in the life of the user, or of the log: whatever drift is looked for. Lists in between
        are left out.
    keys : uint64 [B]
        What is resampled together: user keys, since a user's early and late lists are alike.
    """

    values: Floats
    late: NDArray[np.bool_]
    keys: Keys

    def __post_init__(self) -> None:
        shapes = {self.values.shape, self.late.shape, self.keys.shape}
        if len(shapes) > 1 or self.values.ndim != 1:
            raise ShapeError(
                f"dated lists need values, late and keys [B], not {self.values.shape}, "
                f"{self.late.shape} and {self.keys.shape}"
            )

    @property
    def return_(self) -> Floats:
        """What an accumulator counts as rewarded: the value itself."""
        return self.values

    def faults(self) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Yield what may be wrong with a list; see `Chunk`."""
        yield from number_faults("value", self.values)


@dataclass(frozen=True, slots=True)
class Within:
    """1 for lists of one time, early or late, else 0: their share is what means are divided by."""

    late: bool

    def __call__(self, lists: Dated) -> Floats:
        """Return the term of every list."""
        return np.asarray(lists.late == self.late, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class ValueWithin:
    """The value of lists of one time, else 0; times a sign."""

    late: bool
    sign: float = 1.0

    def __call__(self, lists: Dated) -> Floats:
        """Return the term of every list."""
        return np.where(lists.late == self.late, self.sign * lists.values, 0.0)


@dataclass(frozen=True, slots=True)
class Everyone:
    """1 for every list: lists are not weighed."""

    @property
    def exact(self) -> Term[Dated]:
        """Itself."""
        return self

    def __call__(self, lists: Dated) -> Floats:
        """Return the term of every list."""
        return np.ones(len(lists.keys))


def drift(name: str = "diversity") -> tuple[Estimator[Dated], ...]:
    """Return estimators of early lists' mean value, of late ones', and of late minus early.

    Below 0 the last one says that users come to see more of the same (Nguyen et al. 2014,
    "Exploring the filter bubble").

    Parameters
    ----------
    name : str
        What the value is: `early diversity`, `late diversity` and `diversity drift`.
    """
    early: Ratio[Dated] = Ratio(ValueWithin(False), Within(False))
    late: Ratio[Dated] = Ratio(ValueWithin(True), Within(True))
    less: Ratio[Dated] = Ratio(ValueWithin(False, -1.0), Within(False))
    parts = {
        f"early {name}": (early,),
        f"late {name}": (late,),
        f"{name} drift": (late, less),
    }
    return tuple(
        Estimator(title, ratios, Everyone(), ratios[0].over) for title, ratios in parts.items()
    )
