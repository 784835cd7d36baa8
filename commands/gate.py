"""The gate of `run.py evaluate`: whether a policy may replace another, for use in CI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agents.api import RecloopError
from commands.console import figure, say, table
from commands.offline import counting
from commands.sources import open_policy

if TYPE_CHECKING:
    from agents.api import Policy
    from commands.offline import How, OfSize
    from evaluation import Judgement


@dataclass(frozen=True)
class Asked:
    """What the gate is asked.

    Parameters
    ----------
    incumbent : str
        A policy's address.
    margin : float
        By how much per slate the candidate must be better.
    strict : bool
        Whether both estimates must be trusted without care.
    """

    incumbent: str
    margin: float = 0.0
    strict: bool = False


def judge(
    policies: dict[str, Policy],
    asked: Asked,
    log: OfSize,
    estimators: list[str] | None,
    how: How,
    seed: int,
) -> Judgement:
    """Return whether a policy may replace the incumbent, showing a bar while that is found out."""
    from evaluation import Promise, Trust, promote

    if len(policies) > 1 or len(estimators or "1") > 1:
        raise RecloopError("the gate compares one policy with the incumbent, by one estimator")
    if how.interval == "bernstein":
        raise RecloopError("the gate judges by --interval bootstrap, or sequence to ask repeatedly")
    promise = None
    if how.interval == "sequence":
        if how.bounds is None:
            raise RecloopError("--interval sequence wants --bounds: between what rewards lie")
        promise = Promise(*how.bounds, how.largest_weight)
    incumbent, _ = open_policy(asked.incumbent, seed)
    ((spec, candidate),) = policies.items()
    with counting(f"comparing {spec} with {asked.incumbent}") as count:
        return promote(
            candidate,
            incumbent,
            log.sources,
            method=estimators[0] if estimators else None,
            margin=asked.margin,
            least=Trust.YES if asked.strict else Trust.CARE,
            promise=promise,
            logging=how.logging,
            unit="user" if how.unit == "user" else "request",
            seed=seed,
            replicates=how.replicates,
            progress=count,
        )


def tell(spec: str, incumbent: str, found: Judgement) -> None:
    """Print a judgement: both estimates, the lead, the answer and its reason."""
    rows = [
        (name, figure(e.value), f"{figure(e.low)} to {figure(e.high)}", str(e.verdict.trust))
        for name, e in ((spec, found.candidate), (incumbent, found.incumbent))
    ]
    lead = f"{figure(found.low)} to {figure(found.high)}"
    rows.append(("lead", figure(found.difference.value), lead, ""))
    title = f"{spec} in place of {incumbent}, by {found.candidate.estimator}"
    table(title, ["", "value", "95 % interval", "verdict"], rows)
    say(f"{'yes' if found.promoted else 'no'}: {found.reason}")
