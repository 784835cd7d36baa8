"""The networks of SlateQ in torch: two towers, so that a thousand items cost little more than one.

One tower reads the context and answers a base b(s) and a vector f(s); the other reads an item and
answers a vector g(i). An item scores b(s) + f(s) . g(i) (or f(s) . g(i) alone). The base is the
value of nothing, so that items learn what they add to it.

Towers may have a straight line beside their layers, so that what is plain (a taste for a topic, an
item of that topic) need not be bent into shape first (Cheng et al. 2016, "Wide & deep learning for
recommender systems", arXiv 1606.07792).
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch as th
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SMALLEST_SPREAD = 1e-3
"""A feature that varies less than this is taken not to vary."""


class Standardise(nn.Module):
    """Features less their mean, over their standard deviation, as observed so far.

    Parameters
    ----------
    width : int
    """

    count: th.Tensor
    mean: th.Tensor
    square: th.Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("count", th.zeros((), dtype=th.float64))
        self.register_buffer("mean", th.zeros(width, dtype=th.float64))
        self.register_buffer("square", th.zeros(width, dtype=th.float64))

    def observe(self, rows: th.Tensor) -> None:
        """Take rows, float [n, width], into mean and deviation (Chan, Golub & LeVeque 1979)."""
        n, rows = len(rows), rows.double()
        mean = rows.mean(dim=0)
        gap, total = mean - self.mean, self.count + n
        self.square += ((rows - mean) ** 2).sum(dim=0) + gap**2 * (self.count * n / total)
        self.mean += gap * (n / total)
        self.count += n

    def law(self) -> tuple[th.Tensor, th.Tensor]:
        """Return mean and deviation: float32 [width]; 1 where a feature does not vary."""
        spread = (self.square / self.count.clamp(min=1.0)).sqrt()
        spread = th.where(spread > SMALLEST_SPREAD, spread, th.ones_like(spread))
        return self.mean.float(), spread.float()

    def forward(self, rows: th.Tensor) -> th.Tensor:
        """Return standardised rows."""
        mean, spread = self.law()
        return (rows - mean) / spread


class Tower(nn.Module):
    """Linear layers with ReLU between them, and a straight line beside them.

    Parameters
    ----------
    widths : sequence of int
        Of the input, the hidden layers and the output.
    blank : bool
        Whether it answers 0 to everything at first.
    """

    def __init__(self, widths: Sequence[int], *, blank: bool = False) -> None:
        super().__init__()
        self.layers = stack(widths, blank=blank)
        self.straight = nn.Linear(widths[0], widths[-1], bias=False)
        if blank:
            nn.init.zeros_(self.straight.weight)

    def forward(self, rows: th.Tensor) -> th.Tensor:
        """Return both, added up."""
        answer: th.Tensor = self.layers(rows) + self.straight(rows)
        return answer


class Towers(nn.Module):
    """Two towers, as above.

    Parameters
    ----------
    context_width, item_width : int
        D and F.
    context_layers, item_layers : sequence of int
        The widths of the hidden layers.
    embedding : int
        E, the width of f and g.
    straight : bool
        Whether there is a straight line beside each tower's layers.
    """

    def __init__(
        self,
        context_width: int,
        item_width: int,
        context_layers: Sequence[int],
        item_layers: Sequence[int],
        embedding: int,
        *,
        straight: bool = False,
    ) -> None:
        super().__init__()
        self.context_law, self.item_law = Standardise(context_width), Standardise(item_width)
        tower: Callable[..., nn.Module] = Tower if straight else stack
        # What was drawn at first would stay where there is little data.
        self.context = tower([context_width, *context_layers, 1 + embedding], blank=True)
        self.item = tower([item_width, *item_layers, embedding])

    def forward(
        self, context: th.Tensor, items: th.Tensor, slates: th.Tensor | None = None
    ) -> tuple[th.Tensor, th.Tensor]:
        """Return the base and f . g.

        Parameters
        ----------
        context : float32 [B, D]
        items : float32 [B, M, F] or [M, F]
            Every request's own items, or the same for all.
        slates : int64 [B, K], optional
            Places among the items, to be answered for alone.

        Returns
        -------
        base : float32 [B]
        matches : float32 [B, M], or [B, K] of slates
        """
        answer = self.context(self.context_law(context))
        base, user = answer[:, 0], answer[:, 1:]
        embedded = of_places(lambda rows: self.item(self.item_law(rows)), items, slates)
        if embedded.ndim == 2:
            return base, user @ embedded.T
        return base, th.bmm(embedded, user[:, :, None])[:, :, 0]

    def laws(self) -> tuple[Standardise, Standardise]:
        """Return the standardisations of context and items."""
        return self.context_law, self.item_law

    def observe(self, context: th.Tensor, items: th.Tensor) -> None:
        """Take contexts [B, D] and items [n, F] into the standardisation."""
        self.context_law.observe(context)
        self.item_law.observe(items)


def stack(widths: Sequence[int], *, blank: bool = False) -> nn.Sequential:
    """Return linear layers with ReLU between them; the last begins at 0 where it is `blank`."""
    layers: list[nn.Module] = []
    for n, m in itertools.pairwise(widths):
        layers += [nn.Linear(n, m), nn.ReLU()]
    if blank:
        nn.init.zeros_(layers[-2].weight)  # type: ignore[arg-type]
        nn.init.zeros_(layers[-2].bias)  # type: ignore[arg-type]
    return nn.Sequential(*layers[:-1])


def of_places(
    read: Callable[[th.Tensor], th.Tensor], items: th.Tensor, slates: th.Tensor | None
) -> th.Tensor:
    """Return what is read of items, or of those in slates: a catalogue is read once for all.

    Parameters
    ----------
    read : callable
        From features [..., F] to [..., E].
    items : float32 [B, M, F] or [M, F]
    slates : int64 [B, K], optional

    Returns
    -------
    float32 [B, M, E] or [M, E], or [B, K, E] of slates
    """
    if slates is None:
        return read(items)
    if items.ndim == 2:
        return read(items)[slates]
    return read(items.gather(1, slates[:, :, None].expand(-1, -1, items.shape[2])))
