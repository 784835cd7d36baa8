"""How far a world that was fitted to a log may be trusted: measured on rows it has not seen.

The log is cut into parts. Each part is predicted by a model that was made, from the choice of its
blocks on, of the other parts alone; the report is on these predictions. Where users leave, their
sessions are simulated by hazards that other users' sessions were fitted by.
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
    choose,
    fit,
    held_out,
    stratified,
)
from simulators.leaving import EDGES, hazards, likely, played
from simulators.regression import log_likelihood

if TYPE_CHECKING:
    from agents.api import Floats, Rows
    from simulators.impressions import Impressions
    from simulators.leaving import Mask, Sessions

PARTS = 3
PLAYS = 20
"""How often every session is simulated."""
SURE = 0.005
"""How likely any bin of a report is called off by chance, where all is well: half of 1 %."""


@dataclass(frozen=True, slots=True)
class Share:
    """How often something of one kind came in the log, and how often in the simulation."""

    name: str
    real: int
    simulated: float
    se: float

    @classmethod
    def of(cls, name: str, real: int, simulated: float, variance: float) -> Share:
        """Return the share; `se` is that of the real number if the simulation is right."""
        return cls(name, int(real), float(simulated), float(np.sqrt(variance)))


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
    clicks_per_request : tuple of Share
        How many requests had no click, one click, and so on.
    session_lengths : tuple of Share
        How many sessions had so many requests; none where the world's users never leave.
    leaving_gain, leaving_gain_se : float
        What the hazards gain over one that is always the same, in nats over all requests.
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
    clicks_per_request: tuple[Share, ...] = ()
    session_lengths: tuple[Share, ...] = ()
    leaving_gain: float = 0.0
    leaving_gain_se: float = 0.0

    @property
    def trustworthy(self) -> bool:
        """Whether the log tells this world from one in which everything is clicked alike."""
        return self.gain > 2.0 * self.gain_se and not self.miscalibrated

    @property
    def miscalibrated(self) -> tuple[Bin, ...]:
        """The bins whose clicks are further from the prediction than chance explains."""
        bins = self.by_position + self.by_decile
        return tuple(b for b in bins if _off(b.clicks - b.predicted, b.se, len(bins)))

    @property
    def unlike(self) -> tuple[Share, ...]:
        """The shares that are further from the simulation than chance explains."""
        shares = self.clicks_per_request + self.session_lengths
        return tuple(s for s in shares if _off(s.real - s.simulated, s.se, len(shares)))

    @property
    def verdict(self) -> str:
        """How far to trust the world, in words."""
        if not self.unlike:
            return self._verdict
        kinds = ", ".join(share.name for share in self.unlike)
        return f"{self._verdict} Its users differ from the log's in how often there are: {kinds}."

    @property
    def _verdict(self) -> str:
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
        values = {name: said[name] for name in cls.__dataclass_fields__ if name in said}
        values["recipe"] = Recipe(**values["recipe"])
        for name in ("by_position", "by_decile"):
            values[name] = tuple(Bin(**b) for b in values[name])
        for name in ("clicks_per_request", "session_lengths"):
            values[name] = tuple(Share(**share) for share in values.get(name, ()))
        return cls(**values)


def _off(gap: float, se: float, of: int) -> bool:
    """Return whether one of so many figures is further off than chance explains."""
    limit = -float(ndtri(SURE / of))
    return abs(gap) > limit * max(se, 0.5)


def assess(
    seen: Impressions,
    prior: Floats | None,
    recipe: Recipe,
    generator: np.random.Generator,
    progress: Callable[[int, int], None],
    sessions: Sessions | None = None,
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
    sessions : Sessions, optional
        Of the same log, where the world's users leave.
    """
    clicks = seen.clicks
    odds, constant = np.empty(len(seen)), np.empty(len(seen))
    parts = stratified(clicks, PARTS, generator)
    for done, part in enumerate(parts):
        rest = seen.take(np.setdiff1d(np.arange(len(seen)), part))
        positions = int(seen.positions.max()) + 1
        chosen = choose(rest, prior, generator, positions)
        odds[part] = fit(Blocks(rest, prior, positions), chosen).log_odds(seen.take(part))
        rate = rest.clicks.mean()
        constant[part] = np.log(rate / (1.0 - rate))
        progress(done + 1, PARTS)
    items = Recipe(0.0, {"item": recipe.spreads["item"]})
    gains = log_likelihood(odds, clicks) - log_likelihood(constant, clicks)
    auc, auc_se = area(odds, clicks)
    chances = expit(odds)
    lengths, leaving = _sessions(seen, chances, sessions, generator)
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
        clicks_per_request=_clicks_per_request(seen, chances),
        session_lengths=lengths,
        leaving_gain=float(leaving.sum()),
        leaving_gain_se=float(leaving.std() * np.sqrt(len(leaving))),
    )


