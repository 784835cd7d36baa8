"""The estimators for slates of any length: each right under what it assumes of the user.

The value is the expected sum of a slate's rewards. Nothing assumed: SIPS. Users look from the top,
and a reward hangs on the slots before it: RIPS, Cascade-DR. Every slot by itself: IIPS. An item's
reward is its own times how much its position is looked at: position-based. The sum of rewards is a
sum of what each slot adds, and slots are filled independently: PI. The less they assume the larger
their weights; docs/evaluation.md shows how wrong each is where its assumption fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from evaluation.chunks.slates import Slates
from evaluation.estimators.algebra import Estimator, Ratio
from evaluation.estimators.single import ModelNeededError, ViewNeededError

if TYPE_CHECKING:
    from agents.api import Floats
    from evaluation.estimators.algebra import Kind, Term

Slated: TypeAlias = Estimator[Slates]
Scope: TypeAlias = Literal["slate", "prefix", "slot", "exposure"]
"""What a slot's weight is of: the whole slate, the slots up to it, itself, its item's exposure."""

CASCADE = "a slot's reward hangs on it and on the slots before it, and on none after it"
INDEPENDENT = "a slot's reward hangs on its own item alone"

_REMEDY = {
    "slot": "the chances that a slot holds its item, whatever stands before it",
    "exposure": "how often the item is looked at, in whatever slot it stands",
}


def _weights(slates: Slates, scope: Scope) -> Floats:
    """Return the weight of every slot: float64 [B, K]."""
    if scope in _REMEDY:
        if scope not in slates.chances:
            raise ViewNeededError(f"an estimator here needs {_REMEDY[scope]}, for both policies")
        pair = slates.chances[scope]
        return pair.target / pair.logged
    prefix: Floats = np.cumprod(slates.target / slates.logged, axis=1, dtype=np.float64)
    return prefix if scope == "prefix" else np.broadcast_to(prefix[:, -1:], prefix.shape)


@dataclass(frozen=True, slots=True)
class SlotWeight:
    """The weight of one slot, or the mean over all of them."""

    scope: Scope
    slot: int | None = None

    @property
    def exact(self) -> Term[Slates]:
        """Itself; but ratios of exposures have another mean, and leave it to the prefixes."""
        return SlotWeight("prefix") if self.scope == "exposure" else self

    def __call__(self, slates: Slates) -> Floats:
        """Return the weight of every slate."""
        weights = _weights(slates, self.scope)
        return weights.mean(axis=1) if self.slot is None else weights[:, self.slot]


@dataclass(frozen=True, slots=True)
class SlotGain:
    """Weight times reward of one slot, or the sum over all of them."""

    scope: Scope
    slot: int | None = None

    def __call__(self, slates: Slates) -> Floats:
        """Return the term of every slate."""
        gains = _weights(slates, self.scope) * slates.reward
        return gains.sum(axis=1) if self.slot is None else gains[:, self.slot]


@dataclass(frozen=True, slots=True)
class Cascaded:
    """sum_k w_{1:k} (r_k - q_k) + w_{1:k-1} v_k."""

    def __call__(self, slates: Slates) -> Floats:
        """Return the term of every slate."""
        if slates.q is None or slates.v is None:
            raise ModelNeededError(
                "Cascade-DR uses a reward model, but the slates carry no predictions of one (q, v)"
            )
        prefix = _weights(slates, "prefix")
        before = np.concatenate([np.ones((len(prefix), 1)), prefix[:, :-1]], axis=1)
        return np.asarray((prefix * (slates.reward - slates.q) + before * slates.v).sum(axis=1))


@dataclass(frozen=True, slots=True)
class PseudoInverse:
    """1 - K + sum_k w_k, the weight of the pseudo-inverse estimator; it may be negative."""

    @property
    def exact(self) -> Term[Slates]:
        """Itself."""
        return self

    def __call__(self, slates: Slates) -> Floats:
        """Return the weight of every slate."""
        weights = _weights(slates, "slot")
        return np.asarray(1.0 - weights.shape[1] + weights.sum(axis=1))


@dataclass(frozen=True, slots=True)
class PseudoInverseGain:
    """The pseudo-inverse weight times the slate's reward."""

    def __call__(self, slates: Slates) -> Floats:
        """Return the term of every slate."""
        return PseudoInverse()(slates) * slates.return_


