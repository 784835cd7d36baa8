"""The estimators by name, as they are written on a command line.

`ips`, `dr`; a parameter that tames the weights is chosen by SLOPE, as in `switch-dr`, or given, as
in `switch-dr:10`.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeAlias

from agents.api import RecloopError
from evaluation.chunks.rounds import Rounds
from evaluation.estimators import single
from evaluation.estimators.slope import Tuned
from evaluation.estimators.weights import Clipped, Importance, Shrunk, Smoothed, Switched

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluation.estimators.algebra import Weight

Known: TypeAlias = single.Single | Tuned[Rounds]
Shape: TypeAlias = Callable[[str, "Weight[Rounds]"], single.Single]

LIMITS = (1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0)
"""Weights beyond which to clip or to switch, from hardly ever to most of the time."""

SHRINKAGES = (1e6, 1e5, 1e4, 1e3, 1e2, 1e1, 1.0, 0.0)
"""Half-weights squared of DRos: a weight of sqrt(lambda) is halved. At 0 nothing is left but DM."""

SMOOTHINGS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
"""Shares of the sub-Gaussian weight; it never exceeds 1 / lambda."""

_PLAIN: dict[str, Callable[[], single.Single]] = {
    "IPS": single.ips,
    "SNIPS": single.snips,
    "DM": single.dm,
    "DR": single.dr,
    "SNDR": single.sndr,
    "MRDR": single.mrdr,
    "MIPS": single.mips,
    "OffCEM": single.offcem,
}

_TAMED: dict[str, tuple[Shape, Callable[[float], Weight[Rounds]], tuple[float, ...]]] = {
    "Clipped-IPS": (single.ips, Clipped, LIMITS),
    "Switch-DR": (single.dr, Switched, LIMITS),
    "DRos": (single.dr, Shrunk, SHRINKAGES),
    "SG-IPS": (single.ips, Smoothed, SMOOTHINGS),
    "SG-DR": (single.dr, Smoothed, SMOOTHINGS),
}

NAMES = (*_PLAIN, *_TAMED)
"""All estimators of single rounds."""


class UnknownEstimatorError(RecloopError, LookupError):
    """An estimator that does not exist, or not with this parameter."""


def named(specs: Sequence[str]) -> tuple[Known, ...]:
    """Return estimators by name, in any case of letters, `name` or `name:parameter`.

    Raises
    ------
    UnknownEstimatorError
        If there is none of that name, the message suggesting the nearest; or it has no parameter,
        or the parameter is no number.
    EstimatorError
        If the parameter is out of range.
    """
    return tuple(map(_named, specs))


def _named(spec: str) -> Known:
    given, _, parameter = spec.partition(":")
    name = {known.casefold(): known for known in NAMES}.get(given.strip().casefold())
    if name is None:
        near = get_close_matches(given.casefold(), [known.casefold() for known in NAMES], n=1)
        hint = next(
            (f"did you mean {known}? " for known in NAMES if [known.casefold()] == near), ""
        )
        raise UnknownEstimatorError(
            f"there is no estimator {given!r}: {hint}There are {', '.join(NAMES)}"
        )
    if name in _PLAIN:
        if parameter:
            raise UnknownEstimatorError(f"{name} has no parameter: write {name}, not {spec!r}")
        return _PLAIN[name]()
    shape, tame, grid = _TAMED[name]
    if not parameter:
        untamed = shape(f"{name} (untamed)", Importance())
        return Tuned(name, (untamed, *(shape(f"{name}:{x:g}", tame(x)) for x in grid)))
    try:
        number = float(parameter)
    except ValueError as error:
        raise UnknownEstimatorError(f"{spec!r}: {error}") from error
    return shape(f"{name}:{number:g}", tame(number))
