"""A model of what is clicked, fitted to a log: by position, item and context.

    logit P(click) = bias + strength * prior(item) + position + item + context + item features
                     + context x item features

A log of clicks is mostly rows that say nothing, so everything is regularised: each block of
coefficients has a normal prior of its own spread, and a block that does not help is left out. What
helps is decided by the log-likelihood of rows that were held out (cross-validation).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.special import expit

from simulators.regression import Design, log_likelihood, ridge

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Rows
    from simulators.impressions import Impressions

    Mask = NDArray[np.bool_]
    Coefficients = dict[str, Floats]
    """By block."""

BIAS = "bias"
"""What it is called beside the blocks, of which none is called so."""
SPREADS = (0.1, 0.25, 0.5, 1.0, 2.0)
"""The standard deviations that a block's coefficients may have; the block may also be left out."""
TRIAL = 0.5
"""The one that a block is tried with first."""
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""How far the items may be believed to be what an earlier period says of them."""
FOLDS = 10
"""How many parts a log is cut into for cross-validation, where its clicks are few."""
MANY_CLICKS, FEW_FOLDS = 200, 4
"""From so many clicks on, so many parts do."""
ROUGH = 1e-2
"""How well recipes are fitted while they are compared: to half of its square, in nats."""
MARGIN = 1.0
"""How many nats of held-out log-likelihood another block must bring: less is what chance gives."""
SAMPLE = 10_000
"""Of so many rows at most, drawn at random, it is decided what helps; coefficients see all."""
WIDEST_PRODUCT = 400
"""Above so many products of context and item features they are not tried."""


@dataclass(frozen=True, slots=True, eq=False)
class ClickModel:
    """Click chances of every item for every context and position.

    Parameters
    ----------
    weights : float64 [N, 1 + D]
        Per item a bias, and what it adds to the log-odds per unit of every context feature.
    positions : float64 [P]
        What a position adds to the log-odds.
    """

    weights: Floats
    positions: Floats

    def log_odds(self, seen: Impressions) -> Floats:
        """Return the log-odds of every impression: float64 [n]."""
        weights = self.weights[seen.items]
        slopes: Floats = np.einsum("nd,nd->n", weights[:, 1:], seen.contexts[seen.context])
        return weights[:, 0] + slopes + self.positions[seen.positions]

    def chances(self, seen: Impressions) -> Floats:
        """Return how likely every impression is to be clicked: float64 [n]."""
        chances: Floats = expit(self.log_odds(seen))
        return chances


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a click model is made of.

    Parameters
    ----------
    strength : float
        How far the earlier period is believed.
    spreads : dict of str to float
        The standard deviation of the coefficients of every block that is in.
    """

    strength: float
    spreads: dict[str, float]


