"""What `serve` is told of gate and drift: the options, made into the rules of a worker."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from agents.api import RecloopError
from commands.offline import two_numbers

if TYPE_CHECKING:
    from streaming import WorkerConfig

LEVEL = 0.95
DELTA = 0.002
EPSILON = 0.2
HALF_LIFE = 1000

GateOn = Annotated[
    bool,
    typer.Option(
        "--gate",
        help="Promote a challenger once it is better than the champion beyond doubt, and end a "
        "canary that is worse. A loop with a gate is one worker's.",
    ),
]
Margin = Annotated[float, typer.Option(help="By how much per slate, for the gate.", min=0.0)]
Level = Annotated[float, typer.Option(help="How sure all answers of the gate together are.")]
Bounds = Annotated[
    str | None,
    typer.Option(
        help="Between what the sum of a slate's rewards lies, for the gate: 0,1. By default what "
        "the slots can earn by --reward, if each interaction has a value of 1 at most."
    ),
]
LargestWeight = Annotated[
    float | None,
    typer.Option(help="What no importance weight exceeds, for narrower intervals of the gate."),
]
Estimator = Annotated[
    str | None,
    typer.Option(help="What the gate estimates with: IPS, SNIPS; of slates SIPS, SNSIPS, RIPS."),
]
OnDrift = Annotated[
    str,
    typer.Option(
        help="When rewards fall, or predictions exceed them more than they did: warn, explore "
        "(random slates for a while) or rollback."
    ),
]
Delta = Annotated[
    float, typer.Option(help="ADWIN's delta: smaller is slower, with fewer false alarms.")
]
Epsilon = Annotated[
    float, typer.Option(help="The share of random slates after an alarm, to explore.")
]
HalfLife = Annotated[int, typer.Option(help="After how many outcomes that share is halved.", min=1)]


def guarded(
    config: WorkerConfig,
    *,
    gate: bool = False,
    margin: float = 0.0,
    level: float = LEVEL,
    bounds: str | None = None,
    largest_weight: float | None = None,
    estimator: str | None = None,
    on_drift: str = "warn",
    delta: float = DELTA,
    epsilon: float = EPSILON,
    half_life: int = HALF_LIFE,
) -> WorkerConfig:
    """Return a worker's configuration with rules of gate and drift.

    Raises
    ------
    RecloopError
        If rules cannot be followed.
    """
    from streaming import DriftRules, GateRules

    config = replace(config, drift=DriftRules(on_drift, delta, epsilon, half_life))
    asked = (margin or None, bounds, largest_weight, estimator)
    if not gate:
        if any(given is not None for given in asked):
            raise RecloopError("--margin, --bounds, --largest-weight and --estimator want --gate")
        return config
    low, high = _earned(config) if bounds is None else two_numbers("--bounds", bounds)
    most = math.inf if largest_weight is None else largest_weight
    return replace(config, gate=GateRules(margin, level, low, high, most, estimator))


def _earned(config: WorkerConfig) -> tuple[float, float]:
    """Return between what the rewards of a slate lie, if no value exceeds 1."""
    rules = config.rules
    if rules.aggregation == "sum":
        raise RecloopError("what a slot's rewards sum to has no bound: give --bounds for the gate")
    worth = [*rules.rewards.values(), rules.default_reward]
    return min(0.0, *worth) * config.slate_size, max(worth) * config.slate_size
