"""SARDINE: users who click several items of a slate, get bored of topics, and are swayed by clicks.

The simulator of Deffayet et al. 2024, "SARDINE: a simulator for automated recommendation in dynamic
and interactive environments" (ACM TORS), from its equations:

- An item's embedding is U(0, 1) on 2 or 3 of 10 topics, of length 1. Its main topic is the largest.
- A user's embedding u is U(0, 1), each topic kept with probability 0.4, the kept ones redrawn until
  there are 3 to 5, of length 1.
- An item's relevance is sigma(slope (e . u - offset)). The item in slot k is clicked with
  probability relevance * eps^k, independently of the others; a click is worth 1.
- Boredom: of the last 10 clicked items, those no older than 5 steps are remembered. A topic that is
  the main one of `threshold` of them is bored from the next step on, for 5 steps. As long as any
  topic is ("return"), u is taken as 0; or ("loss"), u is taken as 0 on the bored topics.
- Influence: after clicks u becomes omega u + (1 - omega) times the mean embedding of the clicked
  items, of length 1 again. The published code takes the mean over the items and the topics, which
  is one number for all topics: that is `influence="scalar"`.
- At first every user is shown one random slate, which counts for boredom and influence but not for
  the reward; then H more.
- Observed: the last slate, its clicks, and for every topic how close it is to being boring,
  min(1, remembered clicks / threshold).

The oracle of `bounds` is a heuristic: it shows the most relevant items of topics that the next
clicks cannot make boring. It is far above the myopic bound, and it is not the best there is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from simulators.bounds import Privileged
from simulators.loops import Loops
from simulators.records import Signal, WorldError
from simulators.sardine import kernels
from simulators.sardine.embeddings import catalogue_of, draw_embeddings
from simulators.sardine.kernels import TOPICS, USER
from simulators.world import BatchedWorld

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents import Policy
    from agents.api import Floats, Rows

PRESETS: dict[str, dict[str, Any]] = {
    "SingleItem-Static": {"slate_size": 1},
    "SingleItem-BoredInf": {"slate_size": 1, "omega": 0.95, "threshold": 5},
    "SingleItem-Uncertain": {"slate_size": 1, "slope": 10.0},
    "SlateTopK-Bored": {"threshold": 5},
    "SlateTopK-BoredInf": {"omega": 0.95, "threshold": 5},
    "SlateTopK-Uncertain": {"slope": 10.0, "omega": 0.95, "threshold": 5},
    "SlateRerank-Static": {
        "num_candidates": 10,
        "horizon": 10,
        "offset": 0.3,
        "slope": 5.0,
        "eps": 0.7,
    },
    "SlateRerank-Bored": {
        "num_candidates": 10,
        "horizon": 10,
        "offset": 0.3,
        "slope": 5.0,
        "eps": 0.7,
        "threshold": 4,
    },
}
"""The published environments, by what sets them apart."""


class Sardine(BatchedWorld):
    """The world above, of any size.

    Parameters
    ----------
    num_candidates : int
        How many items there are; all of them are candidates, always.
    slate_size : int
        K.
    horizon : int, optional
        H.
    offset, slope : float
        Of the relevance.
    eps : float
        The share of attention that is left from one slot to the next.
    omega : float
        How much of u is left when something was clicked.
    threshold : int
        How many remembered clicks make a topic boring; more than 10 means never.
    boredom : {"return", "loss"}
        Churn-and-return (the published environments), or loss of interest in the topic.
    influence : {"vector", "scalar"}
        The mean over the clicked items, or the published one.
    embedding_seed : int
        What the items are drawn with.

    Raises
    ------
    WorldError
        If an option is none of that.
    """

    name = "Sardine"
    leaves = False
    context_bounds = (0.0, 1.0)
    context_width = TOPICS
    item_width = TOPICS

    def __init__(
        self,
        num_candidates: int = 1000,
        slate_size: int = 10,
        *,
        horizon: int | None = 100,
        offset: float = 0.65,
        slope: float = 100.0,
        eps: float = 0.85,
        omega: float = 1.0,
        threshold: int = 11,
        boredom: str = "return",
        influence: str = "vector",
        embedding_seed: int = 0,
    ) -> None:
        for option, given, possible in (
            ("boredom", boredom, ("return", "loss")),
            ("influence", influence, ("vector", "scalar")),
        ):
            if given not in possible:
                raise WorldError(f"{option} is {' or '.join(possible)}, not {given!r}")
        if not (0.0 <= eps <= 1.0 and 0.0 <= omega <= 1.0 and threshold >= 1):
            raise WorldError(
                f"eps and omega are shares and the threshold a count of 1 or more, "
                f"not {eps}, {omega} and {threshold}"
            )
        self.embeddings = draw_embeddings(num_candidates, TOPICS, embedding_seed)
        self.main_topics: Rows = self.embeddings.argmax(axis=1)
        self.signals = (
            Signal("clicked", 0.0, 1.0),
            Signal("shown", -1.0, num_candidates - 1.0, blank=-1.0),
        )
        super().__init__(
            num_candidates=num_candidates,
            slate_size=slate_size,
            horizon=horizon,
            catalogue=catalogue_of(self.embeddings),
        )
        self.offset, self.slope, self.omega = offset, slope, omega
        self.threshold, self.boredom, self.influence = threshold, boredom, influence
        self.attention: Floats = eps ** np.arange(slate_size, dtype=np.float64)

    def _allocate(self, lanes: int) -> None:
        self.users: NDArray[Any] = np.zeros(lanes, dtype=USER)
        self.opened: NDArray[np.float32] = np.zeros((2, lanes, self.slate_size), np.float32)

    def _loops(self) -> Loops:
        return Loops(kernels.begin, kernels.answer, kernels.look, open=kernels.open_with)

    def _keeps(self) -> tuple[Any, ...]:
        items = self.embeddings, self.main_topics, self.attention
        return self.users, self.opened, *items, self._law

    @property
    def _law(self) -> tuple[float, float, float, int, bool, bool]:
        return (
            self.offset,
            self.slope,
            self.omega,
            self.threshold,
            self.boredom == "return",
            self.influence == "scalar",
        )

    def appeal(self) -> Floats:
        """Return how relevant every item is: float64 [B, M]."""
        out = np.empty((len(self), self.num_candidates))
        kernels.appeal(self.users, self.embeddings, self.offset, self.slope, out)
        return out

    def worth(self) -> Floats:
        """Return scores whose K highest, best first, are the oracle's slate: float64 [B, M]."""
        out = self.appeal()
        kernels.balance(self.users, self.main_topics, self.attention, self.threshold, out)
        return out

    def bounds(self) -> dict[str, Policy]:
        """Return random, myopic and the oracle, which keeps topics from getting boring."""
        return super().bounds() | {"oracle": Privileged(self, "oracle", self.worth)}