class Blocks:
    """The blocks of a log's design, built once and put together as recipes ask.

    Parameters
    ----------
    seen : Impressions
    prior : float64 [N], optional
        The log-odds of a click on every item in an earlier period.
    positions : int, optional
        P, where other impressions may stand at positions that these do not have.
    """

    def __init__(
        self, seen: Impressions, prior: Floats | None = None, positions: int | None = None
    ) -> None:
        self.seen = seen
        centred = np.zeros(len(seen.catalogue)) if prior is None else prior - prior.mean()
        self.prior: Floats = centred
        self.has_prior = prior is not None
        context, features = seen.contexts.astype(np.float64), seen.catalogue.features
        self.marks = _indicators(context)
        self.scale = _scale(context[seen.context])
        item_marks = _indicators(features)
        self.item_scale = _scale(features.astype(np.float64))
        centred_context = (context - self.scale[0]) / self.scale[1]
        centred_items = (features - self.item_scale[0]) / self.item_scale[1]
        N, P = len(seen.catalogue), positions or int(seen.positions.max()) + 1
        by_context = {
            "context numbers": centred_context[:, ~self.marks],
            "context marks": context[:, self.marks],
        }
        by_item: dict[str, Any] = {
            "item": sparse.eye_array(N, format="csr"),  # as a table, N x N would fill the memory
            "item numbers": centred_items[:, ~item_marks],
            "item marks": features[:, item_marks].astype(np.float64),
        }
        self.tables: dict[str, Any] = {"position": np.eye(P), **by_item, **by_context}
        self.places: dict[str, Rows] = {"position": seen.positions}
        self.places |= dict.fromkeys(by_item, seen.items)
        self.places |= dict.fromkeys(by_context, seen.context)
        self.designs = {
            name: sparse.csr_array(table)[self.places[name]]
            for name, table in self.tables.items()
            if table.shape[1]
        }
        if 0 < context.shape[1] * features.shape[1] <= WIDEST_PRODUCT:
            pairs = np.einsum(
                "nd,nf->ndf", centred_context[seen.context], centred_items[seen.items]
            )
            self.designs["products"] = sparse.csr_array(pairs.reshape(len(seen), -1))

    def offset(self, strength: float) -> Floats:
        """Return what is added to every impression's log-odds beside the coefficients."""
        return strength * self.prior[self.seen.items]

    def design(self, recipe: Recipe) -> tuple[Design, Floats]:
        """Return the columns of a recipe, [n, p], and their coefficients' spreads, [p]."""
        columns = [self.designs[name] for name in recipe.spreads]
        spreads = [
            np.full(self.designs[name].shape[1], spread) for name, spread in recipe.spreads.items()
        ]
        if not columns:
            return sparse.csr_array((len(self.seen), 0)), np.zeros(0)
        return sparse.csr_array(sparse.hstack(columns, format="csr")), np.concatenate(spreads)

    def model(self, recipe: Recipe, bias: float, coefficients: Floats) -> ClickModel:
        """Return the click model that a recipe's coefficients stand for."""
        widths = [self.designs[name].shape[1] for name in recipe.spreads]
        parts = dict(
            zip(recipe.spreads, np.split(coefficients, np.cumsum(widths)[:-1]), strict=True)
            if widths
            else ()
        )
        D, F = self.seen.contexts.shape[1], self.seen.catalogue.features.shape[1]
        item = bias + recipe.strength * self.prior
        for name in ("item", "item numbers", "item marks"):
            if name in parts:
                item = item + self.tables[name] @ parts[name]
        slopes = np.zeros((len(item), D))
        if "context marks" in parts:
            slopes[:, self.marks] += parts["context marks"]
        standard = np.zeros((len(item), D))
        if "context numbers" in parts:
            standard[:, ~self.marks] += parts["context numbers"]
        if "products" in parts:
            items = (self.seen.catalogue.features - self.item_scale[0]) / self.item_scale[1]
            standard += items @ parts["products"].reshape(D, F).T
        slopes += standard / self.scale[1]
        item = item - (standard * (self.scale[0] / self.scale[1])).sum(axis=1)
        positions = parts.get("position", np.zeros(self.tables["position"].shape[1]))
        return ClickModel(np.column_stack([item, slopes]), positions)


def _indicators(table: NDArray[np.floating]) -> Mask:
    """Return which columns hold nothing but 0 and 1."""
    return np.asarray(np.isin(table, (0.0, 1.0)).all(axis=0))


def _scale(table: Floats) -> tuple[Floats, Floats]:
    """Return the mean and the standard deviation of every column, 1 where it does not vary."""
    spread = table.std(axis=0)
    return table.mean(axis=0), np.where(spread > 0.0, spread, 1.0)


