"""Checks of what a policy is built with, and of the states it is asked to take over."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.api import RecloopError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import State


class OptionError(RecloopError, ValueError):
    """An option that a policy does not have, or a value that it cannot have."""


class StateError(RecloopError, ValueError):
    """A state that this policy did not write."""


def finite(option: str, value: float) -> float:
    """Return a finite option value, or raise `OptionError`."""
    if not isfinite(value):
        raise OptionError(f"{option} must be a finite number, not {value}")
    return value


def at_least(option: str, value: float, low: float) -> float:
    """Return a finite option value that is not below `low`, or raise `OptionError`."""
    if not (isfinite(value) and value >= low):
        raise OptionError(f"{option} must be a finite number of at least {low:g}, not {value}")
    return value


def above(option: str, value: float, low: float) -> float:
    """Return a finite option value above `low`, or raise `OptionError`."""
    if not (isfinite(value) and value > low):
        raise OptionError(f"{option} must be a finite number above {low:g}, not {value}")
    return value


def share(option: str, value: float) -> float:
    """Return an option value between 0 and 1, or raise `OptionError`."""
    if not 0.0 <= value <= 1.0:
        raise OptionError(f"{option} must lie between 0 and 1, not {value}")
    return value


def entry(
    state: State, name: str, dtype: type[np.generic], shape: tuple[int | None, ...]
) -> NDArray[Any]:
    """Return a copy of one array of a state.

    Parameters
    ----------
    state : dict of str to array
    name : str
    dtype : NumPy scalar type
        What the array must hold.
    shape : tuple of int or None
        Its shape; None is any length.

    Raises
    ------
    StateError
        If the array is not there, or is of another kind or shape.
    """
    if name not in state:
        raise StateError(f"the state has no {name!r}; it holds {', '.join(sorted(state)) or None}")
    array = np.asarray(state[name])
    fits = array.ndim == len(shape) and all(
        n is None or n == m for n, m in zip(shape, array.shape, strict=True)
    )
    if array.dtype != dtype or not fits:
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        raise StateError(
            f"{name!r} must be {np.dtype(dtype)} [{wanted}] here, "
            f"not {array.dtype} {list(array.shape)}: the state is of another policy or options"
        )
    return array.copy()
