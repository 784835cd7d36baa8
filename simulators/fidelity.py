"""How far a world that was fitted to a log may be trusted: measured on rows it has not seen.

The log is cut into parts. Each part is predicted by a model that was made, from the choice of its
blocks on, of the other parts alone; the report is on these predictions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, ndtri

from simulators.clicks import (
    Blocks,
    Recipe,
    fit,
    held_out,
    search,
    stratified,
)
from simulators.regression import log_likelihood

if TYPE_CHECKING:
    from agents.api import Floats
    from simulators.impressions import Impressions

PARTS = 3


@dataclass(frozen=True, slots=True)
class Bin:
    """Impressions of one kind: how many clicks there were, and how many were predicted."""

    name: str
    impressions: int
    clicks: int
    predicted: float
    se: float

    @classmethod
    def of(cls, name: str, clicks: Floats, chances: Floats) -> Bin:
        """Return the bin of these impressions; `se` is that of the clicks if the chances hold."""
        spread = float(np.sqrt((chances * (1.0 - chances)).sum()))
        return cls(name, len(clicks), int(clicks.sum()), float(chances.sum()), spread)


@dataclass(frozen=True, slots=True)
class Fidelity:
    """The report. Log-likelihoods are in nats, summed over all impressions, each held out.

    Parameters
    ----------
    impressions, clicks : int
    recipe : Recipe
        What the world's own model, fitted to all rows, is made of.
    constant, items_only, model : float
        The log-likelihood of three models: one click rate for all; one for every item; the world's.
    gain, gain_se : float
        What the world's model gains over the constant, and the standard error of that.
    auc, auc_se : float
        The chance that a clicked impression is ranked above another, and its standard error.
    by_position, by_decile : tuple of Bin
        Calibration by position, and by tenths of the impressions from the least likely to be
        clicked to the likeliest.
    """

    impressions: int
    clicks: int
    recipe: Recipe
    constant: float
    items_only: float
    model: float
    gain: float
    gain_se: float
    auc: float
    auc_se: float
    by_position: tuple[Bin, ...]
    by_decile: tuple[Bin, ...]

    @property
    def trustworthy(self) -> bool:
        """Whether the log tells this world from one in which everything is clicked alike."""
        return self.gain > 2.0 * self.gain_se and not self.miscalibrated

    @property
    def miscalibrated(self) -> tuple[Bin, ...]:
        """The bins whose clicks are further from the prediction than chance explains."""
        bins = self.by_position + self.by_decile
        limit = -float(ndtri(0.005 / len(bins)))  # 1 % for all of them together
        return tuple(b for b in bins if abs(b.clicks - b.predicted) > limit * max(b.se, 0.5))

    @property
    def verdict(self) -> str:
        """How far to trust the world, in words."""
        told = (
            f"On {self.clicks:,} clicks in {self.impressions:,} held-out impressions the world's "
            f"model gains {self.gain:.1f} ± {self.gain_se:.1f} nats over a constant click rate; "
            f"AUC {self.auc:.2f} ± {self.auc_se:.2f}."
        )
        if self.miscalibrated:
            worst = ", ".join(b.name for b in self.miscalibrated)
            return (
                f"{told} It is not calibrated ({worst}): do not trust its click rates, "
                f"nor what it says of any policy."
            )
        if not self.trustworthy:
            return (
                f"{told} The log is too small to tell this world from one in which everything is "
                f"clicked alike: use it to try things out, and believe no difference between "
                f"policies that it shows."
            )
        return (
            f"{told} It is calibrated as far as the log can tell. It knows nothing of how users "
            f"change, nor of what the log never showed."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON takes it, with the verdict."""
        return {**asdict(self), "trustworthy": self.trustworthy, "verdict": self.verdict}

    @classmethod
    def from_dict(cls, said: dict[str, Any]) -> Fidelity:
        """Return the report that `to_dict` made."""
        values = {name: said[name] for name in cls.__dataclass_fields__}
        values["recipe"] = Recipe(**values["recipe"])
        for name in ("by_position", "by_decile"):
            values[name] = tuple(Bin(**b) for b in values[name])
        return cls(**values)


def assess(
    seen: Impressions,
    prior: Floats | None,
    recipe: Recipe,
    generator: np.random.Generator,
    progress: Callable[[int, int], None],
) -> Fidelity:
    """Return the fidelity report of fitting a world to a log.

    Parameters
    ----------
    seen : Impressions
    prior : float64 [N] or None
        See `Blocks`.
    recipe : Recipe
        What was chosen on all rows; only reported.
    generator : numpy Generator
        Cuts the log into parts.
    progress : callable
        Is called with how many parts are done, and how many there are.
    """
    clicks = seen.clicks
    odds, constant = np.empty(len(seen)), np.empty(len(seen))
    parts = stratified(clicks, PARTS, generator)
    for done, part in enumerate(parts):
        rest = seen.take(np.setdiff1d(np.arange(len(seen)), part))
        blocks = Blocks(rest, prior, positions=int(seen.positions.max()) + 1)
        odds[part] = fit(blocks, search(blocks, generator)).log_odds(seen.take(part))
        rate = rest.clicks.mean()
        constant[part] = np.log(rate / (1.0 - rate))
        progress(done + 1, PARTS)
    items = Recipe(0.0, {"item": recipe.spreads["item"]})
    gains = log_likelihood(odds, clicks) - log_likelihood(constant, clicks)
    auc, auc_se = area(odds, clicks)
    chances = expit(odds)
    return Fidelity(
        impressions=len(seen),
        clicks=int(clicks.sum()),
        recipe=recipe,
        constant=float(log_likelihood(constant, clicks).sum()),
        items_only=float(held_out(Blocks(seen), items, parts).sum()),
        model=float(log_likelihood(odds, clicks).sum()),
        gain=float(gains.sum()),
        gain_se=float(gains.std(ddof=1) * np.sqrt(len(gains))),
        auc=auc,
        auc_se=auc_se,
        by_position=tuple(
            Bin.of(f"position {p}", clicks[seen.positions == p], chances[seen.positions == p])
            for p in np.unique(seen.positions)
        ),
        by_decile=tuple(
            Bin.of(f"decile {i + 1}", clicks[rows], chances[rows])
            for i, rows in enumerate(np.array_split(np.argsort(chances, kind="stable"), 10))
        ),
    )


def area(odds: Floats, clicks: Floats) -> tuple[float, float]:
    """Return the area under the ROC curve and its standard error.

    The error is that of DeLong, DeLong & Clarke-Pearson 1988 ("Comparing the areas under two or
    more correlated receiver operating characteristic curves"): each clicked impression's share of
    the others below it, and the other way round, have each a variance.
    """
    clicked, other = np.sort(odds[clicks == 1.0]), np.sort(odds[clicks == 0.0])
    above = _share_below(clicked, other)
    below = 1.0 - _share_below(other, clicked)
    variance = sum(
        share.var(ddof=1) / len(share) if len(share) > 1 else np.nan for share in (above, below)
    )
    return float(above.mean()), float(np.sqrt(variance))


def _share_below(values: Floats, others: Floats) -> Floats:
    """Return the share of others below each value, ties by half; both are sorted."""
    low, high = (np.searchsorted(others, values, side) for side in ("left", "right"))
    share: Floats = (low + high) / (2.0 * len(others))
    return share
