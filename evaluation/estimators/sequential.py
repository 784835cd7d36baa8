"""The estimators of an episode's value, from episodes as slates (see `chunks.trajectories`).

rho_t is the product of pi_e / pi_b over the steps up to t; rewards are already discounted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluation.estimators.algebra import Estimator, Ratio
from evaluation.estimators.single import ModelNeededError
from evaluation.estimators.slates import Cascaded, SlotGain, SlotWeight, normalised

if TYPE_CHECKING:
    from agents.api import Floats
    from evaluation.chunks.slates import Slates
    from evaluation.estimators.slates import Slated


@dataclass(frozen=True, slots=True)
class Initial:
    """v of the first step: what the model expects of a whole episode."""

    def __call__(self, episodes: Slates) -> Floats:
        """Return the term of every episode."""
        if episodes.v is None:
            raise ModelNeededError("DM reads a model's values, but the steps carry none (q, v)")
        return episodes.v[:, 0]


def tis() -> Slated:
    """Return mean rho_T sum_t r_t: trajectory-wise importance sampling."""
    gain = SlotGain("slate")
    return Estimator("TIS", (Ratio(gain),), SlotWeight("slate"), gain, kind="weighted")


def pdis() -> Slated:
    """Return mean sum_t rho_t r_t: per decision (Precup, Sutton & Singh 2000)."""
    gain = SlotGain("prefix")
    return Estimator("PDIS", (Ratio(gain),), SlotWeight("prefix"), gain, kind="weighted")


def sequential_dr() -> Slated:
    """Return mean sum_t rho_t (r_t - q_t) + rho_{t-1} v_t (Jiang & Li 2016)."""
    weight, gain = SlotWeight("prefix"), SlotGain("prefix")
    return Estimator("DR", (Ratio(Cascaded()),), weight, gain, True)


def sequential_dm() -> Slated:
    """Return mean v_0, as of fitted Q evaluation (Le, Voloshin & Yue 2019)."""
    weight, gain = SlotWeight("prefix"), SlotGain("prefix")
    assumes = "the model is: the interval takes the model as given, bias, noise and all"
    return Estimator("DM", (Ratio(Initial()),), weight, gain, True, assumes)


SEQUENTIAL_ESTIMATORS: dict[str, Callable[[int], Slated]] = {
    "TIS": lambda horizon: tis(),
    "PDIS": lambda horizon: pdis(),
    "WTIS": lambda horizon: normalised("WTIS", "slate", horizon),
    "WPDIS": lambda horizon: normalised("WPDIS", "prefix", horizon),
    "DR": lambda horizon: sequential_dr(),
    "DM": lambda horizon: sequential_dm(),
}
"""The estimators of episodes by name, each to be called with the horizon."""