def sips() -> Slated:
    """Return mean prod_k w_k sum_k r_k (Swaminathan et al. 2017)."""
    return _weighted("SIPS", "slate")


def rips() -> Slated:
    """Return mean sum_k w_{1:k} r_k, the reward interaction estimator (McInerney et al. 2020)."""
    return _weighted("RIPS", "prefix", CASCADE)


def iips() -> Slated:
    """Return mean sum_k w_k r_k, w_k of slot k alone (Li et al. 2018)."""
    return _weighted("IIPS", "slot", INDEPENDENT)


def position_based() -> Slated:
    """Return mean sum_k r_k times the ratio of the item's exposures (Li et al. 2018)."""
    assumes = "a reward is its item's own, times how much its position is looked at"
    return _weighted("Position-based", "exposure", assumes)


def pseudo_inverse() -> Slated:
    """Return mean sum_k r_k (1 - K + sum_k w_k) (Swaminathan et al. 2017)."""
    gain = PseudoInverseGain()
    assumes = "the slate's reward is a sum over slots, and slots were filled independently"
    return Estimator("PI", (Ratio(gain),), PseudoInverse(), gain, assumes=assumes)


def cascade_dr() -> Slated:
    """Return mean sum_k w_{1:k} (r_k - q_k) + w_{1:k-1} v_k (Kiyohara et al. 2022)."""
    weight, gain = SlotWeight("prefix"), SlotGain("prefix")
    return Estimator("Cascade-DR", (Ratio(Cascaded()),), weight, gain, True, CASCADE)


def normalised(name: str, scope: Scope, slots: int, assumes: str = "") -> Slated:
    """Return sum_k mean(w_k r_k) / mean(w_k): SIPS, RIPS or IIPS, normalised slot by slot.

    Parameters
    ----------
    name : str
    scope : "slate", "prefix", "slot" or "exposure"
    slots : int
        K, which a ratio for every slot needs to know.
    assumes : str
        See `Estimator`.
    """
    weight, gain = SlotWeight(scope), SlotGain(scope)
    by_slot = (Ratio(SlotGain(scope, k), SlotWeight(scope, k)) for k in range(slots))
    if scope != "slate":
        return Estimator(name, tuple(by_slot), weight, gain, assumes=assumes)
    parts = (Ratio(gain, weight),)
    return Estimator(name, parts, weight, gain, assumes=assumes, kind="normalised")


def _weighted(name: str, scope: Scope, assumes: str = "") -> Slated:
    gain = SlotGain(scope)
    kind: Kind = "other" if scope == "exposure" else "weighted"
    return Estimator(name, (Ratio(gain),), SlotWeight(scope), gain, assumes=assumes, kind=kind)


SLATE_ESTIMATORS: dict[str, Callable[[int], Slated]] = {
    "SIPS": lambda slots: sips(),
    "IIPS": lambda slots: iips(),
    "RIPS": lambda slots: rips(),
    "Cascade-DR": lambda slots: cascade_dr(),
    "PI": lambda slots: pseudo_inverse(),
    "Position-based": lambda slots: position_based(),
    "SNSIPS": lambda slots: normalised("SNSIPS", "slate", slots),
    "SNIIPS": lambda slots: normalised("SNIIPS", "slot", slots, INDEPENDENT),
    "SNRIPS": lambda slots: normalised("SNRIPS", "prefix", slots, CASCADE),
}
"""The estimators of slates by name, each to be called with K."""