def _clicks_per_request(seen: Impressions, chances: Floats) -> tuple[Share, ...]:
    """Return how many requests had how many clicks, and how many are expected to.

    The clicks of a request are independent in the world, so that the distribution of their number
    is exact, slot by slot; whether they are so in the log is what this shows.
    """
    requests, which = np.unique(seen.request, return_inverse=True)
    order = np.argsort(which, kind="stable")
    starts = np.searchsorted(which[order], np.arange(len(requests)))
    place = np.empty(len(which), dtype=np.int64)
    place[order] = np.arange(len(which)) - starts[which[order]]
    most = int(place.max()) + 1
    spread = np.zeros((len(requests), most + 1))
    spread[:, 0] = 1.0
    for slot in range(most):
        here = place == slot
        rows, chance = which[here], chances[here][:, None]
        before = spread[rows]
        spread[rows] = (1.0 - chance) * before
        spread[rows, 1:] += chance * before[:, :-1]
    real = np.bincount(np.bincount(which, weights=seen.clicks).astype(np.int64), minlength=most + 1)
    return tuple(
        Share.of(
            f"requests with {count} click{'' if count == 1 else 's'}",
            real[count],
            spread[:, count].sum(),
            (spread[:, count] * (1.0 - spread[:, count])).sum(),
        )
        for count in range(most + 1)
    )


def _sessions(
    seen: Impressions, chances: Floats, sessions: Sessions | None, generator: np.random.Generator
) -> tuple[tuple[Share, ...], Floats]:
    """Return how long sessions are, in the log and simulated, and what the hazards gain by row."""
    if sessions is None:
        return (), np.zeros(1)
    requests = len(sessions)
    never = np.bincount(seen.request, weights=np.log1p(-chances), minlength=requests)
    clicked = 1.0 - np.exp(never)[sessions.row]
    part = generator.permutation(int(sessions.user.max()) + 1)[sessions.user] % PARTS
    real: list[Rows] = []
    simulated: list[Rows] = []
    gains: list[Floats] = []
    for here in (part == p for p in range(PARTS)):
        rest, held = sessions.take(~here), sessions.take(here)
        table = hazards(rest)
        known = held.take(held.known)
        rate = np.full(len(known), rest.left[rest.known].mean())
        gains.append(_told(known.left, likely(known, table)) - _told(known.left, rate))
        real.append(held.lengths())
        simulated += [played(held, clicked[here], table, generator) for _ in range(PLAYS)]
    return _lengths(np.concatenate(real), np.concatenate(simulated)), np.concatenate(gains)


def _told(left: Mask, chance: Floats) -> Floats:
    """Return the log-likelihood of having left or stayed."""
    told: Floats = np.log(np.where(left, chance, 1.0 - chance))
    return told


def _lengths(real: Rows, simulated: Rows) -> tuple[Share, ...]:
    shares = []
    for low, high in zip(EDGES, (*(edge - 1 for edge in EDGES[1:]), None), strict=True):
        span = f"{low} or more" if high is None else str(low) if high == low else f"{low} to {high}"
        inside = [(n >= low) & (n <= (np.inf if high is None else high)) for n in (real, simulated)]
        share = inside[1].mean()
        variance = len(real) * share * (1.0 - share)
        name = f"sessions of {span} request{'' if span == '1' else 's'}"
        shares.append(Share.of(name, inside[0].sum(), len(real) * share, variance))
    return tuple(shares)


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