def held_out(
    blocks: Blocks, recipe: Recipe, folds: list[Rows], known: list[Coefficients] | None = None
) -> Floats:
    """Return the log-likelihood of every row under a model that has not seen it: float64 [n].

    Parameters
    ----------
    blocks : Blocks
    recipe : Recipe
    folds : list of int64 arrays
        The rows that are held out together.
    known : list of dict, optional
        What was found for every fold by another recipe, block by block: a search begins there, and
        writes what it finds. Recipes are tried by the hundred, and most differ in one block.
    """
    design, spreads = blocks.design(recipe)
    clicks, offset = blocks.seen.clicks, blocks.offset(recipe.strength)
    out = np.empty(len(clicks))
    everything = np.arange(len(clicks))
    widths = [blocks.designs[name].shape[1] for name in recipe.spreads]
    for fold, held in enumerate(folds):
        rest = np.setdiff1d(everything, held, assume_unique=True)
        start = None
        if known is not None and known[fold]:
            parts = zip(recipe.spreads, widths, strict=True)
            near = [known[fold].get(name, np.zeros(width)) for name, width in parts]
            start = float(known[fold][BIAS][0]), np.concatenate([*near, np.zeros(0)])
        slope = 1e-5 if known is None else ROUGH
        bias, coefficients = ridge(design[rest], clicks[rest], offset[rest], spreads, start, slope)
        if known is not None:
            cuts = np.split(coefficients, np.cumsum(widths)[:-1]) if widths else []
            known[fold] |= {BIAS: np.array([bias]), **dict(zip(recipe.spreads, cuts, strict=True))}
        odds = offset[held] + bias + design[held] @ coefficients
        out[held] = log_likelihood(odds, clicks[held])
    return out


def stratified(clicks: Floats, folds: int, generator: np.random.Generator) -> list[Rows]:
    """Return disjoint sets of rows with equal shares of the clicks."""
    order = generator.permutation(len(clicks))
    order = order[np.argsort(clicks[order], kind="stable")]
    return [np.sort(order[start::folds]) for start in range(folds)]


def choose(
    seen: Impressions, prior: Floats | None, generator: np.random.Generator, positions: int
) -> Recipe:
    """Return the recipe of a log, by `search`, of a sample where there are many rows."""
    if len(seen) > SAMPLE:
        seen = seen.take(np.sort(generator.choice(len(seen), SAMPLE, replace=False)))
    return search(Blocks(seen, prior, positions), generator)


def search(blocks: Blocks, generator: np.random.Generator) -> Recipe:
    """Return the recipe under which held-out rows are likeliest, found step by step.

    The items' own effects are always in, at the spread that is best: a world in which all items
    are the same would be of no use. Then the block comes in that helps most, as long as one helps
    by `MARGIN`; last, each block takes the spread that is best for it.
    """
    clicks = blocks.seen.clicks
    folds = stratified(clicks, FOLDS if clicks.sum() < MANY_CLICKS else FEW_FOLDS, generator)

    known: list[Coefficients] = [{} for _ in folds]
    values: dict[tuple[float, frozenset[tuple[str, float]]], float] = {}

    def value(recipe: Recipe) -> float:
        key = recipe.strength, frozenset(recipe.spreads.items())
        if key not in values:
            values[key] = float(held_out(blocks, recipe, folds, known).sum())
        return values[key]

    def spread(recipe: Recipe, block: str) -> Recipe:
        return max((_with(recipe, block, size) for size in SPREADS), key=value)

    strengths = STRENGTHS if blocks.has_prior else (0.0,)
    best = spread(max((Recipe(size, {}) for size in strengths), key=value), "item")
    reached = value(best)
    others = [name for name in blocks.designs if name != "item"]
    while others:
        tries = [_with(best, name, TRIAL) for name in others]
        gains = [value(recipe) for recipe in tries]
        top = int(np.argmax(gains))
        if gains[top] < reached + MARGIN:
            break
        best, reached = tries[top], gains[top]
        others.pop(top)
    for name in list(best.spreads):
        best = spread(best, name)
    return best


def _with(recipe: Recipe, block: str, spread: float) -> Recipe:
    return replace(recipe, spreads={**recipe.spreads, block: spread})


def fit(blocks: Blocks, recipe: Recipe) -> ClickModel:
    """Return the click model of a recipe, fitted to all impressions."""
    design, spreads = blocks.design(recipe)
    bias, coefficients = ridge(design, blocks.seen.clicks, blocks.offset(recipe.strength), spreads)
    return blocks.model(recipe, bias, coefficients)
